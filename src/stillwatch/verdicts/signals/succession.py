"""Succession: new accounts take over where others fall silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """How much sooner a start follows an end than chance has it."""
    return figures["succession"], 2.0 / np.sqrt(np.maximum(np.minimum(figures["started"], figures["ended"]), 1.0))


def says(figures: Figures) -> str:
    """In words."""
    return (
        f"{first(figures, 'ended'):.0f} accounts fell silent and {first(figures, 'started'):.0f} began; a beginning "
        f"follows an end {100 * first(figures, 'succession'):.0f} % sooner than chance"
    )


SIGNAL = Signal(
    id="succession",
    family=Family.LINKAGE,
    question="Are lost accounts replaced?",
    innocent_reading="shift workers, or staff who come and go",
    source="own; gaps against those of a Poisson process",
    needs=(("time",),),
    read=read,
    says=says,
    absence=0.0,
)
