"""Plain 64-bit hashes of columns: strings, numbers, and both put together. Touches nothing.

Plain, so that what is counted does not depend on a key; `key.py` keys what leaves the process. 0 means "nothing there".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stillwatch.compiled import compiled
from stillwatch.marks.normalise import text_buffers
from stillwatch.marks.tokens import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)


@compiled
def _hash_bytes(data: np.ndarray, offsets: np.ndarray, hashes: np.ndarray) -> None:
    for index in range(len(offsets) - 1):
        start, end = offsets[index], offsets[index + 1]
        if start == end:
            hashes[index] = np.uint64(0)
            continue
        state = np.uint64(end - start) * _STEP
        position = start
        while position < end:
            chunk = np.uint64(0)
            size = min(end - position, 8)
            for offset in range(size):
                chunk |= np.uint64(data[position + offset]) << np.uint64(8 * offset)
            state = mixed(state ^ chunk)
            position += size
        hashes[index] = state


@compiled
def _fold(state: np.ndarray, values: np.ndarray) -> None:
    for index in range(len(state)):
        state[index] = mixed(state[index] * np.uint64(3) ^ (values[index] + _STEP))


def hash_strings(texts: pa.Array) -> NDArray[np.uint64]:
    """Hash each string's bytes as they are; null and empty give 0."""
    offsets, data = text_buffers(texts.fill_null("") if texts.null_count else texts)
    hashes = np.empty(len(offsets) - 1, np.uint64)
    _hash_bytes(data, offsets, hashes)
    return hashes


def combine(*columns: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Hash rows of several integer columns into one; the order of columns counts."""
    state = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        _fold(state, np.ascontiguousarray(column).astype(np.uint64))
    return state
