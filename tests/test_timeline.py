"""A stream in order of time: what is picked out without sorting is what sorting would pick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from stillwatch.cohorts.timeline import SLOT, SPARSE, _coded, _first

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES = nps.arrays(np.float64, st.integers(1, 50), elements=st.integers(-5000, 5000).map(float))
YEARS = nps.arrays(np.float64, st.integers(1, 50), elements=st.integers(0, 10**9).map(float))


def slots_of(times: NDArray[np.float64]) -> NDArray[np.int64]:
    return (times // SLOT).astype(np.int64)


@given(TIMES | YEARS)
@settings(deadline=None)
def test_slots_are_coded_in_order_whether_close_or_sparse(times: NDArray[np.float64]) -> None:
    slots = slots_of(times)
    known, codes = _coded(slots)
    assert known[codes].tolist() == slots.tolist()
    assert (np.diff(known) > 0).all()
    assert len(known) <= SPARSE * len(slots) + 1


@given(TIMES | YEARS, st.integers(1, 50))
@settings(deadline=None)
def test_the_first_in_time_are_those_of_a_stable_sort(times: NDArray[np.float64], size: int) -> None:
    size = min(size, len(times))
    known, codes = _coded(slots_of(times))
    first = _first(times, codes, np.bincount(codes, minlength=len(known)), size)
    assert np.flatnonzero(first).tolist() == sorted(np.argsort(times, kind="stable")[:size].tolist())
