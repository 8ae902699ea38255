"""Technique sweeps: many variants and many refusals first, then the winner at scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """The smaller of two falls from the first fifth to the last half: of refusals, and of different openings.

    NaN where nothing was refused at first: then nothing was tried out.
    """
    refusals = figures["refused_early"] - figures["refused_late"]
    variants = figures["openings_early"] - figures["openings_late"]
    early, late = np.maximum(figures["exchanges"] / 5.0, 1.0), np.maximum(figures["exchanges"] / 2.0, 1.0)
    tried = np.where(figures["refused_early"] > 0, np.minimum(refusals, variants), np.nan)
    return tried, 2.0 * np.sqrt(0.25 / early + 0.25 / late)


def says(figures: Figures) -> str:
    """In words."""
    refused, later = 100 * first(figures, "refused_early"), 100 * first(figures, "refused_late")
    openings, settled = first(figures, "openings_early"), first(figures, "openings_late")
    return (
        f"refusals fell from {refused:.0f} to {later:.0f} % "
        f"while openings per request fell from {openings:.2f} to {settled:.2f}"
    )


SIGNAL = Signal(
    id="technique-sweep",
    family=Family.ASKING,
    question="Were ways to ask tried out until one worked?",
    innocent_reading="a team that tunes its prompt against a filter, then ships it",
    source="own; the pattern is described in providers' published accounts of campaigns",
    needs=(("status", "finish_reason"), ("prompt",)),
    read=read,
    says=says,
    absence=0.0,
)
