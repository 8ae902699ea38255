"""Trace cleaning and replay: earlier reasoning is cleaned, translated or written out again."""

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
    share = figures["wants_cleaning"]
    return share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    share = 100 * first(figures, "wants_cleaning")
    return f"{share:.0f} % of requests ask for an earlier trace to be cleaned, translated or continued"


SIGNAL = Signal(
    id="trace-cleaning",
    family=Family.ASKING,
    question="Are earlier traces brought back to be cleaned or retold?",
    innocent_reading="an editor who has drafts rewritten",
    source="hashed linear model over words and pairs, learned from own phrases in ten languages (docs/wants.md)",
    needs=(("prompt", "system"),),
    read=read,
    says=says,
    most=6.0,
    absence=0.0,
    alternative=True,
)
