"""State: what guards count and remember from one request to the next, in this process or on a server that they share.

`LocalState` here is one process's own; `stillwatch.guard.valkey.ValkeyState` is shared. Both do the same arithmetic.
Touches: the memory and the clock of this process.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from stillwatch.guard.clock import SteadyTime, SystemClock
from stillwatch.guard.counters import Counters
from stillwatch.guard.tally import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.decisions.ruling import Charge
    from stillwatch.guard.clock import Clock
    from stillwatch.guard.counters import Exceeded, Grant


class State(Protocol):
    """What guards count and remember. Every method may raise `StateError`: it cannot be reached, or cannot do it."""

    @property
    def trouble(self) -> str:
        """Why it cannot be asked now; empty if it can, as far as is known."""

    async def charge(self, charges: Sequence[Charge]) -> Grant | Exceeded:
        """Charge limits, all or none; of several that have no room, tell the one that takes longest."""

    async def settle(self, grant: Grant, used: Mapping[str, float]) -> None:
        """Say what was really used of `input_tokens`, `output_tokens` and `spend`; of others the estimate stands.

        Once; a grant that was settled before, or not in time, is left as it is.
        """

    async def add(self, sums: Mapping[str, float], *, keep: float) -> Mapping[str, float]:
        """Add to running sums, all at once, and give the totals.

        A sum begins at 0, and is forgotten `keep` seconds after it was last added to.
        """

    async def once(self, key: str, items: Sequence[str], *, keep: float) -> tuple[bool, ...]:
        """Put things into a set, and tell of each whether it was new to it.

        The set is forgotten `keep` seconds after it was last asked. Things are told apart by 64-bit digests.
        """

    async def aclose(self) -> None:
        """Let go of what was opened."""


@dataclass(slots=True)
class _Sum:
    """A running sum, and until when it is remembered."""

    total: float
    until: float


@dataclass(slots=True)
class _Set:
    """What was seen, and until when that is remembered."""

    until: float
    seen: set[int] = field(default_factory=set)


class LocalState:
    """What one process counts and remembers. For one event loop.

    Memory is bounded, by `most` things of each sort. Limits never let through more for it (see `Counters`); of sums,
    the one that was not used for longest is forgotten; and a set tells of what it cannot remember that it is not new,
    so that nothing counts twice.

    Args:
        clock: this machine's, if None.
        most: tallies, sums, and things in sets that are remembered at most.
        hold: seconds after which an estimate that nobody settled counts as used.
        counters: what `counters` of an earlier state gave: limits go on from there.

    Raises:
        CountersError: that is broken or of another version.

    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        most: int = 1_000_000,
        hold: float = 900.0,
        counters: bytes | None = None,
    ) -> None:
        clock = SystemClock() if clock is None else clock
        self._counters = Counters(clock, most=most, hold=hold, state=counters)
        self._time = SteadyTime(clock)
        self._most = most
        self._sums: OrderedDict[str, _Sum] = OrderedDict()  # in the order of their last use
        self._sets: OrderedDict[str, _Set] = OrderedDict()  # in the same
        self._things = 0

    @property
    def trouble(self) -> str:
        """Nothing: this process can always be asked."""
        return ""

    async def charge(self, charges: Sequence[Charge]) -> Grant | Exceeded:
        """Charge limits, all or none."""
        return self._counters.charge(charges)

    async def settle(self, grant: Grant, used: Mapping[str, float]) -> None:
        """Say what was really used."""
        self._counters.settle(grant, used)

    async def add(self, sums: Mapping[str, float], *, keep: float) -> Mapping[str, float]:
        """Add to running sums."""
        now = self._time.now()
        totals = {}
        for name, more in sums.items():
            kept = self._sums.pop(name, None)
            total = (kept.total if kept is not None and now < kept.until else 0.0) + more
            self._sums[name] = _Sum(total, now + keep)
            totals[name] = total
        while len(self._sums) > self._most or (self._sums and next(iter(self._sums.values())).until <= now):
            self._sums.popitem(last=False)
        return totals

    async def once(self, key: str, items: Sequence[str], *, keep: float) -> tuple[bool, ...]:
        """Put things into a set, and tell of each whether it was new to it."""
        now = self._time.now()
        while self._sets and next(iter(self._sets.values())).until <= now:
            self._things -= len(self._sets.popitem(last=False)[1].seen)
        kept = self._sets.pop(key, None)
        if kept is not None and kept.until <= now:
            self._things -= len(kept.seen)
            kept = None
        kept = kept or _Set(now)
        kept.until = now + keep
        new = tuple(self._is_new(kept.seen, digest_of(item)) for item in items)
        if kept.seen:
            self._sets[key] = kept
        return new

    async def aclose(self) -> None:
        """Nothing is open."""

    def counters(self) -> bytes:
        """Give what limits have counted, for a restart; sums and sets are not in it."""
        return self._counters.state()

    def _is_new(self, seen: set[int], thing: int) -> bool:
        if thing in seen or self._things >= self._most:
            return False
        seen.add(thing)
        self._things += 1
        return True
