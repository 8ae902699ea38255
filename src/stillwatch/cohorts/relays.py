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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LINKS = 2  # links that an account needs before it is said to be relayed
STOCK = 16  # accounts above which a conversation's id was chosen by many rather than dealt


def find_relays(
    columns: Mapping[str, NDArray[np.generic]], accounts: int
) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Find exchanges that continue another account's, and the groups of accounts that they join.

    Returns:
        Whether each exchange sends back what another account was given; and for each account the hash of its group,
        0 where it has fewer than `LINKS` links.
    """
    account = columns["account"].astype(np.int32, copy=False)
    second = columns["second"].astype(np.float64, copy=False)
    giver = _givers(columns["answer"], columns["previous"], account)
    token = np.where(giver >= 0, columns["previous"], 0).astype(np.uint64)
    for name, turns in (("handle", None), ("conversation", columns["turns"])):
        other = _first_bearers(columns[name], account, second, turns)
        token = np.where((giver < 0) & (other >= 0), columns[name], token).astype(np.uint64)
        giver = np.where(giver < 0, other, giver)
    relayed = (giver >= 0) & (giver != account)
    taken, given = account[relayed], giver[relayed]
    links = np.bincount(taken, minlength=accounts) + np.bincount(given, minlength=accounts)
    lasting = (links[taken] >= LINKS) & (links[given] >= LINKS)
    taken, given = taken[lasting], given[lasting]
    group = _groups(taken, given, accounts)
    # a group is known by what was dealt first in it: that stays as accounts come and go, and is nobody's name
    order = np.lexsort((token[relayed][lasting], second[relayed][lasting], group[taken]))
    fresh = np.r_[True, group[taken][order][1:] != group[taken][order][:-1]] if len(order) else np.empty(0, np.bool_)
    known_by = np.zeros(accounts, np.uint64)
    known_by[group[taken][order][fresh]] = combine(token[relayed][lasting][order][fresh])
    return relayed, known_by[group]


def _givers(
    answer: NDArray[np.generic], previous: NDArray[np.generic], account: NDArray[np.int32]
) -> NDArray[np.int32]:
    """For each exchange the one account that was given the answer it sends back; -1 if unknown or more than one."""
    giver = np.full(len(account), -1, np.int32)
    sent = np.flatnonzero(previous != 0)
    if not len(sent):
        return giver
    wanted = np.unique(previous[sent])
    rows = _perhaps(answer, wanted)
    rows = rows[np.isin(answer[rows], wanted)]
    order = rows[np.lexsort((account[rows], answer[rows]))]
    if not len(order):
        return giver
    starts = np.flatnonzero(np.r_[True, answer[order][1:] != answer[order][:-1]])
    lowest = account[order[starts]]
    highest = account[order[np.r_[starts[1:], len(order)] - 1]]
    known = answer[order[starts]]
    place = np.minimum(np.searchsorted(known, previous[sent]), len(known) - 1)
    found = (known[place] == previous[sent]) & (lowest[place] == highest[place])
    giver[sent[found]] = lowest[place[found]]
    return giver


def _perhaps(values: NDArray[np.generic], wanted: NDArray[np.generic]) -> NDArray[np.int64]:
    """Rows whose value may be wanted: a bit for each hash, so that few rows need an exact look."""
    mask = np.uint64((1 << 24) - 1)
    table = np.zeros(1 << 24, np.bool_)
    table[(wanted.astype(np.uint64, copy=False) & mask).astype(np.int64)] = True
    return np.flatnonzero(table[(values.astype(np.uint64, copy=False) & mask).astype(np.int64)])


def _first_bearers(
    value: NDArray[np.generic],
    account: NDArray[np.int32],
    second: NDArray[np.float64],
    turns: NDArray[np.generic] | None,
) -> NDArray[np.int32]:
    """For each exchange the account that first bore the same value; -1 where it bears none.

    With `turns` given, values are ids that clients may choose, and stock ones count as none.
    """
    first = np.full(len(account), -1, np.int32)
    rows = np.flatnonzero(value != 0)
    if not len(rows):
        return first
    order = rows[np.lexsort((second[rows], value[rows]))]
    fresh = np.r_[True, value[order][1:] != value[order][:-1]]
    starts, group = np.flatnonzero(fresh), np.cumsum(fresh) - 1
    bearer = account[order[starts]]
    if turns is not None:
        bearer[_stock(group, starts, account[order], turns[order])] = -1
    first[order] = bearer[group]
    return first


def _stock(
    group: NDArray[np.int64], starts: NDArray[np.int64], account: NDArray[np.int32], turns: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Tell which ids are no conversation: more than `STOCK` accounts bear them, or several begin one under them."""
    several = np.minimum.reduceat(account, starts) != np.maximum.reduceat(account, starts)
    width = np.int64(account.max()) + 1

    def bearers(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        pairs = np.unique(group[rows] * width + account[rows])
        return np.bincount(pairs // width, minlength=len(starts))

    shared = several[group]
    return np.asarray((bearers(shared) > STOCK) | (bearers(shared & (turns == 1)) > 1))


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
