"""Who belongs: each account of a stream on its own merits, held against the cohort without it. Pure; touches nothing.

An account that bears a cohort's mark need not be the cohort's: a common client is everybody's, a template can be
copied. For each of its properties (client, network, card, hours, pace, lengths, ...) the chance of its value among the
other members is divided by the chance in the population; the logs of these ratios add up to its bits, each capped, so
that no single property carries an account in or out. Members are kept, the rest put out, and the same is done again
until nothing changes.

A log may hold hardly anybody but the cohort. The fewer outsiders there are, the less is known of how often they have a
value, and the less such a ratio may say; and the less likely is it that an account that bears the mark is one of them.
Both follow from what the ratio stands for: the outsiders' rates are estimated with a prior centred on the members' own
(empirical Bayes; Robbins 1956, Morris, JASA 78, 1983), and the bound is one of posterior odds, where the prior odds are
those of outsiders to bearers, even at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.cohorts import measures
from stillwatch.marks.order import ascending

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population
    from stillwatch.cohorts.survey import Surveyor

SHARED_CAP, FOREIGN_CAP = (
    2.0,
    3.0,
)  # bits of a property for and against: what is shared may be copied, what differs is one's own
PRIOR = 4.0  # pseudo-members that behave like the population, and pseudo-outsiders that behave like the members
ROUNDS = 8
BINS = 8
COMMON = 0.1  # share of the members from which a value is the cohort's rather than a few accounts' own
IDENTITIES = ("client", "parameters", "network", "card", "mail", "organization", "system")
OWNED = frozenset({"network", "card", "mail", "organization"})  # nobody can take these on by looking at a request
HABITS = (
    "exchanges", "night", "sessions", "repeats", "log_output", "input", "turns", "continued", "addresses",
    "with_tools", "sweeps", "wants_reasoning", "wants_rubric", "wants_tools", "relayed", "ramp",
)  # fmt: skip
SAYS = {
    "client": "client software",
    "parameters": "sampling parameters",
    "network": "network",
    "card": "means of payment",
    "mail": "mail domain",
    "organization": "claimed organization",
    "system": "system prompt",
    "exchanges": "volume",
    "night": "hours",
    "sessions": "pauses between requests",
    "repeats": "repeated prompts",
    "log_output": "length of answers",
    "input": "length of prompts",
    "turns": "turns of conversations",
    "continued": "conversations continued",
    "addresses": "changes of address",
    "with_tools": "tools offered",
    "sweeps": "requests for next-token probabilities",
    "wants_reasoning": "reasoning asked for",
    "wants_rubric": "grading asked for",
    "wants_tools": "tool runs asked for",
    "relayed": "conversations of other accounts continued",
    "ramp": "growth over its life",
}


@dataclass(frozen=True, slots=True)
class Profiles:
    """Properties of every account, as categories.

    Attributes:
        names: the properties.
        identity: how many of them, from the first, are identities (hashes); the rest are bins.
        values: int32 [properties, accounts], codes of the values; 0 is unknown.
        counts: how many accounts of the log have each value, for each property.
    """

    names: tuple[str, ...]
    identity: int
    values: NDArray[np.int32]
    counts: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, slots=True)
class Membership:
    """Bits of the accounts of a stream.

    Attributes:
        accounts: int32, the stream's accounts.
        bits: float64, one each.
        parts: float64 [accounts, properties], what they are the sum of.
        kept: whether each is a member.
    """

    accounts: NDArray[np.int32]
    bits: NDArray[np.float64]
    parts: NDArray[np.float64]
    kept: NDArray[np.bool_]


def profile(population: Population, surveyor: Surveyor) -> Profiles:
    """Make the profiles of all accounts."""
    accounts = len(population.accounts.name)
    rows = np.arange(population.exchanges)
    ones = np.arange(accounts, dtype=np.int32)
    figures = surveyor.measure(rows, population.edges, ones, np.arange(accounts + 1))
    values = [surveyor.usual(name) for name in IDENTITIES]
    for name in HABITS:
        column = figures.measured[:, measures.COLUMN[name]]
        known = np.isfinite(column)
        edges = np.unique(np.quantile(column[known], np.arange(1, BINS) / BINS)) if known.any() else np.empty(0)
        values.append(np.where(known, np.searchsorted(edges, column, side="right") + 1, 0).astype(np.uint64))
    coded = [_coded(column) for column in values]
    return Profiles(
        (*IDENTITIES, *HABITS), len(IDENTITIES), np.stack(coded), tuple(np.bincount(column) for column in coded)
    )


def _coded(values: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Values as small codes; what is 0 stays 0."""
    order = ascending(values)
    own = values[order]
    codes = np.empty(len(values), np.int32)
    codes[order] = np.cumsum(np.diff(own, prepend=np.uint64(0)) != 0)
    return codes


@dataclass(frozen=True, slots=True)
class Tally:
    """How many ordinary accounts have each value of one property.

    Attributes:
        counts: by code.
        sizes: the different counts of values that are told, ascending.
        number: how many values have each of these counts.
    """

    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    number: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ordinary:
    """The accounts that were not found before, as many streams are held against them.

    Attributes:
        profiles: of all accounts.
        out: the accounts of the log that are not ordinary.
        tallies: of each property.
    """

    profiles: Profiles
    out: NDArray[np.bool_]
    tallies: tuple[Tally, ...]


@dataclass(frozen=True, slots=True)
class _Told:
    """What some accounts tell of one property, and what the ordinary accounts beside them do.

    Attributes:
        own: place of each account's value among those that any of them has.
        known: whether each tells one.
        usual: how many ordinary accounts beside them have each of these values; 0 for what is not told.
        others: how many ordinary accounts beside them tell a value.
        sizes: how many have a value that none of these accounts has: the different counts.
        number: how many such values have each of these counts.
        values: how many different ones there are in the log, 1 at least.
    """

    own: NDArray[np.int64]
    known: NDArray[np.bool_]
    usual: NDArray[np.int64]
    others: float
    sizes: NDArray[np.int64]
    number: NDArray[np.int64]
    values: int


def ordinary(profiles: Profiles, out: NDArray[np.bool_]) -> Ordinary:
    """Count the accounts that are not out.

    Args:
        profiles: of all accounts.
        out: accounts of the log that are not ordinary (found before), left out of the population's share.
    """
    found = np.flatnonzero(out)
    tallies = []
    for values, counts in zip(profiles.values, profiles.counts, strict=True):
        left = counts - np.bincount(values[found], minlength=len(counts))
        number = np.bincount(left[1:])
        sizes = np.flatnonzero(number)
        tallies.append(Tally(left, sizes, number[sizes]))
    return Ordinary(profiles, out.copy(), tuple(tallies))


def belong(ordinary: Ordinary, accounts: NDArray[np.int32], bound: float) -> Membership:
    """Decide which accounts of a stream are members.

    Args:
        ordinary: the accounts they are held against; the stream's own do not count among them.
        accounts: the stream's.
        bound: bits from which an account is a member, at even odds.
    """
    profiles = ordinary.profiles
    kept = np.ones(len(accounts), np.bool_)
    told = _told(ordinary, accounts)
    odds = odds_of_outsiders(len(accounts), _outsiders(ordinary, accounts))
    bits, parts = _bits(told, kept, profiles.identity)
    for _ in range(ROUNDS):
        now = passes(profiles, bits, parts, bound, odds)
        if (now == kept).all() or not now.any():
            break
        kept = now
        bits, parts = _bits(told, kept, profiles.identity)
    return Membership(accounts, bits, parts, kept & passes(profiles, bits, parts, bound, odds))


def odds_of_outsiders(bearers: int, outsiders: int) -> float:
    """Log2 odds that a bearer is no member before anything else is known of it: outsiders to bearers, even at most.

    One outsider more is counted than was seen (Laplace), so that few bearers do not vouch for one another.
    """
    return min(float(np.log2((outsiders + 1.0) / max(bearers, 1))), 0.0)


def passes(
    profiles: Profiles, bits: NDArray[np.float64], parts: NDArray[np.float64], bound: float, odds: float = 0.0
) -> NDArray[np.bool_]:
    """Which accounts belong: enough bits, and not in spite of who they are.

    Machines keep alike hours, and a template and a client can be copied from anybody. So an account is somebody else's,
    however much its habits agree, if its identity speaks against it somewhere and not for it on the whole; or if what
    cannot be copied (`OWNED`) speaks against it twice, and not for it. `odds` are those of outsiders, in bits: where
    there are next to none, one property that speaks against an account is a member's own.
    """
    identity = parts[:, : profiles.identity]
    owned = identity[:, [name in OWNED for name in profiles.names[: profiles.identity]]]
    contradicted = (identity.min(axis=1) <= -SHARED_CAP) & (identity.sum(axis=1) <= odds)
    contradicted |= ((owned <= -SHARED_CAP).sum(axis=1) >= 2) & (owned.sum(axis=1) < odds)
    return np.asarray((bits >= bound + odds) & ~contradicted)


def likeness(ordinary: Ordinary, members: NDArray[np.int32], accounts: NDArray[np.int32], bound: float) -> float:
    """Share of some accounts that would pass as members of a cohort that they are not in."""
    odds = odds_of_outsiders(len(members) + len(accounts), _outsiders(ordinary, np.concatenate([members, accounts])))
    return float((bits_beside(ordinary, members, accounts)[0] >= bound + odds).mean())


def bits_beside(
    ordinary: Ordinary, members: NDArray[np.int32], accounts: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits of some accounts as if they were members of a cohort that they are not in, and what they are the sum of."""
    together = np.concatenate([members, accounts])
    kept = np.arange(len(together)) < len(members)
    bits, parts = _bits(_told(ordinary, together), kept, ordinary.profiles.identity)
    return bits[~kept], parts[~kept]


def _outsiders(ordinary: Ordinary, accounts: NDArray[np.int32]) -> int:
    """Count the ordinary accounts beside these."""
    return int((~ordinary.out).sum() - (~ordinary.out[np.unique(accounts)]).sum())


def _told(ordinary: Ordinary, accounts: NDArray[np.int32]) -> list[_Told]:
    """What accounts tell of each property; those that are looked at do not count as ordinary."""
    once = np.unique(accounts, return_index=True)[1]
    fresh = once[~ordinary.out[accounts[once]]]
    return [
        _told_of(tally, values[accounts], fresh)
        for values, tally in zip(ordinary.profiles.values, ordinary.tallies, strict=True)
    ]


def _told_of(tally: Tally, values: NDArray[np.int32], fresh: NDArray[np.int64]) -> _Told:
    """The same of one property: the log has as many values as accounts, the few of these are all that is looked at."""
    codes, own = np.unique(values, return_inverse=True)
    before = tally.counts[codes]
    usual = before - np.bincount(own[fresh], minlength=len(codes))
    usual[codes == 0] = 0
    before = before[codes != 0]
    others = int((tally.sizes * tally.number).sum() + usual.sum() - before.sum())
    number = tally.number.copy()
    np.subtract.at(number, np.searchsorted(tally.sizes, before), 1)
    return _Told(own, values != 0, usual, float(others), tally.sizes, number, max(len(tally.counts) - 1, 1))


def _bits(told: list[_Told], kept: NDArray[np.bool_], identity: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits of each account, and their parts by property; the first `identity` properties are identities."""
    parts = np.stack([_ratios(each, kept, place < identity) for place, each in enumerate(told)], axis=1)
    return parts.sum(axis=1), parts


def _ratios(told: _Told, kept: NDArray[np.bool_], identity: bool) -> NDArray[np.float64]:
    """Log2 ratio of each account's value: among the other members over among ordinary accounts, capped.

    Args:
        told: the accounts' values; what they do not tell does not count.
        kept: which of them are members.
        identity: whether the property is one that accounts may each have their own of.
    """
    own, usual, others = told.own, told.usual, told.others
    itself = kept & told.known
    counts = np.bincount(own[itself], minlength=len(usual))
    members = float(counts.sum())
    if members < 2:
        return np.zeros(len(own))
    here = counts[own] - itself  # the others, without itself
    among = members - itself
    # one ordinary account more than was seen, spread over all values (Perks, Journal of the Institute of Actuaries 73)
    base = (usual[own] + 1.0 / told.values) / (others + 1.0)
    if identity:
        few = here < COMMON * members
        rare = counts < COMMON * members
        # how many of as many ordinary accounts would find their value again among themselves
        met = _met(usual[rare], 1, members, others) + _met(told.sizes, told.number, members, others)
        alone = max(1.0 - met - float((usual[~rare] / max(others, 1.0)).sum()), 0.0)
        paired, single = float(counts[rare & (counts >= 2)].sum()), float((counts == 1).sum())
        in_group = few & (here >= 1)
        by_itself = few & (here < 1)
        # a few accounts that share a value of their own vouch for nobody: their group is left out whole
        here = np.where(in_group, np.maximum(paired - counts[own], 0.0), here)
        among = np.where(in_group, members - counts[own], among)
        here = np.where(by_itself, single - itself, here)
        base = np.where(in_group, met + 0.5 / (others + 1.0), np.where(by_itself, alone + 0.5 / (others + 1.0), base))
    ratio = (np.maximum(here, 0.0) + PRIOR * base) / (np.maximum(among, 0.0) + PRIOR) / base
    # the chance outside, with PRIOR outsiders who are like the members: of nobody nothing is known, and the ratio is 1
    unknown = PRIOR / (others + PRIOR)
    ratio /= 1.0 - unknown + unknown * ratio
    return np.where(told.known, np.clip(np.log2(ratio), -FOREIGN_CAP, SHARED_CAP), 0.0)


def _met(sizes: NDArray[np.int64], number: NDArray[np.int64] | int, members: float, others: float) -> float:
    """Share of ordinary accounts whose value another of `members` such has; values by how many have them."""
    frequency = sizes / max(others, 1.0)
    return float((number * frequency * (1.0 - (1.0 - frequency) ** (members - 1.0))).sum())
