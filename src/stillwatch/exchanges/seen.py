"""Which requests were seen before: one 64-bit entry a request, whatever the length of the log. Pure but for memory.

Every row has a hash of its request id and a hash of its content. The table holds, for the first content of an id,
44 bits of the one and 20 of the other; a second content under the same id is entered under both hashes together.
So a row is dropped as a repetition only when 64 bits agree, an id that every row bears ("-") costs no more than
unique ones, and ten million requests take 134 MB (201 MB for the moment in which the table grows).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stillwatch.compiled import compiled

Hashes = npt.NDArray[np.uint64]

_MIX_A: Final = np.uint64(0xBF58476D1CE4E5B9)  # the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)
_MIX_B: Final = np.uint64(0x94D049BB133111EB)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_CONTENT_BITS: Final = np.uint64(20)
_FILL: Final = 0.75
_AHEAD: Final = 64  # requests that are looked for side by side


class SeenRequests:
    """The requests met so far; `admit` says of each new one whether it is a repetition."""

    __slots__ = ("_held", "_table")

    def __init__(self) -> None:
        self._table: Hashes = np.zeros(1 << 16, np.uint64)
        self._held = 0

    def admit(self, ids: Hashes, contents: Hashes) -> tuple[npt.NDArray[np.bool_], int]:
        """Enter requests in order.

        Args:
            ids: hash of each request id.
            contents: hash of what else tells two requests apart.

        Returns:
            Which of them were there before with the same content, and how many new ones bear an id that was there
            with another content.

        """
        while self._held + len(ids) > _FILL * len(self._table):
            larger = np.zeros(2 * len(self._table), np.uint64)
            _enter(self._table, larger)
            self._table = larger
        repeated = np.zeros(len(ids), np.bool_)
        entered, shared = _admit(self._table, ids, contents, repeated)
        self._held += int(entered)
        return repeated, int(shared)


def shared_by_chance(requests: int) -> float:
    """Return how many of so many requests with ids of their own seem to share one, for 44 bits tell ids apart."""
    return requests * requests / 2.0**45


def hash_rows(columns: list[pa.Array], seed: int) -> Hashes:
    """One 64-bit hash a row over columns of text, numbers, flags or times; null differs from every value."""
    hashes: Hashes = np.full(len(columns[0]), seed, np.uint64)
    for column in columns:
        if pa.types.is_string(column.type):
            _, offsets, data = column.buffers()
            if len(column) and offsets is not None:
                starts = np.frombuffer(offsets, np.int32, count=len(column) + 1, offset=4 * column.offset)
                octets = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
                valid = column.is_valid().to_numpy(zero_copy_only=False)
                _mix_text(hashes, starts, octets, valid)
            continue
        if pa.types.is_floating(column.type):
            bits = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64).view(np.uint64)
        else:
            bits = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
        _mix_words(hashes, bits, column.is_valid().to_numpy(zero_copy_only=False))
    return hashes


@compiled
def _mix(word: np.uint64) -> np.uint64:
    word = (word ^ (word >> np.uint64(30))) * _MIX_A
    word = (word ^ (word >> np.uint64(27))) * _MIX_B
    return word ^ (word >> np.uint64(31))


@compiled
def _mix_words(hashes: Hashes, words: Hashes, valid: npt.NDArray[np.bool_]) -> None:
    for row in range(len(hashes)):
        word = _mix(words[row] + _GOLDEN) if valid[row] else _MIX_B
        hashes[row] = _mix((hashes[row] * _GOLDEN) ^ word)


@compiled
def _mix_text(
    hashes: Hashes, starts: npt.NDArray[np.int32], octets: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]
) -> None:
    for row in range(len(hashes)):
        state = hashes[row] * _GOLDEN
        if not valid[row]:
            hashes[row] = _mix(state ^ _MIX_B)
            continue
        begin, end = np.int64(starts[row]), np.int64(starts[row + 1])
        state ^= np.uint64(end - begin) * _MIX_A
        place = begin
        while place + 8 <= end:
            word = np.uint64(0)
            for octet in range(8):
                word |= np.uint64(octets[place + octet]) << np.uint64(8 * octet)
            state = (state ^ word) * _MIX_A
            state ^= state >> np.uint64(29)
            place += 8
        word = np.uint64(0)
        for octet in range(end - place):
            word |= np.uint64(octets[place + octet]) << np.uint64(8 * octet)
        hashes[row] = _mix((state ^ word) * _MIX_B)


@compiled
def _touch(table: Hashes, ids: Hashes) -> np.uint64:
    """Read where some ids are likely to be found, so that the processor fetches many places at a time.

    The sum has no meaning, but without it nothing would be read.
    """
    last = np.uint64(len(table) - 1)
    total = np.uint64(0)
    for row in range(len(ids)):
        total += table[_mix(ids[row] >> _CONTENT_BITS) & last]
    return total


@compiled
def _admit(
    table: Hashes, ids: Hashes, contents: Hashes, repeated: npt.NDArray[np.bool_]
) -> tuple[int, int]:  # rows entered, and those of them whose id was there with another content
    entered, shared = 0, 0
    last = np.uint64(len(table) - 1)
    touched = np.zeros(1, np.uint64)
    for row in range(len(ids)):
        if row % _AHEAD == 0:
            touched[0] = _touch(table, ids[row : row + _AHEAD])
        content = contents[row] >> (np.uint64(64) - _CONTENT_BITS)
        key = ((ids[row] >> _CONTENT_BITS) << _CONTENT_BITS) | content
        key = key or np.uint64(1)
        slot = _mix(key >> _CONTENT_BITS) & last
        while table[slot] and (table[slot] >> _CONTENT_BITS) != (key >> _CONTENT_BITS):
            slot = (slot + np.uint64(1)) & last
        if not table[slot]:
            table[slot] = key
            entered += 1
            continue
        if table[slot] == key:
            repeated[row] = True
            continue
        key = _mix(ids[row] ^ (contents[row] * _GOLDEN))
        key = key or np.uint64(1)
        slot = _mix(key >> _CONTENT_BITS) & last
        while table[slot] and table[slot] != key:
            slot = (slot + np.uint64(1)) & last
        if table[slot]:
            repeated[row] = True
        else:
            table[slot] = key
            entered += 1
            shared += 1
    return entered, shared


@compiled
def _enter(table: Hashes, larger: Hashes) -> None:
    last = np.uint64(len(larger) - 1)
    for key in table:
        if key:
            slot = _mix(key >> _CONTENT_BITS) & last
            while larger[slot]:
                slot = (slot + np.uint64(1)) & last
            larger[slot] = key
