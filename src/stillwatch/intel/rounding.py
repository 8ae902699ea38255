"""Numbers and times as they may leave: rounded, so that no single customer's figure can be read off. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

DIGITS: Final = 2  # significant digits of a count
MOST: Final = 999_999_999  # what STIX 2.1 allows for `number_observed` and `count`
_BITS: Final = 99.9


def about(count: int) -> int:
    """Give a count to two significant digits, at most `MOST`."""
    count = max(0, min(count, MOST))
    step = int(10 ** max(len(str(count)) - DIGITS, 0))
    return min((count + step // 2) // step * step, MOST)


def bits(value: float) -> float:
    """Give bits to one decimal."""
    return round(max(-_BITS, min(value, _BITS)), 1) + 0.0


def chance(value: float) -> float:
    """Give a probability to one significant digit."""
    return float(f"{max(0.0, min(value, 1.0)):.0e}")


def day(time: datetime) -> datetime:
    """Give the midnight (UTC) at or before a moment."""
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def day_after(time: datetime) -> datetime:
    """Give the midnight (UTC) after a moment; the last there is where there is none."""
    return later(day(time), timedelta(days=1))


def later(time: datetime, span: timedelta) -> datetime:
    """Give a moment so much later; the same one where the calendar ends."""
    try:
        return time + span
    except OverflowError:
        return time


def written(time: datetime) -> str:
    """Write a moment as STIX 2.1 does (section 2.13): RFC 3339 in UTC, to the millisecond."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
