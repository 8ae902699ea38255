"""Request logs read into batches of `exchange/1`, whatever their format; rows that cannot be read are kept aside.

The order, a file at a time and some rows at a time:

    1  rows     Parquet batches, JSON lines or table rows, in the file's own dialect, become loose columns
    2  types    loose columns become exactly those of `exchange/1` (columns.py)
    3  rejects  rows without a readable time or account, or with an unreadable value anywhere, are put aside
    4  window   rows outside `since` and `until` are passed over
    5  made     `answer` from the response's text, `request_id` from the row, where the log has none
    6  once     repeated rows are dropped (seen.py)

Touches the log files, reading, and the rejects file, writing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import randbits
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import DialectError, LogError, UsageError
from stillwatch.exchanges.columns import MISSING, typed
from stillwatch.exchanges.dialects import dialect_named, recognised
from stillwatch.exchanges.digest import digest
from stillwatch.exchanges.files import Form, LogFile, find_files, grew
from stillwatch.exchanges.lines import read_json
from stillwatch.exchanges.parquet import read_parquet
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.rows import BATCH_BYTES, Intake, Rows
from stillwatch.exchanges.schema import EXCHANGE, REQUIRED
from stillwatch.exchanges.seen import SeenRequests, hash_rows, shared_by_chance
from stillwatch.exchanges.server_log import read_server_log
from stillwatch.exchanges.table import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from stillwatch.exchanges.dialects.dialect import Dialect, Row
    from stillwatch.exchanges.source import LogSource

_READERS: Final[Mapping[Form, Callable[[LogFile, Intake], Iterator[Rows]]]] = {
    Form.PARQUET: read_parquet,
    Form.JSON: read_json,
    Form.CSV: read_table,
    Form.SERVER_LOG: read_server_log,
}
_TELLS_APART: Final = ("time", "account", "model", "operation", "input_tokens", "output_tokens", "status")
_MADE_OF: Final = (*_TELLS_APART, "api_key", "ip", "system", "prompt", "response", "answer")
_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MADE_ID_SEED: Final = 0x5157_1A7C_0001  # fixed: the same row gets the same id in every scan
_REPLACED: Final = "bytes that are no UTF-8"


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What was read and what was not.

    Attributes:
        rows: exchanges given out.
        rejected: rows that could not be read.
        reasons: how many for each reason.
        notes: what else a person should know, in words: files passed over, repeated rows, times in the future.
        columns_seen: the columns, of those asked for, that had a value in any row.
        files: the files read, in order.
        dialects: the dialect of each.
        bytes_total: bytes of all files.

    """

    rows: int
    rejected: int
    reasons: dict[str, int]
    notes: tuple[str, ...]
    columns_seen: frozenset[str]
    files: tuple[str, ...]
    dialects: dict[str, str]
    bytes_total: int


class LogReader:
    """Reads request logs as batches of `exchange/1`.

    Args:
        source: the logs, and how they are read.
        columns: the columns wanted; None for all of `exchange/1`. Only these are read and checked, besides what
            tells repeated rows apart.
        batch_rows: rows of a batch, at most; fewer where rows are large.
        now: what counts as the future; None not to look.

    Raises:
        UsageError: no log, an unknown dialect or column.
        InputError: there is nothing to read.

    """

    def __init__(
        self,
        source: LogSource,
        *,
        columns: Sequence[str] | None = None,
        batch_rows: int = 65_536,
        now: datetime | None = None,
    ) -> None:
        unknown = sorted(set(columns or ()) - set(EXCHANGE.names))
        if unknown:
            raise UsageError(f"no column {unknown[0]!r} in exchange/1; there are {', '.join(EXCHANGE.names)}")
        if batch_rows < 1:
            raise UsageError(f"a batch needs at least one row, not {batch_rows}")
        self._schema = pa.schema([f for f in EXCHANGE if columns is None or f.name in columns])
        self._dialect = None if source.dialect is None else dialect_named(source.dialect)
        self._since, self._until = _ticks(source.since), _ticks(source.until)
        self._future = None if now is None else _ticks(now + _DAY)
        self._strict, self._rejects_path, self._batch_rows = source.strict, source.rejects, batch_rows
        self._files, self._passed_over = find_files(source.logs)
        self._start()

    def _start(self) -> None:
        self._rejects = Rejects(strict=self._strict)
        self._seen, self._seed = SeenRequests(), randbits(63)  # secret: nobody can make rows that collide
        self._notes: list[str] = list(self._passed_over)
        self._counts: Counter[str] = Counter()
        self._columns_seen: set[str] = set()
        self._dialects: dict[str, str] = {}
        self._bytes_done, self._bytes_here, self._rows = 0, 0, 0

    @property
    def bytes_total(self) -> int:
        """Bytes of all files, as they lie on disk."""
        return sum(file.size for file in self._files)

    @property
    def bytes_read(self) -> int:
        """Bytes read so far."""
        return self._bytes_done + self._bytes_here

    def report(self) -> ReadReport:
        """Return what was read so far."""
        counts = +self._counts
        if counts[_SHARED] < 4 * shared_by_chance(
            self._rows
        ):  # nothing to say: ids collide in the table, not in the log
            del counts[_SHARED]
        counted = [text.format(counts[text]) for text in _COUNTED if counts[text]]
        return ReadReport(
            rows=self._rows,
            rejected=self._rejects.rows,
            reasons=self._rejects.reasons,
            notes=(*self._notes, *counted),
            columns_seen=frozenset(self._columns_seen),
            files=tuple(file.name for file in self._files),
            dialects=dict(self._dialects),
            bytes_total=self.bytes_total,
        )

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Yield the exchanges, in batches of all columns asked for; columns that a log does not have are null.

        Raises:
            LogError: under `strict`, at the first row or file that cannot be read.
            DialectError: a file that was named, or every file, is in no dialect known.
            OutputError: the rejects file cannot be written.

        """
        self._start()
        self._rejects = Rejects(self._rejects_path, strict=self._strict)
        try:
            held: list[pa.RecordBatch] = []
            rows = size = 0
            for file in self._files:
                for batch in self._sized(self._file(file)):
                    rows, size = rows + batch.num_rows, size + batch.nbytes
                    if held and (rows > self._batch_rows or size > BATCH_BYTES):
                        yield _together(held)
                        held, rows, size = [], batch.num_rows, batch.nbytes
                    held.append(batch)
                self._bytes_done, self._bytes_here = self._bytes_done + file.size, 0
            if held:
                yield _together(held)
            if self._files and not self._dialects:
                reasons = [f"no dialect fits any file beside {self._files[0].name}", *self._notes]
                raise DialectError("; ".join(reasons))
            self._rejects.finish()
        finally:
            self._rejects.drop()

    # ---- a file ---------------------------------------------------------------------------------------------

    def _file(self, file: LogFile) -> Iterator[pa.RecordBatch]:
        path = file.name
        source = _READERS[file.form](file, self._intake(file))
        while True:
            try:
                rows = next(source, None)
            except DialectError as error:
                if file.named:
                    raise
                self._notes.append(f"skipped, {str(error).removeprefix(f'{path}: ')}: {path}")
                return
            except LogError as error:  # the file breaks off; what came before is kept
                self._rejects.add(error.reason, path=path, line=error.line, field=error.field)
                self._dialects.setdefault(path, "unknown")
                return
            if rows is None:
                return
            if rows.count:
                batch = self._taken(rows, path)
                if batch.num_rows:
                    yield batch

    def _sized(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the same rows in batches that are not too long."""
        for batch in batches:
            for begin in range(0, batch.num_rows, self._batch_rows):
                yield batch if batch.num_rows <= self._batch_rows else batch.slice(begin, self._batch_rows)

    def _intake(self, file: LogFile) -> Intake:
        path = file.name

        def refuse(error: LogError, line: int | None, raw: object, rows: int) -> None:
            self._rejects.add(error.reason, path=path, line=line, field=error.field, raw=raw, rows=rows)

        def cut(line: int, raw: object) -> None:
            if self._strict and not grew(file):
                raise LogError("half a line", path=path, line=line)
            del raw
            self._notes.append(f"{path}:{line}: ends in half a line, which was left out")

        def known(head: Sequence[Row]) -> Dialect:
            return self._known(file, head)

        return Intake(known, self._wanted, refuse, self._advance, cut, self._batch_rows, self._notes.append)

    def _known(self, file: LogFile, head: Sequence[Row]) -> Dialect:
        found = self._dialect or recognised(head)
        if found is None:
            raise DialectError(f"{file.name}: in no dialect known; name one")
        if (hopeless := found.hopeless(head)) is not None:
            raise DialectError(f"{file.name}: {hopeless}")
        self._dialects[file.name] = found.name
        return found

    def _advance(self, size: int) -> None:
        self._bytes_here = size

    def _wanted(self, present: Iterable[str], identified: bool) -> list[str]:
        """Return the columns to read: those asked for, and those that answers, ids and telling rows apart need."""
        there = set(present)
        names = {*self._schema.names, *_TELLS_APART, *REQUIRED, "request_id"}
        if not identified:
            names |= set(_MADE_OF)
        if "answer" in names:
            names.add("response")
        return [name for name in EXCHANGE.names if name in names and name in there]

    # ---- 2. to 6. -------------------------------------------------------------------------------------------

    def _taken(self, rows: Rows, path: str) -> pa.RecordBatch:
        columns, bad = _typed_columns(rows.columns, rows.count)
        for row in sorted(bad):
            field, reason = bad[row]
            line, raw = rows.place(row) if self._rejects.places else (None, None)
            self._rejects.add(reason, path=path, line=line, field=field, raw=raw)
        keep = np.ones(rows.count, np.bool_)
        keep[list(bad)] = False
        keep &= self._inside(columns["time"], keep)
        columns = _filtered(columns, keep)
        columns, made = _completed(columns, need_answer="answer" in self._schema.names)
        keep = self._once(columns, made)
        columns = _filtered(columns, keep)
        batch = pa.RecordBatch.from_arrays(
            [columns[f.name] if f.name in columns else pa.nulls(int(keep.sum()), f.type) for f in self._schema],
            schema=self._schema,
        )
        self._rows += batch.num_rows
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name not in self._columns_seen and column.null_count < len(column):
                self._columns_seen.add(name)
        return batch

    def _inside(self, time: pa.Array, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which rows lie in the window; counts those that do not, and those in the future that do."""
        if self._since is None and self._until is None and self._future is None:
            return keep
        ticks = time.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        inside = keep.copy()
        if self._since is not None:
            inside &= ticks >= self._since
        if self._until is not None:
            inside &= ticks < self._until
        self._counts[_OUTSIDE] += int(keep.sum() - inside.sum())
        if self._future is not None:
            self._counts[_FUTURE] += int((inside & (ticks > self._future)).sum())
        return inside

    def _once(self, columns: Mapping[str, pa.Array], made: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which rows are no repetition.

        Rows without an id whose time is a whole second are never taken for one: two requests alike in the same second
        are common, and a clock of seconds cannot tell them apart.
        """
        ids = hash_rows([columns["request_id"]], self._seed)
        contents = hash_rows(_these(columns, _TELLS_APART), self._seed + 1)
        keep = np.ones(len(ids), np.bool_)
        entered = np.ones(len(ids), np.bool_)
        if made.any():
            ticks = columns["time"].cast(pa.int64()).to_numpy(zero_copy_only=False)
            entered = ~(made & (ticks % 1_000_000 == 0))
        repeated, shared = self._seen.admit(ids[entered], contents[entered])
        keep[np.flatnonzero(entered)[repeated]] = False
        self._counts[_REPEATED] += int(repeated.sum())
        self._counts[_SHARED] += shared
        return keep


_REPEATED: Final = "repeated rows dropped (same request id, time, account and outcome): {:,}"
_SHARED: Final = "rows kept that bear the request id of another row and differ from it: {:,}"
_OUTSIDE: Final = "rows passed over as outside the time window: {:,}"
_FUTURE: Final = "rows kept that lie more than a day in the future: {:,}"
_COUNTED: Final = (_REPEATED, _SHARED, _OUTSIDE, _FUTURE)


def conform(table: pa.Table | pa.RecordBatch) -> pa.Table:
    """Return a table of the user's own made into `exchange/1`: cast, completed, absent columns null, others left out.

    Raises:
        LogError: a required column is absent, or a value cannot be read; `line` is the row, counted from 1.

    """
    for name in REQUIRED:
        if name not in table.schema.names:
            raise LogError(MISSING, path="table", field=name)
    loose = {name: table.column(name) for name in table.schema.names if name in EXCHANGE.names}
    columns, bad = _typed_columns(loose, table.num_rows)
    if bad:
        row = min(bad)
        field, reason = bad[row]
        raise LogError(reason, path="table", line=row + 1, field=field)
    columns, _ = _completed(columns, need_answer=True)
    return pa.Table.from_arrays(
        [columns[f.name] if f.name in columns else pa.nulls(table.num_rows, f.type) for f in EXCHANGE], schema=EXCHANGE
    )


def _typed_columns(
    loose: Mapping[str, pa.Array | pa.ChunkedArray | list[object]], count: int
) -> tuple[dict[str, pa.Array], dict[int, tuple[str, str]]]:
    """Columns of exactly the types of `exchange/1`, and the rows that cannot be read with field and reason."""
    columns: dict[str, pa.Array] = {}
    bad: dict[int, tuple[str, str]] = {}
    for field in EXCHANGE:
        if field.name in loose:
            read = typed(loose[field.name], field.type)
            columns[field.name] = read.values
            for row, reason in read.unreadable.items():
                bad.setdefault(row, (field.name, reason))
        elif field.name in REQUIRED:
            columns[field.name] = pa.nulls(count, field.type)
    for name in REQUIRED:
        if columns[name].null_count:
            for row in _rows_where(columns[name].is_null()):
                bad.setdefault(row, (name, MISSING))
    replaced = pc.match_substring(columns["account"], "\ufffd")
    if pc.any(replaced).as_py():
        for row in _rows_where(replaced):
            bad.setdefault(row, ("account", _REPLACED))
    return columns, bad


def _rows_where(flags: pa.Array) -> list[int]:
    found = np.flatnonzero(pc.fill_null(flags, pa.scalar(False)).to_numpy(zero_copy_only=False))
    return [int(row) for row in found]


def _completed(columns: dict[str, pa.Array], *, need_answer: bool) -> tuple[dict[str, pa.Array], npt.NDArray[np.bool_]]:
    """Answers made from responses, request ids from rows; and which ids were made."""
    count = len(columns["time"])
    done = dict(columns)
    if need_answer and "response" in columns:
        answer = columns.get("answer")
        if answer is None:
            done["answer"] = pa.array(map(digest, columns["response"].to_pylist()), pa.string(), size=count)
        elif answer.null_count:
            pairs = zip(answer.to_pylist(), columns["response"].to_pylist(), strict=True)
            done["answer"] = pa.array([a if a is not None else digest(r) for a, r in pairs], pa.string())
    ids = columns.get("request_id")
    if ids is not None and not ids.null_count:
        return done, np.zeros(count, np.bool_)
    names = _row_names(hash_rows(_these(columns, _MADE_OF), _MADE_ID_SEED))
    done["request_id"] = names if ids is None else pc.coalesce(ids, names)
    made = np.ones(count, np.bool_) if ids is None else ids.is_null().to_numpy(zero_copy_only=False)
    return done, made


def _these(columns: Mapping[str, pa.Array], names: Iterable[str]) -> list[pa.Array]:
    """Return these columns, absent ones null, so that a row hashes alike whatever else its file has."""
    count = len(columns["time"])
    return [columns[n] if n in columns else pa.nulls(count, EXCHANGE.field(n).type) for n in names]


def _row_names(hashes: npt.NDArray[np.uint64]) -> pa.Array:
    """`row-` and 16 hex digits for each hash."""
    octets = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    letters = np.empty((len(hashes), 20), np.uint8)
    letters[:, :4] = np.frombuffer(b"row-", np.uint8)
    letters[:, 4::2] = digits[octets >> 4]
    letters[:, 5::2] = digits[octets & 15]
    offsets = np.arange(0, 20 * len(hashes) + 1, 20, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(hashes), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters))]
    )


def _filtered(columns: dict[str, pa.Array], keep: npt.NDArray[np.bool_]) -> dict[str, pa.Array]:
    if keep.all():
        return columns
    mask = pa.array(keep)
    return {name: column.filter(mask) for name, column in columns.items()}


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _ticks(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return ((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
