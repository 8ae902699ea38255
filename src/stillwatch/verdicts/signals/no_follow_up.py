"""No follow-up: every request stands alone; nobody comes back to an answer, as people do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of requests that follow up an answer given to the same account; what a relay deals on is no follow-up."""
    share = figures["followed"]
    return -share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    return f"{100 * first(figures, 'followed'):.1f} % of requests follow up an answer that the same account was given"


SIGNAL = Signal(
    id="no-follow-up",
    family=Family.ASKING,
    question="Does nobody ever come back to an answer?",
    innocent_reading="tools of one shot: translators, classifiers, pipelines, evaluators",
    source="own; the structure of requests, so that it holds in any language and wording",
    needs=(("turns", "previous"),),
    read=read,
    says=says,
    most=1.0,
    absence=0.0,
)
