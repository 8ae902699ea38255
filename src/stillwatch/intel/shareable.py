"""Which marks may leave, and why the others stay. Pure; touches nothing.

Whoever holds the key that a mark is named with can try guesses against it: "is this mark that address?". So only those
families leave whose guesses would tell of an operator's tools and templates, never of a person or a customer. There are
few addresses, mail domains and cards in the world; what two providers have of those in common is found by private
matching, where nobody can try guesses on his own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from stillwatch.marks.families import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stillwatch.verdicts.evidence import Finding, MarkShare

LEAST_ACCOUNTS: Final = 3  # that must bear a mark; what one or two bear is theirs
_NAME: Final = re.compile(r"[a-z2-7]{16}")
_ID: Final = re.compile(r"c-[0-9a-f]{10}")

LEAVE: Final[Mapping[str, str]] = {
    "system": "a template of the operator's; a keyed hash of it, from which no text can be had",
    "opening": "how a template begins, as a keyed hash; what was put into the template is not in it",
    "closing": "how a template ends, as a keyed hash",
    "shape": "how a template is laid out, with words, numbers and quotes masked, as a keyed hash",
    "phrase": "five words of a template that several accounts share, as a keyed hash",
    "client": "client software, as a keyed hash; tells of no person",
    "harness": "client software and its parameters, as a keyed hash; tells of no person",
    "parameters": "sampling parameters, as a keyed hash; tells of no person",
}
"""Families that may leave, each with the reason."""

STAY: Final[Mapping[str, str]] = {
    "prompt": "a whole prompt can be guessed at by whoever has the key, and may hold a customer's words",
    "relay": "a digest of an answer that one account got and another sent back",
    "address": "there are few addresses, so that the key's holders could find out whose it is",
    "network": "a small network is one customer's",
    "card": "a means of payment",
    "mail": "there are few mail domains, and many are one customer's",
    "organization": "a customer's name",
    "born": "when accounts were opened",
    "behaviour": "a person's habits",
}
"""Families that never leave, each with the reason."""


class Shared(NamedTuple):
    """A mark that leaves: its name under the key that was asked for."""

    family: str
    name: str
    accounts: int
    exchanges: int


class Kept(NamedTuple):
    """A mark that stays, and why."""

    family: str
    why: str


def may_be_named(finding: Finding) -> bool:
    """Whether a finding's id is a keyed hash, as a scan makes it, and not something that somebody wrote there."""
    return _ID.fullmatch(finding.id) is not None


def sorted_out(finding: Finding, key: str) -> tuple[list[Shared], list[Kept]]:
    """Give the marks of a finding that leave, and those that stay.

    Args:
        finding: whose marks.
        key: id of the group's key that they leave under; empty for the provider's own.

    """
    leaving, staying = [], []
    for mark in finding.marks:
        name = mark.shared.get(key, "") if key else mark.mark
        why = _why_not(mark, name)
        if why:
            staying.append(Kept(mark.family if mark.family in BY_NAME else "unknown", why))
        else:
            leaving.append(Shared(mark.family, name, mark.accounts, mark.exchanges))
    return leaving, staying


def _why_not(mark: MarkShare, name: str) -> str:
    if mark.family not in LEAVE:
        return STAY.get(mark.family, "no family of marks that is known here")
    if mark.accounts < LEAST_ACCOUNTS:
        return f"fewer than {LEAST_ACCOUNTS} accounts bear it"
    if not name:
        return "the scan did not name it under this key"
    if not _NAME.fullmatch(name):
        return "it is no keyed hash as a scan makes it"
    return ""
