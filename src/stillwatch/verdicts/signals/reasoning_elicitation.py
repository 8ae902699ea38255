"""Reasoning elicitation: whole chains of thought are asked for."""

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
    share = figures["wants_reasoning"]
    return share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    return f"{100 * first(figures, 'wants_reasoning'):.0f} % of requests ask for the chain of thought to be written out"


SIGNAL = Signal(
    id="reasoning-elicitation",
    family=Family.ASKING,
    question="Is the reasoning wanted rather than the answer?",
    innocent_reading="a tutor app that shows its work, or a researcher who studies explanations",
    source="hashed linear model over words and pairs, learned from own phrases in ten languages (docs/wants.md)",
    needs=(("prompt", "system"),),
    read=read,
    says=says,
    most=6.0,
    absence=0.0,
    alternative=True,
)
