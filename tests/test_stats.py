from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.stats import Reference, any_of, bits_of, false_discovery_rates, proportion_margin

if TYPE_CHECKING:
    import random

P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40)
SCORES = st.lists(st.floats(-50, 50), min_size=1, max_size=60)


def ones(values: np.ndarray) -> np.ndarray:
    return np.ones(len(values))


# ---- bits


def test_bits_of_is_a_calibrator() -> None:
    # the mean of 2^bits over uniform p, by the midpoint rule on a grid that is fine where e is large
    edges = np.r_[0.0, np.logspace(-12, 0, 200_001)]
    middle = np.sqrt(np.maximum(edges[:-1], 1e-13) * edges[1:])
    mean = float((2.0 ** bits_of(middle) * np.diff(edges)).sum())
    assert 0.9 < mean <= 1.0 + 1e-6  # what lies below 1e-12 is given away


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_smaller_p_value_never_gives_fewer_bits(one: float, other: float) -> None:
    low, high = bits_of(np.array([min(one, other), max(one, other)]))
    assert low >= high - 1e-6
    assert np.isfinite([low, high]).all()


def test_bits_of_meets_its_formula_and_its_limit() -> None:
    p = np.array([1e-9, 1e-4, 0.05, 0.5, 0.99])
    expected = np.log2((1 - p + p * np.log(p)) / (p * np.log(p) ** 2))
    assert bits_of(p) == pytest.approx(expected, abs=1e-9)
    assert bits_of(np.array([1.0]))[0] == pytest.approx(-1.0)
    around = bits_of(np.array([0.999 - 1e-9, 0.999 + 1e-9]))  # where the series takes over
    assert around[0] == pytest.approx(around[1], abs=1e-5)


@pytest.mark.parametrize("bits", [1.0, 3.0, 6.0])
def test_so_many_bits_come_up_by_shufflerat_most_once_in_two_to_the_bits(bits: float) -> None:
    p = (np.arange(1_000_000) + 0.5) / 1_000_000
    assert (bits_of(p) >= bits).mean() <= 2.0**-bits


# ---- any of several


def rows_of_bits(cases: int, alternatives: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bits = rng.uniform(-8, 10, (cases, alternatives))
    bits[rng.random(bits.shape) < 0.2] = 0
    return bits


TABLES = st.builds(rows_of_bits, st.integers(0, 12), st.integers(1, 7), st.integers(0, 2**32 - 1))


@given(TABLES)
def test_any_of_is_the_mean_of_e_values_where_what_speaks_against_one_is_left_out(bits: np.ndarray) -> None:
    shared = any_of(bits)
    assert shared.shape == bits.shape
    for row, own in zip(shared, bits.tolist(), strict=True):
        surplus = [max(2.0**one - 1, 0.0) for one in own]
        mean = np.log2(1 + sum(surplus) / len(surplus))
        assert row.sum() == pytest.approx(mean)
        assert row == pytest.approx([mean * part / sum(surplus) if sum(surplus) else 0.0 for part in surplus])


@given(TABLES)
def test_any_of_gives_each_no_less_than_nothing_and_all_together_no_more_than_the_best(bits: np.ndarray) -> None:
    shared = any_of(bits)
    assert (shared >= 0).all()
    assert (shared[bits <= 0] == 0).all()
    best = np.maximum(bits.max(axis=1, initial=-np.inf), 0.0)
    assert (shared.sum(axis=1) <= best + 1e-9).all()
    assert (shared.sum(axis=1) >= best - np.log2(bits.shape[1]) - 1e-9).all()  # what looking for each of them costs


@given(TABLES, st.randoms(use_true_random=False))
def test_any_of_does_not_depend_on_the_order_of_cases_or_alternatives(
    bits: np.ndarray, shuffler: random.Random
) -> None:
    rows, columns = list(range(bits.shape[0])), list(range(bits.shape[1]))
    shuffler.shuffle(rows)
    shuffler.shuffle(columns)
    np.testing.assert_allclose(any_of(bits[np.ix_(rows, columns)]), any_of(bits)[np.ix_(rows, columns)], atol=1e-12)


def test_any_of_one_is_that_one_and_any_of_the_same_is_the_same() -> None:
    assert any_of(np.array([[3.0], [-2.0]])).tolist() == [[pytest.approx(3.0)], [0.0]]
    assert any_of(np.full((1, 4), 5.0)).sum() == pytest.approx(5.0)


def test_any_of_comes_up_by_chance_as_seldom_as_its_bits_say() -> None:
    rng = np.random.default_rng(2)
    one, alike = rng.random((200_000, 5)), np.repeat(rng.random((200_000, 1)), 5, axis=1)
    for p in (one, alike):  # whatever depends on what
        total = any_of(bits_of(p)).sum(axis=1)
        for bits in (1.0, 3.0, 6.0):
            assert (total >= bits).mean() <= 2.0**-bits


# ---- conformal p-values


@pytest.mark.parametrize("seed", range(3))
def test_conformal_p_values_are_never_too_small_under_exchangeability(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hits = np.zeros(4)
    levels = np.array([0.01, 0.05, 0.2, 0.5])
    for _ in range(3_000):
        scores = rng.normal(size=100)
        p = Reference.of(scores[:-1], ones(scores[:-1])).p_values(scores[-1:])
        hits += p[0] <= levels
    share = hits / 3_000
    error = np.sqrt(levels * (1 - levels) / 3_000)
    assert (share <= levels + 4 * error).all()
    assert (share >= levels - 4 * error - 0.011).all()  # and not needlessly large: the grid is 1 in 100


@given(SCORES, SCORES)
def test_conformal_p_values_are_counts(reference: list[float], asked: list[float]) -> None:
    known = np.array(reference)
    p = Reference.of(known, ones(known)).p_values(np.array(asked))
    expected = [(1 + sum(score >= one for score in reference)) / (1 + len(reference)) for one in asked]
    assert p == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 4)), min_size=1, max_size=30), st.floats(-6, 6))
def test_a_weight_of_two_counts_as_two_scores(weighted: list[tuple[float, int]], asked: float) -> None:
    scores = np.array([score for score, _ in weighted])
    weights = np.array([float(weight) for _, weight in weighted])
    repeated = np.repeat(scores, weights.astype(int))
    one = Reference.of(scores, weights).p_values(np.array([asked]))
    other = Reference.of(repeated, ones(repeated)).p_values(np.array([asked]))
    assert one == pytest.approx(other)


def test_ties_count_against_the_one_who_asks() -> None:
    reference = Reference.of(np.full(9, 2.0), np.ones(9))
    assert reference.p_values(np.array([2.0, 2.1, 1.9])) == pytest.approx([1.0, 0.1, 1.0])


def test_what_is_no_number_is_left_out_and_proves_nothing() -> None:
    scores = np.array([np.nan, 1.0, np.inf, 2.0, -np.inf])
    reference = Reference.of(scores, np.ones(5))
    assert reference.total == 2.0
    assert reference.p_values(np.array([np.nan, 3.0])) == pytest.approx([1.0, 1 / 3])
    assert reference.p_values(np.array([-np.inf]))[0] == 1.0


def test_an_empty_reference_says_nothing() -> None:
    nothing = Reference.of(np.empty(0), np.empty(0))
    asked = np.array([-1.0, 5.0, np.nan])
    assert nothing.p_values(asked).tolist() == [1.0, 1.0, 1.0]
    assert nothing.tail_p_values(asked).tolist() == [1.0, 1.0, 1.0]


# ---- tails


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200), st.lists(st.floats(-5, 200), min_size=2, max_size=20))
@settings(max_examples=60)
def test_tails_fall_with_the_score_and_never_exceed_the_conformal_value(
    reference: list[float], asked: list[float]
) -> None:
    made = Reference.of(np.array(reference), np.ones(len(reference)))
    scores = np.sort(np.array(asked))
    tails = made.tail_p_values(scores)
    assert (np.diff(tails) <= 1e-12).all()
    assert (tails <= made.p_values(scores) + 1e-12).all()
    assert (tails >= 0).all()
    inside = scores <= max(reference)
    assert tails[inside] == pytest.approx(made.p_values(scores)[inside])


@pytest.mark.parametrize("count", [0, 1, 5, 39])
def test_with_few_scores_there_is_no_tail(count: int) -> None:
    scores = np.arange(count, dtype=np.float64)
    made = Reference.of(scores, ones(scores))
    asked = np.array([-1.0, 3.0, 1e6])
    assert made.tail_p_values(asked).tolist() == made.p_values(asked).tolist()


def test_tails_of_an_exponential_are_about_right_beyond_the_sample() -> None:
    rng = np.random.default_rng(5)
    asked = np.array([12.0, 15.0])
    tails = [Reference.of(scores, ones(scores)).tail_p_values(asked) for scores in rng.exponential(size=(200, 1000))]
    # the mean is widened on purpose, so that the p-value is rather too large than too small
    assert (np.median(tails, axis=0) >= np.exp(-asked)).all()
    assert (np.median(tails, axis=0) <= 50 * np.exp(-asked)).all()


def test_a_score_that_is_no_number_has_no_tail() -> None:
    scores = np.arange(100.0)
    assert Reference.of(scores, ones(scores)).tail_p_values(np.array([np.nan]))[0] == 1.0


# ---- false discovery


def naive_q_values(p_values: list[float], tests: float) -> list[float]:
    made = []
    for one in p_values:
        larger = [other for other in p_values if other >= one]
        made.append(min(1.0, *(tests * other / sum(p <= other for p in p_values) for other in larger)))
    return made


@given(P_VALUES, st.sampled_from([None, 1.0, 100.0]))
def test_q_values_are_those_of_benjamini_and_hochberg(p_values: list[float], tests: float | None) -> None:
    q = false_discovery_rates(np.array(p_values), tests)
    assert q == pytest.approx(naive_q_values(p_values, max(tests or 0.0, len(p_values))))


@given(P_VALUES, st.randoms(use_true_random=False))
def test_q_values_do_not_depend_on_the_order(p_values: list[float], shuffler: random.Random) -> None:
    order = np.argsort([shuffler.random() for _ in p_values])
    values = np.array(p_values)
    assert false_discovery_rates(values)[order] == pytest.approx(false_discovery_rates(values[order]))


def test_no_tests_no_q_values() -> None:
    assert len(false_discovery_rates(np.empty(0))) == 0


# ---- margins


def test_a_share_of_few_trials_has_a_wide_margin_even_at_none_or_all() -> None:
    trials = np.array([0.0, 4.0, 100.0])
    for share in (0.0, 1.0):
        margin = proportion_margin(np.full(3, share), trials)
        assert margin[2] == pytest.approx(0.01)
        assert (np.diff(margin) <= 0).all()
        assert margin[1] == pytest.approx(0.25)


def test_a_share_in_the_middle_has_two_standard_errors() -> None:
    assert proportion_margin(np.array([0.3]), np.array([100.0]))[0] == pytest.approx(2 * np.sqrt(0.21 / 100))
