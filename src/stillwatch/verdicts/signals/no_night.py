"""Hours without night: accounts that are awake around the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Concentration of each account's hours on the circle of the day, unbiased; the mean over accounts."""
    return -figures["night"], 2.0 * figures["night_error"]


def says(figures: Figures) -> str:
    """In words."""
    return f"each account's hours concentrate by {first(figures, 'night'):.2f} (0 around the clock, people 0.3 to 0.8)"


SIGNAL = Signal(
    id="no-night",
    family=Family.DEALING,
    question="Do the accounts sleep?",
    innocent_reading="a scheduled job, a pipeline, or a product whose users live in every time zone behind one account",
    source="unbiased resultant length (Mardia and Jupp, Directional Statistics, 2000, section 4.7)",
    needs=(("time",),),
    read=read,
    says=says,
)
