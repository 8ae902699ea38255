"""What accounts share behind the scenes, held against counts of pairs."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.digests import DAY, START, accounts_of, columns_of, population_of

from stillwatch.cohorts.linkage import (
    BORN_BIN,
    COLUMN,
    FIGURES,
    FRESH,
    KINDS,
    attributes,
    chance,
    coded,
    link,
    usual_values,
)

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray


def linked(
    values: NDArray[np.uint64],
    streams: list[list[int]],
    *,
    verified: NDArray[np.bool_] | None = None,
    created: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    count = values.shape[1]
    figures = np.empty((len(streams), len(FIGURES)))
    bearers = np.array([account for stream in streams for account in stream], np.int32)
    bounds = np.r_[0, np.cumsum([len(stream) for stream in streams])].astype(np.int64)
    link(
        bearers, bounds, coded(values), chance(values),
        np.zeros(count, np.bool_) if verified is None else verified,
        np.full(count, np.nan) if created is None else created,
        np.full(count, START), figures,
    )  # fmt: skip
    return figures


def figure(line: NDArray[np.float64], name: str) -> float:
    return float(line[COLUMN[name]])


def agreeing(values: list[int]) -> int:
    return sum(one == other for one, other in combinations(values, 2))


@st.composite
def attributed(draw: st.DrawFn) -> tuple[NDArray[np.uint64], list[int]]:
    count = draw(st.integers(2, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = [rng.integers(0, draw(st.sampled_from([1, 2, 4, 100])) + 1, count) for _ in KINDS]
    stream = sorted(draw(st.sets(st.integers(0, count - 1), min_size=1)))
    return np.stack(kinds).astype(np.uint64), stream


@given(attributed())
@settings(max_examples=100, deadline=None)
def test_every_figure_is_what_its_definition_says(made: tuple[NDArray[np.uint64], list[int]]) -> None:
    values, stream = made
    line = linked(values, [stream])[0]
    for kind, name in enumerate(KINDS):
        everyone = [value for value in values[kind].tolist() if value]
        own = [value for value in values[kind, stream].tolist() if value]
        assert figure(line, f"{name}_told") == pytest.approx(len(own) / len(stream))
        base = (agreeing(everyone) + 1) / (math.comb(len(everyone), 2) + 1) if len(everyone) > 1 else 1.0
        if len(own) < 2:
            assert math.isnan(figure(line, f"{name}_lift"))
            assert math.isnan(figure(line, f"{name}_lead"))
            continue
        rate = (agreeing(own) + base) / (math.comb(len(own), 2) + 1)
        assert figure(line, f"{name}_lift") == pytest.approx(math.log2(rate / base))
        assert figure(line, f"{name}_lead") == pytest.approx(Counter(own).most_common(1)[0][1] / len(stream))


@given(attributed(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_renumbering_accounts_changes_nothing(
    made: tuple[NDArray[np.uint64], list[int]], shuffler: random.Random
) -> None:
    values, stream = made
    numbers = list(range(values.shape[1]))
    shuffler.shuffle(numbers)
    moved = np.empty_like(values)
    moved[:, numbers] = values
    np.testing.assert_allclose(linked(values, [stream]), linked(moved, [sorted(numbers[one] for one in stream)]))


def test_streams_are_linked_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, (len(KINDS), 40)).astype(np.uint64)
    streams = [list(range(10)), list(range(5, 30)), [39]]
    together = linked(values, streams)
    np.testing.assert_array_equal(together, np.concatenate([linked(values, [stream]) for stream in streams]))


def test_what_nobody_told_is_not_known() -> None:
    line = linked(np.zeros((len(KINDS), 6), np.uint64), [list(range(6))])[0]
    for name in KINDS:
        assert math.isnan(figure(line, f"{name}_lift"))
        assert figure(line, f"{name}_told") == 0
    assert math.isnan(figure(line, "fresh"))
    assert figure(line, "unverified") == 1


def test_one_shared_card_among_few_is_no_burst() -> None:
    values = np.zeros((len(KINDS), 2000), np.uint64)
    values[0] = np.arange(1, 2001)
    values[0, 1] = 1  # one pair in the whole log
    one_pair = figure(linked(values, [[0, 1, 2, 3, 4, 5]])[0], "card_lift")
    values[0, :60] = np.arange(60) // 10 + 1
    stack = figure(linked(values, [list(range(60))])[0], "card_lift")
    assert stack > 6
    assert one_pair > stack  # a pair where the log has one is rarer than a stack where the log has many
    assert 2**one_pair < math.comb(2000, 2)


def test_freshness_is_counted_from_sign_up_to_the_first_request() -> None:
    values = np.zeros((len(KINDS), 4), np.uint64)
    created = np.array([START - FRESH / 2, START - 2 * FRESH, np.nan, START])
    line = linked(values, [[0, 1, 2, 3]], created=created, verified=np.array([True, False, False, False]))[0]
    assert figure(line, "fresh") == pytest.approx(2 / 3)
    assert figure(line, "unverified") == pytest.approx(3 / 4)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_the_usual_value_is_the_most_frequent_one_that_is_told(networks: list[list[int]]) -> None:
    account = [who for who, own in enumerate(networks) for _ in own]
    flat = [value for own in networks for value in own]
    population = population_of(columns_of(account, START + np.arange(len(flat)), network=flat))
    for who, usual in enumerate(usual_values(population, "network").tolist()):
        told = Counter(value for value in networks[who] if value)
        assert usual == (min(told, key=lambda value: (-told[value], value)) if told else 0)


def test_attributes_stand_in_the_order_of_kinds() -> None:
    columns = columns_of([0, 0, 1], [START, START + 1, START], network=[7, 7, 8], client=[5, 5, 5])
    known = accounts_of(
        2, card=[1, 2], mail=[3, 0], organization=[0, 4], country=[6, 6], created=[BORN_BIN * 10 + 5, np.nan]
    )
    values = dict(zip(KINDS, attributes(population_of(columns, known)).tolist(), strict=True))
    assert values == {
        "card": [1, 2], "mail": [3, 0], "born": [11, 0], "organization": [0, 4], "network": [7, 8], "client": [5, 5],
        "country": [6, 6],
    }  # fmt: skip


def test_accounts_born_in_one_day_agree_by_the_six_hours() -> None:
    created = START + np.arange(4) * DAY / 4
    columns = columns_of(np.arange(4), np.full(4, START))
    born = attributes(population_of(columns, accounts_of(4, created=created)))[KINDS.index("born")]
    assert len(set(born.tolist())) == 4
