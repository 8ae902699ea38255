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
    known, codes = np.unique(values, return_inverse=True)
    return (codes + (0 if len(known) and known[0] == 0 else 1)).astype(np.int32)


def belong(profiles: Profiles, accounts: NDArray[np.int32], out: NDArray[np.bool_], bound: float) -> Membership:
    """Decide which accounts of a stream are members.

    Args:
        profiles: of all accounts.
        accounts: the stream's.
        out: accounts of the log that are not ordinary (found before), left out of the population's share.
        bound: bits from which an account is a member, at even odds.
    """
    kept = np.ones(len(accounts), np.bool_)
    apart = _apart(accounts, out)
    odds = odds_of_outsiders(len(accounts), len(out) - len(apart))
    bits, parts = _bits(profiles, accounts, kept, apart)
    for _ in range(ROUNDS):
        now = passes(profiles, bits, parts, bound, odds)
        if (now == kept).all() or not now.any():
            break
        kept = now
        bits, parts = _bits(profiles, accounts, kept, apart)
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


def likeness(
    profiles: Profiles, members: NDArray[np.int32], accounts: NDArray[np.int32], out: NDArray[np.bool_], bound: float
) -> float:
    """Share of some accounts that would pass as members of a cohort that they are not in."""
    together = np.concatenate([members, accounts])
    odds = odds_of_outsiders(len(together), len(out) - len(_apart(together, out)))
    return float((bits_beside(profiles, members, accounts, out)[0] >= bound + odds).mean())


def bits_beside(
    profiles: Profiles, members: NDArray[np.int32], accounts: NDArray[np.int32], out: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits of some accounts as if they were members of a cohort that they are not in, and what they are the sum of."""
    together = np.concatenate([members, accounts])
    kept = np.arange(len(together)) < len(members)
    bits, parts = _bits(profiles, together, kept, _apart(together, out))
    return bits[~kept], parts[~kept]


def _apart(accounts: NDArray[np.int32], out: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Accounts that do not count as ordinary: those found before and those looked at."""
    apart = out.copy()
    apart[accounts] = True
    return np.flatnonzero(apart)


def _bits(
    profiles: Profiles, accounts: NDArray[np.int32], kept: NDArray[np.bool_], apart: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits of each account, and their parts by property."""
    parts = np.stack(
        [
            _ratios(values[accounts], kept, counts - np.bincount(values[apart], minlength=len(counts)), identity)
            for values, counts, identity in zip(
                profiles.values,
                profiles.counts,
                np.arange(len(profiles.names)) < profiles.identity,
                strict=True,
            )
        ],
        axis=1,
    )
    return parts.sum(axis=1), parts


def _ratios(
    own: NDArray[np.int32], kept: NDArray[np.bool_], usual: NDArray[np.int64], identity: bool
) -> NDArray[np.float64]:
    """Log2 ratio of each account's value: among the other members over among ordinary accounts, capped.

    Args:
        own: the accounts' values.
        kept: which of them are members.
        usual: how many ordinary accounts have each value; what they do not tell (value 0) does not count.
        identity: whether the property is one that accounts may each have their own of.
    """
    known = own != 0
    counts = np.bincount(own[kept & known], minlength=len(usual))
    members, others = float(counts.sum()), float(usual[1:].sum())
    if members < 2:
        return np.zeros(len(own))
    itself = kept & known
    here = counts[own] - itself  # the others, without itself
    among = members - itself
    # one ordinary account more than was seen, spread over all values (Perks, Journal of the Institute of Actuaries 73)
    base = (usual[own] + 1.0 / max(len(usual) - 1, 1)) / (others + 1.0)
    if identity:
        few = here < COMMON * members
        rare = counts < COMMON * members
        frequency = usual / max(others, 1.0)
        frequency[0] = 0.0
        # how many of as many ordinary accounts would find their value again among themselves
        met = float((frequency[rare] * (1.0 - (1.0 - frequency[rare]) ** (members - 1.0))).sum())
        alone = max(1.0 - met - float(frequency[~rare].sum()), 0.0)
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
    return np.where(known, np.clip(np.log2(ratio), -FOREIGN_CAP, SHARED_CAP), 0.0)
