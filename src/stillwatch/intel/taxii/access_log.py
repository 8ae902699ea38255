"""The access log: who asked for what, and what came of it; one line of JSON each. Touches its file and the clock."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from stillwatch.errors import OutputError
from stillwatch.intel.moment import now_micros, to_text

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.intel.taxii.asked import Asked

SCHEMA: Final = "stillwatch.access/1"
_LONGEST: Final = 500  # characters of anything that a client chooses


class AccessLog:
    """Writes to a file, which is made readable by its owner only, or to stderr. Several processes may share a file.

    Raises:
        OutputError: the file cannot be opened.

    """

    def __init__(self, path: Path | None) -> None:
        self._own = path is not None
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._file = sys.stderr.fileno() if path is None else os.open(path, flags, 0o600)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error

    def note(self, asked: Asked, member: str, status: int, size: int, seconds: float) -> None:
        """Write one line. Names no secret: tokens are in none of what it writes."""
        line = {
            "schema": SCHEMA,
            "time": to_text(now_micros()),
            "member": member,
            "client": asked.client,
            "method": asked.method[:_LONGEST],
            "path": "/".join(("", *asked.path))[:_LONGEST],
            "query": asked.query.decode("latin-1")[:_LONGEST],
            "status": status,
            "bytes": size,
            "milliseconds": round(seconds * 1000, 3),
            "agent": asked.headers.get("user-agent", "")[:_LONGEST],
        }
        try:
            os.write(
                self._file, msgspec.json.encode(line) + b"\n"
            )  # one write a line: others' lines do not mix with it
        except OSError:
            self._failed()

    def close(self) -> None:
        """Let go of the file."""
        if self._own:
            os.close(self._file)

    def _failed(self) -> None:
        """Say that the log cannot be written; a full disk is no reason to stop sharing."""
        print("stillwatch: the access log cannot be written", file=sys.stderr)  # noqa: T201
