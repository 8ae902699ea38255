"""What the accounts of a stream have in common behind the scenes: cards, mail, networks, clients, hour of birth.

Counted are *customers*, not accounts, since what one customer's accounts share is no secret: keys that one card pays
for may well come from one office. So cards are shared where accounts from different networks have them, networks and
mail domains where accounts with different cards do; accounts of one organization that the provider has verified are one
customer throughout. What organizations nobody has verified, everybody may claim. For each kind it is counted how many
customers have a value that others of the stream have too, more of them than chance would bring together. Pure; touches
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.hashing import combine, distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population

KINDS = ("card", "mail", "network", "organization", "client")
_MAIL = KINDS.index("mail")
POOLED = ("card", "mail", "network")  # the first of `KINDS`
FIGURES = (
    *(f"{kind}_pooled" for kind in POOLED),  # share of customers whose value others have too, less chance
    *(f"{kind}_customers" for kind in POOLED),  # how many customers these are a share of
    *(f"{kind}_lead" for kind in KINDS),  # share of accounts with the most frequent value
    *(f"{kind}_told" for kind in KINDS),  # share of accounts that have a value
    "customers",  # accounts, those that one card pays for counted once: how many `burst` is a share of
    "burst",  # largest share of customers whose first accounts were opened within BURST
    "unverified",  # share of accounts not verified
    "fresh",  # share of accounts opened less than 3 days before their first exchange
    "usage",  # mean share of the accounts on the same plan that use less
    "ranked",  # how many accounts that is the mean of
    "disposable",  # share of accounts that tell a mail domain whose domain is known to serve throw-away addresses
)
COLUMN = {name: index for index, name in enumerate(FIGURES)}
_COUNTED, _LEAD, _TOLD = len(POOLED), COLUMN["card_lead"], COLUMN["card_told"]  # of the first kind; the others follow
_CUSTOMERS, _BURST, _UNVERIFIED, _FRESH, _USAGE, _RANKED, _DISPOSABLE = (
    COLUMN[name] for name in ("customers", "burst", "unverified", "fresh", "usage", "ranked", "disposable")
)
BURST = 12 * 3600.0
FRESH = 3 * 86400.0
BROUGHT = {
    "card": ("card_pooled",),
    "mail": ("mail_pooled",),
    "network": ("network_pooled",),
    "address": ("network_pooled",),
    "born": ("burst",),
}
"""Figures that a stream has by definition: accounts gathered by their card share a card. They are no evidence,
unless the same accounts are gathered by another mark as well."""
_BEYOND = 3.0  # standard deviations of a Poisson number above which a value is more frequent than chance has it


def usual_values(population: Population, name: str) -> NDArray[np.uint64]:
    """Each account's most frequent value of a column, uint64 [accounts]."""
    return _usual(population.edges, population.columns[name])


def attributes(population: Population) -> NDArray[np.uint64]:
    """What is compared, uint64 [KINDS, accounts]; 0 where unknown."""
    accounts = population.accounts
    network, client = usual_values(population, "network"), usual_values(population, "client")
    return np.stack([accounts.card, accounts.mail, network, accounts.organization, client])


def customers(values: NDArray[np.uint64], verified: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Who counts as whom where a kind of `POOLED` is compared, uint64 [POOLED, accounts]; equal for one customer's.

    Args:
        values: as `attributes` makes them.
        verified: whether the provider has verified each account's organization.
    """
    card, _, network, organization, _ = values
    house = np.where(verified, organization, np.uint64(0))
    # who is paid for by a verified organization's card is that organization's, verified itself or not
    paying = np.flatnonzero((house != 0) & (card != 0))
    paying = paying[np.argsort(house[paying], kind="stable")]  # a card of several: the same one, whoever is first
    cards, first = np.unique(card[paying], return_index=True)
    if len(cards):
        place = np.minimum(np.searchsorted(cards, card), len(cards) - 1)
        paid_for = (house == 0) & (cards[place] == card)
        house = np.where(paid_for, house[paying][first][place], house)
    itself = combine(np.arange(len(house)))
    return np.stack(
        [np.where(house != 0, house, np.where(other != 0, other, itself)) for other in (network, card, card)]
    )


def coded(values: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Columns of values (uint64 [k, accounts]) as small numbers, int32 [accounts, k]; 0 stays 0."""
    codes = np.empty(values.shape[::-1], np.int32)
    for place, column in enumerate(values):
        codes[:, place] = np.where(column == 0, 0, distinct(column)[1] + 1)
    return codes


@dataclass(frozen=True, slots=True)
class Compared:
    """What accounts are compared by, as small numbers; 0 where unknown.

    Attributes:
        code: of each value, int32 [accounts, KINDS].
        pair: of each value and whose it is, int32 [accounts, POOLED].
        owner: of the customer that an account counts as where cards are no property, int32 [accounts].
        borne: how many of the log's customers have the value of each account, int64 [accounts, POOLED].
        everyone: how many have any, int64 [POOLED].
    """

    code: NDArray[np.int32]
    pair: NDArray[np.int32]
    owner: NDArray[np.int32]
    borne: NDArray[np.int64]
    everyone: NDArray[np.int64]


def compared(values: NDArray[np.uint64], verified: NDArray[np.bool_]) -> Compared:
    """Number what `attributes` found."""
    owner = customers(values, verified)
    code = coded(values)
    pairs = [np.where(value != 0, combine(value, who), np.uint64(0)) for value, who in zip(values, owner, strict=False)]
    pair = coded(np.stack(pairs))
    borne, everyone = np.zeros(pair.shape, np.int64), np.zeros(len(POOLED), np.int64)
    for kind in range(len(POOLED)):
        first = np.unique(pair[:, kind], return_index=True)[1]
        counts = np.bincount(code[first, kind], minlength=int(code[:, kind].max(initial=0)) + 1)
        counts[0] = 0
        borne[:, kind], everyone[kind] = counts[code[:, kind]], counts.sum()
    return Compared(code, pair, coded(owner[1:2])[:, 0], borne, everyone)


@dataclass(frozen=True, slots=True)
class Scratch:
    """Memory that `link` counts in, as large as the log has values; it is left as it was found.

    Attributes:
        counts: by code; 0.
        met: by `pair` or `owner`, int32 [numbers, POOLED and 1]; -1.
        opened: by `owner`; NaN.
    """

    counts: NDArray[np.int64]
    met: NDArray[np.int32]
    opened: NDArray[np.float64]


def scratch(by: Compared) -> Scratch:
    """Make what `link` counts in."""
    numbers = int(max(by.pair.max(initial=0), by.owner.max(initial=0))) + 1
    return Scratch(
        np.zeros(int(by.code.max(initial=0)) + 1, np.int64),
        np.full((numbers, len(POOLED) + 1), -1, np.int32),
        np.full(numbers, np.nan),
    )


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
    code: np.ndarray,
    pair: np.ndarray,
    owner: np.ndarray,
    borne: np.ndarray,
    everyone: np.ndarray,
    verified: np.ndarray,
    created: np.ndarray,
    begun: np.ndarray,
    usage: np.ndarray,
    disposable: np.ndarray,
    counts: np.ndarray,
    met: np.ndarray,
    opened: np.ndarray,
    figures: np.ndarray,
) -> None:
    """Fill one line of `figures` (shape [streams, len(FIGURES)]) for each stream.

    Args:
        bearers: accounts, stream by stream.
        bounds: stream k has bearers[bounds[k]:bounds[k + 1]].
        code: as in `Compared`; so the next four.
        pair: likewise.
        owner: likewise.
        borne: likewise.
        everyone: likewise.
        verified: whether each account is.
        created: when it was opened, s since 1970, NaN if unknown.
        begun: its first exchange, s since 1970.
        usage: of each account, as `usage.usage` ranks it; NaN where unknown.
        disposable: whether its mail domain is known to be.
        counts: as in `Scratch`; so the next two.
        met: likewise.
        opened: likewise.
        figures: written to.
    """
    for stream in range(len(bounds) - 1):
        accounts = bearers[bounds[stream] : bounds[stream + 1]]
        size = len(accounts)
        line = figures[stream]
        line[:] = math.nan
        for kind in range(code.shape[1]):
            told = lead = 0
            for who in accounts:
                value = code[who, kind]
                if value != 0:
                    told += 1
                    counts[value] += 1
                    lead = max(lead, counts[value])
            for who in accounts:
                counts[code[who, kind]] = 0
            line[_TOLD + kind] = told / size
            if told >= 2:
                line[_LEAD + kind] = lead / size
        for kind in range(len(everyone)):
            count = 0
            for who in accounts:
                whose = pair[who, kind]
                if whose != 0 and met[whose, kind] != stream:
                    met[whose, kind] = stream
                    counts[code[who, kind]] += 1
                    count += 1
            line[_COUNTED + kind] = count
            for who in accounts:
                met[pair[who, kind], kind] = -1
            line[kind] = _pooled(accounts, code[:, kind], borne[:, kind], counts, count, everyone[kind])
        line[_CUSTOMERS], line[_BURST] = _burst(accounts, owner, created, met[:, len(everyone)], opened, stream)
        for who in accounts:
            met[owner[who], len(everyone)] = -1
        unverified = fresh = dated = ranked = thrown = 0
        used = 0.0
        for who in accounts:
            unverified += not verified[who]
            thrown += disposable[who]
            if not math.isnan(usage[who]):
                ranked += 1
                used += usage[who]
            if not math.isnan(created[who]):
                dated += 1
                fresh += begun[who] - created[who] < FRESH
        line[_UNVERIFIED] = unverified / size
        if dated > 0:
            line[_FRESH] = fresh / dated
        line[_RANKED] = ranked
        if 2 * ranked >= size:
            line[_USAGE] = used / ranked
        if line[_TOLD + _MAIL] > 0.0:
            line[_DISPOSABLE] = thrown / size / line[_TOLD + _MAIL]


@compiled
def _pooled(
    accounts: np.ndarray, code: np.ndarray, borne: np.ndarray, counts: np.ndarray, count: int, everyone: int
) -> float:
    """Share of customers whose value others of them have too, less what as many others of the log would.

    NaN where the rest of the log is smaller than the stream, so that nothing tells what chance would do. `counts` holds
    how many of the `count` customers have each value, and is emptied.
    """
    known = count >= 2 and everyone >= 2 * count
    pooled = outside = 0  # whole numbers, so that their sum does not depend on the order of accounts
    for who in accounts:
        value = code[who]
        met = counts[value]
        counts[value] = 0
        if known and met >= 2:
            expected = count * (borne[who] - met) / (everyone - count)
            if met - expected > _BEYOND * math.sqrt(expected):
                pooled += met
                outside += borne[who] - met
    return (pooled - count * outside / (everyone - count)) / count if known else math.nan


@compiled
def _burst(
    accounts: np.ndarray, owner: np.ndarray, created: np.ndarray, met: np.ndarray, opened: np.ndarray, stream: int
) -> tuple[float, float]:
    """Number of customers; and the largest share of them that opened their first account within BURST."""
    count = 0
    for who in accounts:
        whose = owner[who]
        if met[whose] != stream:
            met[whose] = stream
            opened[whose] = created[who]
            count += 1
        elif math.isnan(opened[whose]) or created[who] < opened[whose]:
            opened[whose] = created[who]
    first = np.empty(count, np.float64)
    known = 0
    for who in accounts:
        if not math.isnan(opened[owner[who]]):
            first[known] = opened[owner[who]]
            opened[owner[who]] = math.nan
            known += 1
    if known < 2:
        return count, math.nan
    first = np.sort(first[:known])
    most = begin = 0
    for end in range(known):
        while first[end] - first[begin] > BURST:
            begin += 1
        most = max(most, end - begin + 1)
    return count, most / known
