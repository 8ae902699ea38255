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
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.hashing import combine
from stillwatch.marks.tokens import mixed

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
    "disposable",  # share of accounts that tell a mail domain whose domain is known to serve throw-away addresses
)
COLUMN = {name: index for index, name in enumerate(FIGURES)}
_COUNTED, _LEAD, _TOLD = len(POOLED), COLUMN["card_lead"], COLUMN["card_told"]  # of the first kind; the others follow
_CUSTOMERS, _BURST, _UNVERIFIED, _FRESH, _USAGE, _DISPOSABLE = (
    COLUMN[name] for name in ("customers", "burst", "unverified", "fresh", "usage", "disposable")
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


def bearers_of(
    values: NDArray[np.uint64], customer: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many of the log's customers have the value of each account, float64 [POOLED, accounts]; and any, [POOLED]."""
    found, everyone = np.zeros(customer.shape), np.zeros(len(customer))
    for kind, who in enumerate(customer):
        which, place = np.unique(values[kind], return_inverse=True)
        first = np.unique(combine(values[kind], who), return_index=True)[1]
        counts = np.bincount(place[first], minlength=len(which)) * (which != 0)
        found[kind], everyone[kind] = counts[place], counts.sum()
    return found, everyone


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
    values: np.ndarray,
    customer: np.ndarray,
    borne: np.ndarray,
    everyone: np.ndarray,
    verified: np.ndarray,
    created: np.ndarray,
    begun: np.ndarray,
    usage: np.ndarray,
    disposable: np.ndarray,
    figures: np.ndarray,
) -> None:
    """Fill one line of `figures` (shape [streams, len(FIGURES)]) for each stream.

    Args:
        bearers: accounts, stream by stream.
        bounds: stream k has bearers[bounds[k]:bounds[k + 1]].
        values: uint64 [KINDS, accounts].
        customer: uint64 [POOLED, accounts], as `customers` makes them.
        borne: float64 [POOLED, accounts], as `bearers_of` counts them.
        everyone: float64 [POOLED], likewise.
        verified: whether each account is.
        created: when it was opened, s since 1970, NaN if unknown.
        begun: its first exchange, s since 1970.
        usage: of each account, as `usage.usage` ranks it; NaN where unknown.
        disposable: whether its mail domain is known to be.
        figures: written to.
    """
    for stream in range(len(bounds) - 1):
        accounts = bearers[bounds[stream] : bounds[stream + 1]]
        size = len(accounts)
        line = figures[stream]
        line[:] = math.nan
        own = np.empty(size, np.uint64)
        for kind in range(len(values)):
            told = 0
            for who in accounts:
                value = values[kind, who]
                if value != 0:
                    own[told] = value
                    told += 1
            line[_TOLD + kind] = told / size
            if told >= 2:
                line[_LEAD + kind] = _longest(np.sort(own[:told])) / size
        for kind in range(len(customer)):
            line[kind], line[_COUNTED + kind] = _pooled(
                accounts, values[kind], customer[kind], borne[kind], everyone[kind]
            )
        opened = _openings(accounts, customer[1], created)
        line[_CUSTOMERS] = len(opened)
        line[_BURST] = _burst(opened)
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
        if 2 * ranked >= size:
            line[_USAGE] = used / ranked
        if line[_TOLD + _MAIL] > 0.0:
            line[_DISPOSABLE] = thrown / size / line[_TOLD + _MAIL]


@compiled
def _longest(values: np.ndarray) -> int:
    """Length of the longest run in sorted values."""
    longest = at = 0
    while at < len(values):
        stop = at
        while stop < len(values) and values[stop] == values[at]:
            stop += 1
        longest = max(longest, stop - at)
        at = stop
    return longest


@compiled
def _openings(accounts: np.ndarray, customer: np.ndarray, created: np.ndarray) -> np.ndarray:
    """When every customer opened the first of its accounts, NaN where none is dated."""
    order = np.argsort(customer[accounts], kind="mergesort")
    opened = np.empty(len(accounts), np.float64)
    count = 0
    for place in range(len(order)):
        who = accounts[order[place]]
        if place == 0 or customer[who] != customer[accounts[order[place - 1]]]:
            opened[count] = created[who]
            count += 1
        elif math.isnan(opened[count - 1]) or created[who] < opened[count - 1]:
            opened[count - 1] = created[who]
    return opened[:count]


@compiled
def _pooled(
    accounts: np.ndarray, values: np.ndarray, customer: np.ndarray, borne: np.ndarray, everyone: float
) -> tuple[float, float]:
    """Share of customers whose value others of them have too, less what as many others of the log would; how many.

    NaN where the rest of the log is smaller than the stream, so that nothing tells what chance would do.
    """
    pairs = np.empty(len(accounts), np.uint64)  # a value and whose it is
    known = np.empty(len(accounts), accounts.dtype)
    told = 0
    for who in accounts:
        if values[who] != 0:
            pairs[told] = mixed(values[who] ^ mixed(customer[who]))
            known[told] = who
            told += 1
    order = np.argsort(pairs[:told], kind="mergesort")
    own = np.empty(told, np.uint64)
    bearer = np.empty(told, accounts.dtype)
    count = 0
    for place in range(told):
        if place == 0 or pairs[order[place]] != pairs[order[place - 1]]:
            bearer[count] = known[order[place]]
            own[count] = values[bearer[count]]
            count += 1
    if count < 2 or everyone < 2 * count:
        return math.nan, float(count)
    order = np.argsort(own[:count], kind="mergesort")
    pooled = 0.0
    at = 0
    while at < count:
        stop = at
        while stop < count and own[order[stop]] == own[order[at]]:
            stop += 1
        met = stop - at
        expected = count * (borne[bearer[order[at]]] - met) / (everyone - count)
        if met >= 2 and met - expected > _BEYOND * math.sqrt(expected):
            pooled += met - expected
        at = stop
    return pooled / count, float(count)


@compiled
def _burst(opened: np.ndarray) -> float:
    """Largest share of moments within BURST."""
    known = np.sort(opened[~np.isnan(opened)])
    if len(known) < 2:
        return math.nan
    most = first = 0
    for last in range(len(known)):
        while known[last] - known[first] > BURST:
            first += 1
        most = max(most, last - first + 1)
    return most / len(known)
