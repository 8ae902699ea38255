"""Parquet logs: `exchange/1` column by column without a look at single rows; other dialects row by row.

Touches the log file, reading. A row group that is broken is refused with its number of rows; the others are read.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.errors import LogError
from stillwatch.exchanges.columns import MISSING
from stillwatch.exchanges.dialects.exchange_v1 import EXCHANGE_V1
from stillwatch.exchanges.rows import BATCH_BYTES, HEAD_ROWS, Conversion, Intake, Rows
from stillwatch.exchanges.schema import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stillwatch.exchanges.dialects.dialect import Dialect, Row
    from stillwatch.exchanges.files import LogFile

_BROKEN: Final = (OSError, pa.ArrowException)


def read_parquet(file: LogFile, intake: Intake) -> Iterator[Rows]:
    """Read the rows of a Parquet file.

    Raises:
        LogError: the file as a whole cannot be read.
        DialectError: its dialect is not known.

    """
    path = file.name
    try:
        parquet = file.place.open_parquet()
    except _BROKEN as error:
        raise _broken(error, path) from error
    with parquet:
        names = list(parquet.schema_arrow.names)
        head: list[Row] = [dict.fromkeys(names)]
        if not EXCHANGE_V1.recognises(head[0]):
            head = _head_of(parquet, path) or head
        dialect = intake.known(head)
        total = parquet.metadata.num_rows
        if dialect is not EXCHANGE_V1:
            yield from _converted(file, parquet, dialect, intake)
            return
        for name in REQUIRED:
            if name not in names:
                if total:
                    intake.refuse(LogError(MISSING, path=path, field=name), None, None, total)
                return
        wanted = intake.wanted(names, "request_id" in names)
        for first, batch in _batches(file, parquet, wanted, intake):
            columns = {name: batch.column(i) for i, name in enumerate(batch.schema.names)}
            yield Rows(batch.num_rows, columns, partial(_stood, first, batch))


def _stood(first: int, batch: pa.RecordBatch, row: int) -> tuple[int, object]:
    return first + row, batch.slice(row, 1).to_pylist()[0]


def _converted(file: LogFile, parquet: pq.ParquetFile, dialect: Dialect, intake: Intake) -> Iterator[Rows]:
    conversion = Conversion(dialect, intake.refuse)
    for first, batch in _batches(file, parquet, None, intake):
        for row, raw in enumerate(batch.to_pylist()):
            conversion.add(raw, first + row, raw)
        yield conversion.rows(last=False)
    yield conversion.rows(last=True)


def _batches(
    file: LogFile, parquet: pq.ParquetFile, wanted: list[str] | None, intake: Intake
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches with the number of their first row, a row group at a time."""
    first, total = 1, max(1, parquet.metadata.num_rows)
    for group in range(parquet.metadata.num_row_groups):
        rows, done = parquet.metadata.row_group(group).num_rows, 0
        size = min(intake.batch_rows, _rows_at_once(parquet, group, wanted))
        try:
            for batch in parquet.iter_batches(size, [group], wanted):
                yield first + done, batch
                done += batch.num_rows
                intake.progress(file.size * (first - 1 + done) // total)
        except _BROKEN as error:
            intake.refuse(_broken(error, file.name), first + done, None, rows - done)
        first += rows


def _rows_at_once(parquet: pq.ParquetFile, group: int, wanted: Sequence[str] | None) -> int:
    """So many rows that a batch stays within its bytes, going by the sizes that the footer states."""
    facts = parquet.metadata.row_group(group)
    names = None if wanted is None else set(wanted)
    size: int = sum(
        column.total_uncompressed_size
        for column in map(facts.column, range(facts.num_columns))
        if names is None or column.path_in_schema.split(".")[0] in names
    )
    return max(1, BATCH_BYTES * int(facts.num_rows) // max(1, size))


def _head_of(parquet: pq.ParquetFile, path: str) -> list[Row]:
    try:
        for batch in parquet.iter_batches(HEAD_ROWS):
            return list(batch.to_pylist())
    except _BROKEN as error:
        raise _broken(error, path) from error
    return []


def _broken(error: Exception, path: str) -> LogError:
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return LogError(f"broken Parquet: {first_line}", path=path)
