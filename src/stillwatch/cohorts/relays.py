"""Conversations dealt over accounts: what one account was told, another sends back. Pure; touches nothing.

A relay serves one customer's conversation through whichever of its accounts is free, so the answer that account A was
given comes back with account B's next request; likewise an opaque reasoning block, or the conversation's own id.
Honest software keeps a conversation on one account. An answer that several accounts were given (a stock phrase) joins
nobody, nor does an id that many chose for themselves ("default", "1").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.hashing import combine
from stillwatch.marks.order import ascending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LINKS = 2  # links that an account needs before it is said to be relayed
_FILTER_BITS = 27  # of the table that tells which answers may come back: 16 MB, a few per cent full at ten million
STOCK = 16  # accounts above which a conversation's id was chosen by many rather than dealt


def find_relays(
    columns: Mapping[str, NDArray[np.generic]], accounts: int
) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Find exchanges that continue another account's, and the groups of accounts that they join.

    Args:
        columns: of a digest; rows by account, then time.
        accounts: how many there are.

    Returns:
        Whether each exchange sends back what another account was given; and for each account the hash of its group,
        0 where it has fewer than `LINKS` links.
    """
    account = columns["account"].astype(np.int32, copy=False)
    second = columns["second"].astype(np.float64, copy=False)
    answer, previous, handle, conversation = (
        columns[name].astype(np.uint64, copy=False) for name in ("answer", "previous", "handle", "conversation")
    )
    giver = _givers(answer, previous, account)
    token = np.where(giver >= 0, previous, 0).astype(np.uint64)
    for value, turns in ((handle, None), (conversation, columns["turns"])):
        other = _first_bearers(value, account, second, turns)
        more = (giver < 0) & (other >= 0)
        token[more], giver[more] = value[more], other[more]
    relayed = (giver >= 0) & (giver != account)
    taken, given, token = account[relayed], giver[relayed], token[relayed]
    links = np.bincount(taken, minlength=accounts) + np.bincount(given, minlength=accounts)
    lasting = (links[taken] >= LINKS) & (links[given] >= LINKS)
    taken, given, token, begun = taken[lasting], given[lasting], token[lasting], second[relayed][lasting]
    group = _groups(taken, given, accounts)
    # a group is known by what was dealt first in it: that stays as accounts come and go, and is nobody's name
    order = np.lexsort((token, begun, group[taken]))
    joined = group[taken][order]
    fresh = np.flatnonzero(np.diff(joined, prepend=-1))
    known_by = np.zeros(accounts, np.uint64)
    known_by[joined[fresh]] = combine(token[order][fresh])
    return relayed, known_by[group]


def _givers(answer: NDArray[np.uint64], previous: NDArray[np.uint64], account: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each exchange the one account that was given the answer it sends back; -1 if unknown or more than one."""
    giver = np.full(len(account), -1, np.int32)
    given = _perhaps(answer, previous)
    sent = _perhaps(previous, answer[given])
    given, sent = given[ascending(answer[given])], sent[ascending(previous[sent])]
    _meet(answer[given], account[given], previous[sent], sent, giver)
    return giver


def _perhaps(values: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows whose value may be among the wanted: a bit for each hash, so that few rows need an exact look; 0 is none."""
    # made here and not in compiled code, as in `marks.order`; memory is spent on what is filled
    table, rows = np.zeros(1 << (_FILTER_BITS - 3), np.uint8), np.empty(len(values), np.int64)
    return rows[: _fill_perhaps(values, wanted, table, rows)].copy()


@compiled
def _fill_perhaps(values: np.ndarray, wanted: np.ndarray, table: np.ndarray, rows: np.ndarray) -> int:
    """Fill `rows` for `_perhaps`; returns how many there are."""
    mask, seven = np.uint64(len(table) - 1), np.uint64(7)
    for index in range(len(wanted)):
        value = wanted[index]
        if value != 0:
            table[np.int64((value >> np.uint64(3)) & mask)] |= np.uint8(1) << np.uint8(value & seven)
    count = 0
    for row in range(len(values)):
        value = values[row]
        if value != 0:
            rows[count] = row
            count += (table[np.int64((value >> np.uint64(3)) & mask)] >> np.uint8(value & seven)) & 1
    return count


@compiled
def _meet(answer: np.ndarray, given_to: np.ndarray, previous: np.ndarray, rows: np.ndarray, giver: np.ndarray) -> None:
    """Fill `giver` for the rows that send back `previous`; answers and what is sent back both ascend."""
    at = begin = 0
    while begin < len(previous):
        value = previous[begin]
        while at < len(answer) and answer[at] < value:
            at += 1
        first = at
        alone = True
        while at < len(answer) and answer[at] == value:
            alone &= given_to[at] == given_to[first]
            at += 1
        who = given_to[first] if at > first and alone else -1
        end = begin
        while end < len(previous) and previous[end] == value:
            giver[rows[end]] = who
            end += 1
        begin = end


def _first_bearers(
    value: NDArray[np.uint64],
    account: NDArray[np.int32],
    second: NDArray[np.float64],
    turns: NDArray[np.generic] | None,
) -> NDArray[np.int32]:
    """For each exchange the account that first bore the same value; -1 where it bears none.

    With `turns` given, values are ids that clients may choose, and stock ones count as none.
    """
    first = np.full(len(account), -1, np.int32)
    rows = np.flatnonzero(value)
    order = rows[ascending(value[rows])]
    _fill_first(value[order], order, account, second, np.zeros(0, np.int16) if turns is None else turns, first)
    return first


@compiled
def _fill_first(
    value: np.ndarray, rows: np.ndarray, account: np.ndarray, second: np.ndarray, turns: np.ndarray, first: np.ndarray
) -> None:
    """Fill `first` for rows in order of their values; rows of one value come account by account.

    An id is no conversation if more than `STOCK` accounts bear it, or several begin one under it.
    """
    at = 0
    while at < len(rows):
        stop = at + 1
        while stop < len(rows) and value[stop] == value[at]:
            stop += 1
        who = account[rows[at]]
        if account[rows[stop - 1]] != who:
            earliest = second[rows[at]]
            bearers = begun = 0
            bearer = beginner = -1
            for index in range(at, stop):
                row = rows[index]
                if second[row] < earliest:
                    earliest = second[row]
                    who = account[row]
                if account[row] != bearer:
                    bearer = account[row]
                    bearers += 1
                if len(turns) and turns[row] == 1 and account[row] != beginner:
                    beginner = account[row]
                    begun += 1
            if len(turns) and (bearers > STOCK or begun > 1):
                who = -1
        for index in range(at, stop):
            first[rows[index]] = who
        at = stop


@compiled
def _groups(left: np.ndarray, right: np.ndarray, accounts: int) -> np.ndarray:
    """Connected groups by union-find: the lowest account number of each account's group."""
    parent = np.arange(accounts)
    for index in range(len(left)):
        one, two = left[index], right[index]
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        while parent[two] != two:
            parent[two] = parent[parent[two]]
            two = parent[two]
        if one < two:
            parent[two] = one
        else:
            parent[one] = two
    for member in range(accounts):
        root = member
        while parent[root] != root:
            root = parent[root]
        parent[member] = root
    return parent
