"""Pivot: traffic moves to a new model within a day of its release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share on the new model in the first day."""
    base = figures["pivot_base"]
    return np.where(base >= 10, figures["pivot"], np.nan), 2.0 * np.sqrt(0.25 / np.maximum(base, 1.0))


def says(figures: Figures) -> str:
    """In words."""
    return f"{100 * first(figures, 'pivot'):.0f} % of requests went to the new model within a day of its release"


SIGNAL = Signal(
    id="model-pivot",
    family=Family.TAKE,
    question="Does traffic jump to a new model at once?",
    innocent_reading="agents and evaluators that follow releases",
    source="own; the pattern is described in providers' published accounts of campaigns",
    needs=(("model",),),
    read=read,
    says=says,
    most=3.0,
)
