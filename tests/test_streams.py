"""Streams against a dictionary of sets, and logs made to slow them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.digests import START, accounts_of, columns_of, population_of

from stillwatch.cohorts.streams import (
    LEAST_ACCOUNTS,
    LEAST_EXCHANGES,
    STREAM_FAMILIES,
    Streams,
    accounts_bearing,
    bearing,
    borne_by,
    family_streams,
)
from stillwatch.marks.families import ACCOUNT_MARKS, FAMILIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population

STEP = np.uint64(0x9E3779B97F4A7C15)
Gathered = dict[int, tuple[list[int], list[int]]]


def as_dictionary(found: Streams) -> Gathered:
    return {
        int(mark): (
            found.rows[found.bounds[place] : found.bounds[place + 1]].tolist(),
            found.bearers[found.bearer_bounds[place] : found.bearer_bounds[place + 1]].tolist(),
        )
        for place, mark in enumerate(found.mark)
    }


def rows_by_mark(population: Population, family: str) -> dict[int, set[int]]:
    if family in ACCOUNT_MARKS:
        own = population.account_mark(family)
        marks = own[population.columns["account"].astype(int)]
    else:
        marks = population.mark(family)
    rows: dict[int, set[int]] = {}
    for row, borne in enumerate(marks.reshape(population.exchanges, -1).tolist()):
        for mark in borne:
            if mark:
                rows.setdefault(mark, set()).add(row)
    return rows


def by_hand(population: Population, family: str) -> Gathered:
    account = population.columns["account"].tolist()
    return {
        mark: (sorted(own), sorted({account[row] for row in own}))
        for mark, own in rows_by_mark(population, family).items()
        if len(own) >= LEAST_EXCHANGES and len({account[row] for row in own}) >= LEAST_ACCOUNTS
    }


def some_population(seed: int, *, accounts: int = 30, size: int = 3000) -> Population:
    rng = np.random.default_rng(seed)

    def marks(variety: int, shape: tuple[int, ...] = (size,)) -> NDArray[np.uint64]:
        return rng.integers(0, variety, shape).astype(np.uint64) * STEP

    columns = columns_of(
        rng.integers(0, accounts, size), START + rng.random(size) * 9e5,
        prompt=marks(60), opening=marks(2), closing=marks(500), shape=marks(9), phrases=marks(40, (size, 3)),
        system=marks(1), client=marks(5), parameters=marks(3), address=marks(25), network=marks(12),
    )  # fmt: skip
    known = {name: rng.integers(0, 6, accounts).astype(np.uint64) * STEP for name in ("card", "mail", "organization")}
    return population_of(columns, accounts_of(accounts, created=START + rng.integers(0, 4, accounts) * 3600.0, **known))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_streams_of_every_family_are_those_of_a_dictionary_of_sets(seed: int) -> None:
    population = some_population(seed)
    named = set()
    for family in STREAM_FAMILIES:
        found = family_streams(population, family)
        assert as_dictionary(found) == by_hand(population, family), family
        if len(found.mark):
            named.add(found.family)
    assert set(STREAM_FAMILIES) == {family.name for family in FAMILIES}
    assert {"opening", "phrase", "harness", "card", "born"} <= named
    assert "system" not in named  # nobody had one


def test_equal_signatures_mean_equal_accounts() -> None:
    by_signature: dict[int, set[tuple[int, ...]]] = {}
    accounts: set[tuple[int, ...]] = set()
    population = some_population(4)
    for family in STREAM_FAMILIES:
        found = family_streams(population, family)
        for place, (_, bearers) in enumerate(as_dictionary(found).values()):
            by_signature.setdefault(int(found.signature[place]), set()).add(tuple(bearers))
            accounts.add(tuple(bearers))
    assert all(len(one) == 1 for one in by_signature.values())
    assert len(by_signature) == len(accounts) > 10


@pytest.mark.parametrize(
    ("accounts", "exchanges", "streams_found"),
    [
        (LEAST_ACCOUNTS, LEAST_EXCHANGES, 1),
        (LEAST_ACCOUNTS - 1, LEAST_EXCHANGES, 0),
        (LEAST_ACCOUNTS, LEAST_EXCHANGES - 1, 0),
    ],
)
def test_a_stream_needs_so_many_accounts_and_exchanges(accounts: int, exchanges: int, streams_found: int) -> None:
    population = population_of(columns_of(np.arange(exchanges) % accounts, START + np.arange(exchanges), client=STEP))
    assert len(family_streams(population, "client").mark) == streams_found


def test_a_phrase_that_comes_twice_in_one_prompt_counts_once() -> None:
    size = LEAST_EXCHANGES
    phrases = np.repeat(np.array([[STEP, STEP, STEP]]), size, axis=0)
    found = family_streams(
        population_of(columns_of(np.arange(size) % 9, START + np.arange(size), phrases=phrases)), "phrase"
    )
    assert as_dictionary(found)[int(STEP)][0] == list(range(size))
    half = phrases[: size - 1]
    few = columns_of(np.arange(size - 1) % 9, START + np.arange(size - 1), phrases=half)
    assert len(family_streams(population_of(few), "phrase").mark) == 0


# ---- some marks


@given(st.integers(0, 2**32 - 1), st.sampled_from(STREAM_FAMILIES), st.data())
@settings(max_examples=60, deadline=None)
def test_the_rows_of_any_marks_are_those_that_bear_them(seed: int, family: str, data: st.DataObject) -> None:
    population = some_population(seed % 5, size=600)
    every = rows_by_mark(population, family)
    known = st.sampled_from(sorted(every)) if every else st.nothing()
    # marks of the log in any order, 0 (which bears none), and such as nobody has
    chosen = data.draw(st.lists(known | st.integers(0, 2**64 - 1) | st.just(0), unique=True, max_size=12))
    rows, bounds = bearing(population, family, np.array(chosen, np.uint64))
    assert bounds.tolist()[0] == 0
    assert bounds[-1] == len(rows)
    found = [rows[start:end].tolist() for start, end in pairwise(bounds.tolist())]
    assert found == [sorted(every.get(mark, ())) for mark in chosen]


@given(st.integers(0, 2**32 - 1), st.sampled_from(STREAM_FAMILIES), st.data())
@settings(max_examples=60, deadline=None)
def test_what_some_accounts_bear_is_theirs_of_all_that_the_log_bears(
    seed: int, family: str, data: st.DataObject
) -> None:
    population = some_population(seed % 5, size=600)
    every = rows_by_mark(population, family)
    mark = data.draw((st.sampled_from(sorted(every)) if every else st.nothing()) | st.integers(0, 2**64 - 1))
    account = population.columns["account"].tolist()
    some = np.array(sorted(data.draw(st.sets(st.sampled_from(account)))), np.int64)
    rows = sorted(row for row in every.get(mark, ()) if account[row] in set(some.tolist()))
    assert borne_by(population, family, mark, some).tolist() == rows
    assert borne_by(population, family, 0, some).tolist() == []
    assert accounts_bearing(population, family, mark or 1) == len({account[row] for row in every.get(mark or 1, ())})


def test_all_marks_of_a_log_at_once_lie_on_its_rows_layer_by_layer() -> None:
    population = some_population(6)
    for family in ("phrase", "prompt", "card", "behaviour"):
        every = rows_by_mark(population, family)
        marks = np.array(list(every), np.uint64)
        rows, bounds = bearing(population, family, marks)
        found = [rows[start:end].tolist() for start, end in pairwise(bounds.tolist())]
        assert found == [sorted(own) for own in every.values()], family
    assert (population.mark("phrase")[:, 0] == population.mark("phrase")[:, 1]).any()  # some rows bear a mark twice
    assert len(rows_by_mark(population, "behaviour")) > 1  # of two layers, both of the account


def test_marks_whose_places_in_the_table_collide_are_told_apart() -> None:
    marks = np.arange(1, 400, dtype=np.uint64)
    own = np.random.default_rng(3).permutation(np.repeat(marks, 3))
    population = population_of(columns_of(np.arange(len(own)) % 7, START + np.arange(len(own)), prompt=own))
    rows, bounds = bearing(population, "prompt", marks)
    assert np.diff(bounds).tolist() == [3] * len(marks)
    assert population.mark("prompt")[rows].tolist() == np.repeat(marks, 3).tolist()


def test_a_log_without_rows_bears_nothing() -> None:
    population = population_of(columns_of(np.arange(0), np.arange(0)), accounts_of(0))
    for family in ("opening", "phrase", "card"):
        for marks in ([], [5, 6]):
            rows, bounds = bearing(population, family, np.array(marks, np.uint64))
            assert rows.tolist() == []
            assert bounds.tolist() == [0] * (len(marks) + 1)


# ---- logs made to slow the scan


def test_one_mark_on_every_row_is_one_stream() -> None:
    size = 200_000
    columns = columns_of(np.arange(size) % 1000, START + np.arange(size), opening=STEP, phrases=STEP)
    population = population_of(columns)
    for family in ("opening", "phrase"):
        found = family_streams(population, family)
        assert found.mark.tolist() == [int(STEP)]
        assert found.bounds.tolist() == [0, size]
        assert found.bearer_bounds.tolist() == [0, 1000]


def test_a_million_accounts_with_one_row_each() -> None:
    size = 1_000_000
    own = np.arange(1, size + 1, dtype=np.uint64) * STEP
    columns = columns_of(np.arange(size), START + np.arange(size) % 1000, prompt=own, client=STEP)
    population = population_of(columns, accounts_of(size))
    assert len(family_streams(population, "prompt").mark) == 0
    crowd = family_streams(population, "client")
    assert crowd.bearer_bounds.tolist() == [0, size]


def test_marks_that_fall_into_one_bucket_are_told_apart() -> None:
    size = 20_000
    rng = np.random.default_rng(2)
    account = rng.integers(0, 500, size)
    lone = (np.arange(1, size + 1, dtype=np.uint64)) << np.uint64(22)  # every prompt once, all in bucket 0
    lone[rng.choice(size, 300, replace=False)] = np.uint64(7) << np.uint64(40)
    population = population_of(columns_of(account, START + np.arange(size), prompt=lone))
    found = as_dictionary(family_streams(population, "prompt"))
    assert found == by_hand(population, "prompt")
    assert list(found) == [7 << 40]
