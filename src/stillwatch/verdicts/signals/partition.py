"""Partition: a dealt queue sends every prompt to a fixed number of accounts; free people do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Variance of the number of accounts that sent a prompt, over that of independent draws; NaN if prompts do not recur.

    A queue in which every prompt is asked r times gives r accounts each time, so that the variance vanishes whatever r
    is: asking every prompt several times hides nothing. Prompts that are simply popular give more than chance.
    """
    most = figures["coverage"] >= 0.5  # everybody asks the same: nothing was dealt
    spread = figures["recurrence_spread"] / np.maximum(1.0 - figures["coverage"], 0.05)
    value = np.where(most, np.nan, -np.log2(spread + 0.02))
    return value, np.log2(1.0 + 2.0 * np.sqrt(2.0 / np.maximum(figures["prompts"], 1.0)))


def says(figures: Figures) -> str:
    """In words."""
    spread = first(figures, "recurrence_spread") / max(1.0 - first(figures, "coverage"), 0.05)
    return (
        f"a prompt reaches {first(figures, 'recurrence'):.1f} accounts on average, and that number varies by "
        f"{spread:.2f} of what chance would make of it (dealt 0, free choice 1 or more)"
    )


SIGNAL = Signal(
    id="partition",
    family=Family.WORK,
    question="Were the prompts dealt out, each to so many accounts?",
    innocent_reading="a test plan that covers every case twice, or a queue of documents worked off by a company's keys",
    source="index of dispersion of occupancy counts (Johnson and Kotz, Urn Models, 1977), cut off at zero",
    needs=(("prompt",),),
    read=read,
    says=says,
)
