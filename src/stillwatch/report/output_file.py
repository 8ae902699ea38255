"""Writing a result so that it is there whole or not at all. Touches the file that it is told to write."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING, Final

from stillwatch.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE: Final = 0o600
_SHARED: Final = 0o666


def write_whole(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write `data` beside `path`, then rename: a reader sees the old file or the new one, never half of one.

    A file that was there keeps its mode, but with `private` nobody besides its owner can read it. A link is followed
    and its target replaced. What is no ordinary file (a pipe, `/dev/stdout`) is written to as it is.

    Raises:
        OutputError: disk full, no permission, no such folder; the old file, if there was one, is as it was.

    """
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        _replace(path.resolve(), data, _PRIVATE if private else _SHARED)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {_reason(error)}") from error


def _replace(target: Path, data: bytes, mode: int) -> None:
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    # O_EXCL with a mode rather than `tempfile`: it then follows the person's umask, as for any file they write
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            if target.exists():
                os.fchmod(file.fileno(), target.stat().st_mode & (0o700 if mode == _PRIVATE else 0o777))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:  # an interruption too must leave nothing behind
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
