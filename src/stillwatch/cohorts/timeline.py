"""A stream in order of time: accounts in step, succession, and what changes as it goes on. Pure; touches nothing."""

from __future__ import annotations

import math

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.digest import REFUSED
from stillwatch.marks.order import arranged

SLOT = 300.0  # s in which accounts are in step
SLOTS_AN_HOUR = 12
SPARSE = 4  # hours for every exchange, above which only those that occur are counted in


@compiled
def succession(ends: np.ndarray, starts: np.ndarray) -> float:
    """How soon a start follows an end: 1 at once, 0 as chance has it (starts spread evenly over the span of both).

    Both are in s, ascending; NaN where fewer than five starts follow an end.
    """
    span = float(max(ends[-1], starts[-1]) - min(ends[0], starts[0]))
    if span <= 0.0:
        return math.nan
    total = 0.0
    known = 0
    for index in range(len(starts)):
        before = np.searchsorted(ends, starts[index]) - 1
        if before >= 0:
            total += float(starts[index] - ends[before])
            known += 1
    if known < 5:
        return math.nan
    return 1.0 - total / known / (span / len(ends))


@compiled
def follow(
    rows: np.ndarray,
    begin: int,
    end: int,
    account: np.ndarray,
    second: np.ndarray,
    opening: np.ndarray,
    flags: np.ndarray,
    line: np.ndarray,
) -> None:
    """Fill in how far a stream's accounts are in step, and how its refusals and variants change as it goes on.

    Args:
        rows: exchanges of all streams; this one's are rows[begin:end], by account, then time.
        begin: see `rows`.
        end: see `rows`.
        account: every exchange's account number.
        second: arrival, s since 1970.
        opening: hash of how the prompt begins.
        flags: bits of `marks.digest`.
        line: written to; one line of figures (`measures.LINE`).
    """
    size = end - begin
    times, slots = np.empty(size, np.float64), np.empty(size, np.int64)
    for index in range(size):
        times[index] = second[rows[begin + index]]
        slots[index] = int(times[index] // SLOT)
    codes, hours = _coded(slots)
    counts = np.zeros(hours * SLOTS_AN_HOUR, np.int64)
    for index in range(size):
        counts[codes[index]] += 1
    fine = coarse = own_fine = own_coarse = 0.0
    for hour in range(hours):
        together = 0
        for code in range(hour * SLOTS_AN_HOUR, (hour + 1) * SLOTS_AN_HOUR):
            together += counts[code]
            fine += float(counts[code]) * counts[code]
        coarse += float(together) * together
    at = 0
    while at < size:  # an account is always in step with itself
        who = account[rows[begin + at]]
        next_hour = codes[at] - codes[at] % SLOTS_AN_HOUR + SLOTS_AN_HOUR
        stop = at
        while stop < size and codes[stop] < next_hour and account[rows[begin + stop]] == who:
            code = codes[stop]
            inner = stop
            while stop < size and codes[stop] == code and account[rows[begin + stop]] == who:
                stop += 1
            own_fine += float(stop - inner) * (stop - inner)
        own_coarse += float(stop - at) * (stop - at)
        at = stop
    pairs_fine, pairs_coarse = (fine - own_fine) / 2.0, (coarse - own_coarse) / 2.0
    if pairs_coarse >= SLOTS_AN_HOUR:
        expected = pairs_coarse / SLOTS_AN_HOUR
        line["step"] = pairs_fine / expected - 1.0
        line["step_error"] = math.sqrt(max(pairs_fine, 1.0)) / expected
    early, late = size // 5, size // 2
    if early >= 5:
        first = _first(times, codes, counts, early)
        line["refused_early"], line["openings_early"] = _span(rows, begin, first, early, opening, flags)
        last = ~_first(times, codes, counts, size - late)
        line["refused_late"], line["openings_late"] = _span(rows, begin, last, late, opening, flags)


@compiled
def _coded(slots: np.ndarray) -> tuple[np.ndarray, int]:
    """Slots of time as small numbers in the same order, an hour's together, and the number of hours.

    Hours are all those of the span, or where it is long and mostly empty, those that occur.
    """
    hours = slots // SLOTS_AN_HOUR
    low, high = hours.min(), hours.max()
    if high - low <= SPARSE * len(slots):
        return slots - low * SLOTS_AN_HOUR, high - low + 1
    known = np.unique(hours)
    return np.searchsorted(known, hours) * SLOTS_AN_HOUR + slots - hours * SLOTS_AN_HOUR, len(known)


@compiled
def _first(times: np.ndarray, codes: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Tell which are the first `size` in time, of equal ones those that come first; only one slot is sorted."""
    before = edge = 0
    while before + counts[edge] < size:
        before += counts[edge]
        edge += 1
    first = codes < edge
    inside = np.flatnonzero(codes == edge)
    order = np.argsort(times[inside], kind="mergesort")
    for place in range(size - before):
        first[inside[order[place]]] = True
    return first


@compiled
def _span(
    rows: np.ndarray, begin: int, chosen: np.ndarray, size: int, opening: np.ndarray, flags: np.ndarray
) -> tuple[float, float]:
    """Share refused, and distinct openings per exchange, of the `size` exchanges that are chosen."""
    refused = count = 0
    values = np.empty(size, np.uint64)
    for index in range(len(chosen)):
        if chosen[index]:
            row = rows[begin + index]
            refused += (flags[row] & REFUSED) != 0
            values[count] = opening[row]
            count += 1
    values = arranged(values)[1]
    distinct = 1
    for index in range(1, size):
        distinct += values[index] != values[index - 1]
    return refused / size, distinct / size
