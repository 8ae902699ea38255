"""Where digests wait until the whole log is read: in memory, or in nameless files when memory is bounded.

Touches the disk only when `limit_memory` asks for it: each column is a temporary file without a name, which vanishes
with the process however it ends. What is written there are digests: plain hashes, counts and sketches, never text.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import IO, TYPE_CHECKING

import numpy as np

from stillwatch.errors import OutputError
from stillwatch.marks.digest import COLUMNS
from stillwatch.marks.hashing import combine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    Column = NDArray[np.generic]


_TELL_APART = (
    "system", "client", "parameters", "address", "network", "answer", "previous", "handle", "conversation", "model",
    "flags", "biased", "input_tokens", "output_tokens", "turns",
)  # fmt: skip
"""Columns in which exchanges of one account, at one instant and with one prompt, can still differ."""


class _Growing:
    """A column that grows at its end in one block, so that what is let go of goes back to the system at once."""

    def __init__(self, kind: DTypeLike, width: int) -> None:
        self._block: Column = np.empty((0, width) if width else 0, kind)
        self._rows = 0

    def append(self, part: Column) -> None:
        """Add rows."""
        end = self._rows + len(part)
        if end > len(self._block):
            block = np.empty((max(end, len(self._block) * 3 // 2), *self._block.shape[1:]), self._block.dtype)
            block[: self._rows] = self._block[: self._rows]
            self._block = block
        self._block[self._rows : end] = part
        self._rows = end

    def take(self) -> Column:
        """Empty it: all rows so far."""
        rows, self._block, self._rows = self._block[: self._rows], self._block[:0].copy(), 0
        return rows


class DigestStore:
    """Takes the digests of batches in any order and gives all of them back, sorted by account and time."""

    def __init__(self, *, limit_memory: int | None = None, folder: Path | None = None) -> None:
        """Make an empty store.

        Args:
            limit_memory: bytes above which columns move to disk; None keeps them in memory.
            folder: where temporary files go; None takes the system's place for them.
        """
        self._limit = limit_memory
        self._folder = folder
        self._held = 0
        self._rows = 0
        self._parts = {name: _Growing(*shape) for name, shape in COLUMNS.items()}
        self._rest = _Growing(np.uint64, 0)
        self._files: dict[str, IO[bytes]] = {}

    def add(self, digest: Mapping[str, Column]) -> None:
        """Add the digest of a batch, with its accounts numbered.

        Raises:
            OutputError: the disk is full.
        """
        self._rows += len(digest["second"])
        self._rest.append(combine(*(digest[name] for name in _TELL_APART)))
        for name in COLUMNS:
            self._parts[name].append(digest[name])
            self._held += digest[name].nbytes
        if self._limit is not None and self._held > self._limit // 4:
            self._spill()

    def sorted(self, rank: NDArray[np.int32]) -> dict[str, Column]:
        """Empty the store: all columns, accounts renumbered by `rank`, rows by account, then time.

        Rows of one account at one instant come in order of their prompts, then of a hash of all else, so that the order
        of reading leaves no trace.

        Raises:
            OutputError: the disk is full.
        """
        account = rank[self._take("account")] if self._rows else np.empty(0, np.int32)
        second, prompt = self._take("second"), self._take("prompt")
        order = np.lexsort((prompt, second, account))
        columns: dict[str, Column] = {"account": account[order], "second": second[order], "prompt": prompt[order]}
        _settle(order, columns, self._rest.take())
        for name in COLUMNS:
            if name not in columns:
                columns[name] = self._kept(self._take(name)[order])
        return columns

    def close(self) -> None:
        """Drop everything."""
        for part in (*self._parts.values(), self._rest):
            part.take()
        for file in self._files.values():
            _drop(file)
        self._files = {}

    def _spill(self) -> None:
        with _written():
            for name, part in self._parts.items():
                file = self._files.get(name) or self._open(name)
                file.write(np.ascontiguousarray(part.take()).data)
                file.flush()
        self._held = 0

    def _open(self, name: str) -> IO[bytes]:
        self._files[name] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # `close` and `_take` close it
        return self._files[name]

    def _take(self, name: str) -> Column:
        held = self._parts[name].take()
        if name not in self._files:
            return held
        file = self._files.pop(name)
        file.seek(0)
        written = np.fromfile(file, dtype=held.dtype).reshape(-1, *held.shape[1:])
        file.close()
        return np.concatenate([written, held])

    def _kept(self, column: Column) -> Column:
        """Hold a finished column in memory, or map it from disk where memory is bounded."""
        if self._limit is None or not column.size:
            return column
        with _written():
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # lives as long as its map, not as a block
            try:
                file.write(np.ascontiguousarray(column).data)
                file.flush()
                column = np.memmap(file, dtype=column.dtype, mode="r+", shape=column.shape)
            finally:
                _drop(file)  # the map, where there is one, holds the file by itself
        return column


@contextlib.contextmanager
def _written() -> Iterator[None]:
    """Say in our own words that the disk would not take something."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"the temporary files of the scan could not be written: {error.strerror}") from error


def _drop(file: IO[bytes]) -> None:
    """Close a temporary file; what it still holds back need not reach a full disk."""
    with contextlib.suppress(OSError):
        file.close()


def _settle(order: NDArray[np.int64], columns: Mapping[str, Column], rest: Column) -> None:
    """Put rows that agree in all of `columns`, which are in order, by the hash of the rest; only those are sorted."""
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns.values()])
    if same.any():
        tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
        group = np.cumsum(np.r_[True, ~same])[tied]
        order[tied] = order[tied][np.lexsort((rest[order[tied]], group))]
