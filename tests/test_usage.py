"""Usage held against the plan: ranks by counting, whoever is numbered how."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.digests import accounts_of, columns_of, population_of

from stillwatch.cohorts.survey import Surveyor
from stillwatch.cohorts.usage import DAY, usage

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

Exchanges = list[tuple[float, int]]  # second and tokens, in order of time


class Log(NamedTuple):
    """Every account's plan and exchanges."""

    plans: list[int]
    sent: list[Exchanges]


def ranked(log: Log) -> NDArray[np.float64]:
    flat = [one for own in log.sent for one in own]
    return usage(
        np.array(log.plans, np.uint64),
        np.array([tokens for _, tokens in flat], np.float64),
        np.array([second for second, _ in flat], np.float64),
        np.r_[0, np.cumsum([len(own) for own in log.sent])].astype(np.int64),
    )


def rate(own: Exchanges) -> float:
    """Tokens a day, where one day is given to all for the requests before and after those that the log has."""
    return sum(tokens for _, tokens in own) / (1.0 + (own[-1][0] - own[0][0]) / DAY)


def reference(log: Log) -> list[float]:
    """Share of the accounts on one's plan, oneself among them, that use less; ties count half."""
    if not any(tokens for own in log.sent for _, tokens in own):
        return [math.nan] * len(log.plans)
    rates = [rate(own) for own in log.sent]
    found = []
    for plan, mine in zip(log.plans, rates, strict=True):
        others = [rate for other, rate in zip(log.plans, rates, strict=True) if other == plan]
        below = sum(other < mine for other in others) + sum(other == mine for other in others) / 2
        found.append(below / len(others) if plan else math.nan)
    return found


TIMES = st.sampled_from([0.0, 600.0, DAY / 2, DAY, 7 * DAY])
OWN = st.lists(st.tuples(TIMES, st.integers(0, 3)), min_size=1, max_size=4).map(sorted)
LOGS = st.lists(st.tuples(st.integers(0, 3), OWN), max_size=25).map(
    lambda accounts: Log([plan for plan, _ in accounts], [own for _, own in accounts])
)


@given(LOGS)
@settings(max_examples=200, deadline=None)
def test_usage_is_the_middle_rank_among_the_accounts_on_the_same_plan(log: Log) -> None:
    np.testing.assert_allclose(ranked(log), reference(log), atol=1e-6)  # ranks are rounded


@given(LOGS, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_renumbering_accounts_moves_their_ranks_with_them(log: Log, shuffler: random.Random) -> None:
    order = list(range(len(log.plans)))
    shuffler.shuffle(order)
    moved = Log([log.plans[one] for one in order], [log.sent[one] for one in order])
    np.testing.assert_array_equal(ranked(moved), ranked(log)[order])


@given(LOGS)
@settings(max_examples=100, deadline=None)
def test_ranks_lie_inside_and_every_plan_has_one_half_on_average(log: Log) -> None:
    found, plans = ranked(log), np.array(log.plans)
    if np.isnan(found).all():
        return
    for plan in {plan for plan in log.plans if plan}:
        own = found[plans == plan]
        assert ((own > 0) & (own < 1)).all()
        assert own.mean() == pytest.approx(0.5)


def test_whose_plan_is_not_told_has_no_rank_and_takes_none() -> None:
    alone = Log([1, 1], [[(0.0, 5)], [(0.0, 9)]])
    beside = Log([1, 0, 1], [[(0.0, 5)], [(0.0, 7)], [(0.0, 9)]])
    assert ranked(alone).tolist() == [0.25, 0.75]
    np.testing.assert_array_equal(ranked(beside), [0.25, math.nan, 0.75])


def test_a_log_that_counts_no_tokens_ranks_nobody() -> None:
    assert np.isnan(ranked(Log([1, 1], [[(0.0, 0), (5.0, 0)], [(0.0, 0)]]))).all()
    assert ranked(Log([], [])).tolist() == []


def test_who_uses_as_much_ranks_the_same() -> None:
    same = Log([1, 1, 1, 2], [[(0.0, 5)], [(9 * DAY, 5)], [(0.0, 2), (1.0, 3)], [(0.0, 999)]])
    assert ranked(same)[:2].tolist() == pytest.approx([2 / 3, 2 / 3])  # nor does it matter when
    assert ranked(same)[2] == pytest.approx(1 / 6)  # a second longer for as many tokens
    assert ranked(same)[3] == 0.5  # alone on its plan


def test_what_is_used_is_told_by_the_day() -> None:
    in_a_day, in_a_week = [(0.0, 50), (600.0, 50)], [(0.0, 100), (7 * DAY, 100)]
    assert ranked(Log([1, 1], [in_a_day, in_a_week])).tolist() == [0.75, 0.25]


def test_a_survey_ranks_by_the_tokens_of_both_ways() -> None:
    account = np.repeat([0, 1, 2], 3)
    columns = columns_of(account, np.arange(9.0), input_tokens=np.repeat([5, 1, 1], 3), output_tokens=account)
    surveyor = Surveyor(population_of(columns, accounts_of(3, tier=7)))
    rows, ends = np.arange(9), np.array([0, 3, 6, 9])
    figures = surveyor.measure(rows, ends, np.arange(3, dtype=np.int32), np.arange(4))
    assert figures["usage"].tolist() == [pytest.approx(5 / 6), pytest.approx(1 / 6), pytest.approx(1 / 2)]
