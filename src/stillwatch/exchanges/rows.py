"""Rows as a file has them, on their way to `exchange/1`, and what a file's reader needs to be told. Pure.

Three readers make them, one for each form of file: parquet.py, lines.py (JSON) and table.py (CSV).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stillwatch.errors import LogError
from stillwatch.exchanges.columns import time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from stillwatch.exchanges.dialects.dialect import Dialect, Exchange, Row

HEAD_ROWS: Final = 50  # so many rows are looked at to know a file's dialect
BATCH_BYTES: Final = 64 << 20
_OPEN_EXCHANGES: Final = 16_384  # so many may wait for more of their pieces


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one file.

    Attributes:
        columns: loosely typed columns under the names of `exchange/1`.
        place: the line of a row, counted from 1, and the row as it stood.

    """

    count: int
    columns: Mapping[str, pa.Array | list[object]]
    place: Callable[[int], tuple[int | None, object]]


@dataclass(frozen=True, slots=True)
class Intake:
    """What the reader of a file asks and tells whoever wants its rows.

    Attributes:
        known: the dialect of a file whose first rows are these; raises DialectError where there is none.
        wanted: which of the columns that a file in `exchange/1` has are to be read; and whether its rows bear ids.
        refuse: a row, or so many of them, cannot be read: the error, its line, the row as it stood, how many.
        progress: so many bytes of the file have been read.
        cut: the file ends in half a line, which is left out: the line, and as much of it as there is.
        batch_rows: rows to hand over at once, at most.
        note: something about the file that a person should know.

    """

    known: Callable[[Sequence[Row]], Dialect]
    wanted: Callable[[Iterable[str], bool], list[str]]
    refuse: Callable[[LogError, int | None, object, int], None]
    progress: Callable[[int], None]
    cut: Callable[[int, object], None]
    batch_rows: int
    note: Callable[[str], None]


@dataclass(slots=True)
class _Open:
    """An exchange of which more pieces may come."""

    line: int | None
    raw: object
    exchange: Exchange


class Conversion:
    """Rows of a dialect turned into exchanges, pieces of one exchange put together.

    A piece joins the exchange of its request id that stands open, where it adds to it and contradicts nothing; the
    earlier time is kept. Whatever does not fit is an exchange of its own, for later steps to judge.
    """

    def __init__(self, dialect: Dialect, refuse: Callable[[LogError, int | None, object, int], None]) -> None:
        self._dialect, self._refuse = dialect, refuse
        self._done: list[_Open] = []
        self._open: dict[str, _Open] = {}

    def add(self, row: Row, line: int | None, raw: object) -> None:
        """Take in one row of the log."""
        try:
            for exchange in self._dialect.convert(row):
                self._enter(_Open(line, raw, exchange))
        except LogError as error:
            self._refuse(error, line, raw, 1)

    def rows(self, *, last: bool) -> Rows:
        """Return the exchanges that are complete; at the end, all."""
        waiting = len(self._open) - (0 if last else _OPEN_EXCHANGES)
        for name in list(self._open)[: max(0, waiting)]:
            self._done.append(self._open.pop(name))
        done, self._done = self._done, []
        names = {name for found in done for name in found.exchange}
        columns = {name: [found.exchange.get(name) for found in done] for name in names}
        return Rows(len(done), columns, lambda row: (done[row].line, done[row].raw))

    def _enter(self, new: _Open) -> None:
        name = new.exchange.get("request_id")
        if not self._dialect.pieces or not isinstance(name, str):
            self._done.append(new)
            return
        found = self._open.get(name)
        if found is None:
            self._open[name] = new
        elif _fits(found.exchange, new.exchange):
            time = _earlier(found.exchange.get("time"), new.exchange.get("time"))
            found.exchange = {**new.exchange, **found.exchange, "time": time}
        else:
            self._done.append(new)


def _fits(known: Exchange, new: Exchange) -> bool:
    """Whether a piece belongs to an exchange: it is no mere repetition, and says nothing else of what is known."""
    if known == new:
        return False
    return all(known.get(name, value) == value for name, value in new.items() if name != "time")


def _earlier(one: object, other: object) -> object:
    if one is None or other is None:
        return one if other is None else other
    try:
        return other if (time_of(other) or 0) < (time_of(one) or 0) else one
    except ValueError:
        return one
