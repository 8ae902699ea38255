"""Next-token sweeps: one token at a time, with its probabilities or with biased tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.stats import proportion_margin
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals.signal import Signal, first

if TYPE_CHECKING:
    from stillwatch.cohorts.survey import Figures
    from stillwatch.verdicts.signals.signal import Reading


def read(figures: Figures) -> Reading:
    """Share of requests for a few tokens at most with log-probabilities or a logit bias."""
    share = figures["sweeps"]
    return share, proportion_margin(share, figures["exchanges"])


def says(figures: Figures) -> str:
    """In words."""
    return (
        f"{100 * first(figures, 'sweeps'):.0f} % of requests ask for the probabilities of the next token, with "
        f"{first(figures, 'biased'):.0f} biased tokens on average"
    )


SIGNAL = Signal(
    id="next-token-sweep",
    family=Family.ASKING,
    question="Are next-token probabilities read out?",
    innocent_reading="a classifier that compares the probabilities of two labels, or an evaluation by likelihood",
    source="logit extraction (Carlini et al., Stealing Part of a Production Language Model, ICML 2024)",
    needs=(("top_logprobs", "logit_bias"), ("max_tokens",)),
    read=read,
    says=says,
    absence=0.0,
)
