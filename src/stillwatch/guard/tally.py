"""Tallies: how much of one limit one subject has used. Pure; time is an argument and never runs back.

A pace is kept by the Generic Cell Rate Algorithm (ATM Forum, Traffic Management Specification 4.1, AF-TM-0121.000) in
its form of a leaking bucket: a level that falls by `per_second`, and may not rise over `burst`. It is what redis-cell
and others keep as one time to come; a level in units stays right when a new policy changes the rate. What a request is
only estimated to use is held apart, and does not leak, until it is settled: so the bound holds for what was really
used, whatever the estimates were, as long as they were not too low; what was used beyond them is a debt that leaks.

Distinct things are kept as exact sets of 64-bit digests. A set never holds more than its cap, since whatever is new is
refused from there on; of n things two have the same digest with a probability of n^2 / 2^65 (one in 10^10 for 60,000).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stillwatch.decisions.limit import Cap, Pace

_GRAIN = 1e-9  # what rounding may add up to
NEVER = math.inf


@dataclass(slots=True)
class PaceTally:
    """What of a pace is used.

    Attributes:
        bound: the pace.
        level: used and not yet leaked, at the time `at`.
        at: when that was.
        held: estimated, and not yet settled.
    """

    bound: Pace
    level: float = 0.0
    at: float = 0.0
    held: float = 0.0

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much has room: 0 if it has, `NEVER` if it is more than may ever come at once."""
        bound, passed = self.bound, now - self.at
        used = self.level - passed * bound.per_second if passed > 0.0 else self.level  # `_level`, without the call
        used = used + self.held if used > 0.0 else self.held
        over = used + amount - bound.burst
        if over <= _GRAIN and used < bound.burst:
            return 0.0
        return NEVER if amount > bound.burst else max(over, _GRAIN) / bound.per_second

    def take(self, amount: float, now: float, *, hold: bool) -> None:
        """Use so much, or hold it until it is settled."""
        self.level, self.at = self._level(now), now
        if hold:
            self.held += amount
        else:
            self.level += amount

    def settle(self, estimate: float, actual: float, now: float) -> None:
        """Put what was really used in the place of what was held for it; `now` may be before what was told last."""
        now = max(now, self.at)
        self.level, self.at = self._level(now) + actual, now
        self.held = max(self.held - estimate, 0.0)
        if self.held < _GRAIN:
            self.held = 0.0

    def settled(self, now: float) -> PaceTally:
        """Give the same with what is held counted as used."""
        return PaceTally(self.bound, self._level(now) + self.held, now)

    def idle_at(self) -> float:
        """When it will be as if nothing had ever been used, if nothing more is."""
        return NEVER if self.held else self.at + self.level / self.bound.per_second

    def _level(self, now: float) -> float:
        return max(self.level - max(now - self.at, 0.0) * self.bound.per_second, 0.0)


@dataclass(slots=True)
class CapTally:
    """What of a cap is used in one window.

    Attributes:
        bound: the cap.
        window: number of the window, counted from 1970.
        used: in that window; estimates that are not yet settled are in it.
    """

    bound: Cap
    window: int = 0
    used: float = 0.0

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much has room: 0 if it has, `NEVER` if it is more than the cap."""
        bound = self.bound
        used = self.used if self.window == now // bound.seconds else 0.0
        if used + amount <= bound.most + _GRAIN and used < bound.most:
            return 0.0
        return NEVER if amount > bound.most else window_end(bound, now) - now

    def take(self, amount: float, now: float) -> int:
        """Use so much; gives the window in which it is used."""
        window = window_of(self.bound, now)
        if window != self.window:
            self.window, self.used = window, 0.0
        self.used += amount
        return window

    def settle(self, estimate: float, actual: float, window: int) -> None:
        """Put what was really used in the place of what was estimated, if the window is not over."""
        if window == self.window:
            self.used = max(self.used + actual - estimate, 0.0)

    def idle_at(self) -> float:
        """When it will be as if nothing had ever been used."""
        return (self.window + 1) * self.bound.seconds


@dataclass(slots=True)
class DistinctTally:
    """Which distinct things came in one window.

    Attributes:
        bound: the cap.
        window: number of the window, counted from 1970.
        seen: digests of the things.
    """

    bound: Cap
    window: int = 0
    seen: set[int] = field(default_factory=set)

    def new(self, items: Iterable[int], now: float) -> set[int]:
        """Tell which things have not come in this window yet."""
        return set(items) - (self.seen if self.window == window_of(self.bound, now) else set())

    def wait(self, items: Iterable[int], now: float) -> float:
        """Seconds until these have room: 0 if they have, `NEVER` if they are more than the cap."""
        new = self.new(items, now)
        before = len(self.seen) if self.window == window_of(self.bound, now) else 0
        if not new or before + len(new) <= self.bound.most:
            return 0.0
        return NEVER if len(set(items)) > self.bound.most else window_end(self.bound, now) - now

    def take(self, items: Iterable[int], now: float) -> int:
        """Remember them; gives how many more things are remembered than before."""
        before, window = len(self.seen), window_of(self.bound, now)
        if window != self.window:
            self.window, self.seen = window, set()
        self.seen |= set(items)
        return len(self.seen) - before

    def idle_at(self) -> float:
        """When it will be as if nothing had ever come."""
        return (self.window + 1) * self.bound.seconds


Tally = PaceTally | CapTally | DistinctTally


def amount_of(amount: float) -> float:
    """Bring an amount into what can be counted: less than nothing is nothing, what is no number is without bound."""
    if amount >= 0.0:  # as nearly always
        return amount
    return NEVER if math.isnan(amount) else 0.0


def digest_of(item: str) -> int:
    """Give 64 bits that stand for a thing, the same in every process."""
    return int.from_bytes(hashlib.blake2b(item.encode(errors="surrogatepass"), digest_size=8).digest())


def window_of(bound: Cap, now: float) -> int:
    """Give the number of the window that a time is in."""
    return int(now // bound.seconds)


def window_end(bound: Cap, now: float) -> float:
    """Tell when the window ends that a time is in."""
    return float((window_of(bound, now) + 1) * bound.seconds)
