"""Fresh prompts: no account asks anything twice. Weak, since sampling a prompt several times undoes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of requests whose prompt the same account had sent before."""
    share = figures["repeats"]
    return -share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    share = 100 * first(figures, "repeats")
    return f"{share:.1f} % of requests repeat an earlier one of the same account (people 2 to 15 %)"


SIGNAL = Signal(
    id="fresh-prompts",
    family=Family.WORK,
    question="Does an account ever ask the same again?",
    innocent_reading="a pipeline over new documents, or careful users",
    source="own; a weak sign, so that it can give 2 bits at most",
    needs=(("prompt",),),
    read=read,
    says=says,
    most=2.0,
)
