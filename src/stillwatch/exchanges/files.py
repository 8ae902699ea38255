"""Log files: found in folders and by patterns, told apart by their first bytes, read as blocks of whole lines.

Touches the file system, reading only.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from stillwatch.errors import InputError, LogError, UsageError
from stillwatch.exchanges.server_line import is_server_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BLOCK_BYTES: Final = 4 << 20
_PIECE_BYTES: Final = 64 << 10
_BOM: Final = b"\xef\xbb\xbf"
_TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv"})
_PARQUET_SUFFIXES: Final = frozenset({".parquet", ".pq"})
_LOG_SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson", ".log"})


class Form(StrEnum):
    """How a file holds its rows."""

    PARQUET = "parquet"
    JSON = "json"  # one object a line, one array, or objects one after another
    CSV = "csv"
    SERVER_LOG = "server log"  # plain text, a record a line


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file to read.

    Attributes:
        size: its bytes when it was found; what a writer adds later is not read.
        compression: `gzip`, `zstd` or None.
        named: it was asked for by its own name, not found in a folder or by a pattern.
        modified: when it was last changed.

    """

    path: Path
    size: int
    form: Form
    compression: str | None
    named: bool
    modified: datetime


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole lines of a file.

    Attributes:
        data: the lines with their ends; only the file's last may lack its own.
        first_line: the number of the first, counted from 1.
        last: the file ends here.

    """

    data: bytes
    first_line: int
    last: bool


def find_files(logs: Sequence[str | Path]) -> tuple[list[LogFile], list[str]]:
    """Return the log files under these names, in the order of their paths, each once, and what was passed over.

    Args:
        logs: files, folders (searched to any depth) and patterns (`*`, `?`, `[...]`, `**`).

    Raises:
        UsageError: nothing was named.
        InputError: a name leads to nothing, or no file under these names is a log.

    """
    if not logs:
        raise UsageError("name at least one log: a file, a folder or a pattern")
    named: dict[Path, bool] = {}
    for log in logs:
        for path, by_name in _named_by(log):
            named[path] = named.get(path, False) or by_name
    files: list[LogFile] = []
    skipped: dict[str, list[Path]] = {}
    for path in sorted(named):
        found = _inspected(path, by_name=named[path])
        if isinstance(found, LogFile):
            files.append(found)
        else:
            skipped.setdefault(found, []).append(path)
    notes = [_note(reason, paths) for reason, paths in skipped.items()]
    if not files and _EMPTY not in skipped:
        raise InputError("; ".join([f"no log files in {', '.join(str(log) for log in logs)}", *notes]))
    return files, notes


def _note(reason: str, paths: list[Path]) -> str:
    more = f" and {len(paths) - _NAMED_AT_MOST} more" if len(paths) > _NAMED_AT_MOST else ""
    return f"skipped, {reason}: {', '.join(str(path) for path in paths[:_NAMED_AT_MOST])}{more}"


_EMPTY: Final = "empty"
_NAMED_AT_MOST: Final = 8


def _named_by(log: str | Path) -> Iterator[tuple[Path, bool]]:
    path = Path(log)
    try:
        if path.is_dir():
            for inside in path.rglob("*"):
                if inside.is_file():
                    yield inside.resolve(), False
        elif path.exists():
            yield path.resolve(), True
        elif glob.has_magic(str(log)):
            matches = [Path(match) for match in glob.glob(str(log), recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not matches:
                raise InputError(f"{log}: no file matches")
            for match in matches:
                for inside in [match] if match.is_file() else (p for p in match.rglob("*") if p.is_file()):
                    yield inside.resolve(), False
        else:
            raise InputError(f"{log}: no such file or folder")
    except OSError as error:
        raise InputError(f"{log}: {error.strerror}") from error


def _inspected(path: Path, *, by_name: bool) -> LogFile | str:
    """Return the file, or why it is passed over."""
    name = path.name.lower()
    if not by_name and (name.startswith(("_", ".")) or name.endswith((".crc", ".tmp", ".md", ".html"))):
        return "no log by its name"
    try:
        status = path.stat()
        with path.open("rb") as raw:
            head = raw.read(4)
    except OSError as error:
        if by_name:
            raise InputError(f"{path}: {error.strerror}") from error
        return f"{error.strerror}"
    if not status.st_size:
        return _EMPTY
    compression = "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head == b"\x28\xb5\x2f\xfd" else None
    modified = datetime.fromtimestamp(status.st_mtime, tz=UTC)
    found = LogFile(path, status.st_size, Form.JSON, compression, by_name, modified)
    suffix = Path(name.removesuffix(".gz").removesuffix(".zst")).suffix
    beginning = _beginning(found)
    if beginning is not None and not beginning.removeprefix(_BOM).strip() and len(beginning) < _PIECE_BYTES:
        return _EMPTY
    form = Form.PARQUET if head == b"PAR1" else _form(beginning or b"", suffix, by_name=by_name)
    return "neither Parquet, JSON, CSV nor a server log" if form is None else replace(found, form=form)


def _form(beginning: bytes, suffix: str, *, by_name: bool) -> Form | None:
    """Return how a file holds its rows, going by its first bytes, then by its name; None for a foreign file.

    A file that bears a log's name, or was named, is never passed over, however broken: its reader says what is wrong.
    """
    start = beginning.removeprefix(_BOM).lstrip()
    text = b"\x00" not in beginning
    if start[:1] in {b"{", b"["}:
        return Form.JSON
    if suffix in _TABLE_SUFFIXES and text:
        return Form.CSV
    if text and is_server_log(start):
        return Form.SERVER_LOG
    if suffix in _PARQUET_SUFFIXES:
        return Form.PARQUET
    if suffix not in _LOG_SUFFIXES and not (by_name and start):
        return None
    return Form.CSV if text and any(mark in start.split(b"\n")[0] for mark in (b",", b"\t", b";")) else Form.JSON


def _beginning(file: LogFile) -> bytes | None:
    """Its first bytes, decompressed; None where not even those can be read."""
    try:
        return next(_pieces(file, lambda _: None), b"")
    except LogError:
        return None


def _pieces(file: LogFile, progress: Callable[[int], None]) -> Iterator[bytes]:
    """Yield the file's bytes in pieces, decompressed.

    `progress` is told how many bytes of the file itself have been read so far.

    Raises:
        LogError: after the last readable piece, where the file breaks off.

    """
    try:
        with pa.OSFile(str(file.path)) as raw:
            if file.compression is None:
                left = file.size
                while left > 0 and (piece := raw.read(min(_PIECE_BYTES, left))):
                    left -= len(piece)
                    progress(file.size - left)
                    yield piece
                return
            done = 0
            try:
                stream = pa.CompressedInputStream(raw, file.compression)
                while piece := stream.read(_PIECE_BYTES):
                    done += len(piece)
                    progress(min(raw.tell(), file.size))
                    yield piece
            except (OSError, pa.ArrowException) as error:
                yield from _salvaged(file, done)
                raise LogError(f"broken {file.compression} data: {error}", path=str(file.path)) from error
    except (OSError, pa.ArrowException) as error:
        raise LogError(f"cannot be read: {error}", path=str(file.path)) from error


def _salvaged(file: LogFile, done: int) -> Iterator[bytes]:
    """Yield what lies between the last whole piece and the break: read again in ever smaller steps."""
    for step in (1024, 1):
        with pa.OSFile(str(file.path)) as raw:
            try:
                stream = pa.CompressedInputStream(raw, file.compression)
                skip = done
                while skip:
                    skip -= len(stream.read(min(_PIECE_BYTES, skip)))
                while piece := stream.read(step):
                    done += len(piece)
                    yield piece
            except (OSError, pa.ArrowException):
                continue


def read_blocks(file: LogFile, progress: Callable[[int], None], block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read the file in blocks of whole lines, a byte order mark taken off.

    A line longer than a block makes its block longer.

    Raises:
        LogError: after the last readable block, where the file breaks off.

    """
    held: list[bytes] = []
    size, line, fresh = 0, 1, True
    broken: LogError | None = None
    pieces = _pieces(file, progress)
    while True:
        try:
            piece = next(pieces, None)
        except LogError as error:
            broken, piece = error, None
        if piece is None:
            break
        if fresh:
            piece, fresh = piece.removeprefix(_BOM), False
        held.append(piece)
        size += len(piece)
        if size >= block_bytes and (cut := piece.rfind(b"\n")) >= 0:
            data = b"".join([*held[:-1], piece[: cut + 1]])
            yield Block(data, line, last=False)
            line += data.count(b"\n")
            held = [piece[cut + 1 :]]
            size = len(held[0])
    yield Block(b"".join(held), line, last=True)
    if broken is not None:
        raise broken


def grew(file: LogFile) -> bool:
    """Whether a writer has added to the file since it was found."""
    try:
        return file.path.stat().st_size > file.size
    except OSError:
        return False
