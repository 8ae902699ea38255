"""Partition: a dealt queue sends every prompt to a fixed number of accounts; free people do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.innocent import SAME_ITEMS, evenness
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


CHOSEN = 0.8  # from here on accounts chose for themselves, and it does not matter how popular a prompt was


def read(figures: Figures) -> Reading:
    """Variance of the number of accounts that sent a prompt, over that of free choice; NaN if prompts do not recur.

    A queue in which every prompt is asked r times gives r accounts each time, so that the variance vanishes whatever r
    is: asking every prompt several times hides nothing. Prompts that are simply popular give more than chance.
    """
    spread = evenness(figures)
    chosen = spread >= CHOSEN
    value = np.where(figures["coverage"] >= SAME_ITEMS, np.nan, -np.log2(np.minimum(spread, CHOSEN) + 0.02))
    margin = np.log2(1.0 + 2.0 * np.sqrt(2.0 / np.maximum(figures["prompts"], 1.0)))
    return value, np.where(chosen, 0.0, np.minimum(margin, value + np.log2(CHOSEN + 0.02)))


def says(figures: Figures) -> str:
    """In words."""
    spread = float(evenness(figures)[0])
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
