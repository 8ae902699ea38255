"""Parts of an exchange log: a journal's rows as one Parquet file. Touches the journal's folder.

A part's name follows from its journal's, it is written beside its place and renamed when it is whole and on disk, and
only then is the journal removed. So it does not matter where this breaks off: done again it comes to the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.exchanges.columns import MICROSECONDS, time_of, typed
from stillwatch.exchanges.schema import EXCHANGE
from stillwatch.guard.journal import SUFFIX, Journal, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULED: Final = pa.schema(  # what the guard ruled; a scan does not read it
    [
        pa.field("guard_outcome", pa.string()),
        pa.field("guard_reason", pa.string()),
        pa.field("guard_reason_id", pa.string()),
        pa.field("guard_by", pa.string()),
        pa.field("guard_step", pa.string()),
        pa.field("guard_rules", pa.list_(pa.string())),
        pa.field("guard_failed", pa.list_(pa.string())),
        pa.field("guard_withheld", pa.list_(pa.string())),
        pa.field("guard_policy", pa.string()),
        pa.field("guard_would_outcome", pa.string()),
        pa.field("guard_would_reason", pa.string()),
        pa.field("guard_would_step", pa.string()),
    ]
)
_SCHEMA: Final = pa.schema([*(field.with_nullable(True) for field in EXCHANGE), *RULED])
_GROUP_ROWS: Final = 65_536
_GROUP_BYTES: Final = 64 << 20
_AT_ONCE: Final = 128  # rows turned into columns before others may run: about a millisecond
_PAUSE: Final = 0.001  # seconds after them, so that requests are not kept waiting for this thread
_MODE: Final = 0o640


def make_part(journal: Journal) -> Path | None:
    """Make a part of a journal and remove the journal; None where it has no rows.

    A value that is not of its column's type is null in the part; its row is not lost.

    Raises:
        OSError: it could not be made; the journal stays, and is still held.

    """
    part = journal.path.with_name(journal.path.name.removeprefix(".").removesuffix(SUFFIX) + ".parquet")
    if journal.rows and not part.exists():  # it exists where an earlier try could not remove the journal
        beside = part.with_name(f".{part.name}.tmp")
        try:
            _write(journal, beside)
            beside.rename(part)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        sync_folder(part.parent)
    rows = journal.rows
    journal.remove()
    return part if rows else None


def _write(journal: Journal, path: Path) -> None:
    schema = pa.schema([field for field in _SCHEMA if field.name in journal.columns])
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
    with os.fdopen(handle, "wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            held: list[pa.RecordBatch] = []
            rows = size = 0
            for some in _some(journal):
                held.append(_batch(some, journal.columns, schema))
                rows, size = rows + len(some), size + held[-1].nbytes
                if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(held), row_group_size=_GROUP_ROWS)
                    held, rows, size = [], 0, 0
                time.sleep(_PAUSE)
            if held:
                writer.write_table(pa.Table.from_batches(held), row_group_size=_GROUP_ROWS)
        file.flush()
        os.fsync(file.fileno())


def _some(journal: Journal) -> Iterator[list[list[object]]]:
    """Give the rows of a few frames together."""
    some: list[list[object]] = []
    for frame in journal.read():
        some += frame
        if len(some) >= _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _batch(rows: list[list[object]], columns: tuple[str, ...], schema: pa.Schema) -> pa.RecordBatch:
    values = dict(zip(columns, zip(*rows, strict=True), strict=True))
    return pa.record_batch([_column(list(values[field.name]), field.type) for field in schema], schema=schema)


def _column(values: list[object], to: pa.DataType) -> pa.Array:
    if pa.types.is_list(to):
        lists = [[str(item) for item in value] if isinstance(value, list) else None for value in values]
        return pa.array(lists, to)
    if to == MICROSECONDS:
        values = [_ticks(value) for value in values]
    try:
        made = pa.array(values, to)  # told the type, Arrow need not look at every value first
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return typed(values, to).values
    return typed(made, to).values


def _ticks(value: object) -> int | None:
    """Read a time by itself: Arrow takes numbers among dates for another unit than alone."""
    try:
        return time_of(value)
    except ValueError:
        return None
