"""Shared mail domains: rare or throw-away domains in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of customers with the mail domain of others, less what chance would make of it."""
    pooled = figures["mail_pooled"]
    return pooled, proportion_margin(pooled, figures["mail_customers"])


def says(figures: Figures) -> str:
    """In words."""
    pooled, customers = 100 * first(figures, "mail_pooled"), first(figures, "mail_customers")
    return f"{pooled:.0f} % of its {customers:,.0f} customers have the mail domain of others, beyond chance"


SIGNAL = Signal(
    id="shared-mail",
    family=Family.LINKAGE,
    question="Do accounts use the same rare mail domain?",
    innocent_reading="a company or a school with its own domain",
    source="agreement beyond chance as in record linkage (Fellegi and Sunter, JASA 64, 1969)",
    needs=(("email_domain",),),
    read=read,
    says=says,
    most=6.0,
    absence=0.0,
)
