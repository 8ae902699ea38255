"""Numbers, times, names and bars as a person reads them in a terminal. Pure; touches nothing.

Names in findings come from the log, so from anybody: `printable` keeps them from steering the terminal.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime, timedelta

# Cf holds the marks that reverse or hide text (Unicode Standard Annex 9), Cc the control characters
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    r"""Give the text with everything that would steer a terminal written out, as `\x1b` or `\u202e`.

    >>> printable("fine \x1b[31m")
    'fine \\x1b[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _STEERING
        else character
        for character in text
    )


def sentence(text: str, *, capital: bool = True) -> str:
    """Give the text, printable, with a capital (unless it goes on from something) and a full stop."""
    shown = printable(text.strip())
    if not shown:
        return ""
    first_word = shown.split(maxsplit=1)[0]
    if capital and first_word.isalpha():  # `top_logprobs` and `c-7f3a` stay as they are
        shown = shown[0].upper() + shown[1:]
    return shown if shown[-1] in ".!?…。" else shown + "."


def count(number: int, noun: str = "", plural: str = "") -> str:
    """Give a count with thousands set apart, and its noun in the right number.

    >>> count(1204, "account")
    '1,204 accounts'
    """
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def signed(bits: float) -> str:
    """Bits with their sign and one decimal; what rounds to nothing has none."""
    return "0.0" if abs(bits) < 0.05 else f"{bits:+.1f}"


def plain(bits: float) -> str:
    """Bits of a total: one decimal, no plus."""
    return "0.0" if abs(bits) < 0.05 else f"{bits:.1f}"


def probability(value: float) -> str:
    """Give a probability with two or three digits that mean something: 0.31, 0.0042, 2e-07, 0."""
    return f"{value:.2g}" if value < 0.1 else f"{value:.3g}"


def odds(value: float) -> str:
    """Give a probability in words: `1 time in 4,808`.

    >>> odds(0.000208)
    '1 time in 4,808'
    """
    if value <= 0:
        return "never"
    if value > 0.5:
        return f"{value:.0%}".replace("%", " %") + " of the time"
    if value < 1e-9:
        return "less than 1 time in 1,000,000,000"
    times = 1 / value
    return f"1 time in {times:,.0f}" if times >= 10 else f"1 time in {times:.2g}"


def percent(value: float) -> str:
    """Give a share as percent, with as many digits as it needs: `0.1 %`, `12 %`, `100 %`."""
    hundredths = value * 100
    if hundredths == 0 or hundredths >= 9.95:
        return f"{hundredths:.0f} %"
    return f"{hundredths:.1f} %" if hundredths >= 0.1 else f"{hundredths:.1g} %"


def minute(time: datetime | None) -> str:
    """Give a time to the minute, UTC."""
    return "unknown" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def day(time: datetime) -> str:
    """Give the day of a time, UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d}"


def lasting(span: timedelta) -> str:
    """How long, in the largest unit that fits: `14 days`, `5 hours`, `2 minutes`."""
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        number = span.total_seconds() / seconds
        if number >= 1.95:
            return f"{number:.0f} {unit}s"
    return count(round(span.total_seconds()), "second")


def window(first: datetime | None, last: datetime | None) -> str:
    """From when to when, and how long."""
    if first is None or last is None:
        return "no time"
    return f"{minute(first)} to {minute(last)} UTC ({lasting(last - first)})"


def bar(start: float, end: float, *, low: float, high: float, width: int, ascii_only: bool = False) -> str:
    """Give a bar from `start` to `end` on a scale from `low` to `high`, `width` characters wide; hatched if it falls.

    Whatever is not nothing gets one character at least, so that no step of a waterfall is unseen.
    """
    solid, hatched = ("#", "-") if ascii_only else ("█", "▒")
    if width < 1 or high <= low or start == end:
        return ""
    scale = width / (high - low)
    left = math.floor((min(start, end) - low) * scale + 0.5)
    right = math.floor((max(start, end) - low) * scale + 0.5)
    left = min(left, width - 1)
    right = max(right, left + 1)
    return " " * left + (solid if end > start else hatched) * (right - left)
