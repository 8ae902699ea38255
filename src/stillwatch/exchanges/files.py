"""Log files: found in folders and by patterns, told apart by their first bytes, read as blocks of whole lines.

Touches the file system and object stores, reading only.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from stillwatch.errors import InputError, LogError, UsageError
from stillwatch.exchanges.place import AT_ONCE, Place
from stillwatch.exchanges.server_line import is_server_log
from stillwatch.exchanges.stores import in_store
from stillwatch.exchanges.url import is_url, local_path, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

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
        place: where it lies.
        size: its bytes when it was found; what a writer adds later is not read.
        compression: `gzip`, `zstd` or None.
        named: it was asked for by its own name, not found in a folder or by a pattern.
        modified: when it was last changed.

    """

    place: Place
    size: int
    form: Form
    compression: str | None
    named: bool
    modified: datetime

    @property
    def name(self) -> str:
        """Its path or URL, as people are told it."""
        return self.place.name


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
        logs: files, folders (searched to any depth) and patterns (`*`, `?`, `[...]`, `**`), by path or by URL.

    Raises:
        UsageError: nothing was named.
        InputError: a name leads to nothing, or no file under these names is a log.

    """
    if not logs:
        raise UsageError("name at least one log: a file, a folder or a pattern")
    named: dict[str, tuple[Place, bool]] = {}
    for log in logs:
        for place, by_name in _named_by(log):
            named[place.name] = place, by_name or (place.name in named and named[place.name][1])
    files: list[LogFile] = []
    skipped: dict[str, list[str]] = {}
    for name in sorted(named, key=lambda each: each.split("/")):
        place, by_name = named[name]
        found = _inspected(place, by_name=by_name)
        if isinstance(found, LogFile):
            files.append(found)
        else:
            skipped.setdefault(found, []).append(name)
    notes = [_note(reason, names) for reason, names in skipped.items()]
    if not files and _EMPTY not in skipped:
        named_as = ", ".join(without_secrets(str(log)) if is_url(log) else str(log) for log in logs)
        raise InputError("; ".join([f"no log files in {named_as}", *notes]))
    return files, notes


def _note(reason: str, names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return f"skipped, {reason}: {', '.join(names[:_NAMED_AT_MOST])}{more}"


_EMPTY: Final = "empty"
_NAMED_AT_MOST: Final = 8


def _named_by(log: str | Path) -> Iterator[tuple[Place, bool]]:
    path = local_path(log)
    yield from in_store(str(log)) if path is None else _on_this_machine(path)


def _on_this_machine(path: Path) -> Iterator[tuple[Place, bool]]:
    try:
        if path.is_dir():
            for inside in path.rglob("*"):
                if inside.is_file():
                    yield _here(inside), False
        elif path.exists():
            yield _here(path), True
        elif glob.has_magic(str(path)):
            matches = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not matches:
                raise InputError(f"{path}: no file matches")
            for match in matches:
                for inside in [match] if match.is_file() else (p for p in match.rglob("*") if p.is_file()):
                    yield _here(inside), False
        else:
            raise InputError(f"{path}: no such file or folder")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _here(path: Path) -> Place:
    name = str(path.resolve())
    return Place(name, name)


def _inspected(place: Place, *, by_name: bool) -> LogFile | str:
    """Return the file, or why it is passed over."""
    name = place.base_name.lower()
    if not by_name and (name.startswith(("_", ".")) or name.endswith((".crc", ".tmp", ".md", ".html"))):
        return "no log by its name"
    try:
        size, modified = place.status()
        with place.open_stream(_PIECE_BYTES) as raw:
            head = raw.read(4)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        if by_name:
            raise InputError(f"{place.name}: {reason}") from error
        return reason
    if not size:
        return _EMPTY
    compression = "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head == b"\x28\xb5\x2f\xfd" else None
    found = LogFile(place, size, Form.JSON, compression, by_name, modified)
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
        return next(_pieces(file, lambda _: None, _PIECE_BYTES), b"")
    except LogError:
        return None


def _pieces(file: LogFile, progress: Callable[[int], None], at_once: int = AT_ONCE) -> Iterator[bytes]:
    """Yield the file's bytes in pieces, decompressed.

    `progress` is told how many bytes of the file itself have been read so far; `at_once` is asked of a store at once.

    Raises:
        LogError: after the last readable piece, where the file breaks off.

    """
    try:
        with file.place.open_stream(at_once) as raw:
            if file.compression is None:
                left = file.size
                while left > 0 and (piece := raw.read(min(_PIECE_BYTES, left))):
                    left -= len(piece)
                    progress(file.size - left)
                    yield piece
                return
            done = 0
            try:
                counted = _Counted(raw)
                stream = pa.CompressedInputStream(pa.PythonFile(counted, mode="r"), file.compression)
                while piece := stream.read(_PIECE_BYTES):
                    done += len(piece)
                    progress(min(counted.bytes, file.size))
                    yield piece
            except (OSError, pa.ArrowException) as error:
                yield from _salvaged(file, done)
                raise LogError(f"broken {file.compression} data: {error}", path=file.name) from error
    except (OSError, pa.ArrowException) as error:
        raise LogError(f"cannot be read: {error}", path=file.name) from error


class _Counted:
    """A stream that tells how much of it was read; those of stores do not."""

    closed = False

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self.bytes = 0

    def read(self, size: int) -> bytes:
        """Read on."""
        data: bytes = self._stream.read(size)
        self.bytes += len(data)
        return data

    def close(self) -> None:
        """Leave closing to whoever opened the stream."""


def _salvaged(file: LogFile, done: int) -> Iterator[bytes]:
    """Yield what lies between the last whole piece and the break: read again in ever smaller steps."""
    for step in (1024, 1):
        with file.place.open_stream() as raw:
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
        return file.place.status()[0] > file.size
    except OSError:
        return False
