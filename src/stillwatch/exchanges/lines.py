"""JSON logs: one object a line, or an array of objects, or objects one after another over several lines.

Lines of `exchange/1` are decoded straight into the columns wanted, a block at a time; only where a block holds a line
that is not as the schema has it are its lines looked at one by one. Of a key that stands twice in an object the last
counts. Touches the log file, reading.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa

from stillwatch.errors import LogError
from stillwatch.exchanges.columns import MICROSECONDS
from stillwatch.exchanges.dialects.dialect import Dialect, Row
from stillwatch.exchanges.dialects.exchange_v1 import EXCHANGE_V1
from stillwatch.exchanges.files import Block, LogFile, read_blocks
from stillwatch.exchanges.rows import HEAD_ROWS, Conversion, Intake, Rows
from stillwatch.exchanges.schema import EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, ValueError, RecursionError)
_PYTHON_TYPE: Final[Mapping[pa.DataType, object]] = {
    pa.string(): str | None,
    pa.int64(): int | None,
    pa.float64(): float | None,
    pa.bool_(): bool | None,
    MICROSECONDS: str | int | float | None,
}
_NO_JSON: Final = "not JSON"
_NO_OBJECT: Final = "not a JSON object"
_OBJECTS_AT_ONCE: Final = 8_192

_Item = tuple[int, Row, object]


@dataclass(slots=True)
class _Lines:
    """How the lines of one file are read, once its dialect is known."""

    dialect: Dialect
    wanted: list[str]
    decoder: msgspec.json.Decoder[Any]
    conversion: Conversion


def read_json(file: LogFile, intake: Intake) -> Iterator[Rows]:
    """Read the rows of a JSON file.

    Raises:
        LogError: after the last readable row, where the file breaks off.
        DialectError: its dialect is not known.

    """
    blocks = read_blocks(file, intake.progress)
    block = next(blocks)
    if _spans_lines(block):
        yield from _read_document(file, block, blocks, intake)
        return
    lines = _started([row for row in map(_object, block.data.splitlines()[:HEAD_ROWS]) if row], intake)
    while True:
        if lines.dialect is EXCHANGE_V1:
            yield _at_once(block, lines) or _columns(list(_each(block, file, intake)), lines.wanted)
        else:
            for line, row, raw in _each(block, file, intake):
                lines.conversion.add(row, line, raw)
            yield lines.conversion.rows(last=block.last)
        following = next(blocks, None)  # a broken file says so after its last block
        if following is None:
            return
        block = following


def _started(head: list[Row], intake: Intake) -> _Lines:
    dialect = intake.known(head)
    wanted = intake.wanted(EXCHANGE.names, all(row.get("request_id") for row in head))
    return _Lines(dialect, wanted, _decoder(tuple(wanted)), Conversion(dialect, intake.refuse))


@cache
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    fields = [(name, _PYTHON_TYPE[EXCHANGE.field(name).type], None) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Line", fields, gc=False))


# ---- one object a line ------------------------------------------------------------------------------------------


def _at_once(block: Block, lines: _Lines) -> Rows | None:
    """All lines of a block, if each is an object whose values have the types of the schema; else None."""
    try:
        found = lines.decoder.decode_lines(block.data)
        if not found:
            return None
        columns: dict[str, pa.Array | list[object]] = {}
        for name in lines.wanted:
            values = list(map(attrgetter(name), found))
            kind = EXCHANGE.field(name).type
            columns[name] = values if kind == MICROSECONDS else pa.array(values, kind)
    except (*_UNREADABLE, pa.ArrowException):
        return None

    @cache
    def stood() -> list[tuple[int, bytes]]:
        return [(block.first_line + i, line) for i, line in enumerate(block.data.split(b"\n")) if line.strip()]

    return Rows(len(found), columns, lambda row: stood()[row])


def _each(block: Block, file: LogFile, intake: Intake) -> Iterator[_Item]:
    """Yield the objects of a block, a line each; what is none is refused."""
    whole = block.data.endswith(b"\n")
    data = block.data.split(b"\n")
    for i, raw in enumerate(data):
        if not raw.strip():
            continue
        line = block.first_line + i
        try:
            value = _value(raw)
        except _UNREADABLE:
            if block.last and not whole and i == len(data) - 1:
                intake.cut(line, raw)
            else:
                intake.refuse(LogError(_NO_JSON, path=file.name), line, raw, 1)
            continue
        if isinstance(value, dict):
            yield line, value, raw
        else:
            intake.refuse(LogError(_NO_OBJECT, path=file.name), line, raw, 1)


def _value(raw: bytes) -> object:
    """Return a line's value; bytes that are no UTF-8, NaN and lone surrogates are let through."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError):
        return json.loads(raw.decode("utf-8", "replace"))


def _object(raw: bytes) -> Row | None:
    try:
        value = _value(raw)
    except _UNREADABLE:
        return None
    return value if isinstance(value, dict) else None


def _columns(items: list[_Item], wanted: list[str]) -> Rows:
    columns = {name: [row.get(name) for _, row, _ in items] for name in wanted}
    return Rows(len(items), columns, lambda row: (items[row][0], items[row][2]))


# ---- an array, or objects over several lines --------------------------------------------------------------------


def _spans_lines(block: Block) -> bool:
    """Whether the file is an array, or its first object goes on after its first line."""
    start = block.data.lstrip()
    first, _, rest = start.partition(b"\n")
    if start[:1] == b"[":
        try:
            _value(first)
        except _UNREADABLE:
            return True
        return not rest.strip()
    if start[:1] != b"{" or not rest.strip():
        return False
    try:
        _value(first)
    except _UNREADABLE:
        # a broken line among whole ones is no object over several lines
        return not any(_object(line) is not None for line in islice(rest.splitlines(), HEAD_ROWS))
    return False


def _read_document(file: LogFile, block: Block, blocks: Iterator[Block], intake: Intake) -> Iterator[Rows]:
    data, broken = [block.data], None
    try:
        data += [more.data for more in blocks]
    except LogError as error:
        broken = error
    items = _in_document(b"".join(data).decode("utf-8", "replace"), file, intake)
    head = list(islice(items, HEAD_ROWS))
    lines = _started([row for _, row, _ in head], intake)
    while head:
        if lines.dialect is EXCHANGE_V1:
            yield _columns(head, lines.wanted)
        else:
            for line, row, raw in head:
                lines.conversion.add(row, line, raw)
            yield lines.conversion.rows(last=False)
        head = list(islice(items, _OBJECTS_AT_ONCE))
    yield lines.conversion.rows(last=True)
    if broken is not None:
        raise broken


def _in_document(text: str, file: LogFile, intake: Intake) -> Iterator[_Item]:
    """Yield the objects of a text in order; where it breaks, one refusal names the line."""
    decoder, place, line, counted = json.JSONDecoder(), 0, 1, 0
    while True:
        while place < len(text) and text[place] in " \t\r\n,[]":
            place += 1
        if place == len(text):
            return
        line, counted = line + text.count("\n", counted, place), place
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            intake.refuse(LogError(_NO_JSON, path=file.name), line, text[place : place + 4096], 1)
            return
        if isinstance(value, dict):
            yield line, value, text[place : min(end, place + 4096)]
        else:
            intake.refuse(LogError(_NO_OBJECT, path=file.name), line, text[place:end], 1)
        place = end
