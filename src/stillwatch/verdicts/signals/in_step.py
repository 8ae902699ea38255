"""Accounts in step: they speak in the same five minutes more often than the hour explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Pairs of different accounts inside five minutes, over those expected of the hour's own traffic."""
    return figures["step"], 2.0 * figures["step_error"]


def says(figures: Figures) -> str:
    """In words."""
    return f"two accounts meet inside five minutes {100 * first(figures, 'step'):+.0f} % against chance"


SIGNAL = Signal(
    id="in-step",
    family=Family.DEALING,
    question="Do accounts start and stop together?",
    innocent_reading="a lecture, a deadline, an outage that ends, a cron minute that many teams chose",
    source="coincidences in nested windows (Gruen, Journal of Neurophysiology 101, 2009)",
    needs=(("time",),),
    read=read,
    says=says,
    most=4.0,
)
