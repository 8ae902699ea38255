"""What a dialect is: how a log format is known, and how its rows become exchanges. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stillwatch.errors import LogError

Row = Mapping[str, object]
Exchange = dict[str, object]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One log format.

    Attributes:
        name: as given to `--dialect`.
        fields: for each column of `exchange/1` that it fills, the field or fields it comes from, first choice first.
        recognises: whether a row looks like one of its own.
        convert: the exchanges that a row tells of, as loosely typed columns of `exchange/1`; a row may tell of none
            or of many. Raises LogError, naming the field, where a row cannot be understood.
    """

    name: str
    fields: Mapping[str, str]
    recognises: Callable[[Row], bool]
    convert: Callable[[Row], Iterator[Exchange]]


def unreadable(field: str | None, reason: str) -> LogError:
    """The error of a row; the reader adds the file and the line."""
    return LogError(reason, path="", field=field)
