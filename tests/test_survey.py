"""The survey: one line a set of accounts, figures as if measured alone, views of one cohort under one leader."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from tests.digests import DAY, START, accounts_of, columns_of, population_of

from stillwatch.cohorts import habits, linkage
from stillwatch.cohorts.streams import STREAM_FAMILIES, family_streams
from stillwatch.cohorts.survey import WITHIN, Survey, Surveyor
from stillwatch.engine.local import populate_from
from stillwatch.exchanges.schema import EXCHANGE
from stillwatch.marks.digest import NEEDED
from stillwatch.simulate.scenario import load_scenario
from stillwatch.simulate.traffic import simulate

if TYPE_CHECKING:
    from stillwatch.cohorts.population import Population

STEP = 0x9E3779B97F4A7C15
OFFICE, FLEET = 40, 30
EACH = habits.LEAST - 1  # exchanges an account: too few for habits, so that only marks made here gather accounts
FLEET_OPENING, FLEET_CLIENT, OFFICE_NETWORK, COMMON_CLIENT, CARD = (
    np.uint64((place * STEP) % 2**64) for place in range(1, 6)
)


@cache
def village() -> Population:
    """40 people of an office and 30 accounts of a fleet, which pays with two cards for 15 accounts each."""
    rng = np.random.default_rng(0)
    account = np.repeat(np.arange(OFFICE + FLEET), EACH)
    fleet = account >= OFFICE
    columns = columns_of(
        account, START + rng.random(len(account)) * 5 * DAY,
        opening=np.where(fleet, FLEET_OPENING, np.uint64(0)),
        client=np.where(fleet, FLEET_CLIENT, COMMON_CLIENT),
        network=np.where(fleet, np.uint64(0), OFFICE_NETWORK),
        prompt=rng.integers(1, 2**63, len(account)).astype(np.uint64),
        output_tokens=rng.integers(1, 900, len(account)),
    )  # fmt: skip
    card = np.zeros(OFFICE + FLEET, np.uint64)
    card[OFFICE : OFFICE + 15] = CARD
    card[OFFICE + 15 :] = CARD ^ np.uint64(1)
    return population_of(columns, accounts_of(OFFICE + FLEET, card=card))


@cache
def surveyed() -> tuple[Surveyor, Survey]:
    surveyor = Surveyor(village())
    return surveyor, surveyor.survey()


def sets_of(survey: Survey) -> list[frozenset[int]]:
    return [frozenset(survey.accounts(stream).tolist()) for stream in range(len(survey))]


def test_streams_with_the_same_accounts_appear_once() -> None:
    _, survey = surveyed()
    sets = sets_of(survey)
    assert len(sets) == len(set(sets))
    every = {
        frozenset(found.bearers[found.bearer_bounds[place] : found.bearer_bounds[place + 1]].tolist())
        for found in (family_streams(village(), family) for family in STREAM_FAMILIES)
        for place in range(len(found.mark))
    }
    assert set(sets) == every
    assert {len(one) for one in sets} == {OFFICE, FLEET, 15}


def test_views_of_one_cohort_lie_under_one_leader_and_weigh_one_together() -> None:
    _, survey = surveyed()
    sets = sets_of(survey)
    for stream, own in enumerate(sets):
        leader = sets[int(survey.leader[stream])]
        assert len(own & leader) >= WITHIN * len(own)
        assert int(survey.leader[survey.leader[stream]]) == survey.leader[stream]
    assert {min(sets[leader]) for leader in survey.leader} == {0, OFFICE}  # the office and the fleet
    per_cohort = np.bincount(survey.leader, weights=survey.weight)
    np.testing.assert_allclose(per_cohort[np.unique(survey.leader)], 1.0)


def test_a_stream_of_the_survey_has_the_figures_it_has_alone() -> None:
    surveyor, survey = surveyed()
    for stream in range(len(survey)):
        family = survey.names[survey.family[stream]]
        rows = surveyor.rows(family, int(survey.mark[stream]))
        figures, accounts = surveyor.one(rows, family)
        assert accounts.tolist() == survey.accounts(stream).tolist()
        np.testing.assert_array_equal(figures.measured[0], survey.figures.measured[stream])
        np.testing.assert_array_equal(figures.linked[0], survey.figures.linked[stream])


def test_rows_of_a_mark_can_be_asked_for_some_accounts_only() -> None:
    surveyor, _ = surveyed()
    account = village().columns["account"].astype(int)
    among = np.zeros(OFFICE + FLEET, np.bool_)
    among[[3, OFFICE + 2, OFFICE + 20]] = True
    expected = np.flatnonzero(account == OFFICE + 2).tolist()
    assert surveyor.rows("card", int(CARD), among).tolist() == expected
    both = np.flatnonzero(np.isin(account, [OFFICE + 2, OFFICE + 20])).tolist()
    assert surveyor.rows("opening", int(FLEET_OPENING), among).tolist() == both
    assert surveyor.rows("opening", 12345).tolist() == surveyor.rows("card", 12345).tolist() == []


def test_picked_streams_count_how_many_of_some_accounts_they_hold() -> None:
    _, survey = surveyed()
    order = np.arange(len(survey))[::-1].copy()
    picked = survey.pick(order)
    some = np.zeros(OFFICE + FLEET, np.bool_)
    some[OFFICE - 3 : OFFICE + 5] = True
    for place, stream in enumerate(order.tolist()):
        own = survey.accounts(stream)
        assert picked.accounts(place).tolist() == own.tolist()
        assert picked.sizes[place] == len(own)
        assert picked.counts(some)[place] == some[own].sum()


def test_figures_are_read_by_name() -> None:
    _, survey = surveyed()
    exchanges = survey.figures["exchanges"]
    assert (exchanges == EACH * np.diff(survey.bounds)).all()
    # the fleet's accounts tell two cards and no network, so that each counts as a customer of its own
    assert np.nanmax(survey.figures["card_lead"]) == 1.0
    assert survey.figures["accounts"].tolist() == np.diff(survey.bounds).tolist()
    last = survey.figures.pick(np.array([len(survey) - 1]))
    assert len(last) == 1
    assert last["exchanges"][0] == exchanges[-1]


def test_a_log_without_streams_gives_an_empty_survey() -> None:
    for size in (0, 1, 30):
        population = population_of(columns_of(np.arange(size), START + np.arange(size)), accounts_of(size))
        survey = Surveyor(population).survey()
        assert len(survey) == len(survey.weight) == len(survey.figures) == 0
        assert survey.pick(np.empty(0, np.int64)).sizes.tolist() == []


def test_progress_is_told_family_by_family() -> None:
    told: list[int] = []
    Surveyor(village()).survey(told.append)
    assert told == list(range(1, len(STREAM_FAMILIES) + 1))


def test_renaming_accounts_and_shuffling_the_log_leave_every_stream_its_figures() -> None:
    made = simulate(load_scenario("tiny"), seed=2)
    exchanges = pa.table(
        [made.exchanges.column(name).cast(EXCHANGE.field(name).type) for name in NEEDED],
        schema=pa.schema([EXCHANGE.field(name) for name in NEEDED]),
    )
    rng = np.random.default_rng(0)
    names = made.accounts.column("account").to_pylist()
    renamed = dict(zip(names, [f"a-{place}" for place in rng.permutation(len(names))], strict=True))

    def under_new_names(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("account")
        new = pa.array([renamed[name] for name in table.column("account").to_pylist()])
        return table.set_column(place, table.schema.field("account"), new).take(
            pa.array(rng.permutation(table.num_rows))
        )

    def lines(log: pa.Table, known: pa.Table) -> dict[tuple[str, int], np.ndarray]:
        survey = Surveyor(populate_from(log.to_batches(max_chunksize=700), known)).survey()
        figures = np.concatenate([survey.figures.measured, survey.figures.linked], axis=1)
        keys = [(survey.names[family], int(mark)) for family, mark in zip(survey.family, survey.mark, strict=True)]
        return dict(zip(keys, figures, strict=True))

    before = lines(exchanges, made.accounts)
    after = lines(under_new_names(exchanges), under_new_names(made.accounts))
    assert set(before) == set(after)
    assert any(family == "relay" for family, _ in before)
    for key, figures in before.items():
        np.testing.assert_allclose(figures, after[key], rtol=1e-6, atol=1e-6, err_msg=str(key))


def test_the_number_of_threads_leaves_no_trace() -> None:
    one, other = (Surveyor(village()).survey(threads=threads) for threads in (1, 4))
    for name in ("family", "mark", "bearers", "bounds", "leader"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.figures.measured, other.figures.measured)


def harbour() -> Population:
    """60 strangers, and 60 accounts with everything in common: cards, mail, networks, addresses, hour of sign-up."""
    rng = np.random.default_rng(1)
    count, each = 120, 10
    shared = np.arange(count) < count // 2
    number = np.arange(count)
    own = np.where(shared, number % 2, number).astype(np.uint64) * np.uint64(STEP) + np.uint64(STEP)
    account = np.repeat(number, each)
    columns = columns_of(
        account, START + rng.random(len(account)) * 5 * DAY, network=own[account], address=own[account] ^ np.uint64(1),
        opening=np.where(shared, FLEET_OPENING, np.uint64(0))[account],
    )  # fmt: skip
    # pairs of networks and cards are not the same, so that those who share the one are different customers by the other
    card = np.where(shared, number // 2 % 2, number).astype(np.uint64) * np.uint64(STEP) + np.uint64(STEP)
    mail = np.where(shared, number // 4 % 2, number).astype(np.uint64) * np.uint64(STEP) + np.uint64(STEP)
    created = np.where(shared, START - DAY, START - (2 + number) * DAY)
    return population_of(columns, accounts_of(count, card=card, mail=mail, created=created))


def test_what_a_streams_mark_brings_is_blank_and_nothing_else_is() -> None:
    surveyor = Surveyor(harbour())
    shared = np.flatnonzero(surveyor.population.columns["account"].astype(int) < 60)
    whole = surveyor.one(shared, "opening")[0]
    every = {name for names in linkage.BROUGHT.values() for name in names}
    assert all(np.isfinite(whole[name]).all() for name in every)
    for family in STREAM_FAMILIES:
        figures = surveyor.one(shared, family)[0]
        for name in linkage.FIGURES:
            blank = name in linkage.BROUGHT.get(family, ())
            np.testing.assert_array_equal(figures[name], np.nan if blank else whole[name], err_msg=f"{family} {name}")
        np.testing.assert_array_equal(figures.measured, whole.measured)


def test_in_a_survey_too_what_a_mark_brings_is_blank() -> None:
    survey = Surveyor(harbour()).survey()
    families = {survey.names[family] for family in survey.family}
    assert {"opening", "address", "card", "mail"} <= families  # who shares a network shares an address here: one stream
    for stream, family in enumerate(survey.names[place] for place in survey.family):
        for name in linkage.BROUGHT.get(family, ()):
            assert np.isnan(survey.figures[name][stream]), (family, name)
    (opening,) = (stream for stream, place in enumerate(survey.family) if survey.names[place] == "opening")
    for name in {name for names in linkage.BROUGHT.values() for name in names}:
        assert np.isfinite(survey.figures[name][opening]), name
