"""Which step stood when: from the trail of a ledger, and as it would have been decided on findings."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.decisions import ACCOUNT, DAY, FIRM, NOW, asked
from tests.strategies import sample

from stillwatch.decisions.allowance import Allowance
from stillwatch.decisions.events import Allowed, Decided, Event, Lifted, Withdrawn
from stillwatch.decisions.ladder import made
from stillwatch.decisions.standing import NOTHING, Standing, foreseen
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject, SubjectKind
from stillwatch.report.findings_v1 import finding_digest
from stillwatch.verdicts.evidence import Findings, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable


def throttled(name: str = "d-1", subject: Subject = ACCOUNT, now: datetime = NOW) -> Decided:
    return Decided(made(asked(Step.THROTTLE, subject), name=name, now=now))


def stood(events: Iterable[Event], now: datetime, account: str = "acct-1", **named: str) -> tuple[str, str]:
    timeline = Standing(events, {FIRM.finding: ["acct-1"]}).of(account, **named)
    return NOTHING if timeline is None else timeline.at(now.timestamp())


def test_a_decision_stands_from_its_making_and_decays() -> None:
    events = [throttled()]
    assert stood(events, NOW - timedelta(seconds=1)) == ("observe", "")
    assert stood(events, NOW) == ("throttle", "c-1")
    assert stood(events, NOW + 7 * DAY) == ("observe", "c-1")
    assert stood(events, NOW + 40 * DAY) == NOTHING
    assert stood(events, NOW, account="somebody-else") == NOTHING


def test_what_was_lifted_stood_until_then() -> None:
    events: list[Event] = [throttled(), Lifted("d-1", "ann", "the wrong account", NOW + DAY)]
    assert stood(events, NOW + DAY - timedelta(seconds=1))[0] == "throttle"
    assert stood(events, NOW + DAY) == NOTHING


def test_the_allow_list_spares_only_while_it_stands() -> None:
    allowance = Allowance("a-1", ACCOUNT, "trust", "evaluator", NOW + DAY, NOW + 3 * DAY)
    events: list[Event] = [throttled(), Allowed(allowance), Withdrawn("a-1", "ann", "over", NOW + 2 * DAY)]
    assert [stood(events, NOW + hours * DAY / 2)[0] for hours in (1, 2, 3, 4)] == [
        "throttle",
        "observe",
        "observe",
        "throttle",
    ]


@pytest.mark.parametrize(
    ("subject", "named"),
    [("key:k-1", {"key": "k-1"}), ("organization:o-1", {"organization": "o-1"}), ("cohort:c-1", {})],
)
def test_a_decision_binds_by_key_organization_and_cohort(subject: str, named: dict[str, str]) -> None:
    events = [throttled(subject=Subject.parsed(subject))]
    assert stood(events, NOW, **named)[0] == "throttle"
    assert stood(events, NOW, account="another") == NOTHING


def test_what_would_have_been_decided_comes_after_each_account_was_seen_and_climbs() -> None:
    findings = sample()
    events = foreseen(findings, after=2 * DAY, step=Step.REFUSE, digest=finding_digest)
    standing = Standing(events)
    sure = next(each for each in findings.campaigns if each.verdict is Verdict.CAMPAIGN and each.bits > 15)
    for member in (each for each in sure.accounts if each.membership > 0.95):
        timeline = standing.of(member.account)
        assert timeline is not None
        begun = (member.first_seen + 2 * DAY).timestamp()
        assert timeline.at(begun - 1) == NOTHING
        assert timeline.at(begun)[0] == ("refuse" if sure.q_value <= 0.01 else "throttle")
    decided = [each.decision for each in events if isinstance(each, Decided)]
    assert {each.grounds.verdict for each in decided if each.grounds} <= {Verdict.CAMPAIGN, Verdict.WATCH}
    assert all(each.step is Step.OBSERVE for each in decided if each.grounds and each.grounds.verdict is Verdict.WATCH)


def test_nothing_would_have_been_decided_against_whom_the_allow_list_protects() -> None:
    findings = sample()
    first = findings.campaigns[0].accounts[0]
    subject = Subject(SubjectKind.ACCOUNT, first.account)
    allowance = Allowance("a-1", subject, "trust", "evaluator", first.first_seen, first.first_seen + 90 * DAY)
    one = Findings(findings.scan, (replace(findings.campaigns[0], accounts=(first,)),))
    events = foreseen(one, after=DAY, step=Step.REFUSE, digest=finding_digest, known=[Allowed(allowance)])
    assert all(isinstance(each, Decided) and each.decision.step is Step.OBSERVE for each in events)
