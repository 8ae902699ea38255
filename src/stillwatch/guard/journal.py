"""Journals: rows that are on disk and not yet in a Parquet part. Touches the file it is given.

    file    the head's frame, then frames of rows
    frame   length of the payload (4 bytes, little-endian), CRC-32 of length and payload (4 bytes), payload
    head    JSON: schema `stillwatch.journal/1`, the columns, a salt
    rows    a msgpack array of rows; each an array with a value for every column

The salt goes into every checksum after the head's, so that what a block of the disk held before is never taken for
rows. A journal is locked (flock) by whoever writes it for as long as that process lives, and so is known to be
abandoned as soon as it can be locked. Its name begins with a dot: no scan reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SCHEMA: Final = "stillwatch.journal/1"
SUFFIX: Final = ".journal"
_PATTERN: Final = f".*{SUFFIX}"
_FRAME: Final = struct.Struct("<II")
_COUNT: Final = struct.Struct(">BI")  # msgpack array 32
_ARRAY_32: Final = 0xDD
_MODE: Final = 0o640  # the group may scan; nobody else is meant to read who asked what
_rows_of = msgspec.msgpack.Decoder(list[list[object]]).decode


class _Head(msgspec.Struct, frozen=True):
    """What a journal says of itself."""

    schema: str
    columns: tuple[str, ...]
    salt: int


class Journal:
    """A journal of this process; nobody else writes or reads it while it is open.

    Attributes:
        path: where it lies.
        columns: what the values of a row are.
        size: bytes that are surely on disk; what may follow them is no row.
        rows: how many rows that is.
    """

    def __init__(self, path: Path, handle: int, head: _Head, size: int) -> None:
        self.path, self.columns, self.size, self.rows = path, head.columns, size, 0
        self._handle, self._salt, self._begin = handle, head.salt, size

    @classmethod
    def create(cls, path: Path, columns: Sequence[str]) -> Journal:
        """Begin one.

        Raises:
            OSError: the disk is full, or what else can be wrong with it.

        """
        handle = _created(path)
        try:
            head = _Head(SCHEMA, tuple(columns), secrets.randbits(32))
            data = _framed(msgspec.json.encode(head), 0)
            _write(handle, data, 0)
            os.fsync(handle)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(handle)
            raise
        return cls(path, handle, head, len(data))

    def append(self, frames: Sequence[Sequence[bytes]]) -> None:
        """Write encoded rows, some to a frame, and wait until they are on disk.

        Raises:
            OSError: they are not, none of them; the journal is not to be written to again.

        """
        data = b"".join(_framed(b"".join((_COUNT.pack(_ARRAY_32, len(rows)), *rows)), self._salt) for rows in frames)
        try:
            _write(self._handle, data, self.size)
            os.fsync(self._handle)
        except OSError:
            with contextlib.suppress(OSError):  # else what is half written would be read after a kill
                os.ftruncate(self._handle, self.size)
            raise
        self.size += len(data)
        self.rows += sum(map(len, frames))

    def read(self) -> Iterator[list[list[object]]]:
        """Give the rows, a frame at a time.

        Raises:
            OSError: it cannot be read.

        """
        at = self._begin
        while at < self.size:
            payload = _payload(self._handle, at, self._salt)
            if payload is None:
                raise OSError(5, "rows are not as they were written", str(self.path))
            at += _FRAME.size + len(payload)
            yield _rows_of(payload)

    def remove(self) -> None:
        """Remove the file, and let go of it.

        Raises:
            OSError: it could not be removed; it is still held.

        """
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)
        self.close()

    def close(self) -> None:
        """Let go of the file; whoever comes next takes it for abandoned."""
        os.close(self._handle)


def abandoned(folder: Path) -> Iterator[tuple[Journal | None, Path, int]]:
    """Give the journals in a folder whose process is gone: locked, and cut where their last write broke off.

    With each comes where it lies and how many bytes were cut. A file that has no whole head never had a row that was
    acknowledged; it is removed, and None is given.

    Raises:
        OSError: the folder cannot be read, or a file not be cut.

    """
    for path in sorted(folder.glob(_PATTERN)):
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        taken = False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, handle):
                journal, cut = _cut(path, handle)
                taken = journal is not None
                yield journal, path, cut
        except (BlockingIOError, msgspec.DecodeError):
            continue  # its process lives, or it is of another version and not ours to touch
        finally:
            if not taken:
                os.close(handle)


def sync_folder(folder: Path) -> None:
    """Wait until what was created, renamed and removed in a folder is on disk.

    Raises:
        OSError: it may not be.

    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _created(path: Path) -> int:
    """Create a file and lock it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # another process removed it as an abandoned one, before it was locked


def _cut(path: Path, handle: int) -> tuple[Journal | None, int]:
    whole = os.fstat(handle).st_size
    payload = _payload(handle, 0, 0)
    if payload is None:
        path.unlink()
        return None, whole
    head = msgspec.json.decode(payload, type=_Head)
    if head.schema != SCHEMA:
        raise msgspec.DecodeError(f"`{head.schema}`, not `{SCHEMA}`")
    journal = Journal(path, handle, head, _FRAME.size + len(payload))
    while (payload := _payload(handle, journal.size, head.salt)) is not None:
        journal.size += _FRAME.size + len(payload)
        journal.rows += _COUNT.unpack_from(payload)[1]
    if journal.size < whole:
        os.ftruncate(handle, journal.size)
    return journal, whole - journal.size


def _payload(handle: int, at: int, salt: int) -> bytes | None:
    """Read the frame that begins there; None where no whole one does."""
    start = os.pread(handle, _FRAME.size, at)
    if len(start) < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack(start)
    if not 0 < length <= os.fstat(handle).st_size - at - _FRAME.size:
        return None
    payload = _read(handle, length, at + _FRAME.size)
    return payload if _checksum(payload, salt) == checksum else None


def _framed(payload: bytes, salt: int) -> bytes:
    return _FRAME.pack(len(payload), _checksum(payload, salt)) + payload


def _checksum(payload: bytes, salt: int) -> int:
    return zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(4, "little"), salt))


def _read(handle: int, length: int, at: int) -> bytes:
    pieces = []
    while length and (piece := os.pread(handle, length, at)):
        pieces.append(piece)
        length, at = length - len(piece), at + len(piece)
    return b"".join(pieces)


def _write(handle: int, data: bytes, at: int) -> None:
    left = memoryview(data)
    while left:
        done = os.pwrite(handle, left, at)
        left, at = left[done:], at + done


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
