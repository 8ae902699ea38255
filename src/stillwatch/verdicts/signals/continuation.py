"""Continuation across accounts: what one account was told, another sends back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of requests that continue a conversation of another account."""
    share = figures["relayed"]
    return share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    return (
        f"{100 * first(figures, 'relayed'):.1f} % of requests send back an answer or a reasoning block that another "
        "account was given"
    )


SIGNAL = Signal(
    id="continuation",
    family=Family.LINKAGE,
    question="Do conversations wander from account to account?",
    innocent_reading="a company gateway that balances its conversations over several keys of its own",
    source="own",
    needs=(("previous", "reasoning_handle", "conversation"),),
    read=read,
    says=says,
    most=8.0,
    absence=0.0,
)
