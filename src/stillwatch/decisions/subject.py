"""Whom a decision or an allowance is about. Pure; touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SubjectKind(StrEnum):
    """What kind of thing is named."""

    ACCOUNT = "account"
    KEY = "key"  # one API key of an account
    ORGANIZATION = "organization"
    COHORT = "cohort"  # a finding's id: whoever bears its marks


MANY = frozenset({SubjectKind.ORGANIZATION, SubjectKind.COHORT})  # a step against one of these hits several accounts


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """One account, key, organization or cohort; written `account:acct-7`.

    Raises:
        ValueError: it has no name.

    """

    kind: SubjectKind
    value: str

    def __post_init__(self) -> None:
        if not self.value:
            raise ValueError(f"a subject needs a name: {self.kind}:")

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    @classmethod
    def parsed(cls, text: str) -> Subject:
        """Read what `str` wrote.

        Raises:
            ValueError: no kind, an unknown kind, or no name; the text says which kinds there are.

        """
        kind, colon, value = text.partition(":")
        if not colon or kind not in set(SubjectKind):
            raise ValueError(f"{text!r} names no subject; write {', '.join(f'{each}:NAME' for each in SubjectKind)}")
        return cls(SubjectKind(kind), value)
