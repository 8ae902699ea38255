"""Exchangeability: accounts as alike as random draws from one pile, where people differ from one another."""

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
    """Distance of the intraclass correlation from 0, either way: below 0 all accounts ask the same.

    NaN where accounts ask the same items: then it is near 0 whoever they are.
    """
    return np.where(same_items(figures), np.nan, -np.abs(figures["exchangeability"])), 2.0 * figures[
        "exchangeability_error"
    ]


def says(figures: Figures) -> str:
    """In words."""
    value, error = first(figures, "exchangeability"), first(figures, "exchangeability_error")
    return (
        f"prompts of one account are no more alike than those of two: correlation {value:+.3f} within {2 * error:.3f} "
        "(one pile 0, people 0.05 to 0.15)"
        if abs(value) < 0.02
        else f"prompts of one account are more alike than of two, by {value:+.3f} (one pile 0, people 0.05 to 0.15)"
    )


SIGNAL = Signal(
    id="exchangeability",
    family=Family.WORK,
    question="Could any account have sent any other's prompts?",
    innocent_reading="a pipeline with several keys, a service that spreads its own users over accounts, paid "
    "workers who are dealt documents",
    source="intraclass correlation (Fisher, 1925, chapter 7), tested for equivalence to 0 (Wellek, 2010)",
    needs=(("prompt",),),
    read=read,
    says=says,
    absence=8.0,
)
