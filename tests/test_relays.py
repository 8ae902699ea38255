"""Conversations that are dealt over accounts join them; what honest users do joins nobody."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.digests import START, columns_of, population_of

from stillwatch.cohorts.relays import LINKS, STOCK, find_relays
from stillwatch.marks.digest import RELAYED

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOT_SENT = 0


def dealt(accounts: list[int], *, first_answer: int = 1, start: float = START) -> list[dict[str, float]]:
    """One conversation: turn by turn the account that it goes through, with digests of the answers."""
    return [
        {
            "account": account,
            "second": start + 60.0 * turn,
            "answer": first_answer + turn,
            "previous": first_answer + turn - 1 if turn else NOT_SENT,
            "turns": 2 * turn + 1,
        }
        for turn, account in enumerate(accounts)
    ]


def found(rows: list[dict[str, float]], accounts: int) -> tuple[dict[str, NDArray[np.generic]], list[bool], list[int]]:
    names = {name for row in rows for name in row} - {"account", "second"}
    columns = columns_of(
        [row["account"] for row in rows], [row["second"] for row in rows],
        **{name: [row.get(name, 0) for row in rows] for name in names},
    )  # fmt: skip
    relayed, group = find_relays(columns, accounts)
    return columns, relayed.tolist(), group.tolist()


def groups_of(group: list[int]) -> list[set[int]]:
    return sorted(({a for a, g in enumerate(group) if g == one} for one in set(group) - {0}), key=min)


def test_a_dealt_conversation_joins_its_accounts() -> None:
    _, relayed, group = found(dealt([0, 1, 2, 0, 1, 2, 0]) + dealt([3, 3, 3, 3], first_answer=100), 5)
    assert groups_of(group) == [{0, 1, 2}]
    assert sum(relayed) == 6
    assert group[3] == group[4] == 0


def test_two_operators_stay_apart() -> None:
    _, _, group = found(dealt([0, 1, 0, 1, 0]) + dealt([2, 3, 2, 3, 2], first_answer=100), 4)
    assert groups_of(group) == [{0, 1}, {2, 3}]


def test_honest_conversations_join_nobody() -> None:
    rows = [turn for account in range(10) for turn in dealt([account] * 6, first_answer=100 * account + 1)]
    _, relayed, group = found(rows, 10)
    assert not any(relayed)
    assert not any(group)


def test_one_link_is_chance_and_joins_nobody() -> None:
    _, relayed, group = found(dealt([0, 1]), 2)
    assert relayed == [False, True]
    assert LINKS > 1
    assert not any(group)


def test_a_stock_answer_joins_nobody() -> None:
    # everybody is told "Hello! How can I help?" first, and sends it back
    rows = []
    for account in range(12):
        for day in range(3):
            rows += [
                {"account": account, "second": START + 86_400 * day + account, "answer": 7},
                {"account": account, "second": START + 86_400 * day + account + 60, "answer": 0, "previous": 7},
            ]
    _, relayed, group = found(rows, 12)
    assert not any(relayed)
    assert not any(group)


def test_an_answer_that_nobody_was_given_joins_nobody() -> None:
    rows = [{"account": account % 4, "second": START + account, "previous": 5 + account} for account in range(40)]
    _, relayed, group = found(rows, 4)
    assert not any(relayed)
    assert not any(group)


def test_a_reasoning_block_sent_back_by_others_joins_them_to_whom_it_came_first() -> None:
    rows = [
        {"account": account, "second": START + 100 * block + account, "handle": 1000 + block}
        for block in range(3)
        for account in range(3)
    ]
    columns, relayed, group = found(rows, 4)
    assert groups_of(group) == [{0, 1, 2}]
    assert [bool(flag) for flag in columns["account"] != 0] == relayed  # account 0 had each of them first


def test_a_conversation_id_that_moves_between_accounts_joins_them() -> None:
    rows: list[dict[str, float]] = [
        {"account": turn % 3, "second": START + 60 * turn + 1000 * one, "conversation": 50 + one, "turns": 2 * turn + 1}
        for one in range(2)
        for turn in range(6)
    ]
    _, relayed, group = found(rows, 3)
    assert groups_of(group) == [{0, 1, 2}]
    assert sum(relayed) == 8
    without_turns = [{name: value for name, value in row.items() if name != "turns"} for row in rows]
    assert groups_of(found(without_turns, 3)[2]) == [{0, 1, 2}]


def test_an_id_that_several_begin_a_conversation_under_is_none() -> None:
    # ten people whose client calls every conversation "main"
    rows: list[dict[str, float]] = [
        {"account": account, "second": START + 500 * turn + account, "conversation": 9, "turns": 2 * turn + 1}
        for account in range(10)
        for turn in range(5)
    ]
    _, relayed, group = found(rows, 10)
    assert not any(relayed)
    assert not any(group)


def test_an_id_that_very_many_bear_is_none_though_turns_are_untold() -> None:
    def bearers(count: int) -> list[dict[str, float]]:
        return [
            {"account": account, "second": START + 500 * turn + account, "conversation": 9}
            for account in range(count)
            for turn in range(3)
        ]

    assert not any(found(bearers(STOCK + 1), STOCK + 1)[1])
    assert groups_of(found(bearers(STOCK), STOCK)[2]) == [set(range(STOCK))]


@given(st.lists(st.lists(st.integers(0, 7), min_size=2, max_size=8), max_size=8), st.permutations(range(8)))
@settings(max_examples=80, deadline=None)
def test_groups_are_those_of_a_search_and_renumbering_accounts_moves_them(
    conversations: list[list[int]], numbers: list[int]
) -> None:
    rows = [
        turn
        for index, accounts in enumerate(conversations)
        for turn in dealt(accounts, first_answer=100 * index + 1, start=START + 7919.5 * index)
    ]
    if not rows:
        return
    _, relayed, group = found(rows, 8)
    hops = [(a, b) for accounts in conversations for a, b in pairwise(accounts) if a != b]
    assert sum(relayed) == len(hops)
    links = np.bincount([end for hop in hops for end in hop], minlength=8) if hops else np.zeros(8, int)
    near: dict[int, set[int]] = {account: {account} for account in range(8)}
    for a, b in hops:
        if links[a] >= LINKS and links[b] >= LINKS:
            joined = near[a] | near[b]
            for account in joined:
                near[account] = joined
    assert groups_of(group) == sorted(
        ({*one} for one in {frozenset(own) for own in near.values()} if len(one) > 1), key=min
    )
    moved = [{**row, "account": numbers[int(row["account"])]} for row in rows]
    again = found(moved, 8)[2]
    assert [again[numbers[account]] for account in range(8)] == group  # known by the same mark, too


def test_a_group_is_known_by_the_same_mark_as_accounts_and_days_are_added() -> None:
    before = found(dealt([3, 4, 3, 4]), 5)[2]
    earlier_names = [{**row, "account": row["account"] + 2} for row in dealt([3, 4, 3, 4])]
    later = dealt([5, 6, 7, 5, 6], first_answer=500, start=START + 9e4)
    after = found(earlier_names + later + dealt([0, 1, 0, 1], first_answer=900), 9)[2]
    assert before[3] == before[4] == after[5] == after[6] == after[7] != 0
    assert after[0] == after[1] not in {0, after[5]}


def test_a_population_flags_what_was_relayed_and_keeps_the_groups() -> None:
    columns = columns_of(
        [0, 1, 0, 1, 2], START + np.array([0, 60, 120, 180, 200]), answer=[1, 2, 3, 4, 5], previous=[0, 1, 2, 3, 0]
    )
    population = population_of(columns)
    relayed = (population.columns["flags"].astype(int) & RELAYED) != 0
    order = np.argsort(population.columns["second"].astype(float))
    assert relayed[order].tolist() == [False, True, True, True, False]
    assert population.relay[0] == population.relay[1] != 0
    assert population.relay[2] == 0


@pytest.mark.parametrize("rows", [0, 1])
def test_next_to_nothing_is_no_relay(rows: int) -> None:
    relayed, group = find_relays(columns_of([0] * rows, [START] * rows, conversation=3, handle=4), rows)
    assert not relayed.any()
    assert not group.any()


def by_hand(columns: dict[str, NDArray[np.generic]]) -> list[bool]:
    """Whether each exchange is another account's continued, by dictionaries."""
    rows = [
        {name: int(columns[name][row]) for name in ("account", "answer", "previous", "handle", "conversation", "turns")}
        for row in range(len(columns["account"]))
    ]
    time = columns["second"].tolist()
    given_to: dict[int, set[int]] = {}
    first: dict[tuple[str, int], int] = {}
    bearers: dict[int, set[int]] = {}
    begun: dict[int, set[int]] = {}
    for row in sorted(range(len(rows)), key=lambda row: (time[row], row)):
        one = rows[row]
        given_to.setdefault(one["answer"], set()).add(one["account"])
        for name in ("handle", "conversation"):
            first.setdefault((name, one[name]), one["account"])
        bearers.setdefault(one["conversation"], set()).add(one["account"])
        if one["turns"] == 1:
            begun.setdefault(one["conversation"], set()).add(one["account"])
    relayed = []
    for one in rows:
        giver = -1
        if one["previous"] and len(given_to.get(one["previous"], ())) == 1:
            (giver,) = given_to[one["previous"]]
        if giver < 0 and one["handle"]:
            giver = first["handle", one["handle"]]
        talk = one["conversation"]
        if giver < 0 and talk and len(bearers[talk]) <= STOCK and len(begun.get(talk, ())) <= 1:
            giver = first["conversation", talk]
        relayed.append(giver not in (-1, one["account"]))
    return relayed


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 150), st.integers(2, 60))
@settings(max_examples=80, deadline=None)
def test_what_is_relayed_is_what_dictionaries_say(seed: int, accounts: int, size: int, variety: int) -> None:
    rng = np.random.default_rng(seed)
    marks = {
        name: (rng.integers(0, variety, size) * (rng.random(size) < share)).astype(np.uint64) << np.uint64(shift)
        for name, share, shift in (
            ("answer", 0.9, 3), ("previous", 0.5, 3), ("handle", 0.2, 60), ("conversation", 0.5, 0),
        )
    }  # fmt: skip
    columns = columns_of(
        rng.integers(0, accounts, size), START + rng.integers(0, 50, size), turns=rng.integers(1, 4, size), **marks
    )
    relayed, group = find_relays(columns, accounts)
    assert relayed.tolist() == by_hand(columns)
    assert group.shape == (accounts,)
