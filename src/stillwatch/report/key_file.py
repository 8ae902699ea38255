"""The key of the marks, kept in a file. Touches that file, and asks the system for randomness on first use.

The key turns addresses, cards and prompts into marks that mean nothing to anybody else. Whoever has it can check a
guess ("is this mark that address?"), so the file must be readable by its owner only.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from stillwatch.errors import KeyFileError

KEY_BYTES: Final = 32

FIRST_USE = (
    "made a new key for the marks: {path}\n"
    "Keep it. Without it the marks and ids of later scans cannot be matched with those of earlier ones;"
    " findings already made stay valid."
)


def default_key_path() -> Path:
    """`$XDG_CONFIG_HOME/stillwatch/key`, or `~/.config/stillwatch/key` (XDG Base Directory Specification 0.8).

    Raises:
        KeyFileError: there is no home folder to put it in.

    """
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(configured):  # noqa: PTH117  a string of the environment, which may hold anything
        return Path(configured) / "stillwatch" / "key"
    try:
        return Path.home() / ".config" / "stillwatch" / "key"
    except RuntimeError as error:
        raise KeyFileError("there is no home folder for the key; name a file with --key-file") from error


def load_or_make_key(path: Path) -> bytes:
    """Give the key in the file, made on first use: 32 random bytes in hexadecimal, mode 0600.

    To know whether it is the first use, ask whether the file exists before calling; `FIRST_USE` is what to say then.

    Raises:
        KeyFileError: no permission, a folder, too short, not hexadecimal, or open to others; the text says how to mend.

    """
    try:
        return _load(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise KeyFileError(f"{path}: the key cannot be read: {_reason(error)}") from error
    try:
        return _make(path)
    except FileExistsError:
        pass  # another scan made it in this very moment: take that one
    except OSError as error:
        raise KeyFileError(f"{path}: the key cannot be made: {_reason(error)}") from error
    try:
        return _load(path)
    except OSError as error:
        raise KeyFileError(f"{path}: the key cannot be read: {_reason(error)}") from error


def _load(path: Path) -> bytes:
    status = path.stat()  # before opening: to open a pipe would wait for somebody to write to it
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"{path}: the key must be an ordinary file")
    if os.name == "posix" and status.st_mode & 0o077:
        raise KeyFileError(
            f"{path}: others can read or change the key (mode {stat.S_IMODE(status.st_mode):04o});"
            f" close it with: chmod 600 {path}"
        )
    with path.open("rb") as file:
        text = file.read(4096)
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError as error:
        raise KeyFileError(
            f"{path}: the key must be {2 * KEY_BYTES} hexadecimal digits; put the right file back,"
            " or remove this one to have a new key made (marks and ids then no longer match earlier scans)"
        ) from error
    if len(key) < KEY_BYTES:
        raise KeyFileError(
            f"{path}: the key is too short: {len(key)} bytes, needed are {KEY_BYTES}; put the right file back,"
            " or remove this one to have a new key made (marks and ids then no longer match earlier scans)"
        )
    return key


def _make(path: Path) -> bytes:
    """Write the key beside its place and link it there: a link never overwrites, and nobody sees half a key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    _write_new(beside, key)
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        _write_new(path, key)
    finally:
        beside.unlink()
    return key


def _write_new(path: Path, key: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key.hex().encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
