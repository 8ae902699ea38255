"""Statistics that more than one stage needs: p-values into bits, tails, false discovery. Pure; imports numpy only.

Sources: p-to-e calibrator (Vovk and Wang, E-values: calibration, combination and applications, Annals of Statistics 49,
2021); conformal p-values (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005); false discovery
rate (Benjamini and Hochberg, JRSS B 57, 1995); tails beyond the sample by exceedances (Pickands, Annals of Statistics
3, 1975; used for p-values by Knijnenburg et al., Bioinformatics 25, 2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAIL = 0.05  # share of the reference that the tail is fitted to
LEAST_TAIL = 20


def bits_of(p_value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evidence in bits of a p-value: log2 of the e-value (1 - p + p ln p) / (p ln^2 p).

    The calibrator has no parameter, and its mean under the null is 1: by chance alone, b bits or more come up with
    probability at most 2^-b.
    """
    p = np.clip(p_value, 1e-12, 1.0)
    log = np.log(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        e = (1.0 - p + p * log) / (p * log * log)
    # the limit at p = 1 is 1/2; near it the quotient of two small numbers is replaced by its series
    e = np.where(p > 0.999, 0.5 + (1.0 - p) / 6.0, e)
    return np.asarray(np.log2(e))


def any_of(bits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evidence that at least one of several alternatives holds, shared out over them; [cases, alternatives].

    The mean of e-values is an e-value whatever depends on what (Vovk and Wang, 2021, section 3); a row's sum is the
    log2 of the mean of 2^bits, each counted as 0 bits at the least. It is shared out as each adds to it.
    """
    surplus = np.maximum(np.exp2(bits) - 1.0, 0.0)
    total = surplus.sum(axis=1, keepdims=True)
    mean = np.log2(1.0 + total / bits.shape[1])
    return np.asarray(np.divide(mean * surplus, total, out=np.zeros_like(surplus), where=total > 0))


@dataclass(frozen=True, slots=True)
class Reference:
    """A weighted sample of scores of ordinary cohorts, for conformal p-values.

    Attributes:
        scores: ascending.
        mass: weight of all scores at or above each, and 0 at the end; [n + 1].
    """

    scores: NDArray[np.float64]
    mass: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float64], weights: NDArray[np.float64]) -> Reference:
        """Make one; scores that are no numbers are left out."""
        known = np.isfinite(scores)
        order = np.argsort(scores[known], kind="stable")
        mass = np.r_[np.cumsum(weights[known][order][::-1])[::-1], 0.0]
        return cls(scores[known][order], mass)

    @property
    def total(self) -> float:
        """Number of cohorts that it stands for."""
        return float(self.mass[0])

    def p_values(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Conformal p-value of each score: (1 + weight at or above it) / (1 + whole weight); 1 where it is NaN."""
        at = np.searchsorted(self.scores, scores, side="left")
        p = (1.0 + self.mass[np.minimum(at, len(self.scores))]) / (1.0 + self.total)
        return np.asarray(np.where(np.isnan(scores), 1.0, np.minimum(p, 1.0)))

    def tail_p_values(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """p-values that go on beyond the largest score of the reference.

        Above the score that `TAIL` of the reference exceeds, exceedances are taken as exponential with their own mean,
        widened by its standard error: for scores that are sums of bits this is the tail that calibrated evidence can
        have at most. Inside the reference the conformal value stands wherever it is larger.
        """
        conformal = self.p_values(scores)
        share = max(TAIL, LEAST_TAIL / max(self.total, 1.0))
        if self.total < 2 * LEAST_TAIL:
            return conformal
        start = int(np.searchsorted(-self.mass[:-1], -share * self.total, side="left"))
        start = min(start, len(self.scores) - 1)
        edge, held = self.scores[start], float(self.mass[start])
        weights = self.mass[start:-1] - self.mass[start + 1 :]
        mean = float((weights * (self.scores[start:] - edge)).sum() / held)
        mean = max(mean * (1.0 + 1.0 / math.sqrt(held)), 0.25)
        beyond = (1.0 + held) / (1.0 + self.total) * np.exp(-np.maximum(scores - edge, 0.0) / mean)
        largest = self.scores[-1]
        return np.asarray(np.where(scores > largest, np.minimum(beyond, conformal), conformal))


def false_discovery_rates(p_values: NDArray[np.float64], tests: float | None = None) -> NDArray[np.float64]:
    """q-values by Benjamini and Hochberg over `tests` tests (all of them if None), in the order given."""
    count = float(len(p_values)) if tests is None else max(tests, float(len(p_values)))
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * count / np.arange(1, len(p_values) + 1)
    q = np.empty(len(p_values))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def proportion_margin(share: NDArray[np.float64], trials: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two standard errors of a share of independent trials; never narrower than one half trial in all of them."""
    trials = np.maximum(trials, 1.0)
    return np.asarray(2.0 * np.sqrt(np.maximum(share * (1.0 - share), 0.25 / trials) / trials))
