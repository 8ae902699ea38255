"""Sign-up bursts: accounts opened within the same hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, exactly, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Log2 of the chance that two of its accounts agree, over that of any two accounts of the log."""
    lift = figures["born_lift"]
    return lift, exactly(lift)


def says(figures: Figures) -> str:
    """In words."""
    times = 2 ** first(figures, "born_lift")
    return f"two of its accounts were opened in the same six hours {times:,.0f} times as often as any two accounts"


SIGNAL = Signal(
    id="sign-up-burst",
    family=Family.LINKAGE,
    question="Were accounts opened together?",
    innocent_reading="a launch, a course, a team that is taken on, a press report",
    source="coincidence lift as a match weight (Fellegi and Sunter, JASA 64, 1969)",
    needs=(("created_at",),),
    read=read,
    says=says,
    most=3.0,
)
