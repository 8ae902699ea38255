"""What a signal is: one question asked of a cohort's exchanges. Pure; touches nothing.

A signal reads figures and gives, for every stream at once, a *value* that grows with the likeness to one operator, and
a *margin*: how far the value may be off, at two standard errors. It counts for guilt only what is left after the margin
is taken off, and for innocence only what is left after it is added. How many bits that makes is the baseline's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.evidence import Family

Reading: TypeAlias = "tuple[NDArray[np.float64], NDArray[np.float64]]"
"""Value and margin, one each a stream; the value is NaN where the log cannot tell."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal.

    Attributes:
        id: as findings print it; also its anchor in the docs.
        family: its bits are capped with those of this family.
        question: what is asked.
        innocent_reading: how honest users come to look like this.
        source: where the method comes from.
        needs: columns without which it is blind (any one of each inner tuple is enough).
        read: figures to value and margin.
        says: the figures of one stream (index 0) in a sentence.
        most: bits that it can give at most.
        absence: bits that it can take at most. An operator can avoid most signs, so that a missing one takes 1 bit;
            what contradicts one operator takes more.
        alternative: one of several things that an operator may be after. Evidence of any of them counts, less what
            looking for each of them costs.

    """

    id: str
    family: Family
    question: str
    innocent_reading: str
    source: str
    needs: tuple[tuple[str, ...], ...]
    read: Callable[[Figures], Reading]
    says: Callable[[Figures], str]
    most: float = 6.0
    absence: float = 1.0
    alternative: bool = False

    def guilt(self, figures: Figures) -> NDArray[np.float64]:
        """What speaks for one operator at the least; NaN where the log cannot tell."""
        value, margin = self.read(figures)
        return value - np.nan_to_num(margin, nan=np.inf, posinf=np.inf)

    def innocence(self, figures: Figures) -> NDArray[np.float64]:
        """What speaks against it at the least, as a score that grows with innocence; NaN where the log cannot tell."""
        value, margin = self.read(figures)
        return -(value + np.nan_to_num(margin, nan=np.inf, posinf=np.inf))


def first(figures: Figures, name: str) -> float:
    """One figure of the first stream."""
    return float(figures[name][0])
