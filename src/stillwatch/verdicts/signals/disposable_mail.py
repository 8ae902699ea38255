"""Disposable mail: accounts opened with throw-away addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of accounts, of those that tell a mail domain, whose domain is known to serve throw-away addresses."""
    share = figures["disposable"]
    return share, proportion_margin(share, figures["accounts"] * figures["mail_told"])


def says(figures: Figures) -> str:
    """In words."""
    share, told = 100 * first(figures, "disposable"), first(figures, "accounts") * first(figures, "mail_told")
    return f"{share:.0f} % of its {told:,.0f} accounts with a mail address have a throw-away one"


SIGNAL = Signal(
    id="disposable-mail",
    family=Family.LINKAGE,
    question="Were accounts opened with throw-away addresses?",
    innocent_reading="people who guard their mailbox, a trial that many try under a name of the hour",
    source="the list of the package disposable-email-domains, as installed",
    needs=(("email_domain",),),
    read=read,
    says=says,
    most=3.0,
    absence=0.0,
)
