"""What all events together come to: which decisions and allowances there are, and which hold. Pure; touches nothing.

A book is a sum over events in their order, so that a reader who follows a ledger keeps its own and adds what is new.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, assert_never

from stillwatch.decisions.case import Case, overturned
from stillwatch.decisions.decision import Appeal, Decision
from stillwatch.decisions.events import Allowed, Appealed, Decided, Event, Expired, Judged, Lifted, Withdrawn
from stillwatch.decisions.ladder import LADDER, Ladder
from stillwatch.decisions.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from stillwatch.decisions.allowance import Allowance
    from stillwatch.decisions.subject import Subject


@dataclass(slots=True)
class Book:
    """Decisions and allowances by id, in the order of their making.

    Attributes:
        decisions: all that were ever made.
        allowances: the same.
        closed: decisions whose end is written down; what followed them stands among the decisions.

    """

    decisions: Shelf = field(default_factory=Shelf)
    allowances: dict[str, Allowance] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    _allowed: dict[str, list[str]] = field(default_factory=dict)

    def add(self, events: Iterable[Event]) -> Book:
        """Take in what happened next; gives itself.

        Raises:
            KeyError: an event is about a decision or an allowance that was never made: some are missing.

        """
        for event in events:
            self._add(event)
        return self

    def case(self, subject: Subject, belongs_to: Iterable[Subject] = ()) -> Case:
        """Give what stands for and against a subject; allowances for those that it belongs to protect it."""
        taken = [self.decisions[name] for name in self.decisions.names_of(subject)]
        protecting = (
            self.allowances[name] for each in (subject, *belongs_to) for name in self._allowed.get(str(each), ())
        )
        return Case(
            tuple(each for each in taken if each.id not in self.closed), tuple(protecting), overturned(iter(taken))
        )

    def in_force(self, now: datetime, ladder: Ladder = LADDER) -> tuple[Decision, ...]:
        """Give every decision that holds at this moment, the earliest made first."""
        return tuple(each for subject in self.decisions.subjects() for each in self.case(subject).in_force(now, ladder))

    def against(self, subjects: Collection[Subject], now: datetime, ladder: Ladder = LADDER) -> tuple[Decision, ...]:
        """Give what holds against a request that several subjects stand behind, strongest first.

        Args:
            subjects: its account, key and organization, and the cohorts whose marks it bears; an allowance for any one
                of them protects it.
            now: the moment.
            ladder: the rules that decisions decay by.

        """
        held = [each for subject in subjects for each in self.case(subject, subjects).in_force(now, ladder)]
        return tuple(sorted(held, key=lambda each: -each.step.height))

    def knows(self, subject: str) -> bool:
        """Whether anything was ever decided or allowed for a subject, written as `account:acct-7`."""
        return self.decisions.knows(subject) or subject in self._allowed

    def allowed(self, subjects: Iterable[Subject], now: datetime) -> bool:
        """Whether an allowance holds for one of some subjects at this moment."""
        return any(self.allowances[name].stands(now) for each in subjects for name in self._allowed.get(str(each), ()))

    def ended(self, now: datetime) -> tuple[Decision, ...]:
        """Give the decisions that have ended by this moment without it being written down."""
        return tuple(
            each
            for each in self.decisions.values()
            if each.lifted_at is None and each.id not in self.closed and now >= each.expires_at
        )

    def _add(self, event: Event) -> None:
        match event:
            case Decided(decision):
                self.decisions.put(decision)
            case Lifted(name, at=at):
                self._change(name, lifted_at=at)
            case Appealed(name):
                self._change(name, appeal=Appeal.OPEN)
            case Judged(name, upheld=True, at=at):
                self._change(name, appeal=Appeal.UPHELD, lifted_at=at)
            case Judged(name):
                self._change(name, appeal=Appeal.REJECTED)
            case Expired(name):
                self.closed.add(name)
            case Allowed(allowance):
                self.allowances[allowance.id] = allowance
                self._allowed.setdefault(str(allowance.subject), []).append(allowance.id)
            case Withdrawn(name, at=at):
                self.allowances[name] = replace(self.allowances[name], withdrawn_at=at)
            case _:
                assert_never(event)

    def _change(self, name: str, *, appeal: Appeal | None = None, lifted_at: datetime | None = None) -> None:
        held = self.decisions[name]
        self.decisions.put(replace(held, appeal=appeal or held.appeal, lifted_at=lifted_at or held.lifted_at))
