"""What a lineage test is made on: files as bytes, each known by its hash. Touches the files that it is told to read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stillwatch.errors import MaterialError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Material:
    """One input of a test.

    Attributes:
        role: what it is to the test: `suspect`, `reference`, `labelled`, ...
        name: of the file, without its folder.
        data: all of it.

    """

    role: str
    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Its hash, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    def text(self) -> str:
        """Give it as text.

        Raises:
            MaterialError: it is no UTF-8.

        """
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.data[: error.start].count(b"\n") + 1
            raise MaterialError("not UTF-8", path=self.name, line=line) from error

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Give the objects of a JSONL file with their lines, counted from 1; blank lines are passed over.

        Raises:
            MaterialError: a line is no JSON object, or there is none at all.

        """
        found = False
        for line, text in enumerate(self.text().split("\n"), 1):
            if not text.strip():
                continue
            try:
                row = msgspec.json.decode(text)
            except msgspec.DecodeError as error:
                raise MaterialError(f"no JSON: {error}", path=self.name, line=line) from error
            if not isinstance(row, dict):
                raise MaterialError("must be a JSON object", path=self.name, line=line)
            found = True
            yield line, row
        if not found:
            raise MaterialError("is empty", path=self.name)

    def string(self, row: dict[str, Any], field: str, line: int, *, required: bool = True) -> str:
        """Give a text field of a row; empty where it may be absent and is.

        Raises:
            MaterialError: it is missing, or no text.

        """
        value = row.get(field)
        if value is None and not required:
            return ""
        if field == "id" and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or (required and field != "answer" and not value.strip()):
            reason = "is missing" if value is None else "must be text" if not isinstance(value, str) else "is empty"
            raise MaterialError(reason, path=self.name, line=line, field=field)
        return value


def read_material(role: str, path: Path) -> Material:
    """Read a file.

    Raises:
        MaterialError: it is not there, a folder, too large, or may not be read.

    """
    try:
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            raise MaterialError(f"is larger than {MOST_BYTES >> 20} MiB", path=str(path))
        return Material(role, path.name, path.read_bytes())
    except OSError as error:
        raise MaterialError((error.strerror or str(error)).lower(), path=str(path)) from error
