"""Shared exits: accounts that come out of the same networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of customers that come from the same network as others, less what chance would make of it."""
    pooled = figures["network_pooled"]
    return pooled, proportion_margin(pooled, figures["network_customers"])


def says(figures: Figures) -> str:
    """In words."""
    pooled, customers = 100 * first(figures, "network_pooled"), first(figures, "network_customers")
    return f"{pooled:.0f} % of its {customers:,.0f} customers come from a network that others of them come from too"


SIGNAL = Signal(
    id="shared-exits",
    family=Family.LINKAGE,
    question="Do accounts come from the same networks?",
    innocent_reading="an office, a campus, a VPN provider, a mobile carrier",
    source="agreement beyond chance as in record linkage (Fellegi and Sunter, JASA 64, 1969)",
    needs=(("ip",),),
    read=read,
    says=says,
    most=6.0,
    absence=0.0,
)
