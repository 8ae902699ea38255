"""Exact tails, e-values and corrections for sums of independent scores. Pure; standard library and numpy only.

Tails are given as natural logarithms, because a court's p-value may be smaller than any float. Sources: Holm,
"A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979; Vovk and Wang,
"E-values: calibration, combination and applications", Annals of Statistics 49, 2021; Wang and Ramdas, "False discovery
rate control with e-values", JRSS B 84, 2022.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SURPLUSES: Final = 0.5 ** np.arange(1, 13)  # alternatives from half of what is possible down to a 4096th


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """Log of P(X >= successes), X binomial."""
    if successes <= 0:
        return 0.0
    if successes > trials:
        return -math.inf
    if successes <= trials * share:
        return _complement(binomial_tail(trials - successes + 1, trials, 1.0 - share))
    first = (
        math.lgamma(trials + 1)
        - math.lgamma(successes + 1)
        - math.lgamma(trials - successes + 1)
        + successes * math.log(share)
        + (trials - successes) * math.log1p(-share)
    )
    later = np.arange(successes, min(trials, successes + _reach(trials)), dtype=np.float64)
    return first + _log_series(np.log((trials - later) / (later + 1.0)) + math.log(share / (1.0 - share)))


def gamma_tail(total: float, count: int) -> float:
    """Log of P(S >= total), S the sum of `count` exponential scores of mean 1."""
    if count == 0 or total <= 0.0:
        return 0.0
    if total > count:  # P(at most count - 1 events of a Poisson process by time `total`), summed downwards
        first = (count - 1) * math.log(total) - total - math.lgamma(count)
        fewer = np.arange(count - 1, max(count - 1 - _reach(count), 0), -1, dtype=np.float64)
        return first + _log_series(np.log(fewer) - math.log(total))
    first = count * math.log(total) - total - math.lgamma(count + 1)
    more = np.arange(count + 1, count + 1 + _reach(count), dtype=np.float64)
    return _complement(first + _log_series(math.log(total) - np.log(more)))


def binomial_e_value(successes: int, trials: int, share: float) -> float:
    """Log of an e-value against `share`: the mean likelihood ratio of larger shares, so that its mean is 1 or less."""
    larger = share + (1.0 - share) * _SURPLUSES
    ratios = successes * np.log(larger / share) + (trials - successes) * np.log((1.0 - larger) / (1.0 - share))
    return _log_mean(ratios)


def gamma_e_value(total: float, count: int) -> float:
    """Log of an e-value against exponential scores of mean 1: the mean likelihood ratio of slower rates."""
    return _log_mean(count * np.log1p(-_SURPLUSES) + _SURPLUSES * total)


def holm(log_p: Sequence[float]) -> list[float]:
    """Log p-values adjusted for being several: the family-wise error is held whatever depends on what."""
    adjusted, worst = [0.0] * len(log_p), -math.inf
    for rank, index in enumerate(sorted(range(len(log_p)), key=log_p.__getitem__)):
        worst = max(worst, min(log_p[index] + math.log(len(log_p) - rank), 0.0))
        adjusted[index] = worst
    return adjusted


def e_bh(log_e: Sequence[float], rate: float) -> list[bool]:
    """Tell which e-values stand out at a false discovery rate, whatever depends on what."""
    order = sorted(range(len(log_e)), key=lambda index: -log_e[index])
    found = 0
    for rank, index in enumerate(order, start=1):
        if log_e[index] >= math.log(len(log_e) / (rate * rank)):
            found = rank
    chosen = set(order[:found])
    return [index in chosen for index in range(len(log_e))]


def needed(effect: float, *, error: float, power: float, by_e_value: bool = False) -> int:
    """Scores needed to find a surplus of `effect` standard deviations each, by the normal approximation."""
    return math.ceil(((_critical(error, by_e_value) + NormalDist().inv_cdf(power)) / effect) ** 2)


def power_of(count: int, effect: float, *, error: float, by_e_value: bool = False) -> float:
    """Probability that `count` scores show a surplus of `effect` standard deviations each."""
    return NormalDist().cdf(effect * math.sqrt(count) - _critical(error, by_e_value))


def _critical(error: float, by_e_value: bool) -> float:
    """Standard deviations from which on a sum stands out."""
    if not by_e_value:
        return NormalDist().inv_cdf(1.0 - error)
    # z standard deviations make the likelihood ratio of their own alternative e^(z^2 / 2). Alternatives are a factor of
    # 2 apart: a truth that lies a third of itself from either loses a ninth of the exponent, and others lose less
    return math.sqrt(2.0 * math.log(len(_SURPLUSES) / error) / (1.0 - 1.0 / 9.0))


def _reach(count: int) -> int:
    """Terms after which those of a tail that falls from its mean on are below the last digit of a float."""
    return 200 + 20 * math.isqrt(count)


def _log_series(log_ratios: NDArray[np.float64]) -> float:
    """Log of 1 + r1 + r1 r2 + ..., for ratios below 1."""
    return math.log1p(float(np.exp(np.cumsum(log_ratios)).sum()))


def _complement(log_p: float) -> float:
    return math.log1p(-math.exp(log_p)) if log_p < 0.0 else -math.inf


def _log_mean(logs: NDArray[np.float64]) -> float:
    largest = float(logs.max())
    return largest + math.log(float(np.exp(logs - largest).mean()))
