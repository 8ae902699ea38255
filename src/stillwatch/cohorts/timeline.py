"""A stream in order of time: accounts in step, succession, and what changes as it goes on. Pure; touches nothing."""

from __future__ import annotations

import math

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.digest import REFUSED


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
    times = np.empty(size, np.float64)
    for index in range(size):
        times[index] = second[rows[begin + index]]
    order = np.argsort(times, kind="mergesort")
    fine = coarse = own_fine = own_coarse = 0.0
    at = 0
    while at < size:  # hour by hour
        hour = times[order[at]] // 3600.0
        stop = at
        while stop < size and times[order[stop]] // 3600.0 == hour:
            stop += 1
        coarse += float(stop - at) * (stop - at)
        inner = at
        while inner < stop:
            slot = times[order[inner]] // 300.0
            edge = inner
            while edge < stop and times[order[edge]] // 300.0 == slot:
                edge += 1
            fine += float(edge - inner) * (edge - inner)
            inner = edge
        at = stop
    at = begin
    while at < end:  # an account is always in step with itself
        who = account[rows[at]]
        stop = at
        while stop < end and account[rows[stop]] == who:
            hour = second[rows[stop]] // 3600.0
            edge = stop
            while edge < end and account[rows[edge]] == who and second[rows[edge]] // 3600.0 == hour:
                edge += 1
            own_coarse += float(edge - stop) * (edge - stop)
            inner = stop
            while inner < edge:
                slot = second[rows[inner]] // 300.0
                tip = inner
                while tip < edge and second[rows[tip]] // 300.0 == slot:
                    tip += 1
                own_fine += float(tip - inner) * (tip - inner)
                inner = tip
            stop = edge
        at = stop
    pairs_fine, pairs_coarse = (fine - own_fine) / 2.0, (coarse - own_coarse) / 2.0
    if pairs_coarse >= 12.0:
        expected = pairs_coarse / 12.0
        line["step"] = pairs_fine / expected - 1.0
        line["step_error"] = math.sqrt(max(pairs_fine, 1.0)) / expected
    early, late = size // 5, size // 2
    if early >= 5:
        line["refused_early"], line["openings_early"] = _span(rows, begin, order, 0, early, opening, flags)
        line["refused_late"], line["openings_late"] = _span(rows, begin, order, size - late, size, opening, flags)


@compiled
def _span(
    rows: np.ndarray, begin: int, order: np.ndarray, start: int, stop: int, opening: np.ndarray, flags: np.ndarray
) -> tuple[float, float]:
    """Share refused, and distinct openings per exchange, from the `start`th to the `stop`th exchange in time."""
    refused = 0
    values = np.empty(stop - start, np.uint64)
    for index in range(start, stop):
        row = rows[begin + order[index]]
        refused += (flags[row] & REFUSED) != 0
        values[index - start] = opening[row]
    values = np.sort(values)
    distinct = 1
    for index in range(1, len(values)):
        distinct += values[index] != values[index - 1]
    return refused / (stop - start), distinct / (stop - start)
