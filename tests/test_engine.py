"""From batches to a population: any cut and order gives the same; accounts that the table does not know."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from disposable_email_domains import blocklist
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.engine.accounts import AccountNumbers
from stillwatch.engine.local import disposable, known_accounts, populate_from
from stillwatch.exchanges.schema import ACCOUNT, EXCHANGE
from stillwatch.marks.digest import NEEDED
from stillwatch.marks.hashing import hash_strings
from stillwatch.simulate.scenario import load_scenario
from stillwatch.simulate.traffic import simulate

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from stillwatch.cohorts.population import Population


@cache
def tiny() -> tuple[pa.RecordBatch, pa.Table]:
    made = simulate(load_scenario("tiny"), seed=1, scale=0.3)
    columns = [made.exchanges.column(name).combine_chunks().cast(EXCHANGE.field(name).type) for name in NEEDED]
    batch = pa.RecordBatch.from_arrays(columns, schema=pa.schema([EXCHANGE.field(name) for name in NEEDED]))
    return batch.slice(0, 1500), made.accounts


def assert_equal(one: Population, other: Population) -> None:
    for name in one.columns:
        np.testing.assert_array_equal(one.columns[name], other.columns[name], err_msg=name)
    for name in ("edges", "relay", "habits"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("name", "created", "card", "mail", "organization", "disposable", "tier", "verified"):
        np.testing.assert_array_equal(getattr(one.accounts, name), getattr(other.accounts, name), err_msg=name)
    assert (one.start, one.end) == (other.start, other.end)
    assert one.release == other.release or (np.isnan(one.release) and np.isnan(other.release))


@cache
def whole() -> Population:
    batch, accounts = tiny()
    return populate_from([batch], accounts)


@given(
    st.lists(st.integers(0, 1500), max_size=4), st.sampled_from([None, 1, 200_000]), st.sampled_from([1, 3]),
    st.randoms(use_true_random=False),
)  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_any_cut_order_and_memory_gives_the_same_population(
    places: list[int], limit: int | None, threads: int, shuffler: random.Random
) -> None:
    batch, accounts = tiny()
    order = shuffler.sample(range(batch.num_rows), batch.num_rows)
    shuffled = batch.take(pa.array(order))
    ends = [0, *sorted(min(place, batch.num_rows) for place in places), batch.num_rows]
    batches = [shuffled.slice(a, b - a) for a, b in pairwise(ends)]
    assert_equal(populate_from(iter(batches), accounts, limit_memory=limit, threads=threads), whole())


def test_a_log_is_sorted_by_the_names_of_its_accounts() -> None:
    population = whole()
    names = population.accounts.name.tolist()
    assert names == sorted(set(tiny()[0].column("account").to_pylist()))
    account = population.columns["account"]
    assert np.bincount(account.astype(np.int64)).tolist() == np.diff(population.edges).tolist()
    inside = account[1:] == account[:-1]
    assert (np.diff(population.columns["second"].astype(float))[inside] >= 0).all()


def test_an_empty_log_is_a_population_of_nobody(tmp_path: Path) -> None:
    for batches in ([], [tiny()[0].slice(0, 0)]):
        for limit in (None, 1):
            population = populate_from(batches, None, limit_memory=limit, folder=tmp_path)
            assert population.exchanges == 0
            assert len(population.accounts.name) == 0


def test_without_an_accounts_table_nothing_is_known_of_them() -> None:
    batch, _ = tiny()
    for table in (None, ACCOUNT.empty_table()):
        accounts = populate_from([batch], table).accounts
        assert len(accounts.name) > 20
        assert not accounts.card.any()
        assert not accounts.verified.any()
        assert np.isnan(accounts.created).all()


def known(names: list[str], rows: list[dict[str, object]]) -> dict[str, list[object]]:
    table = pa.Table.from_pylist(rows, schema=ACCOUNT)
    found = known_accounts(np.array(names, dtype=object), table)
    return {name: getattr(found, name).tolist() for name in ("created", "card", "mail", "verified")}


def test_accounts_that_the_table_does_not_know_stay_unknown() -> None:
    card, mail = hash_strings(pa.array(["c-1", "example.org"])).tolist()
    found = known(
        ["a", "b", "c"],
        [
            {"account": "z", "payment": "c-9", "verified": True},
            {
                "account": "b", "payment": "c-1", "email_domain": "example.org", "verified": True,
                "created_at": datetime(2026, 1, 2, tzinfo=UTC),
            },
            {"account": "c"},
        ],
    )  # fmt: skip
    assert found["card"] == [0, card, 0]
    assert found["mail"] == [0, mail, 0]
    assert found["verified"] == [False, True, False]
    assert found["created"][1] == datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    assert np.isnan([found["created"][0], found["created"][2]]).all()  # type: ignore[arg-type]


def test_the_last_days_of_the_calendar_are_days_like_any_other() -> None:
    found = known(["a"], [{"account": "a", "created_at": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)}])
    assert found["created"] == [pytest.approx(253_402_300_800, abs=1)]


# ---- throw-away addresses


@pytest.mark.parametrize(
    ("domain", "thrown"),
    [
        ("mailinator.com", True),
        ("box.of.mailinator.com", True),  # below a listed one
        ("Mailinator.COM", True),
        (" mailinator.com. ", True),
        ("not-a-mailinator.com", False),
        ("mailinator.com.example.org", False),
        ("example.org", False),
        ("com", False),
        ("", False),
        (".", False),
        (None, False),
    ],
)
def test_a_domain_is_thrown_away_if_it_or_one_above_it_is_listed(domain: str | None, thrown: bool) -> None:
    assert disposable(pa.array([domain], pa.string())).tolist() == [thrown]


DOMAINS = st.sampled_from(sorted(blocklist)[:50]) | st.sampled_from(["example.org", "a.b", ""]) | st.none()
BELOW = st.sampled_from(["", "", "x.", "x.y."])


@given(st.lists(st.tuples(BELOW, DOMAINS), max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_column_of_domains_is_told_value_by_value(drawn: list[tuple[str, str | None]]) -> None:
    names = [None if domain is None else below + domain for below, domain in drawn]
    column = pa.array(["padding.example", *names], pa.string()).slice(1)
    assert disposable(column).tolist() == [domain in blocklist for _, domain in drawn]


def test_accounts_that_the_table_does_not_know_or_tells_no_domain_of_are_not_thrown_away() -> None:
    thrown = "MAILINATOR.com"
    rows = [{"account": "b", "email_domain": thrown}, {"account": "c"}, {"account": "z", "email_domain": thrown}]
    names = np.array(["a", "b", "c"], dtype=object)
    found = known_accounts(names, pa.Table.from_pylist(rows, schema=ACCOUNT))
    assert found.disposable.tolist() == [False, True, False]
    assert ((found.mail != 0) | ~found.disposable).all()  # of whoever is thrown away the domain is told
    assert not known_accounts(names, None).disposable.any()


# ---- numbers


def test_accounts_are_numbered_as_they_come_and_ranked_by_name() -> None:
    numbers = AccountNumbers()
    assert numbers.number(pa.array(["m", "a", "m"])).tolist() == [0, 1, 0]
    assert numbers.number(pa.array(["z", "a"])).tolist() == [2, 1]
    names, rank = numbers.ranked()
    assert names.tolist() == ["a", "m", "z"]
    assert rank.tolist() == [1, 0, 2]


@given(st.lists(st.lists(st.text(max_size=3) | st.integers(0, 6000).map(str), max_size=40), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_accounts_are_numbered_as_by_a_dictionary(batches: list[list[str]]) -> None:
    numbers, known = AccountNumbers(), dict[str, int]()
    for batch in [[str(number) for number in range(2000)], *batches]:  # so many that the table grows with them in it
        expected = [known.setdefault(name, len(known)) for name in batch]
        assert numbers.number(pa.array(["", *batch], pa.string()).slice(1)).tolist() == expected
    names, rank = numbers.ranked()
    assert names.tolist() == sorted(known)
    assert [names[place] for place in rank] == list(known)


def test_a_batch_that_cannot_be_read_stops_the_run_and_leaves_no_file(tmp_path: Path) -> None:
    batch, _ = tiny()

    def broken() -> Iterator[pa.RecordBatch]:
        yield batch
        raise ValueError("the reader's own error")

    with pytest.raises(ValueError, match="the reader's own error"):
        populate_from(broken(), None, limit_memory=1, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
