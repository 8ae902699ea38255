"""The families of marks, and which of an exchange's columns bears each. Pure; touches nothing.

A *mark* is a discrete thing that an exchange reveals. Marks of the whole account (its card, its mail domain) are borne
by all its exchanges.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a family tells about."""

    CONTENT = "content"
    CONTINUATION = "continuation"
    CLIENT = "client"
    NETWORK = "network"
    PAYMENT = "payment"
    SIGN_UP = "sign-up"
    PARAMETERS = "parameters"
    BEHAVIOUR = "behaviour"


@dataclass(frozen=True, slots=True)
class MarkFamily:
    """One family of marks.

    Attributes:
        name: as findings print it.
        kind: what it tells about.
        needs: columns of `exchange/1` or of the accounts table that it is made of; any one of them is enough.
        says: what two accounts share that bear the same mark.
    """

    name: str
    kind: Kind
    needs: tuple[str, ...]
    says: str


FAMILIES = (
    MarkFamily("system", Kind.CONTENT, ("system",), "the same system prompt"),
    MarkFamily("opening", Kind.CONTENT, ("prompt",), "prompts that begin alike"),
    MarkFamily("closing", Kind.CONTENT, ("prompt",), "prompts that end alike"),
    MarkFamily("shape", Kind.CONTENT, ("prompt",), "prompts laid out alike"),
    MarkFamily("phrase", Kind.CONTENT, ("prompt",), "five words in a row in common"),
    MarkFamily("prompt", Kind.CONTENT, ("prompt",), "the same prompt"),
    MarkFamily(
        "relay",
        Kind.CONTINUATION,
        ("previous", "reasoning_handle", "conversation"),
        "conversations dealt over accounts",
    ),
    MarkFamily("client", Kind.CLIENT, ("ja4", "user_agent"), "the same client software"),
    MarkFamily("harness", Kind.CLIENT, ("ja4", "user_agent"), "the same client with the same parameters"),
    MarkFamily("parameters", Kind.PARAMETERS, ("temperature", "max_tokens", "top_p"), "the same sampling parameters"),
    MarkFamily("address", Kind.NETWORK, ("ip",), "the same address"),
    MarkFamily("network", Kind.NETWORK, ("ip", "asn"), "the same network"),
    MarkFamily("card", Kind.PAYMENT, ("payment",), "the same means of payment"),
    MarkFamily("mail", Kind.SIGN_UP, ("email_domain",), "the same mail domain"),
    MarkFamily("organization", Kind.SIGN_UP, ("organization",), "the same organization, as claimed"),
    MarkFamily("born", Kind.SIGN_UP, ("created_at",), "accounts opened in the same hour"),
    MarkFamily("behaviour", Kind.BEHAVIOUR, ("time",), "the same habits: hours, pauses, lengths, parameters"),
)
"""In the order in which a cohort's name is taken from its marks: what lasts comes first."""

BY_NAME = {family.name: family for family in FAMILIES}
EXCHANGE_MARKS = (
    "system",
    "opening",
    "closing",
    "shape",
    "prompt",
    "client",
    "harness",
    "parameters",
    "address",
    "network",
)
ACCOUNT_MARKS = ("relay", "card", "mail", "organization", "born", "behaviour")
