"""E-values: evidence that may be multiplied and averaged. Pure; numpy only.

An e-value is a number whose mean under the null is at most 1, so that 1/alpha or more comes up by chance with
probability at most alpha (Markov). Sources: Vovk and Wang, E-values: calibration, combination and applications, Annals
of Statistics 49, 2021 (calibrator without a parameter: section 2; the mean is the only rule of combination that needs
no assumption on dependence: section 3; products: section 4); soft ranks: Ren and Barber, JRSS B 86, 2024.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.lineage.exact import LEAST_P

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST: Final = 1e300  # of an e-value; JSON has no infinity
_SHARPNESS: Final = 2.0  # standard deviations at which a soft rank stands out; fixed beforehand
_NEAR_ONE: Final = 1e-3


def calibrated(p_value: float) -> float:
    """Turn a p-value into an e-value: (1 - p + p ln p) / (p ln^2 p), the mean of k p^(k-1) over all k from 0 to 1."""
    p = min(1.0, max(LEAST_P, p_value))
    if p > 1.0 - _NEAR_ONE:
        return 0.5 + (1.0 - p) / 6.0  # the series, where the quotient is one of two small numbers
    log = math.log(p)
    return min(MOST, (1.0 - p + p * log) / (p * log * log))


def product(e_values: Sequence[float]) -> float:
    """Combine e-values of which each has mean <= 1 given all the others."""
    return math.exp(min(math.log(MOST), sum(math.log(max(each, LEAST_P)) for each in e_values)))


def mean(e_values: Sequence[float]) -> float:
    """Combine e-values whatever depends on what."""
    return min(MOST, math.fsum(each / len(e_values) for each in e_values)) if e_values else 1.0


def soft_rank(score: float, others: Sequence[float]) -> float:
    """Evidence that `score` is higher than those it would be exchangeable with; at most one more than there are others.

    Each score is weighed by exp(2 z), z being taken over all of them together, itself included: the sum of all such
    e-values over the exchangeable scores is their number, so the mean of one is 1.
    """
    pool = np.array([score, *others])
    spread = float(pool.std())
    if spread <= 0.0:
        return 1.0
    weight = np.exp(_SHARPNESS * (pool - pool.max()) / spread)
    return float(len(pool) * weight[0] / weight.sum())
