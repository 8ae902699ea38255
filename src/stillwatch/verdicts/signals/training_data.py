"""Training data: instructions, answers and dialogues are made in bulk."""

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
    share = figures["wants_synthesis"]
    return share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    share = 100 * first(figures, "wants_synthesis")
    return f"{share:.0f} % of requests ask for instructions, questions or dialogues in bulk"


SIGNAL = Signal(
    id="training-data",
    family=Family.ASKING,
    question="Is training data asked for in so many words?",
    innocent_reading="a teacher who has exercises made, or a team that makes data for its own small model",
    source="hashed linear model over words and pairs, learned from own phrases in ten languages (docs/wants.md)",
    needs=(("prompt", "system"),),
    read=read,
    says=says,
    most=6.0,
    absence=0.0,
    alternative=True,
)
