"""The baseline: what is ranked against what, and how the bits of a stream come together."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.cohorts import linkage, measures
from stillwatch.cohorts.survey import Figures, Survey
from stillwatch.stats import bits_of
from stillwatch.verdicts.baseline import SPREAD, Baseline, Scores, best_by_cohort, fit
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.innocent import explains
from stillwatch.verdicts.signals import BY_ID, SIGNALS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from stillwatch.verdicts.signals.signal import Signal

COHORTS = 2000
WANTS = ("reasoning", "rubric", "cleaning", "tools", "synthesis")
ALTERNATIVES = [place for place, signal in enumerate(SIGNALS) if signal.alternative]


def figures_of(count: int, **known: ArrayLike) -> Figures:
    """Lines of figures of which only these are known."""
    made = Figures(np.full((count, len(measures.MEASURES)), np.nan), np.full((count, len(linkage.FIGURES)), np.nan))
    customers = dict.fromkeys(("customers", *(f"{kind}_customers" for kind in linkage.POOLED)), 40)
    for name, values in {"exchanges": 1000, "accounts": 40, **customers, **known}.items():
        made[name][:] = values
    return made


def surveyed(figures: Figures) -> Survey:
    """Streams of one account each, none a view of another."""
    every = np.arange(len(figures))
    return Survey(
        every.astype(np.int16) * 0, ("opening",), every.astype(np.uint64), figures, every.astype(np.int32),
        np.arange(len(figures) + 1), every, np.zeros(figures.linked.shape, np.bool_),
    )  # fmt: skip


def name(cohorts: int) -> str:
    return f"{cohorts} cohorts"


@cache
def town() -> Survey:
    """2,000 ordinary streams: mild wants, follow-ups; every fourth is one customer's, who shares what others do not."""
    rng = np.random.default_rng(0)
    customer = np.arange(COHORTS) % 4 == 0
    return surveyed(
        figures_of(
            COHORTS,
            **{f"wants_{want}": rng.beta(2, 12, COHORTS) for want in WANTS},
            followed=rng.uniform(0.2, 0.9, COHORTS),
            exchangeability=rng.uniform(0.02, 0.2, COHORTS),
            exchangeability_error=0.001,
            card_lead=np.where(customer, 1.0, 0.1),
            card_pooled=np.where(customer, 0.9, rng.uniform(0, 0.1, COHORTS)),
        )
    )


@cache
def baseline() -> Baseline:
    return fit(town(), name=name)


def bits(figures: Figures, signal: str) -> float:
    return float(baseline().score(figures).signals[0, [one.id for one in SIGNALS].index(signal)])


ORDINARY = dict.fromkeys((f"wants_{want}" for want in WANTS), 0.1)

# ---- what is ranked against what


@pytest.mark.parametrize("one", SIGNALS, ids=lambda one: str(one.id))
def test_what_an_explanation_takes_away_is_no_measure_of_guilt(one: Signal) -> None:
    if not np.isfinite(one.guilt(town().figures)).any():
        assert baseline().guilt[one.id][0].total == 0
        return
    taken = explains(town().figures)[:, list(Family).index(one.family)]
    assert taken.sum() == (COHORTS // 4 if one.family in {Family.DEALING, Family.LINKAGE} else 0)
    assert baseline().guilt[one.id][0].total == pytest.approx(COHORTS - taken.sum())
    assert baseline().innocence[one.id][0].total == pytest.approx(COHORTS)


def test_customers_who_share_in_the_open_do_not_hide_those_who_share_in_secret() -> None:
    ring = figures_of(1, card_pooled=0.8, card_lead=0.2)
    assert bits(ring, "shared-cards") > 4  # one in four of the town share more, each of them one customer's


def test_a_baseline_without_a_family_is_fitted_without_it() -> None:
    off = frozenset({Family.ASKING.value, "shared-cards"})
    fitted = fit(town(), name=name, without=off)
    strengths = fitted.score(town().figures, off).strength
    expected = np.sort(best_by_cohort(strengths, town().leader, np.ones(COHORTS, np.bool_)))
    np.testing.assert_allclose(fitted.strengths.scores, expected)
    assert not np.allclose(fitted.strengths.scores, baseline().strengths.scores)
    for side in ("guilt", "innocence"):  # each signal's own ranking does not depend on the others
        for signal in SIGNALS:
            own, whole = (getattr(made, side)[signal.id][0] for made in (fitted, baseline()))
            np.testing.assert_array_equal(own.scores, whole.scores)


# ---- alternatives


def test_one_want_of_five_gives_its_bits_less_what_looking_for_each_costs() -> None:
    figures = figures_of(1, **{**ORDINARY, "wants_rubric": 0.9})
    one = BY_ID["rubric-work"]
    alone = min(float(bits_of(baseline().guilt[one.id][0].p_values(one.guilt(figures)))[0]), one.most)
    assert alone > 4
    assert bits(figures, one.id) == pytest.approx(np.log2(1 + (2**alone - 1) / 5), abs=0.05)


def test_all_wants_together_give_no_more_than_one_signal_may() -> None:
    every = figures_of(1, **dict.fromkeys(ORDINARY, 0.95))
    scores = baseline().score(every).signals[0, ALTERNATIVES]
    assert len(scores) == len(WANTS)
    assert scores == pytest.approx(np.full(5, scores.mean()), abs=0.2)
    assert 4 < scores.sum() <= BY_ID["rubric-work"].most
    assert scores.sum() > bits(figures_of(1, **{**ORDINARY, "wants_rubric": 0.95}), "rubric-work")


def test_what_is_not_wanted_or_not_shared_speaks_against_nobody() -> None:
    scores = baseline().score(town().figures)
    for place, signal in enumerate(SIGNALS):
        if signal.family in {Family.ASKING, Family.LINKAGE}:
            assert (scores.signals[:, place] >= 0).all(), signal.id


# ---- when wording counts


@pytest.mark.parametrize(
    ("known", "counts"),
    [
        ({"followed": 0.5}, False),
        ({}, False),  # the log cannot tell
        ({"followed": 0.0}, True),
        ({"exchangeability": 0.0, "exchangeability_error": 0.001, "followed": 0.5}, True),
    ],
    ids=["people come back", "not known", "nobody comes back", "prompts are dealt"],
)
def test_wording_is_evidence_of_content_only_with_a_sign_that_needs_none(known: dict[str, float], counts: bool) -> None:
    figures = figures_of(1, **{**dict.fromkeys(ORDINARY, 0.95), **known})
    scores = baseline().score(figures)
    asking, work = scores.family(Family.ASKING)[0], scores.family(Family.WORK)[0]
    assert asking > 4 > SPREAD
    assert scores.content[0] == (max(asking, work) if counts else 0)


def test_that_nobody_comes_back_gives_one_bit_at_most_and_no_side_by_itself() -> None:
    figures = figures_of(1, **ORDINARY, followed=0.0)
    assert bits(figures, "no-follow-up") == 1.0
    assert baseline().score(figures).content[0] < 3


def strength_of(families: list[float], *, answered: bool) -> float:
    signals = np.zeros((1, len(SIGNALS)))
    signals[0, [one.id for one in SIGNALS].index("no-follow-up")] = 0.0 if answered else SPREAD
    bits = np.array([families])
    return float(Scores(signals, bits, np.zeros_like(bits), bits.sum(axis=1)).strength[0])


@given(st.lists(st.floats(-8, 10), min_size=5, max_size=5), st.booleans(), st.integers(0, 4), st.floats(0, 5))
@settings(max_examples=200, deadline=None)
def test_more_evidence_never_weakens_and_one_side_never_stands_for_both(
    bits: list[float], answered: bool, place: int, more: float
) -> None:
    before = strength_of(bits, answered=answered)
    assert before <= sum(bits) + 1e-9
    raised = [*bits[:place], bits[place] + more, *bits[place + 1 :]]
    assert strength_of(raised, answered=answered) >= before - 1e-9
    one_sided = [10.0, 6.0, 0.0, 0.0, bits[4]]
    assert strength_of(one_sided, answered=answered) == pytest.approx(bits[4])
