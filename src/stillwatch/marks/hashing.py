"""Plain 64-bit hashes of columns: strings, numbers, and both put together. Touches nothing.

Plain, so that what is counted does not depend on a key; `key.py` keys what leaves the process. 0 means "nothing there".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stillwatch.compiled import compiled
from stillwatch.marks.normalise import one_text, text_buffers
from stillwatch.marks.tokens import eight_bytes, mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.marks.tokens import Bytes

_STEP = np.uint64(0x9E3779B97F4A7C15)


@compiled
def _hash_bytes(data: Bytes, offsets: NDArray[np.signedinteger[Any]], hashes: NDArray[np.uint64]) -> None:
    for index in range(len(offsets) - 1):
        position, end = int(offsets[index]), int(offsets[index + 1])
        if position == end:
            hashes[index] = np.uint64(0)
            continue
        state = np.uint64(end - position) * _STEP
        while position + 8 <= end:
            state = mixed(state ^ eight_bytes(data, position))
            position += 8
        rest = np.uint64(0)
        for offset in range(end - position):
            rest |= np.uint64(data[position + offset]) << np.uint64(8 * offset)
        hashes[index] = mixed(state ^ rest)


@compiled
def _fold(state: NDArray[np.uint64], values: NDArray[np.uint64]) -> None:
    for index in range(len(state)):
        state[index] = mixed(state[index] * np.uint64(3) ^ (values[index] + _STEP))


def hash_strings(texts: pa.Array) -> NDArray[np.uint64]:
    """Hash each string's bytes as they are; null and empty give 0."""
    offsets, data = text_buffers(texts.fill_null("") if texts.null_count else texts)
    hashes = np.empty(len(offsets) - 1, np.uint64)
    _hash_bytes(data, offsets, hashes)
    return hashes


def hash_string(text: str) -> int:
    """Hash one string as `hash_strings` does a column of them."""
    data, bounds = one_text(text)
    found = np.empty(1, np.uint64)
    _hash_bytes(data, bounds, found)
    return int(found[0])


def combine(*columns: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Hash rows of several integer columns into one; the order of columns counts."""
    state = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        _fold(state, np.ascontiguousarray(column).astype(np.uint64, copy=False))
    return state


def distinct(values: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Different values in the order in which they come, and which of them each row has; cheap where they are few."""
    coded = pa.array(values).dictionary_encode()
    return np.asarray(coded.dictionary), np.asarray(coded.indices).astype(np.int64)
