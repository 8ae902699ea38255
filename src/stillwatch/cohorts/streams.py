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
from stillwatch.marks.order import pile_bits, sort_piles
from stillwatch.marks.tokens import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population

LEAST_ACCOUNTS = 5
LEAST_EXCHANGES = 100
STREAM_FAMILIES = (*EXCHANGE_MARKS, "phrase", *ACCOUNT_MARKS)
_CROWD = 32  # marks that may share a bucket: some rows too many are sorted, but the table stays within the cache
_FEWEST_BITS = 12  # of a table of buckets: their number is a power of two
_FULL = np.uint64(255)  # a bucket counts no further
_EIGHT, _SIXTEEN = np.uint64(8), np.uint64(16)


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
    own, by_account = _lines(population, family)
    marks, layers = np.ascontiguousarray(own).reshape(-1), own.shape[1]
    account = np.arange(len(own), dtype=np.int32) if by_account else population.columns["account"]
    edges = population.edges if by_account else np.empty(0, np.int64)
    table = np.zeros(1 << max((len(marks) // _CROWD).bit_length(), _FEWEST_BITS), np.uint64)
    _count(marks, layers, account, edges, table)
    told = ((table >> _EIGHT) & _FULL >= LEAST_ACCOUNTS) & (table & _FULL >= LEAST_EXCHANGES)
    borne, lines = _shared(marks, layers, told)
    bearers = np.empty(len(lines), np.int32)
    mark, bounds, count, bearer_bounds, signature = _cut(
        borne, lines, account, edges, bearers, LEAST_ACCOUNTS, LEAST_EXCHANGES
    )
    bearers = bearers[:count].copy()
    if by_account:
        lines = np.empty(bounds[-1], np.int64)
        _all_rows(bearers, edges, lines)
    return Streams(family, mark, lines[: bounds[-1]], bounds, bearers, bearer_bounds, signature)


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
def _count(marks: np.ndarray, layers: int, account: np.ndarray, edges: np.ndarray, table: np.ndarray) -> None:
    """Count accounts and exchanges of each bucket of marks, from above and up to `_FULL`.

    Args:
        marks: of all lines, each of so many layers; lines come account by account.
        layers: see `marks`.
        account: of each line.
        edges: where each line's exchanges begin and end, if lines are accounts; else empty.
        table: written to, 0 at first: last account, accounts and exchanges of a bucket, put together in one number,
            so that a mark looks at one place in memory.
    """
    mask = np.uint64(len(table) - 1)
    added = np.uint64(1)
    for line in range(len(account)):
        who = np.uint64(account[line] + 1)
        if len(edges):
            added = np.uint64(edges[line + 1] - edges[line])
        for index in range(line * layers, (line + 1) * layers):
            mark = marks[index]
            if mark != 0:
                bucket = np.int64(mark & mask)
                held = table[bucket]
                exchanges = min((held & _FULL) + added, _FULL)
                accounts = min(((held >> _EIGHT) & _FULL) + np.uint64(held >> _SIXTEEN != who), _FULL)
                table[bucket] = who << _SIXTEEN | accounts << _EIGHT | exchanges


def _shared(
    marks: NDArray[np.uint64], layers: int, told: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Marks that lie in a bucket that may hold enough, ascending, and their lines, ascending inside a mark."""
    bits = pile_bits(len(marks))
    bounds = np.zeros((1 << bits) + 1, np.int64)
    _tally(marks, told, bits, bounds)
    bounds = np.cumsum(bounds)
    # made here and not in compiled code, as in `marks.order`
    borne, lines = np.empty(bounds[-1], np.uint64), np.empty(bounds[-1], np.int64)
    _deal(marks, layers, told, bits, bounds[:-1].copy(), borne, lines)
    sort_piles(lines, borne, bounds)
    return borne, lines


@compiled
def _tally(marks: np.ndarray, told: np.ndarray, bits: int, bounds: np.ndarray) -> None:
    """Count the marks of each pile, by their highest bits, one place further on."""
    mask, shift = np.uint64(len(told) - 1), np.uint64(64 - bits)
    for index in range(len(marks)):
        mark = marks[index]
        if mark != 0 and told[np.int64(mark & mask)]:
            bounds[np.int64(mark >> shift) + 1] += 1


@compiled
def _deal(
    marks: np.ndarray,
    layers: int,
    told: np.ndarray,
    bits: int,
    place: np.ndarray,
    borne: np.ndarray,
    lines: np.ndarray,
) -> None:
    """Deal marks and their lines to piles, in order of line; `place` is where each pile begins, and moves on."""
    mask, shift = np.uint64(len(told) - 1), np.uint64(64 - bits)
    for line in range(len(marks) // layers):
        for index in range(line * layers, (line + 1) * layers):
            mark = marks[index]
            if mark != 0 and told[np.int64(mark & mask)]:
                pile = np.int64(mark >> shift)
                borne[place[pile]] = mark
                lines[place[pile]] = line
                place[pile] += 1


@compiled
def _cut(
    marks: np.ndarray,
    lines: np.ndarray,
    account: np.ndarray,
    edges: np.ndarray,
    bearers: np.ndarray,
    least_accounts: int,
    least_exchanges: int,
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]:
    """Cut sorted marks into streams; those with too few accounts or exchanges are left out.

    Args:
        marks: ascending.
        lines: that bear them; overwritten by those of the streams, each once.
        account: of each line.
        edges: as for `_count`.
        bearers: written to.
        least_accounts: of a stream.
        least_exchanges: likewise.

    Returns:
        Marks, bounds in exchanges, how many bearers there are, their bounds, signatures.
    """
    size = len(lines)
    most = size // (least_accounts if len(edges) else least_exchanges) + 1
    found, signature = np.empty(most, np.uint64), np.empty(most, np.uint64)
    bounds, bearer_bounds = np.zeros(most + 1, np.int64), np.zeros(most + 1, np.int64)
    count = used = borne = 0
    at = 0
    while at < size:
        stop = at
        accounts = exchanges = 0
        who = -1
        signed = np.uint64(0)
        last_line = -1
        copied = used
        while stop < size and marks[stop] == marks[at]:
            line = lines[stop]
            if line != last_line:  # two layers may hold the same mark in one line
                lines[copied] = line
                copied += 1
                exchanges += edges[line + 1] - edges[line] if len(edges) else 1
                if account[line] != who:
                    who = account[line]
                    bearers[borne + accounts] = who
                    accounts += 1
                    signed += mixed(np.uint64(who) + np.uint64(977))
            last_line = line
            stop += 1
        if accounts >= least_accounts and exchanges >= least_exchanges:
            found[count] = marks[at]
            signature[count] = signed
            used = copied
            borne += accounts
            bounds[count + 1] = bounds[count] + exchanges
            count += 1
            bearer_bounds[count] = borne
        at = stop
    return (
        found[:count].copy(),
        bounds[: count + 1].copy(),
        borne,
        bearer_bounds[: count + 1].copy(),
        signature[:count].copy(),
    )


@compiled
def _all_rows(accounts: np.ndarray, edges: np.ndarray, rows: np.ndarray) -> None:
    """Fill in all exchanges of these accounts, one after another."""
    count = 0
    for who in accounts:
        for row in range(edges[who], edges[who + 1]):
            rows[count] = row
            count += 1
