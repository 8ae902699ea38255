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
    """Share of accounts whose mail domain is known to serve throw-away addresses."""
    share = figures["disposable"]
    return share, proportion_margin(share, figures["accounts"])


def says(figures: Figures) -> str:
    """In words."""
    return f"{100 * first(figures, 'disposable'):.0f} % of its accounts have a throw-away mail address"


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
