"""Even dealing: a queue dealt out to accounts leaves them alike in volume; people differ many times over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Spread of log volumes, or of log rates where accounts come and go, beyond chance; the smaller bound counts."""
    counts, rates = figures["count_spread"], figures["rate_spread"]
    count_margin, rate_margin = 2.0 * figures["count_spread_error"], 2.0 * figures["rate_spread_error"]
    by_count = np.nan_to_num(counts + count_margin, nan=np.inf) <= np.nan_to_num(rates + rate_margin, nan=np.inf)
    return -np.where(by_count, counts, rates), np.where(by_count, count_margin, rate_margin)


def says(figures: Figures) -> str:
    """In words."""
    spread = max(-float(read(figures)[0][0]), 0.0)
    return (
        f"volumes of its accounts differ by a factor of {np.exp(np.sqrt(spread)):.2f} beyond chance (people 1.6 to 5)"
    )


SIGNAL = Signal(
    id="even-dealing",
    family=Family.DEALING,
    question="Is work shared out evenly over the accounts?",
    innocent_reading="a company's own load balancer, or a classroom where everybody does the same exercise",
    source="variance of log counts beyond Poisson (Cox and Lewis, The Statistical Analysis of Series of Events, 1966)",
    needs=(("time",),),
    read=read,
    says=says,
    absence=2.0,
)
