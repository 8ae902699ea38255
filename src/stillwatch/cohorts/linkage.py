"""What the accounts of a stream have in common behind the scenes: cards, mail, hour of birth, networks, clients.

For each kind the chance that two accounts of the stream agree is held against the chance that any two accounts of the
log do. Pure; touches nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.hashing import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population

KINDS = ("card", "mail", "born", "organization", "network", "client", "country")
FIGURES = (
    *(f"{kind}_lift" for kind in KINDS),  # log2 of coincidence over the log's
    *(f"{kind}_lead" for kind in KINDS),  # share of accounts with the most frequent value
    *(f"{kind}_told" for kind in KINDS),  # share of accounts that have a value
    "unverified",  # share of accounts not verified
    "fresh",  # share of accounts opened less than 3 days before their first exchange
)
COLUMN = {name: index for index, name in enumerate(FIGURES)}
BORN_BIN = 6 * 3600.0
FRESH = 3 * 86400.0


def usual_values(population: Population, name: str) -> NDArray[np.uint64]:
    """Each account's most frequent value of a column, uint64 [accounts]."""
    return _usual(population.edges, population.columns[name])


def attributes(population: Population) -> NDArray[np.uint64]:
    """What is compared, uint64 [KINDS, accounts]; 0 where unknown."""
    accounts = population.accounts
    born = np.where(np.isnan(accounts.created), 0.0, np.nan_to_num(accounts.created) // BORN_BIN + 1.0)
    return np.stack(
        [
            accounts.card,
            accounts.mail,
            born.astype(np.uint64),
            accounts.organization,
            usual_values(population, "network"),
            usual_values(population, "client"),
            accounts.country,
        ]
    )


def chance(values: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Chance that two accounts of the log agree, for each kind; float64 [KINDS]."""
    found = np.empty(len(values))
    for kind, column in enumerate(values):
        counts = np.unique(column[column != 0], return_counts=True)[1].astype(np.float64)
        total = counts.sum()
        # one more pair, as if seen: a coincidence that the log never shows is rare, not impossible
        found[kind] = ((counts * (counts - 1)).sum() + 2.0) / (total * (total - 1) + 2.0) if total > 1 else 1.0
    return found


def coded(values: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Values (uint64 [KINDS, accounts]) as small numbers, int32 [accounts, KINDS]; 0 stays 0."""
    codes = np.empty(values.shape[::-1], np.int32)
    for kind, column in enumerate(values):
        codes[:, kind] = np.where(column == 0, 0, distinct(column)[1] + 1)
    return codes


@compiled
def _usual(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    usual = np.zeros(len(edges) - 1, np.uint64)
    for account in range(len(edges) - 1):
        own = np.sort(values[edges[account] : edges[account + 1]])
        best = 0
        at = 0
        while at < len(own):
            stop = at
            while stop < len(own) and own[stop] == own[at]:
                stop += 1
            if stop - at > best and own[at] != 0:
                best = stop - at
                usual[account] = own[at]
            at = stop
    return usual


@compiled
def link(  # one pass; compiled code takes no keyword arguments cheaply
    bearers: np.ndarray,
    bounds: np.ndarray,
    codes: np.ndarray,
    base: np.ndarray,
    verified: np.ndarray,
    created: np.ndarray,
    begun: np.ndarray,
    figures: np.ndarray,
) -> None:
    """Fill one line of `figures` (shape [streams, len(FIGURES)]) for each stream.

    Args:
        bearers: accounts, stream by stream.
        bounds: stream k has bearers[bounds[k]:bounds[k + 1]].
        codes: of what is compared, by `coded`.
        base: chance that two accounts of the log agree, by kind.
        verified: whether each account is.
        created: when it was opened, s since 1970, NaN if unknown.
        begun: its first exchange, s since 1970.
        figures: written to.
    """
    kinds = codes.shape[1]
    counts = np.zeros(codes.max() + 1 if codes.size else 1, np.int64)
    for stream in range(len(bounds) - 1):
        start, end = bounds[stream], bounds[stream + 1]
        size = end - start
        line = figures[stream]
        line[:] = math.nan
        for kind in range(kinds):
            told = pairs = lead = 0
            for index in range(start, end):
                code = codes[bearers[index], kind]
                if code != 0:
                    told += 1
                    pairs += 2 * counts[code]
                    counts[code] += 1
                    lead = max(lead, counts[code])
            for index in range(start, end):
                counts[codes[bearers[index], kind]] = 0
            line[2 * kinds + kind] = told / size
            if told < 2:
                continue
            all_pairs = told * (told - 1.0)
            # the same prior of one pair at the log's own rate keeps a lone coincidence among few accounts small
            line[kind] = math.log2((pairs / 2.0 + base[kind]) / (all_pairs / 2.0 + 1.0) / base[kind])
            line[kinds + kind] = lead / size
        unverified = fresh = dated = 0
        for index in range(start, end):
            who = bearers[index]
            unverified += not verified[who]
            if not math.isnan(created[who]):
                dated += 1
                fresh += begun[who] - created[who] < FRESH
        line[3 * kinds] = unverified / size
        if dated > 0:
            line[3 * kinds + 1] = fresh / dated
