"""No ramp: accounts work at full rate from their first day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """How late in its life an account's requests lie; 0.5 is a level rate."""
    return -np.maximum(figures["ramp"], 0.5), 2.0 * figures["ramp_error"]


def says(figures: Figures) -> str:
    """In words."""
    fresh = first(figures, "fresh")
    opened = "" if np.isnan(fresh) else f"; {100 * fresh:.0f} % began within three days of sign-up"
    return (
        f"requests centre at {100 * first(figures, 'ramp'):.0f} % of an account's life (50 % is a level rate){opened}"
    )


SIGNAL = Signal(
    id="no-ramp",
    family=Family.TAKE,
    question="Do accounts grow, as users do?",
    innocent_reading="a settled product with steady users",
    source="own",
    needs=(("time",),),
    read=read,
    says=says,
    most=2.0,
)
