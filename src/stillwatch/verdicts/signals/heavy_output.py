"""Heavy output: long answers, request after request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Mean of log2 output tokens."""
    return figures["log_output"], 4.0 / np.sqrt(np.maximum(figures["exchanges"], 1.0))


def says(figures: Figures) -> str:
    """In words."""
    return f"{first(figures, 'output'):,.0f} output tokens a request for {first(figures, 'input'):,.0f} of input"


SIGNAL = Signal(
    id="heavy-output",
    family=Family.TAKE,
    question="Is much taken with each request?",
    innocent_reading="writers, coders and agents",
    source="own",
    needs=(("output_tokens",),),
    read=read,
    says=says,
    most=3.0,
)
