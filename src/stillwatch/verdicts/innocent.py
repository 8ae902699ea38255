"""Innocent explanations: what honest groups have in common, and which evidence it explains away. Pure; touches nothing.

Coordinated does not mean hidden. Accounts that one customer pays for in the open are dealt work and share networks
because they are one customer's; accounts that all ask the same items are a class or evaluators, not a queue dealt out.
Each explanation takes away the bits of the families that it explains, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.verdicts.evidence import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stillwatch.cohorts.survey import Figures

MOST = 0.9  # share of accounts that must agree for a cohort to be one customer's
SAME_ITEMS = 0.5  # a queue gives each item to a minority of accounts; above this everybody asks the same
MANY_ITEMS = (
    0.2  # the same for accounts that chose their items themselves, as evaluators do who run parts of a test set
)
NOT_DEALT = 0.5  # evenness from which prompts were not dealt out


@dataclass(frozen=True, slots=True)
class Explanation:
    """One innocent explanation.

    Attributes:
        id: short name.
        says: in a sentence.
        families: whose bits it explains.
        fits: which streams it fits.
    """

    id: str
    says: str
    families: frozenset[Family]
    fits: Callable[[Figures], NDArray[np.bool_]]


def one_customer(figures: Figures) -> NDArray[np.bool_]:
    """Nearly all accounts have one means of payment, or are of one organization that the provider has verified.

    Where neither is told, one network does. An organization that nobody has verified is a claim, and explains nothing.
    """
    paid = np.nan_to_num(figures["card_lead"]) >= MOST
    verified = (np.nan_to_num(figures["organization_lead"]) >= MOST) & (figures["unverified"] <= 0.5)
    untold = (figures["card_told"] < MOST) & (figures["organization_told"] < MOST)
    housed = np.nan_to_num(figures["network_lead"]) >= MOST
    return np.asarray(paid | verified | (untold & housed))


def same_items(figures: Figures) -> NDArray[np.bool_]:
    """Most accounts sent most of the prompts; or many did, and nobody dealt the prompts out."""
    coverage = np.nan_to_num(figures["coverage"])
    return np.asarray((coverage >= SAME_ITEMS) | ((coverage >= MANY_ITEMS) & (evenness(figures) >= NOT_DEALT)))


def evenness(figures: Figures) -> NDArray[np.float64]:
    """Variance of the number of accounts that sent a prompt, over that of accounts that choose prompts freely.

    0 where every prompt is dealt to so many accounts, 1 where each account draws for itself, above 1 where some prompts
    are more popular than others; NaN where prompts hardly recur.
    """
    return np.asarray(figures["recurrence_spread"] / np.maximum(1.0 - figures["coverage"], 0.05))


EXPLANATIONS = (
    Explanation(
        "one-customer",
        "its accounts are one customer's in the open: one means of payment, or one verified organization",
        frozenset({Family.DEALING, Family.LINKAGE}),
        one_customer,
    ),
    Explanation(
        "same-items",
        "its accounts ask the same items, as classes and evaluators do; a queue gives each item to few",
        frozenset({Family.WORK, Family.ASKING}),
        same_items,
    ),
)


def explains(figures: Figures) -> NDArray[np.bool_]:
    """Whether the evidence of each family has an innocent explanation, [streams, len(Family)]."""
    explained_by = np.zeros((len(figures), len(Family)), np.bool_)
    for explanation in EXPLANATIONS:
        families = [family in explanation.families for family in Family]
        explained_by[:, families] |= explanation.fits(figures)[:, None]
    return explained_by


def explained(figures: Figures, families: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits by family (in the order of `Family`) after every explanation that fits has taken away what it explains."""
    return np.where(explains(figures), np.minimum(families, 0.0), families)


def innocent_kind(figures: Figures) -> str:
    """What kind of honest group the first stream looks most like: the first that fits."""

    def value(name: str, unknown: float = 0.0) -> float:
        return float(np.nan_to_num(figures[name][0], nan=unknown))

    same, customer = bool(same_items(figures)[0]), bool(one_customer(figures)[0])
    around_the_clock = value("night", 1.0) < 0.15
    school = value("mail_lead") >= SAME_ITEMS or value("network_pooled") >= SAME_ITEMS
    house = value("network_lead") >= SAME_ITEMS or value("mail_lead") >= MOST
    one_client = value("client_lead") >= SAME_ITEMS
    kinds = (
        ("class", same and school),
        ("evaluators", same),
        ("pipeline", customer and (around_the_clock or value("sessions", 2.0) < 1.2)),
        ("office", customer),
        ("agent", value("with_tools") > 0.5 and value("turns") > 2.0),
        ("pipeline", around_the_clock),
        ("office", house),
        ("crowd", one_client and value("exchangeability", 1.0) < 0.03),
        ("app", one_client),
    )
    return next((kind for kind, fits in kinds if fits), "people")
