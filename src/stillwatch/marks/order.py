"""Orders of rows, in time proportional to their number: by 64-bit values, by small codes. Touches nothing.

Sorting by comparison costs a factor that grows with the log, and jumps about in memory far larger than any cache. Here
rows are first dealt to piles by the highest bits of their values, each pile small enough for the cache; inside a pile
follows a radix sort, byte by byte from the lowest (Knuth, The Art of Computer Programming 3, 5.2.5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PILE = 1 << 14  # rows of a pile: with their values twice, as much as a cache near the core holds
_FEW = 512  # rows that are sorted by comparison: for fewer, counting bytes costs more
_MOST_BITS = 11  # more piles than this, and dealing to them is what misses the cache
_SIGN = np.uint64(1 << 63)


def ascending(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows in ascending order of their values (uint64 [n]), equal ones in order of row; int64 [n]."""
    # made here and not in compiled code: what numpy makes lies in large pages, which are found and first written faster
    rows, piled = np.empty(len(values), np.int64), np.empty(len(values), np.uint64)
    _arrange(values, rows, piled)
    return rows


def by_code_and_time(codes: NDArray[np.generic], second: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Rows in ascending order of their codes, inside a code of time, equal ones in order of row; int64 [n].

    Dealing to codes comes first: a log is read nearly in order of time, so little is left to do inside a code.

    Args:
        codes: whole numbers below `count`, one a row.
        second: time, float64 [n], no NaN.
        count: number of codes.
    """
    rows = np.empty(len(codes), np.int64)  # made here, as in `ascending`
    _dealt_by_time(codes, second, count, rows)
    return rows


@compiled
def _piles(values: np.ndarray, bits: int, rows: np.ndarray, piled: np.ndarray) -> np.ndarray:
    """Deal rows and their values to piles by the highest `bits` of the values; returns where each pile begins."""
    shift = np.uint64(64 - bits)
    bounds = np.zeros((1 << bits) + 1, np.int64)
    for row in range(len(values)):
        bounds[np.int64(values[row] >> shift) + 1] += 1
    bounds = np.cumsum(bounds)
    place = bounds[:-1].copy()
    for row in range(len(values)):
        value = values[row]
        pile = np.int64(value >> shift)
        rows[place[pile]] = row
        piled[place[pile]] = value
        place[pile] += 1
    return bounds


@compiled
def sort_piles(rows: np.ndarray, piled: np.ndarray, bounds: np.ndarray) -> None:
    """Sort every pile by its values, in place; bytes in which a pile's values agree are passed over."""
    largest = np.diff(bounds).max()
    spare_rows, spare = np.empty(largest, np.int64), np.empty(largest, np.uint64)
    counts = np.empty((8, 256), np.int64)
    for pile in range(len(bounds) - 1):
        start, size = bounds[pile], bounds[pile + 1] - bounds[pile]
        if size < 2:
            continue
        old_rows, old = rows[start : start + size], piled[start : start + size]
        new_rows, new = spare_rows[:size], spare[:size]
        counts[:] = 0
        for index in range(size):
            value = old[index]
            for byte in range(8):
                counts[byte, np.int64((value >> np.uint64(8 * byte)) & np.uint64(255))] += 1
        passes = 0
        for byte in range(8):
            shift = np.uint64(8 * byte)
            place = counts[byte]
            if place[np.int64((old[0] >> shift) & np.uint64(255))] == size:
                continue
            total = np.int64(0)
            for each in range(256):
                total += place[each]
                place[each] = total - place[each]
            for index in range(size):
                digit = np.int64((old[index] >> shift) & np.uint64(255))
                new[place[digit]] = old[index]
                new_rows[place[digit]] = old_rows[index]
                place[digit] += 1
            old, new = new, old
            old_rows, new_rows = new_rows, old_rows
            passes += 1
        if passes % 2:
            piled[start : start + size] = spare[:size]
            rows[start : start + size] = spare_rows[:size]


@compiled
def pile_bits(size: int) -> int:
    """By how many of their bits so many values are dealt to piles."""
    bits = 1
    while bits < _MOST_BITS and size >> bits > _PILE:
        bits += 1
    return bits


@compiled
def _arrange(values: np.ndarray, rows: np.ndarray, piled: np.ndarray) -> None:
    """Fill `rows` and `piled` for `arranged`."""
    if len(values) < _FEW:
        rows[:] = np.argsort(values, kind="mergesort")
        piled[:] = values[rows]
        return
    sort_piles(rows, piled, _piles(values, pile_bits(len(values)), rows, piled))


@compiled
def arranged(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in ascending order of their values, as by `ascending`, and the values in that order."""
    rows, piled = np.empty(len(values), np.int64), np.empty(len(values), np.uint64)
    _arrange(values, rows, piled)
    return rows, piled


@compiled
def _dealt_by_time(codes: np.ndarray, second: np.ndarray, count: int, rows: np.ndarray) -> None:
    """Fill `rows` for `by_code_and_time`."""
    place = np.zeros(count + 1, np.int64)
    for row in range(len(codes)):
        place[codes[row] + 1] += 1
    place = np.cumsum(place)
    for row in range(len(codes)):
        rows[place[codes[row]]] = row
        place[codes[row]] += 1
    begin = 0
    for code in range(count):  # a code's place is now where it ends
        own = rows[begin : place[code]]
        ordered = True
        for index in range(1, len(own)):
            ordered &= second[own[index]] >= second[own[index - 1]]
        if not ordered:
            own[:] = own[arranged(_ordered_bits(second, own))[0]]
        begin = place[code]


@compiled
def _ordered_bits(second: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Times of some rows as whole numbers in the same order."""
    times = np.empty(len(rows), np.float64)
    for index in range(len(rows)):
        times[index] = second[rows[index]] + 0.0  # makes one zero of both
    bits = times.view(np.uint64)
    for index in range(len(bits)):
        # floats come in their own order, but for negative ones, which come last and backwards
        bits[index] = ~bits[index] if bits[index] & _SIGN else bits[index] | _SIGN
    return bits
