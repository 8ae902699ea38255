"""Marks at the door are those of a scan: every family, every language, whatever comes."""

# ruff: noqa: RUF001  # look-alikes are part of what is tested

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.engine.local import known_accounts
from stillwatch.exchanges.schema import EXCHANGE
from stillwatch.marks.digest import NEEDED, digest
from stillwatch.marks.door import DoorMarks
from stillwatch.marks.hashing import combine
from stillwatch.marks.key import name_mark, read, written
from stillwatch.marks.traits import TRAITS
from stillwatch.simulate.scenario import load_scenario
from stillwatch.simulate.traffic import simulate

if TYPE_CHECKING:
    from stillwatch.simulate.traffic import Traffic

KEY = bytes(range(16))
DOOR = DoorMarks(KEY)
Row = dict[str, Any]


def scan_names(log: pa.Table, accounts: pa.Table | None = None) -> list[set[tuple[str, str]]]:
    """Name the marks of each row as a scan does."""
    (batch,) = log.select(NEEDED).combine_chunks().to_batches()
    made = digest(batch)
    client, parameters = made["client"], made["parameters"]
    columns = {name: made[name] for name in TRAITS if name in made}
    columns["harness"] = np.where((client != 0) & (parameters != 0), combine(client, parameters), np.uint64(0))
    if accounts is not None:
        names = np.array(batch.column("account").to_pylist(), dtype=object)
        known = known_accounts(names, accounts)
        columns |= {"card": known.card, "mail": known.mail}
    found: list[set[tuple[str, str]]] = [set() for _ in range(log.num_rows)]
    for family, marks in [*columns.items(), *(("phrase", layer) for layer in made["phrases"].T)]:
        for row, mark in zip(found, marks.tolist(), strict=True):
            if mark:
                row.add((family, name_mark(KEY, family, mark)))
    return found


def door_names(columns: Row, account: Row | None = None) -> set[tuple[str, str]]:
    return {(family, written(name)) for family, name in DOOR.names(columns, account)}


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return simulate(load_scenario("tiny"), seed=3)


def test_every_exchange_of_a_log_has_the_marks_that_a_scan_finds(traffic: Traffic) -> None:
    accounts = {row["account"]: row for row in traffic.accounts.to_pylist()}
    wanted = scan_names(traffic.exchanges, traffic.accounts)
    rows = traffic.exchanges.to_pylist()
    assert {family for row in wanted for family, _ in row} == set(TRAITS)
    letters = {unicodedata.name(letter, "?").split()[0] for row in rows for letter in row["prompt"] or ""}
    assert {"LATIN", "CJK", "HIRAGANA", "ARABIC"} <= letters
    for row, marks in zip(rows, wanted, strict=True):
        assert door_names(row, accounts[row["account"]]) == marks


def one_row(columns: Row) -> pa.Table:
    whole = {"time": 0, "account": "a", **columns}
    return pa.table({field.name: pa.array([whole.get(field.name)], field.type) for field in EXCHANGE}, schema=EXCHANGE)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.text(
    "a1 .:\n-<>аο{}é漢กｱ\u200b", max_size=80
)
counts = st.none() | st.integers(-2, 1 << 62)
numbers = st.none() | st.floats(width=64)
rows = st.fixed_dictionaries(
    {
        "system": st.none() | texts,
        "prompt": st.none() | texts,
        "ip": st.none() | texts | st.ip_addresses().map(str),
        "asn": st.none() | st.integers(0, 1 << 32),
        "ja4": st.none() | texts,
        "user_agent": st.none() | texts,
        "temperature": numbers,
        "top_p": numbers,
        "max_tokens": counts,
        "n": counts,
        "top_logprobs": counts,
        "logit_bias": counts,
        "stream": st.none() | st.booleans(),
        "tools": counts,
    }
)


@given(rows)
def test_whatever_comes_is_named_alike(columns: Row) -> None:
    assert door_names(columns) == scan_names(one_row(columns))[0]


@pytest.mark.parametrize(
    "text",
    [
        "ﬁne",
        "Неllo wоrld",
        "e\N{COMBINING ACUTE ACCENT}tude de cas a",
        "한글 " * 8,
        "ก็ได้" * 9,
        "\U0001f600 a\U000e0041b",
    ],
)
def test_what_looks_alike_is_made_alike_as_in_a_scan(text: str) -> None:
    assert door_names({"prompt": text}) == scan_names(one_row({"prompt": text}))[0]


def test_a_flag_is_not_a_number_though_they_compare_equal() -> None:
    flag, number = {"temperature": 1.0, "stream": True}, {"temperature": 1, "stream": 1}
    assert door_names(number) != door_names(flag)
    assert door_names(flag) == scan_names(one_row(flag))[0]


def test_numbers_that_no_log_holds_harm_nothing() -> None:
    for value in (10**400, -(10**400), math.nan, math.inf, "much", True):
        assert len(door_names({"temperature": value, "max_tokens": value})) == 1


def test_half_a_surrogate_pair_harms_nothing() -> None:
    assert door_names({"prompt": "one \ud800 two three four five six", "system": "\udc00"})


def test_only_the_families_that_are_wanted_are_named() -> None:
    few = DoorMarks(KEY, {"network", "opening", "behaviour"})
    named = few.names(
        {"prompt": "one two three four five six", "ip": "192.0.2.1", "ja4": "t13d"}, {"payment": "visa-1"}
    )
    assert {family for family, _ in named} == {"network", "opening"}


def test_names_are_read_back_and_nothing_else_is() -> None:
    assert written(read("abuejqjkfw3sknxn")) == "abuejqjkfw3sknxn"
    for wrong in ("", "abuejqjk", "abuejqjkfw3sknx!", "9f21c04be7aa31d0"):
        with pytest.raises(ValueError, match=r".+"):
            read(wrong)
