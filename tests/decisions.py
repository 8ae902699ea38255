"""Decisions for the tests: a day to count from, grounds as good as they come, and things asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from stillwatch.decisions.decision import Grounds, KeyedMark
from stillwatch.decisions.ladder import Asked
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject
from stillwatch.verdicts.evidence import Verdict

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FIRM = Grounds("c-1", "ab" * 32, Verdict.CAMPAIGN, bits=20.0, q_value=0.001, membership=0.99)
ACCOUNT = Subject.parsed("account:acct-1")


def asked(
    step: Step = Step.OBSERVE,
    subject: Subject | str = ACCOUNT,
    *,
    grounds: Grounds | None = FIRM,
    approvers: tuple[str, ...] = (),
    lasts: timedelta | None = None,
    belongs_to: tuple[Subject, ...] = (),
) -> Asked:
    return Asked(
        subject if isinstance(subject, Subject) else Subject.parsed(subject),
        step,
        "one queue dealt over its accounts",
        grounds,
        (KeyedMark("opening", "abuejqjkfw3sknxn"),),
        "rules/1",
        approvers,
        lasts,
        belongs_to,
    )


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now
