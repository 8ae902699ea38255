"""Who belongs: a fleet keeps its own, an innocent bearer of its mark is put out, and numbers do not matter."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.digests import DAY, START, accounts_of, columns_of, population_of

from stillwatch.cohorts.members import (
    FOREIGN_CAP,
    HABITS,
    IDENTITIES,
    PRIOR,
    SAYS,
    SHARED_CAP,
    Profiles,
    belong,
    bits_beside,
    odds_of_outsiders,
    ordinary,
    passes,
    profile,
)
from stillwatch.cohorts.survey import Surveyor
from stillwatch.marks.digest import CONTINUED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population

PEOPLE, FLEET, COPIERS = 400, 30, 3
WHOLE = PEOPLE + FLEET
EACH = 40
BOUND = 3.0
STEP = np.uint64(0x9E3779B97F4A7C15)
FLEET_ACCOUNTS = np.arange(PEOPLE, WHOLE, dtype=np.int32)
STREAM = np.r_[np.arange(COPIERS), FLEET_ACCOUNTS].astype(np.int32)
"""Bearers of the fleet's template: the fleet, and three people who copied it."""


def town(numbers: NDArray[np.int64]) -> Population:
    """400 people with a client, a network and hours each of their own; 30 accounts of a fleet. `numbers` renumbers."""
    rng = np.random.default_rng(6)
    account = np.repeat(np.arange(WHOLE), EACH)
    fleet = account >= PEOPLE
    home = rng.integers(6, 22, WHOLE) * 3600.0
    sitting = rng.integers(0, 6, len(account)) * DAY + home[account] + rng.exponential(1500, len(account))
    steady = np.arange(len(account)) % EACH * 6 * DAY / EACH + rng.uniform(0, 900, len(account))
    client = rng.zipf(1.7, WHOLE) % 50 + 1
    client[PEOPLE:] = 777
    network = np.arange(1, WHOLE + 1)
    network[PEOPLE:] = 9000 + np.arange(FLEET) % 4
    columns = columns_of(
        numbers[account], START + np.where(fleet, steady, sitting),
        client=client[account].astype(np.uint64) * STEP,
        network=network[account].astype(np.uint64) * STEP,
        parameters=np.where(fleet, 5, account % 3 + 1),
        flags=np.where(fleet, 0, CONTINUED * (rng.random(len(account)) < 0.4)),
        output_tokens=np.where(fleet, rng.normal(1500, 80, len(account)), rng.lognormal(5, 1, len(account))),
        input_tokens=np.where(fleet, 200, rng.lognormal(4, 1, len(account))),
        turns=np.where(fleet, 1, rng.integers(1, 9, len(account))),
    )  # fmt: skip
    card = np.empty(WHOLE, np.uint64)
    card[numbers] = np.where(np.arange(WHOLE) < PEOPLE, np.arange(1, WHOLE + 1), 5000 + np.arange(WHOLE) % 5)
    return population_of(columns, accounts_of(WHOLE, card=card))


@cache
def profiles() -> Profiles:
    population = town(np.arange(WHOLE))
    return profile(population, Surveyor(population))


def nobody() -> NDArray[np.bool_]:
    return np.zeros(WHOLE, np.bool_)


def test_the_fleet_stays_and_those_who_copied_its_template_are_put_out() -> None:
    membership = belong(ordinary(profiles(), nobody()), STREAM, BOUND)
    assert membership.accounts[membership.kept].tolist() == FLEET_ACCOUNTS.tolist()
    assert (membership.bits[:COPIERS] < 0).all()
    assert (membership.bits[COPIERS:] > 2 * BOUND).all()


def test_one_copier_among_the_fleet_and_one_of_the_fleet_among_people() -> None:
    for place in range(COPIERS):
        membership = belong(ordinary(profiles(), nobody()), np.r_[np.int32(place), FLEET_ACCOUNTS], BOUND)
        assert not membership.kept[0]
    people = np.r_[np.arange(40), PEOPLE].astype(np.int32)
    membership = belong(ordinary(profiles(), nobody()), people, BOUND)
    assert membership.kept.sum() <= 4  # people who share a mark and nothing else are no cohort


def test_bits_are_the_sum_of_capped_parts_that_all_have_words() -> None:
    membership = belong(ordinary(profiles(), nobody()), STREAM, BOUND)
    assert membership.parts.shape == (len(STREAM), len(IDENTITIES) + len(HABITS))
    assert (membership.parts <= SHARED_CAP).all()
    assert (membership.parts >= -FOREIGN_CAP).all()
    np.testing.assert_allclose(membership.bits, membership.parts.sum(axis=1))
    assert np.isfinite(membership.bits).all()
    assert set(SAYS) == set(profiles().names) == {*IDENTITIES, *HABITS}


def test_no_single_property_carries_an_account_in() -> None:
    membership = belong(ordinary(profiles(), nobody()), STREAM, BOUND)
    for place in range(len(profiles().names)):
        rest = membership.bits[membership.kept] - membership.parts[membership.kept, place]
        assert (rest >= BOUND).all()


def test_renumbering_accounts_moves_their_bits() -> None:
    numbers = np.random.default_rng(1).permutation(WHOLE)
    population = town(numbers)
    moved = profile(population, Surveyor(population))
    np.testing.assert_array_equal(moved.values[:, numbers], profiles().values)
    one = belong(ordinary(profiles(), nobody()), STREAM, BOUND)
    other = belong(ordinary(moved, nobody()), numbers[STREAM].astype(np.int32), BOUND)
    np.testing.assert_array_equal(one.kept, other.kept)
    np.testing.assert_allclose(one.bits, other.bits)


def test_the_order_of_accounts_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(len(STREAM))
    one = belong(ordinary(profiles(), nobody()), STREAM, BOUND)
    other = belong(ordinary(profiles(), nobody()), STREAM[order], BOUND)
    np.testing.assert_allclose(one.bits[order], other.bits)
    np.testing.assert_array_equal(one.kept[order], other.kept)


def test_a_property_that_nobody_tells_says_nothing() -> None:
    membership = belong(ordinary(profiles(), nobody()), STREAM, BOUND)
    for name in ("mail", "organization", "system"):
        assert not membership.parts[:, profiles().names.index(name)].any()


def test_an_account_beside_a_cohort_is_weighed_without_changing_it() -> None:
    half = FLEET_ACCOUNTS[: FLEET // 2]
    others = np.r_[np.arange(20), FLEET_ACCOUNTS[FLEET // 2 :]].astype(np.int32)
    bits, parts = bits_beside(ordinary(profiles(), nobody()), half, others)
    np.testing.assert_allclose(bits, parts.sum(axis=1))
    assert (bits[20:] >= BOUND).all()
    assert (bits[:20] < BOUND).all()
    alone = [float(bits_beside(ordinary(profiles(), nobody()), half, others[[place]])[0][0]) for place in (0, 25)]
    assert alone == pytest.approx([bits[0], bits[25]], abs=0.5)  # only the population's share moves a little


def test_accounts_found_before_do_not_count_as_ordinary() -> None:
    out = nobody()
    out[FLEET_ACCOUNTS[10:]] = True
    small = FLEET_ACCOUNTS[:10]
    with_them = belong(ordinary(profiles(), nobody()), small, BOUND).bits
    without_them = belong(ordinary(profiles(), out), small, BOUND).bits
    assert (without_them > with_them).all()


@pytest.mark.parametrize("bearers", [STREAM, FLEET_ACCOUNTS, FLEET_ACCOUNTS[:10]])
def test_of_nobody_outside_nothing_is_known_and_nobody_is_put_out(bearers: NDArray[np.int32]) -> None:
    out = ~np.isin(np.arange(WHOLE), bearers)
    membership = belong(ordinary(profiles(), out), bearers, BOUND)
    np.testing.assert_allclose(membership.parts, 0.0, atol=1e-12)
    assert membership.kept.all()


@pytest.mark.parametrize("outsiders", [0, 1, 3, 10, 40, PEOPLE - COPIERS])
def test_a_property_says_no_more_than_the_outsiders_can_show(outsiders: int) -> None:
    out = np.zeros(WHOLE, np.bool_)
    out[COPIERS + outsiders : PEOPLE] = True
    parts = belong(ordinary(profiles(), out), STREAM, BOUND).parts
    assert (parts <= np.log2((outsiders + PRIOR) / PRIOR) + 1e-12).all()


def test_from_a_few_outsiders_on_the_fleet_stays_and_copiers_are_put_out() -> None:
    for outsiders in (20, 60, 200):
        out = nobody()
        out[COPIERS + outsiders : PEOPLE] = True
        membership = belong(ordinary(profiles(), out), STREAM, BOUND)
        assert membership.accounts[membership.kept].tolist() == FLEET_ACCOUNTS.tolist()


def test_odds_are_even_at_most_and_fall_with_the_outsiders() -> None:
    odds = [odds_of_outsiders(FLEET, outsiders) for outsiders in (0, 1, 14, FLEET - 1, FLEET, WHOLE)]
    assert odds == sorted(odds)
    assert odds[0] == pytest.approx(-np.log2(FLEET))
    assert odds[2] == pytest.approx(-1.0)
    assert odds[3:] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("odds", "belongs"), [(0.0, False), (-1.0, False), (-4.0, True)])
def test_where_hardly_anybody_else_is_one_odd_property_is_a_members_own(odds: float, *, belongs: bool) -> None:
    parts = parts_of(mail=-3.0)
    parts[0, profiles().names.index("client")] = 0.0
    assert passes(profiles(), parts.sum(axis=1), parts, BOUND, odds).tolist() == [belongs]


def test_one_account_alone_has_no_bits() -> None:
    membership = belong(ordinary(profiles(), nobody()), STREAM[:1], BOUND)
    assert membership.bits.tolist() == [0.0]
    assert not membership.kept.any()


def parts_of(**known: float) -> NDArray[np.float64]:
    """One account whose habits all agree, and of whose identity this is known."""
    names = profiles().names
    parts = np.array([[SHARED_CAP if name in HABITS else known.get(name, 0.0) for name in names]])
    assert parts.sum() > 5 * BOUND
    return parts


@pytest.mark.parametrize(
    ("known", "belongs"),
    [
        ({}, True),  # nobody tells who it is
        ({"client": 2.0, "parameters": 2.0}, True),
        ({"client": -3.0, "card": 2.0, "network": 2.0}, True),  # a fleet may change its clients
        ({"client": 2.0, "parameters": 2.0, "mail": -2.5}, True),  # one odd mail domain
        ({"client": -3.0}, False),
        ({"client": -3.0, "parameters": 2.0}, False),
        # a company whose template and client were copied, with a card and a network of its own
        ({"client": 2.0, "parameters": 2.0, "network": -3.0, "card": -3.0, "organization": 2.0}, False),
    ],
)
def test_habits_and_what_can_be_copied_do_not_outweigh_who_an_account_is(
    known: dict[str, float], *, belongs: bool
) -> None:
    parts = parts_of(**known)
    assert passes(profiles(), parts.sum(axis=1), parts, BOUND).tolist() == [belongs]


def test_ordinary_accounts_are_counted_value_by_value_without_those_found_before() -> None:
    out = nobody()
    out[::3] = True
    for values, tally in zip(profiles().values, ordinary(profiles(), out).tallies, strict=True):
        left = values[~out]
        assert tally.counts.tolist() == np.bincount(left, minlength=len(tally.counts)).tolist()
        assert int((tally.sizes * tally.number).sum()) == int((left != 0).sum())
        assert int(tally.number.sum()) == len(tally.counts) - 1
