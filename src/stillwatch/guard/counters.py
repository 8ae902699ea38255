"""Counters: limits charged in this process. Touches: memory shared by threads, and the clock that it is given.

All limits of a request are charged together or not at all, under one lock and without waiting, so that threads and
coroutines may share the counters. Estimates are charged before a request is served and settled after it.

Memory is bounded. A tally is forgotten as soon as that changes nothing (a bucket has leaked empty, a window is over)
and never before. While there is no room for another, new subjects of a limit share one tally, which lets through less,
never more; none of them gets its own before that one is idle, so that changing over brings nobody a second burst.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from stillwatch.decisions.limit import Cap, Pace, Quota
from stillwatch.decisions.refusal import SHAPES, Refusal, RefusalReason
from stillwatch.errors import CountersError
from stillwatch.guard.clock import SteadyTime, SystemClock
from stillwatch.guard.tally import (
    NEVER,
    CapTally,
    DistinctTally,
    PaceTally,
    amount_of,
    digest_of,
    window_end,
    window_of,
)
from stillwatch.typed_yaml import Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.decisions.ruling import Charge
    from stillwatch.guard.clock import Clock
    from stillwatch.guard.tally import Tally

SCHEMA = "stillwatch.counters/1"
_SHARED = "*"
_CLEARED = 32  # tallies or grants that one charge looks through at most, so that none takes long
ESTIMATED = frozenset({"input_tokens", "output_tokens", "spend"})

Key = tuple[str, str, str]  # kind, limit, subject; `*` after the kind and no subject for those who share one


@dataclass(frozen=True, slots=True)
class Grant:
    """All limits had room and are charged; settle it when it is known what was really used.

    Attributes:
        token: what it is known by to the state that gave it; empty if nothing in it is an estimate.
    """

    token: bytes = b""


_NOTHING_TO_SETTLE = Grant()


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A limit had no room, and nothing was charged.

    Attributes:
        quota: the limit; of several, the one that takes longest.
        subject: whose.
        retry_after: seconds until there is room; None if there never is, since it is more than the limit lets through
            at once.
    """

    quota: Quota
    subject: str
    retry_after: float | None

    @property
    def refusal(self) -> Refusal:
        """How the request is refused."""
        reason = RefusalReason.SPEND_EXCEEDED if self.quota.of == "spend" else RefusalReason.RATE_LIMITED
        return Refusal(reason, SHAPES[reason].message, self.quota.id)


_Held = tuple[Key, str, float, int]
"""An estimate that is to be settled: tally, measure, amount, window. A plain tuple, as is the next: made many times."""

_Due = tuple[Key, str, "Tally", float, tuple[int, ...], bool]
"""One charge: the key of its tally, measure, tally, amount, digests of items, and whether the tally is remembered."""


class Counters:
    """Limits, charged and settled.

    Args:
        clock: this machine's, if None.
        most: tallies and distinct things that are remembered at most; a tally takes some 420 bytes, a thing some 80.
        hold: seconds after which an estimate that nobody settled counts as used.
        state: what to go on from. Time that passed since then counts as the wall clock shows it; if that shows an
            earlier time, none has passed.

    Raises:
        CountersError: the state is broken or of another version.

    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        most: int = 1_000_000,
        hold: float = 900.0,
        state: bytes | None = None,
    ) -> None:
        kept = _State(SCHEMA, 0.0, ()) if state is None else _read(state)
        self._time = SteadyTime(SystemClock() if clock is None else clock, kept.now)
        self._most, self._hold = most, hold
        self._lock = threading.Lock()
        self._tallies: dict[Key, Tally] = {}
        self._weight = 0
        self._idle: list[tuple[float, Key]] = []  # one for each tally: when it may be forgotten, at the earliest
        self._numbers = itertools.count()
        self._grants: dict[bytes, list[_Held]] = {}
        self._deadlines: list[tuple[float, int, bytes]] = []
        for each in kept.tallies:
            self._remember(each.key, each.tally(), kept.now)

    def charge(self, charges: Sequence[Charge]) -> Grant | Exceeded:
        """Charge limits, all or none.

        A charge of nothing passes as long as its limit is not used up.
        """
        with self._lock:
            now = self._time.now()
            self._clear(now)
            dues: list[_Due] = []
            longest, at_fault = 0.0, None
            for charge in charges:
                due = self._due(charge, now)
                tally = due[2]
                wait = self._wait(due, now) if isinstance(tally, DistinctTally) else tally.wait(due[3], now)
                if wait > longest:
                    longest, at_fault = wait, charge
                dues.append(due)
            if at_fault is not None:
                return Exceeded(at_fault.quota, at_fault.subject, None if longest == NEVER else longest)
            held: list[_Held] = []
            for due in dues:
                self._take(due, now, held)
            if not held:
                return _NOTHING_TO_SETTLE
            number = next(self._numbers)
            token = b"%d" % number
            self._grants[token] = held
            heapq.heappush(self._deadlines, (now + self._hold, number, token))
            return Grant(token)

    def settle(self, grant: Grant, used: Mapping[str, float]) -> None:
        """Say what was really used of `input_tokens`, `output_tokens` and `spend`; of others the estimate stands.

        A grant that was settled before, or not within `hold` seconds, is left as it is.
        """
        with self._lock:
            self._settle(grant.token, used, self._time.now())

    def __len__(self) -> int:
        """Tallies and distinct things that are remembered."""
        return self._weight

    # ---- keeping over a restart

    def state(self) -> bytes:
        """Give everything that is remembered, as `stillwatch.counters/1` in JSON; estimates count as used."""
        with self._lock:
            now = self._time.now()
            kept = [_Kept.of(key, tally, now) for key, tally in self._tallies.items()]
        return msgspec.json.encode(_State(SCHEMA, now, tuple(kept)))

    # ---- within the lock

    def _due(self, charge: Charge, now: float) -> _Due:
        """Find the tally that a charge goes to."""
        quota, subject, amount, items = charge
        kind = quota.kind
        key: Key = (kind, quota.id, subject)
        found = self._tallies.get(key)
        known = found is not None
        if found is None:
            shared = (kind + _SHARED, quota.id, "")
            overflow = self._tallies.get(shared)
            if overflow is not None and overflow.idle_at() > now:
                key, found, known = shared, overflow, True
            elif self._weight >= self._most:
                key, found, known = shared, overflow or _fresh(quota), overflow is not None
            else:
                found = _fresh(quota)
        if found.bound is not quota.bound:
            _rebind(found, quota.bound, now)
        return key, quota.of, found, amount_of(amount), tuple(map(digest_of, items)) if items else (), known

    def _wait(self, due: _Due, now: float) -> float:
        """Tell how long distinct things must wait."""
        key, _, tally, _, items, _ = due
        assert isinstance(tally, DistinctTally)  # noqa: S101  told apart by who calls, on every request
        wait = tally.wait(items, now)
        if wait or key[0].endswith(_SHARED) or self._weight + len(items) <= self._most:
            return wait
        new = len(tally.new(items, now))
        if not new or self._weight + new <= self._most:
            return 0.0
        return window_end(tally.bound, now) - now  # what cannot be remembered cannot be counted

    def _take(self, due: _Due, now: float, held: list[_Held]) -> None:
        """Charge one limit, and add what is to be settled later, if anything is."""
        key, of, tally, amount, items, known = due
        estimated, window = of in ESTIMATED, 0
        if isinstance(tally, DistinctTally):
            more = tally.take(items, now)
            self._weight += more if known else 0
        elif isinstance(tally, PaceTally):
            tally.take(amount, now, hold=estimated)
        else:
            window = tally.take(amount, now)
        if not known:
            self._remember(key, tally, now)
        if estimated:
            held.append((key, of, amount, window))

    def _remember(self, key: Key, tally: Tally, now: float) -> None:
        self._tallies[key] = tally
        self._weight += _weight(tally)
        heapq.heappush(self._idle, (min(tally.idle_at(), now + self._hold), key))

    def _settle(self, token: bytes, used: Mapping[str, float], now: float) -> None:
        for key, of, amount, window in self._grants.pop(token, ()):
            tally = self._tallies.get(key)
            actual = amount_of(used.get(of, amount))
            actual = actual if actual < NEVER else amount  # what nobody can have used is no news
            if isinstance(tally, PaceTally):
                tally.settle(amount, actual, now)
            elif isinstance(tally, CapTally):
                tally.settle(amount, actual, window)

    def _clear(self, now: float) -> None:
        """Settle what nobody settled, and forget what changes nothing; a few at a time."""
        for _ in range(_CLEARED):
            if not self._deadlines or self._deadlines[0][0] > now:
                break
            deadline, _, token = heapq.heappop(self._deadlines)
            self._settle(token, {}, deadline)
        for _ in range(_CLEARED):
            if not self._idle or self._idle[0][0] > now:
                break
            _, key = heapq.heappop(self._idle)
            tally = self._tallies[key]
            if (idle := tally.idle_at()) > now:
                heapq.heappush(self._idle, (min(idle, now + self._hold), key))
            else:
                self._weight -= _weight(tally)
                del self._tallies[key]


class _Kept(Part, frozen=True):
    """One tally, as it is written down; of its numbers those that its kind has."""

    kind: Literal["pace", "cap", "distinct"]
    limit: str
    subject: str
    bound: tuple[float, float]
    used: float = 0.0
    at: float = 0.0
    window: int = 0
    seen: tuple[int, ...] = ()

    @classmethod
    def of(cls, key: Key, tally: Tally, now: float) -> _Kept:
        """Write a tally down."""
        kind, limit, whose = key
        subject = _SHARED if kind.endswith(_SHARED) else f"={whose}"
        if isinstance(tally, PaceTally):
            tally = tally.settled(now)
            bound = (tally.bound.per_second, tally.bound.burst)
            return cls("pace", limit, subject, bound, used=tally.level, at=tally.at)
        bound = (tally.bound.most, float(tally.bound.seconds))
        if isinstance(tally, CapTally):
            return cls("cap", limit, subject, bound, used=tally.used, window=tally.window)
        return cls("distinct", limit, subject, bound, window=tally.window, seen=tuple(sorted(tally.seen)))

    @property
    def key(self) -> Key:
        """What it is kept by."""
        shared = self.subject == _SHARED
        return self.kind + _SHARED * shared, self.limit, "" if shared else self.subject.removeprefix("=")

    def tally(self) -> Tally:
        """Read it again."""
        one, other = self.bound
        if self.kind == "pace":
            return PaceTally(Pace(one, other), self.used, self.at)
        cap = Cap(one, int(other))
        return (
            CapTally(cap, self.window, self.used)
            if self.kind == "cap"
            else DistinctTally(cap, self.window, {*self.seen})
        )


class _State(Part, frozen=True):
    """All tallies, and when it was."""

    schema: str
    now: float
    tallies: tuple[_Kept, ...]


def _read(state: bytes) -> _State:
    try:
        kept = msgspec.json.decode(state, type=_State)
    except msgspec.DecodeError as error:
        raise CountersError(f"no counters of `{SCHEMA}`: {error}") from error
    if kept.schema != SCHEMA:
        raise CountersError(f"counters of `{kept.schema}`, not of `{SCHEMA}`")
    return kept


def _rebind(tally: Tally, bound: Pace | Cap, now: float) -> None:
    """Give a tally the bound of the policy in force; what is used stays used."""
    if isinstance(tally, PaceTally):
        tally.bound = bound if isinstance(bound, Pace) else tally.bound
    elif isinstance(bound, Cap):
        running = bound != tally.bound and tally.window == window_of(tally.bound, now)
        tally.bound = bound
        if running:
            tally.window = window_of(bound, now)


def _fresh(quota: Quota) -> Tally:
    bound = quota.bound
    if isinstance(bound, Pace):
        return PaceTally(bound)
    return DistinctTally(bound) if quota.kind == "distinct" else CapTally(bound)


def _weight(tally: Tally) -> int:
    return 1 + len(tally.seen) if isinstance(tally, DistinctTally) else 1
