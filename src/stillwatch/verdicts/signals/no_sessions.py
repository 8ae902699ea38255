"""No sessions: requests flow instead of coming in sittings with pauses between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Local variation of the gaps between an account's requests; the mean over accounts."""
    return -figures["sessions"], 2.0 * figures["sessions_error"]


def says(figures: Figures) -> str:
    """In words."""
    return (
        f"gaps vary by {first(figures, 'sessions'):.2f} (1 a steady random flow, below it clockwork, people 1.3 to 1.7)"
    )


SIGNAL = Signal(
    id="no-sessions",
    family=Family.DEALING,
    question="Do requests come in sittings, as when a person works?",
    innocent_reading="a batch job or a service that passes on the requests of many users as they come",
    source="local variation (Shinomoto, Shima and Tanji, Neural Computation 15, 2003)",
    needs=(("time",),),
    read=read,
    says=says,
)
