"""Limits, charges and a clock for tests of what counts them."""

from __future__ import annotations

from dataclasses import dataclass

from stillwatch.decisions.limit import Cap, Measure, Pace, Quota
from stillwatch.decisions.ruling import Charge

START = 1_800_000_000.0  # 2027-01-15 08:00 UTC
DAY = 86_400


@dataclass
class Hands:
    """A clock that is set by hand: both of a machine's clocks."""

    date: float = START
    since_boot: float = 50.0

    def wall(self) -> float:
        return self.date

    def steady(self) -> float:
        return self.since_boot

    def pass_(self, seconds: float) -> None:
        self.date += seconds
        self.since_boot += seconds


def pace(rate: float = 1.0, burst: float = 5.0, of: Measure = "requests", name: str = "pace") -> Quota:
    return Quota(name, of, "key", Pace(rate, burst))


def cap(most: float = 5.0, seconds: int = DAY, of: Measure = "requests", name: str = "cap") -> Quota:
    return Quota(name, of, "key", Cap(most, seconds))


def one(quota: Quota, amount: float = 1.0, subject: str = "k", *items: str) -> list[Charge]:
    return [Charge(quota, subject, amount, items)]
