"""A stream in order of time: what is picked out without sorting is what sorting would pick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from stillwatch.cohorts.timeline import SLOT, SLOTS_AN_HOUR, SPARSE, _coded, _first

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES = nps.arrays(np.float64, st.integers(1, 50), elements=st.integers(-5000, 5000).map(float))
YEARS = nps.arrays(np.float64, st.integers(1, 50), elements=st.integers(0, 10**9).map(float))


def slots_of(times: NDArray[np.float64]) -> NDArray[np.int64]:
    return (times // SLOT).astype(np.int64)


@given(TIMES | YEARS)
@settings(deadline=None)
def test_codes_keep_the_order_of_slots_and_hold_hours_together(times: NDArray[np.float64]) -> None:
    slots = slots_of(times)
    codes, hours = _coded(slots)
    assert 0 <= codes.min() <= codes.max() < hours * SLOTS_AN_HOUR
    assert hours <= SPARSE * len(slots) + 1
    assert np.array_equal(np.unique(codes, return_inverse=True)[1], np.unique(slots, return_inverse=True)[1])
    assert np.array_equal(
        np.equal.outer(codes // SLOTS_AN_HOUR, codes // SLOTS_AN_HOUR),
        np.equal.outer(slots // SLOTS_AN_HOUR, slots // SLOTS_AN_HOUR),
    )


@given(TIMES | YEARS, st.integers(1, 50))
@settings(deadline=None)
def test_the_first_in_time_are_those_of_a_stable_sort(times: NDArray[np.float64], size: int) -> None:
    size = min(size, len(times))
    codes, hours = _coded(slots_of(times))
    first = _first(times, codes, np.bincount(codes, minlength=hours * SLOTS_AN_HOUR), size)
    assert np.flatnonzero(first).tolist() == sorted(np.argsort(times, kind="stable")[:size].tolist())
