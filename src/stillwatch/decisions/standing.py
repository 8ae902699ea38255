"""Which step stood against whom at which past moment. Pure; touches nothing.

A ledger tells what stands now, and by its trail what stood then. Where there was none yet, `foreseen` tells what would
have been decided on findings, had each account been decided on so long after it was first seen.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stillwatch.decisions.book import Book
from stillwatch.decisions.events import Allowed, Decided, Withdrawn
from stillwatch.decisions.ladder import LADDER, Ladder, following, made
from stillwatch.decisions.propose import asked_of, granted, up_to
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject, SubjectKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from stillwatch.decisions.decision import Decision
    from stillwatch.decisions.events import Event
    from stillwatch.verdicts.evidence import Finding, Findings

Stood = tuple[str, str]
"""A step, and the cohort for which it was taken; empty for none."""

NOTHING: Stood = (Step.OBSERVE.value, "")
_APPROVERS = ("one operator", "another operator")


@dataclass(frozen=True, slots=True)
class Timeline:
    """What stood against one request's subjects: from each moment on, in seconds since 1970."""

    moments: tuple[float, ...]
    stood: tuple[Stood, ...]

    def at(self, second: float) -> Stood:
        """Give what stood at a moment."""
        place = bisect_right(self.moments, second)
        return self.stood[place - 1] if place else NOTHING


class Standing:
    """What stood against whom, from everything that was ever decided.

    Args:
        events: all of them, in their order.
        members: finding -> its accounts: whom decisions against a cohort bind.
        ladder: the rules that decisions decay by.

    """

    def __init__(
        self, events: Iterable[Event], members: Mapping[str, Iterable[str]] | None = None, ladder: Ladder = LADDER
    ) -> None:
        self._ladder = ladder
        self._about: dict[Subject, list[tuple[int, Event]]] = {}
        self._cohorts: dict[str, list[Subject]] = {}
        self._found: dict[tuple[Subject, ...], Timeline] = {}
        subjects: dict[str, Subject] = {}
        for number, event in enumerate(events):
            subject = _subject(event, subjects)
            self._about.setdefault(subject, []).append((number, event))
        for finding, accounts in (members or {}).items():
            cohort = Subject(SubjectKind.COHORT, finding)
            if cohort in self._about:
                for account in accounts:
                    self._cohorts.setdefault(account, []).append(cohort)

    def of(self, account: str, key: str = "", organization: str = "") -> Timeline | None:
        """Give what stood against the requests of an account, by one of its keys; None if nothing ever did."""
        named = ((SubjectKind.ACCOUNT, account), (SubjectKind.KEY, key), (SubjectKind.ORGANIZATION, organization))
        subjects = (*(Subject(kind, name) for kind, name in named if name), *self._cohorts.get(account, ()))
        decided = tuple(each for each in subjects if each in self._about)
        if not decided:
            return None
        if decided not in self._found:
            self._found[decided] = self._timeline(decided)
        return self._found[decided]

    def _timeline(self, subjects: tuple[Subject, ...]) -> Timeline:
        events = [event for _, event in sorted((each for one in subjects for each in self._about[one]), key=_number)]
        moments = sorted({moment for event in events for moment in self._moments(event)})
        stood = [self._stood([event for event in events if _at(event) <= now], subjects, now) for now in moments]
        return Timeline(tuple(moment.timestamp() for moment in moments), tuple(stood))

    def _stood(self, events: Sequence[Event], subjects: tuple[Subject, ...], now: datetime) -> Stood:
        held = Book().add(events).against(subjects, now, self._ladder)
        if not held:
            return NOTHING
        grounds = held[0].grounds
        return held[0].step.value, "" if grounds is None else grounds.finding

    def _moments(self, event: Event) -> Iterator[datetime]:
        """When something may change because of this."""
        yield _at(event)
        if isinstance(event, Allowed):
            yield event.allowance.expires_at
        left: Decision | None = event.decision if isinstance(event, Decided) else None
        while left is not None:
            yield left.expires_at
            left = following(left, self._ladder)


def foreseen(
    findings: Findings,
    *,
    after: timedelta,
    step: Step,
    digest: Callable[[Finding], str],
    known: Iterable[Event] = (),
    ladder: Ladder = LADDER,
) -> tuple[Event, ...]:
    """Give what would have been decided against the accounts of campaigns, each so long after it was first seen.

    The ladder is climbed at once: where a step follows a milder one, that comes first, at the same moment. As many
    operators as the ladder wants are taken to approve.

    Args:
        findings: what a scan found.
        after: how long after its first exchange an account is decided on.
        step: how far to go against campaigns.
        digest: SHA-256 of a finding's canonical form.
        known: what was decided and allowed in truth; it stands beside.
        ladder: the rules.

    """
    subjects: dict[str, Subject] = {}
    before: dict[Subject, list[Event]] = {}
    for event in known:
        before.setdefault(_subject(event, subjects), []).append(event)
    events: list[Event] = []
    chooser = up_to(step, ladder)
    for finding in findings.campaigns:
        seen = {member.account: member.first_seen for member in finding.accounts}
        for asked in asked_of([finding], chooser, digest=digest, approvers=_APPROVERS):
            now = seen[asked.subject.value] + after
            related = (asked.subject, *asked.belongs_to)
            book = Book().add(event for each in related for event in before.get(each, ()) if _at(event) <= now)
            for _ in Step:  # as often as it may take to climb
                allowed = granted(asked, book.case(asked.subject, asked.belongs_to), now=now, ladder=ladder)
                if allowed.step is None:
                    break
                taken = replace(asked, step=allowed.step)
                decided = Decided(made(taken, name=f"r-{len(events) + 1}", now=now, ladder=ladder))
                book.add([decided])
                before.setdefault(asked.subject, []).append(decided)
                events.append(decided)
    return tuple(events)


def _subject(event: Event, known: dict[str, Subject]) -> Subject:
    """Whom an event is about; `known` remembers whom decisions and allowances are about."""
    if isinstance(event, Decided):
        return known.setdefault(event.decision.id, event.decision.subject)
    if isinstance(event, Allowed):
        return known.setdefault(event.allowance.id, event.allowance.subject)
    return known[event.allowance if isinstance(event, Withdrawn) else event.decision]


def _at(event: Event) -> datetime:
    """When it happened."""
    if isinstance(event, Decided):
        return event.decision.made_at
    return event.allowance.made_at if isinstance(event, Allowed) else event.at


def _number(numbered: tuple[int, Event]) -> int:
    return numbered[0]
