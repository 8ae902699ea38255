"""Decisions, held closely: what many have in common is held once. Pure.

A campaign's decisions differ by account and membership only; reason, evidence, marks and times are the finding's. Held
one by one a million of them would take gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stillwatch.decisions.decision import Decision
from stillwatch.decisions.subject import Subject

if TYPE_CHECKING:
    from stillwatch.decisions.decision import Grounds

_Row = tuple[
    str, float, Decision
]  # whose it is, their membership, and one that is the same but for these two and its id


class Shelf(Mapping[str, Decision]):
    """Decisions by id, in the order in which they were first put here."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._of: dict[str, str | tuple[str, ...]] = {}  # ids of each subject; a tuple only where there are several
        self._commons: dict[Decision, Decision] = {}

    def __getitem__(self, name: str) -> Decision:
        subject, membership, common = self._rows[name]
        return replace(
            common, id=name, subject=Subject.parsed(subject), grounds=_with_membership(common.grounds, membership)
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, decision: Decision) -> None:
        """Put a decision here, in the place of the one of its id if there is one."""
        name, grounds = decision.id, decision.grounds
        common = replace(decision, id="", subject=_NOBODY, grounds=_with_membership(grounds, 0.0))
        common = self._commons.setdefault(common, common)
        before = self._rows.get(name)
        subject = str(decision.subject) if before is None else before[0]
        if before is None:
            held = self._of.get(subject)
            others = () if held is None else (held,) if isinstance(held, str) else held
            self._of[subject] = (*others, name) if others else name
        self._rows[name] = (subject, 0.0 if grounds is None else grounds.membership, common)

    def names_of(self, subject: Subject) -> tuple[str, ...]:
        """Give the ids of all decisions about a subject, in their order."""
        found = self._of.get(str(subject), ())
        return (found,) if isinstance(found, str) else found

    def knows(self, subject: str) -> bool:
        """Whether there is one about a subject, written as `account:acct-7`."""
        return subject in self._of

    def subjects(self) -> Iterator[Subject]:
        """Yield everybody that one is about."""
        return map(Subject.parsed, self._of)


_NOBODY: Final = Subject.parsed("account:nobody")


def _with_membership(grounds: Grounds | None, membership: float) -> Grounds | None:
    return None if grounds is None else replace(grounds, membership=membership)
