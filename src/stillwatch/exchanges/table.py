"""CSV logs (RFC 4180): a header, then a row a record; commas, semicolons or tabs. Touches the log file, reading.

Fields may hold line breaks where they are quoted. An empty field is null. Fields that hold JSON are read as such by
the dialects that expect objects.
"""

from __future__ import annotations

import csv
import io
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from stillwatch.errors import LogError
from stillwatch.exchanges.dialects.exchange_v1 import EXCHANGE_V1
from stillwatch.exchanges.files import LogFile, grew, read_blocks
from stillwatch.exchanges.rows import HEAD_ROWS, Conversion, Intake, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELIMITERS: Final = ",;\t"
_ROWS_AT_ONCE: Final = 8_192
_LONGEST_FIELD: Final = 1 << 30

_Record = tuple[int, list[str]]


def read_table(file: LogFile, intake: Intake) -> Iterator[Rows]:
    """Read the rows of a CSV file.

    Raises:
        LogError: after the last readable row, where the file breaks off.
        DialectError: its dialect is not known.

    """
    text = _Text(file, intake)
    records = _records(text, file, intake)
    found = next(records, None)
    if found is None:
        return
    header = [name.strip() for name in found[1]]
    whole = _whole(records, len(header), text, file, intake)
    head = list(islice(whole, HEAD_ROWS))
    dialect = intake.known([dict(zip(header, row, strict=True)) for _, row in head] or [dict.fromkeys(header)])
    conversion = Conversion(dialect, intake.refuse)
    wanted = intake.wanted(header, "request_id" in header)
    places = [header.index(name) for name in wanted]
    for some in _grouped(chain(head, whole)):
        if dialect is EXCHANGE_V1:
            fields = list(zip(*(row for _, row in some), strict=True))
            columns = {name: pa.array(fields[i], pa.string()) for name, i in zip(wanted, places, strict=True)}
            yield Rows(len(some), columns, partial(_stood, header, some))
        else:
            for line, row in some:
                raw = dict(zip(header, row, strict=True))
                conversion.add({name: value or None for name, value in raw.items()}, line, raw)
            yield conversion.rows(last=False)
    yield conversion.rows(last=True)
    if text.broken is not None:
        raise text.broken


def _stood(header: list[str], records: list[_Record], row: int) -> tuple[int, object]:
    line, fields = records[row]
    return line, dict(zip(header, fields, strict=True))


class _Text:
    """The file's lines as text, and how it ended."""

    def __init__(self, file: LogFile, intake: Intake) -> None:
        self.broken: LogError | None = None
        self.ended = False
        self.ends_whole = True
        self._file, self._intake = file, intake

    def lines(self) -> Iterator[str]:
        try:
            for block in read_blocks(self._file, self._intake.progress):
                self.ends_whole = block.data.endswith(b"\n") if block.data else self.ends_whole
                yield from io.StringIO(block.data.decode("utf-8", "replace"), newline="\n")
        except LogError as error:
            self.broken = error
        self.ended = True


def _records(text: _Text, file: LogFile, intake: Intake) -> Iterator[_Record]:
    """Yield records with the line that they begin on; what is none is refused."""
    csv.field_size_limit(_LONGEST_FIELD)  # of the whole process; its default of 128 KiB is less than a long prompt
    lines = text.lines()
    first = next(lines, None)
    if first is None:
        return
    reader = csv.reader(chain([first], lines), delimiter=max(_DELIMITERS, key=first.count), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            count = max(1, reader.line_num - line + 1)  # a quote that is never closed swallows all lines to the end
            half = text.ended and (text.broken is not None or not text.ends_whole)
            if half and (count == 1 or text.broken is not None or grew(file)):
                intake.cut(line, None)
                text.ends_whole = True  # what came before it is whole
            else:
                intake.refuse(LogError(f"broken CSV: {error}", path=file.name), line, None, count)
            continue
        if record is None:
            return
        if record:
            yield line, record


def _whole(records: Iterator[_Record], fields: int, text: _Text, file: LogFile, intake: Intake) -> Iterator[_Record]:
    """Yield records with as many fields as the header has; a last one without its line end only if surely complete."""
    held = next(records, None)
    while held is not None:
        following = next(records, None)
        line, row = held
        half = following is None and not text.ends_whole
        if half and (len(row) < fields or text.broken is not None or grew(file)):
            intake.cut(line, ",".join(row))
        elif len(row) != fields:
            reason = "not as many fields as the header"
            intake.refuse(LogError(reason, path=file.name), line, ",".join(row), 1)
        else:
            yield held
        held = following


def _grouped(records: Iterator[_Record]) -> Iterator[list[_Record]]:
    some: list[_Record] = []
    for record in records:
        some.append(record)
        if len(some) == _ROWS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some
