"""How much an account uses, held against the others on its plan. Pure; touches nothing.

A plan is bought for what it is used for: most accounts on it use little of it, a few use much. Where all accounts of a
cohort use much, each was bought to be worked. Volumes are ranked and not added up, so that one heavy user moves little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAY = 86_400.0
_UNIT = 1 << 30  # ranks are multiples of 1 / this, so that their sums are exact and no order of accounts shows in them


def usage(
    plan: NDArray[np.uint64], tokens: NDArray[np.float64], second: NDArray[np.float64], edges: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Share of the accounts on the same plan that use no more tokens a day than each, ties halved; float64 [accounts].

    NaN where the plan is not told, or the log counts no tokens.

    Args:
        plan: hash of each account's tier, 0 where unknown.
        tokens: of each exchange.
        second: of each exchange; sorted inside an account.
        edges: int64 [accounts + 1] into the exchanges.
    """
    found = np.full(len(plan), np.nan)
    if not len(plan) or not tokens.any():
        return found
    spans = second[edges[1:] - 1] - second[edges[:-1]]
    rate = np.add.reduceat(tokens, edges[:-1]) / (1.0 + spans / DAY)
    order = np.lexsort((rate, plan))
    order = order[plan[order] != 0]
    if not len(order):
        return found
    place = np.arange(len(order), dtype=np.float64)
    change = plan[order][1:] != plan[order][:-1]
    begins = np.flatnonzero(np.r_[True, change])
    sizes = np.diff(np.r_[begins, len(order)])
    tied = np.cumsum(np.r_[True, change | (rate[order][1:] != rate[order][:-1])]) - 1
    middle = np.bincount(tied, weights=place) / np.bincount(tied)
    within = np.repeat(np.arange(len(begins)), sizes)
    rank = (middle[tied] - begins[within] + 0.5) / sizes[within]
    found[order] = np.rint(rank * _UNIT) / _UNIT
    return found
