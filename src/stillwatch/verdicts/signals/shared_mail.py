"""Shared mail domains: rare or throw-away domains in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, exactly, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Log2 of the chance that two of its accounts agree, over that of any two accounts of the log."""
    lift = figures["mail_lift"]
    return lift, exactly(lift)


def says(figures: Figures) -> str:
    """In words."""
    times = 2 ** first(figures, "mail_lift")
    return f"two of its accounts share a mail domain {times:,.0f} times as often as any two accounts"


SIGNAL = Signal(
    id="shared-mail",
    family=Family.LINKAGE,
    question="Do accounts use the same rare mail domain?",
    innocent_reading="a company or a school with its own domain",
    source="coincidence lift as a match weight (Fellegi and Sunter, JASA 64, 1969)",
    needs=(("email_domain",),),
    read=read,
    says=says,
    most=6.0,
)
