"""What the ledger has decided, as far as a request can be touched by it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stillwatch.decisions.book import Book
from stillwatch.decisions.events import Decided
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject, SubjectKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from stillwatch.decisions.decision import Decision
    from stillwatch.decisions.events import Event


@dataclass(frozen=True, slots=True)
class Held:
    """What holds against one request.

    Attributes:
        step: the gravest step.
        cohort: the finding that it rests on, or the cohort that it is against; empty where there is none.
        allowed: an allowance protects whoever asks.
        decisions: ids of what holds, gravest first.
    """

    step: Step = Step.OBSERVE
    cohort: str = ""
    allowed: bool = False
    decisions: tuple[str, ...] = ()


NOTHING: Final = Held()


class Standing:
    """Decisions and allowances, added to as the ledger grows."""

    def __init__(self) -> None:
        self._book = Book()
        self._cohorts: dict[Subject, None] = {}  # that anything was ever decided against

    def add(self, events: Iterable[Event]) -> None:
        """Take in what happened next."""
        events = tuple(events)
        self._book.add(events)
        for event in events:
            if isinstance(event, Decided) and event.decision.subject.kind is SubjectKind.COHORT:
                self._cohorts[event.decision.subject] = None

    def against_cohorts(self, now: datetime) -> tuple[Decision, ...]:
        """Give the decisions against whole cohorts that hold at this moment."""
        return tuple(each for subject in self._cohorts for each in self._book.case(subject).in_force(now))

    def against(
        self, now: datetime, *, account: str, key: str = "", organization: str = "", cohorts: Sequence[str] = ()
    ) -> Held:
        """Tell what holds against a request of this account, key and organization, that is known to be of cohorts."""
        named = [f"account:{account}", f"key:{key}", f"organization:{organization}"]
        if cohorts:
            named += [f"cohort:{cohort}" for cohort in cohorts]
        subjects = [Subject.parsed(each) for each in named if self._book.knows(each)]
        if not subjects:
            return NOTHING
        allowed = self._book.allowed(subjects, now)
        held = self._book.against(subjects, now)
        if not held:
            return Held(allowed=allowed)
        gravest = held[0]
        by_cohort = next((each.subject.value for each in held if each.subject.kind is SubjectKind.COHORT), "")
        finding = next((each.grounds.finding for each in held if each.grounds is not None), "")
        return Held(gravest.step, by_cohort or finding, allowed, tuple(each.id for each in held))

    @property
    def book(self) -> Book:
        """All that happened, summed up."""
        return self._book

    def __len__(self) -> int:
        """Decisions that were ever made."""
        return len(self._book.decisions)
