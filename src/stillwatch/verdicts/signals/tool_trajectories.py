"""Tool trajectories: whole runs of thought, action and observation are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Mean over requests of the learned probability that this is asked for."""
    share = figures["wants_tools"]
    return share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    return f"{100 * first(figures, 'wants_tools'):.0f} % of requests ask for a full record of tool calls"


SIGNAL = Signal(
    id="tool-trajectories",
    family=Family.ASKING,
    question="Are agent runs recorded as training data?",
    innocent_reading="developers who debug an agent with verbose logs",
    source="hashed linear model over words and pairs, learned from own phrases in ten languages (docs/wants.md)",
    needs=(("prompt", "system"),),
    read=read,
    says=says,
    most=6.0,
    absence=0.0,
    alternative=True,
)
