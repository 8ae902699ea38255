from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stillwatch.errors import UsageError
from stillwatch.lineage.e_values import calibrated, mean, product, soft_rank
from stillwatch.lineage.exact import (
    binomial,
    holm,
    poisson_binomial,
    share_interval,
    sign_power,
    sign_test,
    two_sided,
    upper_tail,
)

P = st.floats(0.0, 1.0)


@given(st.integers(0, 300), st.sampled_from([0.0, 1.0]) | st.floats(1e-6, 1.0 - 1e-6))
@settings(max_examples=50, deadline=None)
def test_binomial_is_scipys(trials: int, chance: float) -> None:
    assert binomial(trials, chance) == pytest.approx(stats.binom.pmf(np.arange(trials + 1), trials, chance), abs=1e-11)


@given(st.integers(1, 60))
@settings(deadline=None)
def test_p_values_of_the_sign_test_are_super_uniform(pairs: int) -> None:
    mass = binomial(pairs, 0.5)
    one = [sign_test(more, pairs - more) for more in range(pairs + 1)]
    two = [two_sided(more, pairs - more) for more in range(pairs + 1)]
    for values in (one, two):
        for level in values:
            assert sum(m for m, p in zip(mass, values, strict=True) if p <= level) <= level * (1 + 1e-9)


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=25))
@settings(deadline=None)
def test_p_values_of_unlike_chances_are_super_uniform(chances: list[float]) -> None:
    mass = poisson_binomial(chances)
    assert math.isclose(mass.sum(), 1.0)
    for hits in range(len(chances) + 1):
        level = upper_tail(mass, hits)
        assert mass[hits:].sum() <= level * (1 + 1e-9)


def test_equal_chances_are_binomial() -> None:
    assert poisson_binomial([0.3] * 40) == pytest.approx(binomial(40, 0.3))


@given(st.integers(0, 80), st.integers(0, 80), st.sampled_from([0.9, 0.98]))
@settings(max_examples=40, deadline=None)
def test_intervals_of_shares_are_scipys(hits: int, misses: int, confidence: float) -> None:
    if hits + misses:
        ours = share_interval(hits, hits + misses, confidence)
        theirs = stats.binomtest(hits, hits + misses).proportion_ci(confidence, method="exact")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


@given(st.lists(P, min_size=1, max_size=12), st.randoms())
def test_holm_lies_between_the_p_values_and_bonferroni_and_follows_them(values: list[float], chance: object) -> None:
    adjusted = holm(values)
    for p, after in zip(values, adjusted, strict=True):
        assert p <= after <= min(1.0, p * len(values)) or math.isclose(after, min(1.0, p * len(values)))
    order = sorted(range(len(values)), key=lambda at: values[at])
    assert [adjusted[at] for at in order] == sorted(adjusted)
    shuffled = list(range(len(values)))
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert holm([values[at] for at in shuffled]) == pytest.approx([adjusted[at] for at in shuffled])


@given(st.lists(P, min_size=1, max_size=8))
def test_equal_weights_are_no_weights(values: list[float]) -> None:
    assert holm(values, [0.25] * len(values)) == pytest.approx(holm(values))


def test_weighted_holm_keeps_the_family_wise_error() -> None:
    rng = np.random.default_rng(3)
    weights = [0.9, 0.02, 0.02, 0.02, 0.02, 0.02]
    false = sum(min(holm(list(rng.random(6)), weights)) <= 0.05 for _ in range(8000))
    assert stats.binomtest(false, 8000, 0.05, alternative="greater").pvalue > 0.001


def test_weights_must_be_positive() -> None:
    with pytest.raises(UsageError, match="weight"):
        holm([0.1, 0.2], [1.0, 0.0])


def test_power_is_what_simulation_shows() -> None:
    rng = np.random.default_rng(5)
    claimed = sign_power(200, 0.13, 0.03, 0.01)
    cells = rng.multinomial(200, [0.13, 0.03, 0.84], size=4000)
    shown = sum(sign_test(int(lost), int(gained)) <= 0.01 for lost, gained, _ in cells)
    assert stats.binomtest(shown, 4000, claimed).pvalue > 0.001


@given(st.floats(1e-6, 0.2))
def test_power_grows_with_pairs(loss: float) -> None:
    assert sign_power(50, loss + 0.02, 0.02, 0.01) <= sign_power(400, loss + 0.02, 0.02, 0.01) + 0.02


def test_calibrated_p_values_have_a_mean_of_one() -> None:
    # the mean over uniform p, by quantiles; the heavy tail below the least of them can only be missing
    p = (np.arange(200_000) + 0.5) / 200_000
    assert 0.85 < float(np.mean([calibrated(float(each)) for each in p])) <= 1.0
    assert calibrated(1.0) == pytest.approx(0.5)
    assert calibrated(1e-4) > calibrated(1e-3) > calibrated(0.5)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_soft_ranks_of_exchangeable_scores_have_a_mean_of_one(scores: list[float]) -> None:
    ranks = [soft_rank(score, scores[:at] + scores[at + 1 :]) for at, score in enumerate(scores)]
    assert sum(ranks) / len(ranks) == pytest.approx(1.0)
    assert max(ranks) <= len(scores) + 1e-9


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=9))
def test_the_mean_lies_among_its_e_values(values: list[float]) -> None:
    assert min(values) * (1 - 1e-9) <= mean(values) <= max(values) * (1 + 1e-9)
    assert product([1.0, *values]) == pytest.approx(product(values))
