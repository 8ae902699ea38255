"""One credential behind many addresses: an account comes from ever new places or clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Different addresses, or clients, per request of an account, whichever is more."""
    spread = np.fmax(figures["addresses"], figures["clients"])
    return spread, 1.0 / np.sqrt(np.maximum(figures["exchanges"], 1.0))


def says(figures: Figures) -> str:
    """In words."""
    told = [
        f"{first(figures, name):.2f} different {name}"
        for name in ("addresses", "clients")
        if np.isfinite(first(figures, name))
    ]
    return f"an account shows {' and '.join(told)} a request (people below 0.3)"


SIGNAL = Signal(
    id="many-addresses",
    family=Family.LINKAGE,
    question="Do accounts rotate through addresses or clients?",
    innocent_reading="a traveller, a mobile carrier, an aggregator's own fleet",
    source="own",
    needs=(("ip", "ja4", "user_agent"),),
    read=read,
    says=says,
    absence=0.0,
)
