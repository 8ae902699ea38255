"""Times in STIX and TAXII, as whole microseconds since 1970. Pure.

TAXII 2.1, 2 asks for exactly six digits after the second; STIX 2.1, 3.2 lets there be any number. What is finer than a
microsecond is refused, so that two versions are never taken for one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_FORM: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,6})0*)?Z", re.ASCII
)  # RFC 3339, in UTC
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)


def to_micros(text: str) -> int:
    """Read a time.

    Raises:
        ValueError: it is none, is not in UTC, or is finer than a microsecond.

    """
    found = _FORM.fullmatch(text) if len(text) <= 40 else None
    if found is None:
        raise ValueError(f"{text[:40]!r} is no time such as 2026-07-01T12:00:00.000000Z")
    *whole, fraction = found.groups()
    year, month, day, hour, minute, second = map(int, whole)
    leap = second == 60  # RFC 3339 5.6 allows it; it is told from the second before by nobody
    moment = datetime(year, month, day, hour, minute, second - leap, int((fraction or "0").ljust(6, "0")), tzinfo=UTC)
    return (moment - _EPOCH) // _TICK


def to_text(micros: int) -> str:
    """Write a time with six digits after the second."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds")[:26] + "Z"


def now_micros() -> int:
    """Ask the clock of this machine."""
    return (datetime.now(UTC) - _EPOCH) // _TICK
