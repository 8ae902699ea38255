"""Replayed handles: opaque reasoning blocks are sent back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of requests that carry a reasoning handle."""
    share = figures["handles"]
    return share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    return f"{100 * first(figures, 'handles'):.0f} % of requests send an opaque reasoning block back"


SIGNAL = Signal(
    id="replayed-handles",
    family=Family.ASKING,
    question="Are reasoning blocks brought back to be unfolded?",
    innocent_reading="an agent that keeps its reasoning between tool calls, as the API's manual recommends",
    source="own; handles that change accounts count under continuation",
    needs=(("reasoning_handle",),),
    read=read,
    says=says,
    most=3.0,
    absence=0.0,
)
