"""Logs in object stores, by URL: `s3://`, `gs://`, `abfs://`, `hdfs://`. Touches those stores, reading.

The clients are those of pyarrow: they take credentials from the environment, as the stores' own tools do, and options
from the URL's query (`s3://logs/2026?region=eu-central-1`). What people are told of a URL bears neither.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, FileType

from stillwatch.errors import InputError
from stillwatch.exchanges.place import Place
from stillwatch.exchanges.url import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMES: Final = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
_MAGIC: Final = re.compile(r"[*\[]")
_BROKEN: Final = (OSError, pa.ArrowException, ValueError)


def in_store(url: str) -> Iterator[tuple[Place, bool]]:
    """Yield the files that a URL leads to, and whether each was asked for by its own name.

    It names a file, or a folder, which is searched to any depth, or is a pattern with `*`, `[...]` or `**`. (`?` begins
    the options of a URL.)

    Raises:
        InputError: the store cannot be reached, or there is nothing; names the URL and the reason.

    """
    shown = without_secrets(url)
    if url.partition("://")[0].lower() not in _SCHEMES:
        raise InputError(f"{shown}: no store that can be read; there are file, {', '.join(_SCHEMES)}")
    path, question, options = url.partition("?")
    fixed, pattern = _parted(path)
    try:
        store, inside = FileSystem.from_uri(f"{fixed}{question}{options}")
        walk = _Walk(store, inside.rstrip("/"), without_secrets(fixed))
        found = 0
        for info in walk.matching(walk.root, pattern) if pattern else walk.named():
            found += 1
            yield walk.place(info), not pattern and info.path == walk.root
    except _BROKEN as error:
        raise InputError(f"{shown}: {_reason(error, url, shown)}") from error
    if not found:
        raise InputError(f"{shown}: {'no file matches' if pattern else 'no such file or folder, or nothing in it'}")


def _parted(path: str) -> tuple[str, list[str]]:
    """Part a URL at its first part that is a pattern."""
    scheme, _, rest = path.partition("://")
    parts = rest.rstrip("/").split("/")
    first = next((place for place, part in enumerate(parts) if place and _MAGIC.search(part)), len(parts))
    return f"{scheme}://{'/'.join(parts[:first])}", parts[first:]


def _reason(error: Exception, url: str, shown: str) -> str:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return said.replace(url, shown)


class _Walk:
    """What lies below one folder of a store."""

    def __init__(self, store: FileSystem, root: str, shown: str) -> None:
        self.root = root
        self._store, self._shown = store, shown

    def place(self, info: Any) -> Place:  # noqa: ANN401  pyarrow has no types
        return Place(self._shown + info.path[len(self.root) :], info.path, self._store)

    def named(self) -> Iterator[Any]:
        """Yield the file itself, or all files of the folder."""
        info = self._store.get_file_info(self.root)
        yield from self._files(info)

    def matching(self, folder: str, parts: list[str]) -> Iterator[Any]:
        """Yield the files that a pattern leads to; a folder that it leads to is searched to any depth."""
        part, *rest = parts
        if part == "**":
            below = self._store.get_file_info(FileSelector(folder, recursive=True))
            if not rest:
                yield from (info for info in below if info.type == FileType.File)
                return
            for inside in (folder, *(info.path for info in below if info.type == FileType.Directory)):
                yield from self.matching(inside, rest)
            return
        for info in self._store.get_file_info(FileSelector(folder)):
            if not fnmatchcase(info.base_name, part):
                continue
            if not rest:
                yield from self._files(info)
            elif info.type == FileType.Directory:
                yield from self.matching(info.path, rest)

    def _files(self, info: Any) -> Iterator[Any]:  # noqa: ANN401  pyarrow has no types
        if info.type == FileType.File:
            yield info
        elif info.type == FileType.Directory:
            for inside in self._store.get_file_info(FileSelector(info.path, recursive=True)):
                if inside.type == FileType.File:
                    yield inside
