"""Streams: all exchanges that bear one mark, for every mark that enough accounts share. Pure; touches nothing.

Looking at the stream and not at whole accounts is what sees through cover traffic. Marks that only a few accounts
bear go before anything is sorted; cost is linear in exchanges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.families import ACCOUNT_MARKS, EXCHANGE_MARKS
from stillwatch.marks.order import arranged
from stillwatch.marks.tokens import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population

LEAST_ACCOUNTS = 5
LEAST_EXCHANGES = 100
STREAM_FAMILIES = (*EXCHANGE_MARKS, "phrase", *ACCOUNT_MARKS)
_FEWEST_BITS, _MOST_BITS = 20, 25  # of a table of buckets: their number is a power of two


@dataclass(frozen=True, slots=True)
class Streams:
    """All streams of one family.

    Attributes:
        family: name of the family.
        mark: uint64 [streams], plain hashes.
        rows: int64, exchanges of all streams; inside a stream by account, then time.
        bounds: int64 [streams + 1] into `rows`.
        bearers: int32, accounts of all streams, ascending inside a stream.
        bearer_bounds: int64 [streams + 1] into `bearers`.
        signature: uint64 [streams]: equal for streams with the same accounts.
    """

    family: str
    mark: NDArray[np.uint64]
    rows: NDArray[np.int64]
    bounds: NDArray[np.int64]
    bearers: NDArray[np.int32]
    bearer_bounds: NDArray[np.int64]
    signature: NDArray[np.uint64]


def family_streams(population: Population, family: str) -> Streams:
    """Gather the streams of one family."""
    account = population.columns["account"]
    own, by_account = _lines(population, family)
    entries = len(account) * own.shape[1]
    buckets = 1 << min(max(entries.bit_length(), _FEWEST_BITS), _MOST_BITS)
    accounts, exchanges = np.zeros(buckets, np.uint8), np.zeros(buckets, np.uint8)
    _count(own, by_account, account, np.zeros(buckets, np.int32), accounts, exchanges)
    marks, rows = _shared(own, by_account, account, accounts, exchanges, LEAST_ACCOUNTS, LEAST_EXCHANGES)
    del accounts, exchanges
    order, marks = arranged(marks)
    rows = rows[order]
    del order
    return Streams(family, *_cut(marks, rows, account, LEAST_ACCOUNTS, LEAST_EXCHANGES))


def bearing(
    population: Population, family: str, marks: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exchanges that bear some different marks of one family: rows, ascending inside a mark, and their bounds."""
    slots = np.full(1 << (4 * len(marks)).bit_length(), -1, np.int32)
    _place(marks, slots)
    found = [_borne(layer, marks, slots) for layer in population.layers(family)]
    rows, which = np.concatenate([rows for rows, _ in found]), np.concatenate([which for _, which in found])
    order = np.lexsort((rows, which))
    rows, which = rows[order], which[order]
    fresh = np.r_[True, (rows[1:] != rows[:-1]) | (which[1:] != which[:-1])] if len(rows) else np.empty(0, np.bool_)
    return rows[fresh], np.searchsorted(which[fresh], np.arange(len(marks) + 1)).astype(np.int64)


def borne_by(population: Population, family: str, mark: int, accounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Exchanges of some accounts (ascending) that bear a mark, ascending; the rest of the log is not looked at."""
    own, by_account = _lines(population, family)
    return _rows_of(own, by_account, population.edges, accounts if mark else accounts[:0], np.uint64(mark))


def accounts_bearing(population: Population, family: str, mark: int) -> int:
    """How many accounts of the log bear a mark."""
    own, by_account = _lines(population, family)
    account = np.arange(len(own), dtype=np.int32) if by_account else population.columns["account"]
    return int(_bearers(np.ascontiguousarray(own).reshape(-1), own.shape[1], account, np.uint64(mark)))


def _lines(population: Population, family: str) -> tuple[NDArray[np.generic], bool]:
    """Marks of a family, a line of one or more for each exchange; or for each account, and so is said."""
    by_account = family in ACCOUNT_MARKS
    own = population.account_mark(family) if by_account else population.mark(family)
    return own[:, np.newaxis] if own.ndim == 1 else own, by_account


@compiled
def _rows_of(own: np.ndarray, by_account: bool, edges: np.ndarray, accounts: np.ndarray, mark: np.uint64) -> np.ndarray:
    """Rows of these accounts that bear the mark, each once, whichever of the layers holds it."""
    size = 0
    for who in accounts:
        size += edges[who + 1] - edges[who]
    rows = np.empty(size, np.int64)
    count = 0
    for who in accounts:
        for row in range(edges[who], edges[who + 1]):
            source = who if by_account else row
            for layer in range(own.shape[1]):
                if own[source, layer] == mark:
                    rows[count] = row
                    count += 1
                    break
    return rows[:count].copy()


@compiled
def _bearers(marks: np.ndarray, layers: int, account: np.ndarray, mark: np.uint64) -> int:
    """How many accounts have the mark in any of their lines, each of so many layers; lines come account by account."""
    count = 0
    last = -1
    for index in range(len(marks)):  # one comparison a mark, and hardly ever more
        if marks[index] == mark:
            who = account[index // layers]
            count += who != last
            last = who
    return count


@compiled
def _place(marks: np.ndarray, slots: np.ndarray) -> None:
    """Fill a hash table of marks: each slot holds a mark's place, or -1."""
    mask = np.uint64(len(slots) - 1)
    for place in range(len(marks)):
        slot = np.int64(mixed(marks[place]) & mask)
        while slots[slot] >= 0:
            slot = (slot + 1) % len(slots)
        slots[slot] = place


@compiled
def _borne(layer: np.ndarray, marks: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that bear any of the marks, and which."""
    mask = np.uint64(len(slots) - 1)
    rows, which = np.empty(len(layer), np.int64), np.empty(len(layer), np.int32)
    count = 0
    for row in range(len(layer)):
        if layer[row] == 0:
            continue
        slot = np.int64(mixed(layer[row]) & mask)
        while slots[slot] >= 0:
            if marks[slots[slot]] == layer[row]:
                rows[count] = row
                which[count] = slots[slot]
                count += 1
                break
            slot = (slot + 1) % len(slots)
    return rows[:count].copy(), which[:count].copy()


@compiled
def _count(
    own: np.ndarray,
    by_account: bool,
    account: np.ndarray,
    last: np.ndarray,
    accounts: np.ndarray,
    exchanges: np.ndarray,
) -> None:
    """Count accounts and exchanges of each bucket of marks, from above and up to 255: rows come account by account."""
    mask = np.uint64(len(last) - 1)
    for row in range(len(account)):
        who = account[row]
        source = np.int64(who) if by_account else row
        for layer in range(own.shape[1]):
            mark = own[source, layer]
            if mark != 0:
                bucket = np.int64(mark & mask)
                if exchanges[bucket] < 255:
                    exchanges[bucket] += 1
                if last[bucket] != who + 1:
                    last[bucket] = who + 1
                    if accounts[bucket] < 255:
                        accounts[bucket] += 1


@compiled
def _shared(
    own: np.ndarray,
    by_account: bool,
    account: np.ndarray,
    accounts: np.ndarray,
    exchanges: np.ndarray,
    least_accounts: int,
    least_exchanges: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Marks that lie in a bucket that may hold enough accounts and exchanges, and their rows, ascending."""
    mask = np.uint64(len(accounts) - 1)
    marks, rows = np.empty(len(account) * own.shape[1], np.uint64), np.empty(len(account) * own.shape[1], np.int64)
    count = 0
    for row in range(len(account)):
        source = np.int64(account[row]) if by_account else row
        for layer in range(own.shape[1]):
            mark = own[source, layer]
            if mark != 0:
                bucket = np.int64(mark & mask)
                if accounts[bucket] >= least_accounts and exchanges[bucket] >= least_exchanges:
                    marks[count] = mark
                    rows[count] = row
                    count += 1
    return marks[:count], rows[:count]


@compiled
def _cut(
    marks: np.ndarray, rows: np.ndarray, account: np.ndarray, least_accounts: int, least_exchanges: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cut sorted marks into streams; those with too few accounts or exchanges are left out."""
    size = len(rows)
    kept = np.empty(size, np.int64)
    bearers = np.empty(size, np.int32)
    found = np.empty(size // least_exchanges + 1, np.uint64)
    signature = np.empty(size // least_exchanges + 1, np.uint64)
    bounds = np.zeros(size // least_exchanges + 2, np.int64)
    bearer_bounds = np.zeros(size // least_exchanges + 2, np.int64)
    count = used = borne = 0
    at = 0
    while at < size:
        stop = at
        accounts = 0
        who = -1
        signed = np.uint64(0)
        last_row = -1
        copied = used
        while stop < size and marks[stop] == marks[at]:
            row = rows[stop]
            if row != last_row:  # two layers may hold the same mark in one row
                kept[copied] = row
                copied += 1
                if account[row] != who:
                    who = account[row]
                    bearers[borne + accounts] = who
                    accounts += 1
                    signed += mixed(np.uint64(who) + np.uint64(977))
            last_row = row
            stop += 1
        if accounts >= least_accounts and copied - used >= least_exchanges:
            found[count] = marks[at]
            signature[count] = signed
            count += 1
            used = copied
            borne += accounts
            bounds[count] = used
            bearer_bounds[count] = borne
        at = stop
    return (
        found[:count].copy(),
        kept[:used].copy(),
        bounds[: count + 1].copy(),
        bearers[:borne].copy(),
        bearer_bounds[: count + 1].copy(),
        signature[:count].copy(),
    )
