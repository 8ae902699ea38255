"""What could not be read: counted by reason, and kept in a file where one is wanted. Writes that one file, no other.

The file holds one JSON object a line, `stillwatch.rejects/1`: path, line, field, reason, rows (more than one where a
whole stretch of a file is broken) and raw, the row as it stood, cut at 2 kB. Rows may hold prompts, so the file can
be read by its owner only. It is written beside its place and put there once all logs are read: an earlier one stays
until then, and stays for good if reading is broken off.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import Counter
from typing import IO, TYPE_CHECKING, Final

import msgspec

from stillwatch.errors import LogError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION: Final = "stillwatch.rejects/1"
_RAW_BYTES: Final = 2_000


class Rejects:
    """Rows that could not be read.

    Args:
        path: where to keep them; None to count them only. An earlier file there is replaced by `finish`.
        strict: raise at the first one instead.

    Raises:
        OutputError: the file cannot be written.

    """

    def __init__(self, path: Path | None = None, *, strict: bool = False) -> None:
        self._path, self._strict = path, strict
        self._reasons: Counter[str] = Counter()
        self._out: IO[bytes] | None = None
        self._beside: Path | None = None
        if path is not None:
            with _kept(path):
                self._open(path)

    def _open(self, path: Path) -> None:
        if path.exists() and not path.is_file():  # a pipe or a device
            self._out = path.open("wb")
            return
        target = path.resolve()
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        self._out = os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._beside = beside

    @property
    def places(self) -> bool:
        """Whether anybody will hear where a rejected row stood; finding out costs time where millions are."""
        return self._strict or self._out is not None

    @property
    def rows(self) -> int:
        """How many rows were rejected."""
        return self._reasons.total()

    @property
    def reasons(self) -> dict[str, int]:
        """How many for each reason, most frequent first."""
        return dict(self._reasons.most_common())

    def add(
        self, reason: str, *, path: str, line: int | None, field: str | None, raw: object = None, rows: int = 1
    ) -> None:
        """Reject a row, or `rows` of them at once.

        Raises:
            LogError: under `strict`.
            OutputError: the row cannot be kept, e.g. because the disk is full.

        """
        if self._strict:
            raise LogError(reason, path=path, line=line, field=field)
        self._reasons[f"{field}: {reason}" if field else reason] += rows
        if self._out is None:
            return
        record = {
            "schema": VERSION,
            "path": path,
            "line": line,
            "field": field,
            "reason": reason,
            "rows": rows,
            "raw": _shortened(raw),
        }
        with _kept(self._path):
            self._out.write(msgspec.json.encode(record) + b"\n")

    def finish(self) -> None:
        """Put the file in its place: all logs are read.

        Raises:
            OutputError: it cannot be written.

        """
        out, beside = self._out, self._beside
        if out is None:
            return
        with _kept(self._path):
            out.close()
            if beside is not None and self._path is not None:
                beside.replace(self._path.resolve())
        self._out = self._beside = None

    def drop(self) -> None:
        """Take away what was not finished; after `finish` this does nothing."""
        out, beside, self._out, self._beside = self._out, self._beside, None, None
        if out is not None:
            with contextlib.suppress(OSError):  # what it still holds back need not reach a full disk
                out.close()
        if beside is not None:
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _kept(path: Path | None) -> Iterator[None]:
    """Say in our own words that rejected rows cannot be kept."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{path}: rejected rows cannot be kept: {reason}") from error


def _shortened(raw: object) -> str | None:
    if raw is None:
        return None
    if isinstance(raw, str):
        raw = raw[:_RAW_BYTES].encode("utf-8", "replace")
    if not isinstance(raw, bytes | bytearray | memoryview):
        raw = msgspec.json.encode(raw, enc_hook=str)
    return bytes(raw[:_RAW_BYTES]).decode("utf-8", "replace")
