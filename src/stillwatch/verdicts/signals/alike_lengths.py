"""Alike lengths: exchangeability by the lengths of prompts alone, for logs that hold no text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.innocent import same_items
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Distance of the intraclass correlation of log input tokens from 0.

    NaN where there is text, which tells the same and more, and where accounts ask the same items.
    """
    told = np.isfinite(figures["exchangeability"]) | same_items(figures)
    return np.where(told, np.nan, -np.abs(figures["lengths"])), 2.0 * figures["lengths_error"]


def says(figures: Figures) -> str:
    """In words."""
    return (
        f"prompts of one account correlate in length by {first(figures, 'lengths'):+.3f} (one pile 0, people over 0.03)"
    )


SIGNAL = Signal(
    id="alike-lengths",
    family=Family.WORK,
    question="Are the prompts of all accounts of the same lengths?",
    innocent_reading="an app that sends prompts of one form, or a pipeline with several keys",
    source="intraclass correlation (Fisher, 1925, chapter 7), tested for equivalence to 0 (Wellek, 2010)",
    needs=(("input_tokens",),),
    read=read,
    says=says,
    most=4.0,
    absence=4.0,
)
