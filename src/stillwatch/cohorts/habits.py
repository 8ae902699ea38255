"""An account's habits as a mark: accounts whose hours, pauses, lengths and parameters agree. Pure; touches nothing.

What is left when an operator gives every account its own client, address and card: locality-sensitive hashing
(Indyk and Motwani, STOC 1998) of the account's own profile in two grids, each shifted by half a cell against the other,
so that accounts that are alike meet in at least one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.digest import CONTINUED, TOOLS
from stillwatch.marks.tokens import mixed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LEAST = 24  # different hours that an account must be seen in: fewer, and whether it sleeps is chance
AROUND_THE_CLOCK = 0.15  # concentration of hours below which there is no night
STEADY = 1.2  # local variation of gaps below which there are no sessions
_TURN = 2.0 * math.pi / 86400.0


def habits(columns: Mapping[str, NDArray[np.generic]], edges: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Two hashes an account, uint64 [accounts, 2]; 0 where it is seen in fewer than `LEAST` hours."""
    made = np.zeros((len(edges) - 1, 2), np.uint64)
    _habits(
        edges, columns["second"], columns["parameters"], columns["flags"], columns["output_tokens"],
        columns["input_tokens"], made,
    )  # fmt: skip
    return made


@compiled
def _habits(
    edges: np.ndarray,
    second: np.ndarray,
    parameters: np.ndarray,
    flags: np.ndarray,
    output: np.ndarray,
    given: np.ndarray,
    made: np.ndarray,
) -> None:
    for account in range(len(edges) - 1):
        start, end = edges[account], edges[account + 1]
        n = end - start
        if n < LEAST:
            continue
        cosine = sine = variation = wrote = asked = 0.0
        terms = continued = tooled = votes = hours = 0
        hour = -1
        usual = np.uint64(0)
        for row in range(start, end):
            if int(second[row] // 3600.0) != hour:  # a sitting counts once an hour, however busy it is
                hour = int(second[row] // 3600.0)
                hours += 1
                cosine += math.cos(second[row] * _TURN)
                sine += math.sin(second[row] * _TURN)
            wrote += math.log2(1.0 + output[row])
            asked += math.log2(1.0 + given[row])
            continued += (flags[row] & CONTINUED) != 0
            tooled += (flags[row] & TOOLS) != 0
            if votes == 0:
                usual = parameters[row]
            votes += 1 if parameters[row] == usual else -1
            if row >= start + 2:
                later, earlier = second[row] - second[row - 1], second[row - 1] - second[row - 2]
                if later + earlier > 0.0:
                    ratio = (later - earlier) / (later + earlier)
                    variation += 3.0 * ratio * ratio
                    terms += 1
        if hours < LEAST:
            continue
        night = (cosine * cosine + sine * sine - hours) / (hours * (hours - 1.0))
        state = mixed(usual)
        state = mixed(state ^ np.uint64(night < AROUND_THE_CLOCK))
        state = mixed(state ^ np.uint64(terms > 0 and variation / terms < STEADY) + np.uint64(2))
        state = mixed(state ^ np.uint64(continued > 0.2 * n) + np.uint64(4))
        state = mixed(state ^ np.uint64(tooled > 0.2 * n) + np.uint64(8))
        for grid in range(2):
            lengths = np.uint64(wrote / n + 0.5 * grid) * np.uint64(64) + np.uint64(asked / n / 1.5 + 0.5 * grid)
            made[account, grid] = mixed(state ^ (lengths + np.uint64(1000 * (grid + 1))))
