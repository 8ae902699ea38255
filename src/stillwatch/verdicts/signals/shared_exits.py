"""Shared exits: accounts that come out of the same networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, exactly, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Log2 of the chance that two of its accounts agree, over that of any two accounts of the log."""
    lift = figures["network_lift"]
    return lift, exactly(lift)


def says(figures: Figures) -> str:
    """In words."""
    times = 2 ** first(figures, "network_lift")
    return f"two of its accounts use the same network {times:,.0f} times as often as any two accounts"


SIGNAL = Signal(
    id="shared-exits",
    family=Family.LINKAGE,
    question="Do accounts come from the same networks?",
    innocent_reading="an office, a campus, a VPN provider, a mobile carrier",
    source="coincidence lift as a match weight (Fellegi and Sunter, JASA 64, 1969)",
    needs=(("ip",),),
    read=read,
    says=says,
    most=6.0,
)
