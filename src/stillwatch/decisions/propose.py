"""From findings to decisions: who is asked about, which step a chooser picks, and what the ladder grants. Pure.

    findings -> (chooser) what is asked -> (ladder, allow-list, what stands) what is granted -> the ledger

A chooser looks at findings only and may ask for anything; the ladder has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from stillwatch.decisions.decision import Grounds, KeyedMark
from stillwatch.decisions.ladder import LADDER, Asked, Ladder, may
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject, SubjectKind
from stillwatch.verdicts.evidence import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from stillwatch.decisions.case import Case
    from stillwatch.decisions.decision import Decision
    from stillwatch.decisions.policy import Policy

Choose: TypeAlias = Callable[[Finding], Step | None]
"""Which step a finding calls for by its verdict, bits, q-value, ...; None for none. A policy becomes one of these."""


@dataclass(frozen=True, slots=True)
class Chooser:
    """How steps are chosen, and the version that decisions name."""

    version: str
    choose: Choose


def up_to(step: Step, ladder: Ladder = LADDER) -> Chooser:
    """Ask for this step against campaigns, for observing what is watched, and for nothing against who is cleared."""

    def choose(finding: Finding) -> Step | None:
        return {Verdict.CAMPAIGN: step, Verdict.WATCH: Step.OBSERVE, Verdict.CLEARED: None}[finding.verdict]

    return Chooser(f"{ladder.version} up to {step}", choose)


def by_policy(policy: Policy) -> Chooser:
    """Ask for what a policy says under `decide`."""
    asked = policy.document.decide

    def choose(finding: Finding) -> Step | None:
        return {Verdict.CAMPAIGN: asked.campaign, Verdict.WATCH: asked.watch, Verdict.CLEARED: None}[finding.verdict]

    return Chooser(policy.version, choose)


OBSERVE: Final = up_to(Step.OBSERVE)  # what is done unless somebody asks for more


@dataclass(frozen=True, slots=True)
class Granted:
    """What the ladder made of something asked.

    Attributes:
        asked: what it was.
        step: what may be decided: what was asked, or something milder; None for nothing.
        why_not: reasons against what was asked, if it is not what may be decided.
        stands: the decision that stands already and is as strong, if that is why nothing is decided.

    """

    asked: Asked
    step: Step | None
    why_not: tuple[str, ...] = ()
    stands: Decision | None = None


def asked_of(
    findings: Iterable[Finding],
    chooser: Chooser,
    *,
    digest: Callable[[Finding], str],
    approvers: tuple[str, ...] = (),
    cohorts: bool = False,
    successors: bool = False,
    lasts: timedelta | None = None,
) -> tuple[Asked, ...]:
    """Give what a chooser asks for, finding by finding, account by account.

    Args:
        findings: what a scan found.
        chooser: which step each calls for.
        digest: SHA-256 of a finding's canonical form.
        approvers: operators who approve all of it.
        cohorts: ask for one step against each cohort rather than one against each account.
        successors: ask besides for the same against each cohort, so that accounts of it that come later are met.
        lasts: how long; as long as is usual if None.

    """
    asked: list[Asked] = []
    for finding in findings:
        step = chooser.choose(finding)
        if step is None:
            continue
        grounds = Grounds(finding.id, digest(finding), finding.verdict, finding.bits, finding.q_value, 1.0)
        whole = Asked(
            Subject(SubjectKind.COHORT, finding.id),
            step,
            finding.reason or f"{finding.verdict} {finding.id}",
            grounds,
            tuple(KeyedMark(each.family, each.mark) for each in finding.marks),
            chooser.version,
            approvers,
            lasts,
        )
        accounts = [(Subject(SubjectKind.ACCOUNT, each.account), each) for each in finding.accounts if each.account]
        if cohorts or successors:
            within = tuple(subject for subject, _ in accounts)
            asked.append(replace(whole, belongs_to=within, known_by=finding.known_by))
        if not cohorts:
            asked += [
                replace(
                    whole,
                    subject=subject,
                    grounds=replace(grounds, membership=member.membership),
                    belongs_to=(whole.subject,),
                )
                for subject, member in accounts
            ]
    return tuple(asked)


def granted(asked: Asked, case: Case, *, now: datetime, ladder: Ladder = LADDER, exactly: bool = False) -> Granted:
    """Tell how far the ladder goes with what is asked: that step, else the one that it decays to, and so on down.

    Args:
        asked: the decision.
        case: what stands for and against its subject.
        now: the moment.
        ladder: the rules.
        exactly: this step or none.

    """
    why_not: tuple[str, ...] = ()
    strongest = next(iter(case.in_force(now, ladder)), None)
    step: Step | None = asked.step
    while step is not None:
        if strongest is not None and strongest.step.height >= step.height:
            return Granted(asked, None, why_not, strongest)
        milder = asked if step is asked.step else replace(asked, step=step, lasts=None)
        against = may(milder, case, now=now, ladder=ladder)
        if not against:
            return Granted(asked, step, why_not)
        why_not = why_not or against
        step = None if exactly else ladder[step].then
    return Granted(asked, None, why_not)
