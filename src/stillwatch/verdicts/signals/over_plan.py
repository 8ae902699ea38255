"""Over plan: accounts that all use more of their plan than most who have bought it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Mean rank of its accounts among those on the same plan, by tokens a day; 0.5 is any account."""
    return figures["usage"], 2.0 * np.sqrt(1.0 / 12.0 / np.maximum(figures["ranked"], 1.0))


def says(figures: Figures) -> str:
    """In words."""
    return f"its accounts use more a day than {100 * first(figures, 'usage'):.0f} % of the accounts on the same plan do"


SIGNAL = Signal(
    id="over-plan",
    family=Family.TAKE,
    question="Is more used than others on the same plan use?",
    innocent_reading="a tool that works hard for its users, a team in a busy week, a plan that is sold for batch work",
    source="mean rank (Wilcoxon, Biometrics Bulletin 1, 1945) within the plan",
    needs=(("tier",), ("input_tokens", "output_tokens")),
    read=read,
    says=says,
    most=2.0,
)
