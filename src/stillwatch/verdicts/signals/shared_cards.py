"""Shared cards: accounts paid from one small stack of cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of customers that pay by the same means as others, less what chance would make of it."""
    pooled = figures["card_pooled"]
    return pooled, proportion_margin(pooled, figures["card_customers"])


def says(figures: Figures) -> str:
    """In words."""
    pooled, customers = 100 * first(figures, "card_pooled"), first(figures, "card_customers")
    return f"{pooled:.0f} % of its {customers:,.0f} customers pay by a means that others of them pay by too"


SIGNAL = Signal(
    id="shared-cards",
    family=Family.LINKAGE,
    question="Are accounts paid for by the same cards?",
    innocent_reading="a company that pays for its teams, a family, a reseller of gift cards",
    source="agreement beyond chance as in record linkage (Fellegi and Sunter, JASA 64, 1969)",
    needs=(("payment",),),
    read=read,
    says=says,
    most=6.0,
    absence=0.0,
)
