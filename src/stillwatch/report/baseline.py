"""A baseline for a person at a terminal: its fields, with long rows of figures told in five. Writes to a console.

Works on the plain content of the file rather than on its type, so that nothing in the file stays unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich.text import Text

from stillwatch.report.figures import printable
from stillwatch.report.terminal import heading, indented, pairs, show

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN_IN_FULL: Final = 6


def print_baseline(content: Mapping[str, object], console: Console, *, path: str) -> None:
    """Print every field of a baseline; a list of numbers as how many, smallest, quartiles and largest.

    Args:
        content: the file as plain mappings, lists, texts and numbers.
        console: where to print.
        path: the file's name.

    """
    show(console, heading(f"Baseline {printable(path)}"))
    _print_fields(content, console, depth=1)


def _print_fields(content: Mapping[str, object], console: Console, *, depth: int) -> None:
    content = dict(_unrolled(content))
    flat = [(printable(name), Text(_said(value))) for name, value in content.items() if not isinstance(value, Mapping)]
    if flat:
        show(console, indented(pairs(flat), 2 * depth))
    for name, value in content.items():
        if isinstance(value, Mapping):
            show(console, Text())
            show(console, indented(Text(printable(name), style="bold"), 2 * depth))
            _print_fields(value, console, depth=depth + 1)


def _unrolled(content: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Fields, with each part of a list of parts as a field of its own."""
    for name, value in content.items():
        if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
            yield from ((f"{name} {place} of {len(value)}", part) for place, part in enumerate(value, start=1))
        else:
            yield name, value


def _said(value: object) -> str:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Sequence):
        return _row(value)
    return printable(str(value))


def _row(values: Sequence[object]) -> str:
    if len(values) <= _SHOWN_IN_FULL:
        return ", ".join(_said(value) for value in values) or "none"
    numbers = sorted(_numbers(values))
    if len(numbers) == len(values):
        low, first, middle, third, high = (_number(numbers[round(at * (len(numbers) - 1) / 4)]) for at in range(5))
        return f"{len(values):,} figures: {low} to {high}, half of them {first} to {third}, median {middle}"
    return f"{', '.join(_said(value) for value in values[:_SHOWN_IN_FULL])} and {len(values) - _SHOWN_IN_FULL:,} more"


def _numbers(values: Sequence[object]) -> Iterator[float]:
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield value


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
