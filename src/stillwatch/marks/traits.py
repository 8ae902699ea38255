"""Marks that one request and its account's sign-up reveal, by what they tell of; and how far two agree. Pure.

A gateway sees one request at a time, so families that take a whole log to make (relay, behaviour) are not here. Nor is
what anybody may claim (organization) or what a new account cannot share with an old one (the hour of its sign-up).
"""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Trait(IntFlag):
    """What a mark tells of; marks of one trait often come together, so they count once."""

    CONTENT = 1
    CLIENT = 2
    NETWORK = 4
    SIGN_UP = 8


TRAITS: Final[Mapping[str, Trait]] = {
    "system": Trait.CONTENT,
    "opening": Trait.CONTENT,
    "closing": Trait.CONTENT,
    "shape": Trait.CONTENT,
    "phrase": Trait.CONTENT,
    "prompt": Trait.CONTENT,
    "client": Trait.CLIENT,
    "harness": Trait.CLIENT,
    "parameters": Trait.CLIENT,
    "address": Trait.NETWORK,
    "network": Trait.NETWORK,
    "card": Trait.SIGN_UP,
    "mail": Trait.SIGN_UP,
}
"""Families of marks that can be told from one request and its account, in the order in which they are named."""

OWNED: Final = Trait.NETWORK | Trait.SIGN_UP  # nobody can take these on by looking at a request
LEAST, MOST = 2, len(Trait)  # agreement that counts, and the highest there is


def agreement(borne: int) -> int:
    """How far an account agrees with a campaign: traits that it shares, 0 unless what is asked and what is owned do.

    Args:
        borne: the `Trait`s of which it bears one of the campaign's marks, put together.

    """
    return borne.bit_count() if borne & Trait.CONTENT and borne & OWNED else 0
