"""Where digests wait until the whole log is read: in memory, or in nameless files when memory is bounded.

Touches the disk only when `limit_memory` asks for it: each column is a temporary file without a name, which vanishes
with the process however it ends. What is written there are digests: plain hashes, counts and sketches, never text.
"""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.errors import OutputError
from stillwatch.marks.digest import COLUMNS
from stillwatch.marks.hashing import combine
from stillwatch.marks.order import by_code_and_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    Column = NDArray[np.generic]


_TELL_APART = (
    "system", "client", "parameters", "address", "network", "answer", "previous", "handle", "conversation", "model",
    "flags", "biased", "input_tokens", "output_tokens", "turns",
)  # fmt: skip
"""Columns in which exchanges of one account, at one instant and with one prompt, can still differ."""

_BLOCK = 1 << 21  # bytes of a block: a large page, which costs one fault where small ones cost hundreds


class _Blocks:
    """A column that grows block by block, so that nothing is moved, and a block let go of goes back to the system."""

    def __init__(self, kind: DTypeLike, width: int) -> None:
        self.kind, self.width = np.dtype(kind), width
        self.rows = max(_BLOCK // (self.kind.itemsize * max(width, 1)), 1)  # of a block
        self._blocks: list[Column] = []
        self._room = 0  # rows that the last block still takes

    def append(self, part: Column) -> None:
        """Add rows."""
        done = 0
        while done < len(part):
            if not self._room:
                block = np.frombuffer(_mapped(), self.kind, self.rows * max(self.width, 1))
                self._blocks.append(block.reshape(self.rows, self.width) if self.width else block)
                self._room = self.rows
            taken = min(self._room, len(part) - done)
            self._blocks[-1][self.rows - self._room :][:taken] = part[done : done + taken]
            self._room -= taken
            done += taken

    def drain(self) -> Iterator[Column]:
        """Empty it: its rows, block by block; each is let go of when the next is asked for."""
        blocks, room, self._blocks, self._room = self._blocks, self._room, [], 0
        blocks.reverse()
        while blocks:
            yield blocks.pop()[: self.rows if blocks else self.rows - room]


def _mapped() -> mmap.mmap:
    """Memory of one block, in one large page where the system has such."""
    block = mmap.mmap(-1, _BLOCK)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system that is built without
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


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
        self._parts = {name: _Blocks(*shape) for name, shape in COLUMNS.items()}
        self._rest = _Blocks(np.uint64, 0)
        self._files: dict[str, IO[bytes]] = {}

    def add(self, digest: Mapping[str, Column]) -> None:
        """Add the digest of a batch, with its accounts numbered.

        Raises:
            OutputError: the disk is full.
        """
        self._rest.append(combine(*(digest[name] for name in _TELL_APART)))
        for name in COLUMNS:
            self._parts[name].append(digest[name])
            self._held += digest[name].nbytes
        if self._limit is not None and self._held > self._limit // 4:
            self._spill()

    def sorted(self, rank: NDArray[np.int32], *, threads: int = 2) -> dict[str, Column]:
        """Empty the store: all columns, accounts renumbered by `rank`, rows by account, then time.

        Rows of one account at one instant come in order of their prompts, then of a hash of all else, so that the order
        of reading leaves no trace.

        Args:
            rank: new number of each account.
            threads: how many columns are put in order side by side.

        Raises:
            OutputError: the disk is full.
        """
        account = rank[self._take("account")]
        second, prompt = self._take("second"), self._take("prompt")
        order = by_code_and_time(account, second.astype(np.float64, copy=False), len(rank))
        _settle(order, account, second, (_whole(self._rest.drain(), np.uint64), prompt))
        columns: dict[str, Column] = {"account": account[order], "second": second[order], "prompt": prompt[order]}
        place = np.empty_like(order)  # of each row, as read, among the sorted ones
        place[order] = np.arange(len(order))
        del account, second, prompt, order
        rest = [name for name in COLUMNS if name not in columns]
        with ThreadPoolExecutor(threads) as pool:
            columns.update(zip(rest, pool.map(lambda name: self._sorted(name, place), rest), strict=True))
        return columns

    def _sorted(self, name: str, place: NDArray[np.int64]) -> Column:
        """Empty a column, each row put in its place."""
        kind, width = COLUMNS[name]
        column: Column = np.empty((len(place), width) if width else len(place), kind)
        begin = 0
        for part in self._drain(name):
            _place(part, place[begin : begin + len(part)], column)
            begin += len(part)
        return self._kept(column)

    def close(self) -> None:
        """Drop everything."""
        self._parts, self._rest = {name: _Blocks(*shape) for name, shape in COLUMNS.items()}, _Blocks(np.uint64, 0)
        for file in self._files.values():
            _drop(file)
        self._files = {}

    def _spill(self) -> None:
        with written():
            for name, part in self._parts.items():
                file = self._files.get(name) or self._open(name)
                for block in part.drain():
                    file.write(block.data)
                file.flush()
        self._held = 0

    def _open(self, name: str) -> IO[bytes]:
        self._files[name] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # `close` and `_take` close it
        return self._files[name]

    def _drain(self, name: str) -> Iterator[Column]:
        """Empty a column: its rows in the order of reading, from disk first."""
        part, file = self._parts[name], self._files.pop(name, None)
        if file is not None:
            file.seek(0)
            count = part.rows * max(part.width, 1)
            while len(block := np.fromfile(file, part.kind, count)):
                yield block.reshape(-1, part.width) if part.width else block
            file.close()
        yield from part.drain()

    def _take(self, name: str) -> Column:
        """Empty a column of one value a row."""
        return _whole(self._drain(name), COLUMNS[name][0])

    def _kept(self, column: Column) -> Column:
        """Hold a finished column in memory, or map it from disk where memory is bounded."""
        if self._limit is None or not column.size:
            return column
        with written():
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # lives as long as its map, not as a block
            try:
                file.write(np.ascontiguousarray(column).data)
                file.flush()
                column = np.memmap(file, dtype=column.dtype, mode="r+", shape=column.shape)
            finally:
                _drop(file)  # the map, where there is one, holds the file by itself
        return column


@contextlib.contextmanager
def written() -> Iterator[None]:
    """Say in our own words that the disk would not take something."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"the temporary files of the scan could not be written: {error.strerror}") from error


def _drop(file: IO[bytes]) -> None:
    """Close a temporary file; what it still holds back need not reach a full disk."""
    with contextlib.suppress(OSError):
        file.close()


def _whole(parts: Iterable[Column], kind: DTypeLike) -> Column:
    return np.concatenate([np.empty(0, kind), *parts])


@compiled
def _place(part: np.ndarray, places: np.ndarray, column: np.ndarray) -> None:
    """Put rows in their places."""
    for row in range(len(part)):
        if column.ndim == 1:
            column[places[row]] = part[row]
        else:
            for index in range(column.shape[1]):
                column[places[row], index] = part[row, index]


def _settle(order: NDArray[np.int64], account: Column, second: Column, keys: tuple[Column, ...]) -> None:
    """Put rows of one account at one instant, which `order` has side by side, by `keys`, the last counting most."""
    own, at = account[order], second[order]
    same = (own[1:] == own[:-1]) & (at[1:] == at[:-1])
    if same.any():
        tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
        group = np.cumsum(np.r_[True, ~same])[tied]
        rows = order[tied]
        order[tied] = rows[np.lexsort((*(key[rows] for key in keys), group))]
