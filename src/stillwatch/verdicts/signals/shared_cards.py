"""Shared cards: accounts paid from one small stack of cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, exactly, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Log2 of the chance that two of its accounts agree, over that of any two accounts of the log."""
    lift = figures["card_lift"]
    return lift, exactly(lift)


def says(figures: Figures) -> str:
    """In words."""
    times = 2 ** first(figures, "card_lift")
    return f"two of its accounts share a means of payment {times:,.0f} times as often as any two accounts"


SIGNAL = Signal(
    id="shared-cards",
    family=Family.LINKAGE,
    question="Are accounts paid for by the same cards?",
    innocent_reading="a company that pays for its teams, a family, a reseller of gift cards",
    source="coincidence lift as a match weight (Fellegi and Sunter, JASA 64, 1969)",
    needs=(("payment",),),
    read=read,
    says=says,
    most=6.0,
)
