"""Numbers for accounts, in the order in which they are first met: a table of all names, probed by compiled code.

A log names its accounts once a row, and most batches name most of them again: what is done once a name and batch in the
interpreter grows with the square of the log. Touches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from stillwatch.compiled import compiled
from stillwatch.marks.hashing import hash_strings
from stillwatch.marks.normalise import text_buffers

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

_AHEAD = 64  # names that are looked for side by side
_LEAST = 1 << 12  # slots of the table; a power of two, as any later number of them


class AccountNumbers:
    """Numbers accounts in the order in which they are first met."""

    def __init__(self) -> None:
        self._count = 0
        self._slots = np.full(_LEAST, -1, np.int32)  # numbers, each where its hash says or in the next free slot
        self._hashes = np.empty(0, np.uint64)  # by number; what they hold past the last number has no meaning
        self._ends = np.zeros(1, np.int64)  # number n's name is text[ends[n]:ends[n + 1]]
        self._text = np.empty(0, np.uint8)

    def number(self, accounts: pa.Array) -> NDArray[np.int32]:
        """Return the number of each row's account, int32 [rows]."""
        hashes = hash_strings(accounts)
        offsets, data = text_buffers(accounts)
        most = self._count + len(hashes)
        self._hashes = _with_room(self._hashes, most)
        self._ends = _with_room(self._ends, most + 1)
        self._text = _with_room(self._text, int(self._ends[self._count]) + int(offsets[-1]) - int(offsets[0]))
        if 2 * most > len(self._slots):
            self._slots = np.full(1 << (4 * most).bit_length(), -1, np.int32)
            _enter(self._slots, self._hashes[: self._count])
        numbers = np.empty(len(hashes), np.int32)
        self._count = int(
            _number(offsets, data, hashes, self._slots, self._hashes, self._ends, self._text, self._count, numbers)
        )
        return numbers

    def ranked(self) -> tuple[NDArray[np.object_], NDArray[np.int32]]:
        """All names in alphabetical order, and the place of each number among them."""
        count = self._count
        ends, text = pa.py_buffer(self._ends[: count + 1]), pa.py_buffer(self._text)
        names = pa.LargeStringArray.from_buffers(count, ends, text).to_numpy(zero_copy_only=False)
        order = np.argsort(names, kind="stable")
        rank = np.empty(count, np.int32)
        rank[order] = np.arange(count, dtype=np.int32)
        return names[order], rank


def _with_room(column: NDArray[T], size: int) -> NDArray[T]:
    """Return a column of at least so many values that begins with those of this one."""
    if size <= len(column):
        return column
    grown = np.empty(2 * size, column.dtype)
    grown[: len(column)] = column
    return grown


@compiled
def _enter(slots: np.ndarray, hashes: np.ndarray) -> None:
    """Enter known numbers into an empty table."""
    mask = np.uint64(len(slots) - 1)
    for number in range(len(hashes)):
        slot = hashes[number] & mask
        while slots[np.int64(slot)] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[np.int64(slot)] = number


@compiled
def _touch(row_hashes: np.ndarray, slots: np.ndarray, hashes: np.ndarray, ends: np.ndarray, text: np.ndarray) -> int:
    """Read where some names are likely to be found, so that the processor fetches many places at a time.

    The sum has no meaning, but without it nothing would be read.
    """
    mask = np.uint64(len(slots) - 1)
    total = np.int64(0)
    for row in range(len(row_hashes)):
        known = slots[np.int64(row_hashes[row] & mask)]
        if known >= 0 and ends[known] < ends[known + 1]:
            total += np.int64(hashes[known]) + text[ends[known]]
    return int(total)


@compiled
def _number(
    offsets: np.ndarray,
    data: np.ndarray,
    row_hashes: np.ndarray,
    slots: np.ndarray,
    hashes: np.ndarray,
    ends: np.ndarray,
    text: np.ndarray,
    count: int,
    numbers: np.ndarray,
) -> int:
    """Fill `numbers` for each row; names met for the first time are entered. Returns how many are known then."""
    mask = np.uint64(len(slots) - 1)
    touched = np.zeros(1, np.int64)
    for row in range(len(row_hashes)):
        if row % _AHEAD == 0:
            touched[0] = _touch(row_hashes[row : row + _AHEAD], slots, hashes, ends, text)
        start, size = np.int64(offsets[row]), np.int64(offsets[row + 1] - offsets[row])
        slot = row_hashes[row] & mask
        while True:
            known = slots[np.int64(slot)]
            if known < 0:
                known = count
                slots[np.int64(slot)] = known
                hashes[known] = row_hashes[row]
                ends[known + 1] = ends[known] + size
                for index in range(size):
                    text[ends[known] + index] = data[start + index]
                count += 1
                break
            if hashes[known] == row_hashes[row] and ends[known + 1] - ends[known] == size:
                same = True  # names are compared, for accounts must not be mixed up by a hash
                for index in range(size):
                    same &= text[ends[known] + index] == data[start + index]
                if same:
                    break
            slot = (slot + np.uint64(1)) & mask
        numbers[row] = known
    return count
