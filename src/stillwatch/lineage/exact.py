"""Exact tests of counts, and corrections for many of them. Pure; numpy only.

Every p-value here is super-uniform: under its null it is at most t with probability at most t, for every sample size.
Sources: McNemar, Psychometrika 12, 1947, in its exact form; Holm, Scandinavian Journal of Statistics 6, 1979 (with
weights: section 3 there); Clopper and Pearson, Biometrika 26, 1934; the Poisson-binomial distribution by convolution.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEAST_P: Final = 1e-300  # a p-value is never given as 0
_HALVINGS: Final = 60
_NEGLIGIBLE: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its bounds."""

    estimate: float
    low: float
    high: float


def binomial(trials: int, chance: float) -> NDArray[np.float64]:
    """Probabilities of 0, 1, ... `trials` successes."""
    if chance <= 0.0 or chance >= 1.0:
        sure = np.zeros(trials + 1)
        sure[0 if chance <= 0.0 else trials] = 1.0
        return sure
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1, dtype=np.float64)))])
    k = np.arange(trials + 1)
    return np.asarray(np.exp(logs[-1] - logs - logs[::-1] + k * np.log(chance) + (trials - k) * np.log1p(-chance)))


def poisson_binomial(chances: Sequence[float]) -> NDArray[np.float64]:
    """Probabilities of 0, 1, ... successes of trials that have each its own chance."""
    mass = np.ones(1)
    for chance in chances:
        mass = np.convolve(mass, [1.0 - chance, chance])
    return mass


def upper_tail(mass: NDArray[np.float64], at_least: int) -> float:
    """Probability of so many successes or more; never 0, never above 1."""
    if at_least <= 0:
        return 1.0
    tail = float(mass[at_least:][::-1].sum())  # small ones first
    return min(1.0, max(LEAST_P, tail))


def sign_test(more: int, fewer: int) -> float:
    """One-sided p-value that `more` of the pairs that differ went one way: under the null each way is as likely."""
    return upper_tail(binomial(more + fewer, 0.5), more)


def two_sided(more: int, fewer: int) -> float:
    """Two-sided p-value of the same: twice the smaller tail."""
    return min(1.0, 2.0 * sign_test(max(more, fewer), min(more, fewer)))


def sign_power(pairs: int, lost: float, gained: float, alpha: float) -> float:
    """Probability that the one-sided sign test of so many pairs finds a loss at `alpha`.

    `lost` and `gained` are the shares of pairs that differ one way and the other.
    """
    differing = min(1.0, lost + gained)
    if pairs < 1 or differing <= 0.0:
        return 0.0
    power = 0.0
    for count, chance in enumerate(binomial(pairs, differing)):
        if chance > _NEGLIGIBLE:
            tails = np.cumsum(binomial(count, 0.5)[::-1])[::-1]
            found = np.flatnonzero(tails <= alpha)
            if found.size:
                power += chance * upper_tail(binomial(count, lost / differing), int(found[0]))
    return min(1.0, float(power))


def holm(p_values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """Adjusted p-values, in the order given: compared with alpha, any false one comes up with probability <= alpha.

    A hypothesis of weight w is tested at its share of alpha; weights must be positive.
    """
    given = [1.0] * len(p_values) if weights is None else list(weights)
    if len(given) != len(p_values) or any(weight <= 0 for weight in given):
        raise UsageError("every p-value needs a weight above 0")
    order = sorted(range(len(p_values)), key=lambda each: (p_values[each] / given[each], each))
    adjusted, left, highest = [1.0] * len(p_values), sum(given), 0.0
    for each in order:
        highest = max(highest, min(1.0, p_values[each] * max(1.0, left / given[each])))
        adjusted[each] = highest
        left -= given[each]
    return adjusted


def share_interval(hits: int, trials: int, confidence: float) -> Interval:
    """Share with its exact two-sided interval (Clopper and Pearson)."""
    if trials == 0:
        return Interval(0.5, 0.0, 1.0)
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else _solve(hits, trials, tail)
    high = 1.0 if hits == trials else 1.0 - _solve(trials - hits, trials, tail)
    return Interval(hits / trials, low, high)


def _solve(hits: int, trials: int, tail: float) -> float:
    """Chance at which so many hits or more have this probability."""
    low, high = 0.0, 1.0
    for _ in itertools.repeat(None, _HALVINGS):
        middle = (low + high) / 2.0
        if upper_tail(binomial(trials, middle), hits) < tail:
            low = middle
        else:
            high = middle
    return low
