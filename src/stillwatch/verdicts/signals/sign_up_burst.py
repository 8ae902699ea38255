"""Sign-up bursts: accounts opened within the same hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Largest share of customers that were opened within half a day."""
    share = figures["burst"]
    return share, proportion_margin(share, figures["customers"])


def says(figures: Figures) -> str:
    """In words."""
    return (
        f"{100 * first(figures, 'burst'):.0f} % of its {first(figures, 'customers'):,.0f} customers were opened within "
        "twelve hours"
    )


SIGNAL = Signal(
    id="sign-up-burst",
    family=Family.LINKAGE,
    question="Were accounts opened together?",
    innocent_reading="a launch, a course, a team that is taken on, a press report",
    source="scan statistic (Naus, JASA 60, 1965)",
    needs=(("created_at",),),
    read=read,
    says=says,
    most=3.0,
    absence=0.0,
)
