"""Rubric and reward-model work: the model is used to grade answers."""

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
    share = figures["wants_rubric"]
    return share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    return f"{100 * first(figures, 'wants_rubric'):.0f} % of requests ask for grades, preferences or scores of answers"


SIGNAL = Signal(
    id="rubric-work",
    family=Family.ASKING,
    question="Is the model used as a judge?",
    innocent_reading="a team that evaluates its own product with a model as judge",
    source="hashed linear model over words and pairs, learned from own phrases in ten languages (docs/wants.md)",
    needs=(("prompt", "system"),),
    read=read,
    says=says,
    most=6.0,
    absence=0.0,
    alternative=True,
)
