"""Who belongs: each account of a stream on its own merits, held against the cohort without it. Pure; touches nothing.

An account that bears a cohort's mark need not be the cohort's: a common client is everybody's, a template can be copied.
For each of its properties (client, network, card, hours, pace, lengths, ...) the chance of its value among the other
members is divided by the chance in the population; the logs of these ratios add up to its bits, each capped, so that
no single property carries an account in or out. Members are kept, the rest put out, and the same is done again until
nothing changes.
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

PROPERTY_CAP = 3.0  # bits
PRIOR = 4.0  # pseudo-members that behave like the population
ROUNDS = 8
BINS = 8
IDENTITIES = ("client", "parameters", "network", "card", "mail", "organization", "system")
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
        values: uint64 [properties, accounts]; 0 is unknown.
    """

    names: tuple[str, ...]
    identity: int
    values: NDArray[np.uint64]


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
    return Profiles((*IDENTITIES, *HABITS), len(IDENTITIES), np.stack(values))


def belong(profiles: Profiles, accounts: NDArray[np.int32], out: NDArray[np.bool_], bound: float) -> Membership:
    """Decide which accounts of a stream are members.

    Args:
        profiles: of all accounts.
        accounts: the stream's.
        out: accounts of the log that are not ordinary (found before), left out of the population's share.
        bound: bits from which an account is a member.
    """
    kept = np.ones(len(accounts), np.bool_)
    parts = np.zeros((len(accounts), len(profiles.names)))
    ordinary = ~out
    ordinary[accounts] = False
    for _ in range(ROUNDS):
        for index in range(len(profiles.names)):
            parts[:, index] = _ratios(profiles.values[index], accounts, kept, ordinary, index < profiles.identity)
        bits = parts.sum(axis=1)
        now = bits >= bound
        if (now == kept).all() or not now.any():
            break
        kept = now
    return Membership(accounts, bits, parts, now)


def likeness(
    profiles: Profiles, members: NDArray[np.int32], accounts: NDArray[np.int32], out: NDArray[np.bool_], bound: float
) -> float:
    """Share of some accounts that would pass as members of a cohort that they are not in."""
    return float((bits_beside(profiles, members, accounts, out)[0] >= bound).mean())


def bits_beside(
    profiles: Profiles, members: NDArray[np.int32], accounts: NDArray[np.int32], out: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits of some accounts as if they were members of a cohort that they are not in, and what they are the sum of."""
    together = np.concatenate([members, accounts])
    kept = np.arange(len(together)) < len(members)
    ordinary = ~out
    ordinary[together] = False
    parts = np.stack(
        [
            _ratios(values, together, kept, ordinary, index < profiles.identity)[~kept]
            for index, values in enumerate(profiles.values)
        ],
        axis=1,
    )
    return parts.sum(axis=1), parts


def _ratios(
    values: NDArray[np.uint64],
    accounts: NDArray[np.int32],
    kept: NDArray[np.bool_],
    ordinary: NDArray[np.bool_],
    identity: bool,
) -> NDArray[np.float64]:
    """Log2 ratio of each account's value: among the other members over among ordinary accounts, capped."""
    own = values[accounts]
    known, counts = np.unique(own[kept & (own != 0)], return_counts=True)
    usual = values[ordinary]
    usual = np.sort(usual[usual != 0])
    members, others = float(counts.sum()), float(len(usual))
    if members < 2 or not len(known):
        return np.zeros(len(accounts))
    place = np.minimum(np.searchsorted(known, own), len(known) - 1)
    here = np.where(known[place] == own, counts[place], 0) - (kept & (own != 0))  # the others, without itself
    there = np.searchsorted(usual, own, side="right") - np.searchsorted(usual, own, side="left")
    if identity:
        # a value that no other member has counts as "its own"; how common that is, is asked on both sides
        shared = known[counts >= 2]
        alone = np.isin(own, shared, invert=True) | (here <= 0)
        members_alone = members - counts[counts >= 2].sum()
        spread = np.searchsorted(usual, shared, side="right") - np.searchsorted(usual, shared, side="left")
        others_alone = others - spread.sum()
        here = np.where(alone, np.maximum(members_alone - 1.0, 0.0), here)
        there = np.where(alone, others_alone, there)
    base = (there + 0.5) / (others + 1.0)
    ratio = (here + PRIOR * base) / (members - 1.0 + PRIOR) / base
    return np.where(own != 0, np.clip(np.log2(ratio), -PROPERTY_CAP, PROPERTY_CAP), 0.0)
