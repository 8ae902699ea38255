"""The survey: one line a set of accounts, figures as if measured alone, views of one cohort under one leader."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.digests import DAY, START, accounts_of, columns_of, population_of

from stillwatch.cohorts import habits, linkage
from stillwatch.cohorts.streams import STREAM_FAMILIES, family_streams
from stillwatch.cohorts.survey import WITHIN, Figures, Survey, Surveyor
from stillwatch.engine.local import populate_from
from stillwatch.exchanges.schema import EXCHANGE
from stillwatch.marks.digest import NEEDED
from stillwatch.simulate.scenario import load_scenario
from stillwatch.simulate.traffic import simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

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
    everybody = np.ones(OFFICE + FLEET, np.bool_)
    for stream in range(len(survey)):
        rows = surveyor.rows(survey.names[survey.family[stream]], int(survey.mark[stream]), everybody)
        assert np.unique(village().columns["account"][rows]).tolist() == survey.accounts(stream).tolist()
        figures = surveyor.one(rows, survey, stream)
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
    everybody = np.ones(OFFICE + FLEET, np.bool_)
    assert (
        surveyor.rows("opening", int(FLEET_OPENING), everybody).tolist() == np.flatnonzero(account >= OFFICE).tolist()
    )
    for family in ("opening", "card"):
        assert surveyor.rows(family, 12345, everybody).tolist() == []
        assert surveyor.rows(family, 0, everybody).tolist() == []


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


# ---- what a mark brings


def views_of(population: Population) -> dict[frozenset[int], set[str]]:
    """Families by whose marks the same accounts are gathered."""
    views: dict[frozenset[int], set[str]] = {}
    for family in STREAM_FAMILIES:
        found = family_streams(population, family)
        for start, end in pairwise(found.bearer_bounds.tolist()):
            views.setdefault(frozenset(found.bearers[start:end].tolist()), set()).add(family)
    return views


def alone(surveyor: Surveyor, rows: np.ndarray) -> Figures:
    """Figures of some rows, whatever brought them together."""
    accounts = np.unique(surveyor.population.columns["account"][rows]).astype(np.int32)
    return surveyor.measure(rows, np.array([0, len(rows)]), accounts, np.array([0, len(accounts)]))


@pytest.mark.parametrize("made", [harbour, village], ids=lambda made: str(made.__name__))
def test_what_every_mark_of_the_same_accounts_brings_is_blank_and_nothing_else_is(
    made: Callable[[], Population],
) -> None:
    surveyor = Surveyor(made())
    survey, views = surveyor.survey(), views_of(surveyor.population)
    blank = set()
    for stream, own in enumerate(sets_of(survey)):
        whole = alone(surveyor, np.flatnonzero(np.isin(surveyor.population.columns["account"], sorted(own))))
        for name in linkage.FIGURES:
            brought = all(name in linkage.BROUGHT.get(family, ()) for family in views[own])
            blank |= {name} if brought and np.isfinite(whole[name][0]) else set()
            expected = np.nan if brought else whole[name][0]
            np.testing.assert_array_equal(survey.figures[name][stream], expected, err_msg=f"{views[own]} {name}")
    assert blank == ({"network_pooled", "card_pooled", "mail_pooled"} if made is harbour else {"card_pooled"})


def test_what_two_marks_bring_each_tells_of_the_other() -> None:
    survey = Surveyor(harbour()).survey()
    views = views_of(harbour())
    (ring,) = (stream for stream, own in enumerate(sets_of(survey)) if len(own) == 60)
    assert views[sets_of(survey)[ring]] == {"opening", "born"}
    for name in {name for names in linkage.BROUGHT.values() for name in names}:
        assert np.isfinite(survey.figures[name][ring]), name


def test_a_part_of_a_stream_tells_what_the_stream_does() -> None:
    surveyor = Surveyor(harbour())
    survey = surveyor.survey()
    rng = np.random.default_rng(5)
    streams = rng.permutation(len(survey))
    ring = harbour().columns["account"].astype(int) < 60
    lines = [alone(surveyor, np.flatnonzero(ring & (rng.random(len(ring)) < 0.3))) for _ in streams]
    parts = Figures(*(np.concatenate([getattr(one, half) for one in lines]) for half in ("measured", "linked")))
    before = parts.linked.copy()
    told = survey.told(streams, parts)
    np.testing.assert_array_equal(parts.linked, before)  # a copy
    np.testing.assert_array_equal(told.measured, parts.measured)
    for place, name in enumerate(linkage.FIGURES):
        blank = survey.brought[streams, place]
        assert np.isnan(survey.figures[name][streams][blank]).all()
        np.testing.assert_array_equal(told[name], np.where(blank, np.nan, parts[name]), err_msg=name)
    assert 0 < np.isnan(told["mail_pooled"]).sum() < len(streams)


def test_a_cover_request_of_each_account_blanks_no_link() -> None:
    """One template and one mail domain bring the same 60 accounts together; the domain with more of their requests."""
    ring, strangers, each = 60, 80, EACH - 1
    account = np.repeat(np.arange(ring + strangers), each + 1)
    cover = np.arange(len(account)) % (each + 1) == 0
    columns = columns_of(
        account, START + np.random.default_rng(3).random(len(account)) * 5 * DAY,
        opening=np.where((account < ring) & ~cover, FLEET_OPENING, np.uint64(0)),
    )  # fmt: skip
    own = np.arange(1, ring + strangers + 1).astype(np.uint64) * np.uint64(STEP)
    mail = np.where(np.arange(ring + strangers) < ring, np.uint64(7), own)
    survey = Surveyor(population_of(columns, accounts_of(ring + strangers, card=own, mail=mail))).survey()
    (stream,) = range(len(survey))
    assert survey.accounts(stream).tolist() == list(range(ring))
    assert survey.names[survey.family[stream]] == "mail"  # it stands for both, with the cover
    assert survey.figures["exchanges"].tolist() == [ring * (each + 1)]
    assert survey.figures["mail_pooled"].tolist() == [1.0]
    assert survey.figures["mail_customers"].tolist() == [ring]


# ---- what is left without some accounts

SIDES = 90  # accounts; two more stand at the log's ends and bear no mark
STEP_OF_MARKS = 977


def crossing(among: NDArray[np.bool_]) -> Population:
    """Some of 90 accounts whose marks cross, in a log that always begins and ends at the same moments."""
    rng = np.random.default_rng(8)
    account = np.repeat(np.arange(SIDES), EACH)
    size = len(account)

    def borne(variety: int, layers: int = 1) -> NDArray[np.uint64]:
        chosen = rng.integers(1, variety + 1, (size, layers))
        bears = rng.random((SIDES, variety + 1)) < 0.7  # which accounts bear which marks
        return np.where(bears[account[:, None], chosen], chosen * STEP_OF_MARKS, 0).squeeze().astype(np.uint64)

    columns = {
        "second": START + DAY + rng.random(size) * 5 * DAY, "opening": borne(3), "client": borne(4),
        "network": borne(5), "phrases": borne(6, 3), "prompt": borne(300),
        "output_tokens": rng.integers(0, 900, size), "turns": rng.integers(0, 3, size),
    }  # fmt: skip
    known: dict[str, NDArray[np.generic]] = {
        name: rng.integers(0, 4, SIDES).astype(np.uint64) for name in ("card", "mail", "organization", "tier")
    }
    known |= {"created": START - rng.random(SIDES) * DAY, "disposable": known["mail"] == 1}
    kept = among[account]
    number = np.r_[np.cumsum(among)[account[kept]] - 1, among.sum(), among.sum() + 1]
    ends = {"second": [START, START + 7 * DAY]}
    made = {
        name: np.concatenate([values[kept], ends.get(name, np.zeros((2, *values.shape[1:])))]).astype(values.dtype)
        for name, values in columns.items()
    }
    nothing = {name: np.zeros(2, values.dtype) for name, values in known.items()} | {"created": np.full(2, np.nan)}
    told = {name: np.r_[values[among], nothing[name]] for name, values in known.items()}
    return population_of(columns_of(number, **made), accounts_of(int(among.sum()) + 2, **told))


@cache
def crossed() -> tuple[Surveyor, Survey]:
    surveyor = Surveyor(crossing(np.ones(SIDES, np.bool_)))
    return surveyor, surveyor.survey()


CHANCE = {*(f"{kind}_pooled" for kind in linkage.POOLED), "usage"}  # held against the log, which stays whole


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.03, 0.3, 0.9, 1.0]))
@settings(max_examples=25, deadline=None)
def test_what_is_left_is_what_a_log_without_the_others_has(seed: int, share: float) -> None:
    surveyor, survey = crossed()
    rng = np.random.default_rng(seed)
    among = rng.random(SIDES) < share
    streams = rng.permutation(len(survey))[: rng.integers(1, len(survey) + 1)]
    figures = surveyor.left(survey, streams, np.r_[among, False, False])
    rest = Surveyor(crossing(among))
    everybody = np.ones(int(among.sum()) + 2, np.bool_)
    for place, stream in enumerate(streams.tolist()):
        family, mark = survey.names[survey.family[stream]], int(survey.mark[stream])
        rows = rest.rows(family, mark, everybody)
        if not len(rows):
            assert np.isnan(figures.measured[place]).all()
            assert np.isnan(figures.linked[place]).all()
            continue
        expected = survey.told(np.array([stream]), alone(rest, rows))
        np.testing.assert_allclose(figures.measured[place], expected.measured[0], err_msg=family)
        for name in set(linkage.FIGURES) - CHANCE:
            np.testing.assert_allclose(figures[name][place], expected[name][0], err_msg=f"{family} {name}")
        own = surveyor.one(surveyor.rows(family, mark, np.r_[among, False, False]), survey, stream)
        for name in linkage.FIGURES:
            np.testing.assert_array_equal(figures[name][place], own[name][0], err_msg=f"{family} {name}")


def test_what_is_left_of_streams_that_stay_streams_is_what_a_survey_finds() -> None:
    surveyor, survey = crossed()
    among = np.arange(SIDES) % 4 != 0
    figures = surveyor.left(survey, np.arange(len(survey)), np.r_[among, False, False])
    rest = Surveyor(crossing(among)).survey()
    found = {
        (rest.names[family], int(mark)): line
        for line, (family, mark) in enumerate(zip(rest.family, rest.mark, strict=True))
    }
    compared = set()
    for stream in range(len(survey)):
        key = survey.names[survey.family[stream]], int(survey.mark[stream])
        if key in found:
            compared.add(key[0])
            np.testing.assert_allclose(figures.measured[stream], rest.figures.measured[found[key]], err_msg=str(key))
    assert {"opening", "phrase", "client", "network", "card"} <= compared


def test_all_that_is_left_of_everybody_is_the_survey_itself() -> None:
    surveyor, survey = crossed()
    streams = np.arange(len(survey))[::-1].copy()
    figures = surveyor.left(survey, streams, np.ones(SIDES + 2, np.bool_))
    np.testing.assert_array_equal(figures.measured, survey.figures.measured[streams])
    np.testing.assert_array_equal(figures.linked, survey.figures.linked[streams])
    assert len(surveyor.left(survey, streams[:0], np.ones(SIDES + 2, np.bool_))) == 0
