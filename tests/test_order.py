"""Orders of rows are those of the textbook's stable sort, whatever the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from stillwatch.marks.order import ascending, by_code_and_time

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
    order = by_code_and_time(np.zeros(len(second), np.int32), second, 1)
    assert order.tolist() == np.argsort(second, kind="stable").tolist()


@given(st.integers(1, 9), st.integers(0, 1500), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_codes_ascend_and_inside_them_times_and_equal_ones_stay_in_order(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, second = rng.integers(0, count, size), rng.integers(-3, 9, size).astype(np.float64)
    assert by_code_and_time(codes, second, count).tolist() == np.lexsort((second, codes)).tolist()
