"""Orders of rows are those of the textbook's stable sort, whatever the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from stillwatch.marks.order import ascending, by_time, dealt

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = st.integers(0, 60)


@given(nps.arrays(np.uint64, SIZES))
@settings(deadline=None)
def test_any_values_ascend_and_equal_ones_stay_in_order(values: NDArray[np.uint64]) -> None:
    assert ascending(values).tolist() == np.argsort(values, kind="stable").tolist()


@given(nps.arrays(np.uint64, SIZES, elements=st.sampled_from([0, 1, 256, 257, 1 << 63, (1 << 63) + 1, (1 << 64) - 1])))
@settings(deadline=None)
def test_few_values_ascend_and_equal_ones_stay_in_order(values: NDArray[np.uint64]) -> None:
    assert ascending(values).tolist() == np.argsort(values, kind="stable").tolist()


@pytest.mark.parametrize("low", [0, 1 << 50])  # spread over many piles, and all in one
@pytest.mark.parametrize("size", [1 << 14, 200_000])
def test_many_values_ascend(size: int, low: int) -> None:
    rng = np.random.default_rng(size)
    values = rng.integers(0, low or 1 << 64, size, dtype=np.uint64)
    values[rng.integers(0, size, size // 3)] = values[rng.integers(0, size, size // 3)]
    assert np.array_equal(ascending(values), np.argsort(values, kind="stable"))


@given(nps.arrays(np.float64, SIZES, elements=st.floats(allow_nan=False)))
@settings(deadline=None)
def test_any_times_ascend_those_before_1970_too(second: NDArray[np.float64]) -> None:
    assert by_time(second).tolist() == np.argsort(second, kind="stable").tolist()


@given(st.integers(1, 9), st.integers(0, 50), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_codes_ascend_and_equal_ones_stay_as_they_came(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, order = rng.integers(0, count, size), rng.permutation(size)
    expected = order[np.argsort(codes[order], kind="stable")]
    assert dealt(order, codes, count).tolist() == expected.tolist()
