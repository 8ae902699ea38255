"""The ladder: which step may be taken against whom, by whom, on what evidence, and for how long. Pure; touches nothing.

Rules
  1  Observe by default: without a policy or an operator who asks for more, nothing happens to anybody.
  2  Steps that policy may take alone (observe, verify, throttle) can be borne by somebody innocent. Whatever alters or
     withholds answers (narrow, dye, refuse) needs an operator; against many at once, or hidden from the subject, two.
  3  Altered and withheld answers need high confidence: a verdict of `campaign`, with bits and a q-value beyond what
     the verdict itself needs, and an account that belongs all but surely. Without a finding an operator may go as far
     as throttle.
  4  The ladder is climbed: narrow, dye and refuse follow a milder step that stands.
  5  Everything ends by itself, and ends by stepping down. Nothing is renewed while it stands.
  6  Against a subject on the allow-list, or one that belongs to such, nothing is decided but observe.
  7  While an appeal is open nothing more is done to its subject. An appeal that is upheld lifts all that rests on the
     same finding, and it is not decided again on that, unless two operators say so. Who approved does not judge.

The bounds of rule 3 are a choice, not a measurement: a campaign needs 12 bits, narrow and refuse ask for 3 more, which
chance alone gives once in eight times at most, and dye, which its subject cannot see, for 3 more again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from stillwatch.decisions.decision import Appeal, Decision, Grounds, KeyedMark
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import MANY, Subject
from stillwatch.verdicts.evidence import Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from stillwatch.decisions.case import Case
    from stillwatch.verdicts.evidence import KnownBy

ALTERS: Final = frozenset({Step.NARROW, Step.DYE, Step.REFUSE})  # what the subject gets is not what it would have got
OVERRIDE: Final = 2  # operators who may decide again what an appeal has overturned


@dataclass(frozen=True, slots=True)
class Rung:
    """One row of the transition table.

    Attributes:
        step: what is done.
        after: a step that must stand before; none where it may come first.
        approvals: operators who must approve it against one account or key; none where policy may take it alone.
        approvals_of_many: the same against a cohort or an organization.
        verdicts: which the finding may have.
        bits: that it needs at least.
        q_value: that it may have at most.
        membership: that the subject needs at least.
        without_finding: whether an operator may take it with no finding.
        lasts: how long it holds if nobody says otherwise.
        at_most: how long it may hold.
        then: what it decays to when it ends.

    """

    step: Step
    after: frozenset[Step]
    approvals: int
    approvals_of_many: int
    verdicts: frozenset[Verdict]
    bits: float
    q_value: float
    membership: float
    without_finding: bool
    lasts: timedelta
    at_most: timedelta
    then: Step | None


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rungs, mildest first, under one version.

    Raises:
        ValueError: a rung breaks what every ladder must keep: the text says which and how.

    """

    version: str
    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        if tuple(rung.step for rung in self.rungs) != tuple(Step):
            raise ValueError(f"a ladder has every step once, mildest first: {', '.join(Step)}")
        for rung in self.rungs:
            if not timedelta(0) < rung.lasts <= rung.at_most:
                raise ValueError(f"{rung.step}: lasts some time, and no longer than at most")
            if rung.then is not None and rung.then.height >= rung.step.height:
                raise ValueError(f"{rung.step}: decays to something milder, not to {rung.then}")
            if any(step.height >= rung.step.height for step in rung.after):
                raise ValueError(f"{rung.step}: follows milder steps only")
            if rung.approvals_of_many < rung.approvals:
                raise ValueError(f"{rung.step}: against many it needs no fewer approvals than against one")
            if rung.step in ALTERS and (
                rung.verdicts != {Verdict.CAMPAIGN} or not rung.approvals or not rung.after or rung.without_finding
            ):
                raise ValueError(f"{rung.step}: needs a campaign, an operator, and a milder step before it")

    def __getitem__(self, step: Step) -> Rung:
        return self.rungs[step.height]


_CAMPAIGN: Final = frozenset({Verdict.CAMPAIGN})
_SUSPECT: Final = frozenset({Verdict.CAMPAIGN, Verdict.WATCH})
_MILD: Final = frozenset({Step.OBSERVE, Step.VERIFY, Step.THROTTLE})
_DAY: Final = timedelta(days=1)
_FIRST: Final = frozenset[Step]()

LADDER: Final = Ladder(
    "stillwatch.ladder/1",
    (
        # step, after, approvals (of many), verdicts, bits, q, membership, no finding, lasts, at most, then
        Rung(Step.OBSERVE, _FIRST, 0, 0, _SUSPECT, 0.0, 1.0, 0.0, True, 30 * _DAY, 90 * _DAY, None),
        Rung(Step.VERIFY, _FIRST, 0, 1, _SUSPECT, 8.0, 0.10, 0.5, True, 14 * _DAY, 30 * _DAY, Step.OBSERVE),
        Rung(Step.THROTTLE, _FIRST, 0, 1, _CAMPAIGN, 12.0, 0.05, 0.8, True, 7 * _DAY, 30 * _DAY, Step.OBSERVE),
        Rung(Step.NARROW, _MILD, 1, 2, _CAMPAIGN, 15.0, 0.01, 0.95, False, 7 * _DAY, 30 * _DAY, Step.THROTTLE),
        Rung(Step.DYE, _MILD, 2, 2, _CAMPAIGN, 18.0, 0.01, 0.95, False, 30 * _DAY, 90 * _DAY, Step.OBSERVE),
        Rung(
            Step.REFUSE,
            _MILD | {Step.NARROW, Step.DYE},
            1,
            2,
            _CAMPAIGN,
            15.0,
            0.01,
            0.95,
            False,
            14 * _DAY,
            90 * _DAY,
            Step.THROTTLE,
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A decision that somebody would like to take: all of it but its id and its times.

    Attributes:
        lasts: how long it should hold; None for as long as is usual.
        belongs_to: subjects that it would hit as well, or that its subject is part of: a cohort's accounts, an
            account's organization. An allowance for one of them protects it.
        known_by: as in a decision.

    """

    subject: Subject
    step: Step
    reason: str
    grounds: Grounds | None
    marks: tuple[KeyedMark, ...]
    policy: str
    approvers: tuple[str, ...] = ()
    lasts: timedelta | None = None
    belongs_to: tuple[Subject, ...] = ()
    known_by: KnownBy | None = None


def may(asked: Asked, case: Case, *, now: datetime, ladder: Ladder = LADDER) -> tuple[str, ...]:
    """Tell why a decision may not be taken; nothing if it may.

    Args:
        asked: the decision.
        case: what stands for and against its subject.
        now: the moment that it would be taken.
        ladder: the rules.

    Returns:
        Every reason against it, each a sentence without its full stop; none means that it is allowed.

    """
    rung = ladder[asked.step]
    return (
        *_approval(asked, rung),
        *_evidence(asked, rung),
        *_order(asked, rung, case.in_force(now, ladder)),
        *_protection(asked, case, now, ladder),
        *_length(asked, rung),
    )


def _approval(asked: Asked, rung: Rung) -> list[str]:
    operators = len({name.strip() for name in asked.approvers if name.strip()})
    needed = rung.approvals_of_many if asked.subject.kind in MANY else rung.approvals
    if asked.grounds is None:
        needed = max(needed, 1)  # without a finding there is nothing that a policy could go by
    if operators >= needed:
        return []
    against = f" against {_a(asked.subject.kind)}" if needed > rung.approvals and asked.subject.kind in MANY else ""
    return [f"{asked.step}{against} needs the approval of {_operators(needed)}, and has {operators or 'none'}"]


def _evidence(asked: Asked, rung: Rung) -> list[str]:
    grounds, step = asked.grounds, asked.step
    if grounds is None:
        return [] if rung.without_finding else [f"{step} needs a finding"]
    against = []
    if grounds.verdict not in rung.verdicts:
        needed = " or ".join(sorted(rung.verdicts))
        against.append(f"{step} needs a verdict of {needed}; {grounds.finding} is {grounds.verdict}")
    if grounds.bits < rung.bits:
        against.append(f"{step} needs {rung.bits:g} bits of evidence; {grounds.finding} has {grounds.bits:.1f}")
    if grounds.q_value > rung.q_value:
        against.append(f"{step} needs a q-value of at most {rung.q_value:g}; {grounds.finding} has {grounds.q_value:g}")
    if grounds.membership < rung.membership:
        against.append(
            f"{step} needs a membership of {rung.membership:g}; "
            f"{asked.subject} belongs to {grounds.finding} with {grounds.membership:.4g}"
        )
    return against


def _order(asked: Asked, rung: Rung, in_force: tuple[Decision, ...]) -> list[str]:
    standing = {each.step: each for each in in_force}
    if asked.step in standing:
        same = standing[asked.step]
        return [f"{asked.step} stands already: {same.id}, until {same.expires_at:%Y-%m-%d %H:%M} UTC"]
    if rung.after and not rung.after & standing.keys():
        before = ", ".join(step for step in Step if step in rung.after)
        return [f"{asked.step} follows a milder step that stands ({before}); none does"]
    return []


def _protection(asked: Asked, case: Case, now: datetime, ladder: Ladder) -> list[str]:
    against = []
    if asked.step is not Step.OBSERVE:
        against += [
            f"{allowed.subject} is on the allow-list until {allowed.expires_at:%Y-%m-%d} "
            f"({allowed.id}, {allowed.owner}: {allowed.reason})"
            for allowed in case.protecting(now)
        ]
    appealed = [each.id for each in case.in_force(now, ladder) if each.appeal is Appeal.OPEN]
    if appealed:
        against.append(f"an appeal is open against {', '.join(appealed)}; nothing more is done until it is judged")
    finding = None if asked.grounds is None else asked.grounds.finding
    if finding in case.overturned and len(set(asked.approvers)) < OVERRIDE:
        against.append(f"an appeal has overturned a decision on {finding}; only {_operators(OVERRIDE)} may decide anew")
    return against


def _length(asked: Asked, rung: Rung) -> list[str]:
    if asked.lasts is None or timedelta(0) < asked.lasts <= rung.at_most:
        return []
    if asked.lasts <= timedelta(0):
        return [f"{asked.step} must last some time"]
    return [f"{asked.step} may last {rung.at_most.days} days at most"]


def made(asked: Asked, *, name: str, now: datetime, ladder: Ladder = LADDER) -> Decision:
    """Give the decision, under an id and with its times; whether it may be taken, `may` tells."""
    lasts = ladder[asked.step].lasts if asked.lasts is None else asked.lasts
    return Decision(
        name,
        asked.subject,
        asked.step,
        asked.reason,
        asked.grounds,
        asked.marks,
        asked.policy,
        asked.approvers,
        now,
        now + lasts,
        known_by=asked.known_by,
    )


def following(ended: Decision, ladder: Ladder = LADDER) -> Decision | None:
    """Give what follows when a decision reaches its end: a milder one from that moment on, or nothing."""
    step = ladder[ended.step].then
    if step is None or ended.lifted_at is not None:
        return None
    return replace(
        ended,
        id=f"{ended.root}.{step}",
        step=step,
        made_at=ended.expires_at,
        expires_at=ended.expires_at + ladder[step].lasts,
    )


def decayed(decision: Decision, now: datetime, ladder: Ladder = LADDER) -> Decision | None:
    """Give what is left of a decision at a moment: itself, what has followed it, or nothing.

    Whoever acts on decisions needs nobody to write down that one has ended.
    """
    left: Decision | None = decision
    while left is not None and left.lifted_at is None and now >= left.expires_at:
        left = following(left, ladder)
    return None if left is None or left.lifted_at is not None else left


def _operators(number: int) -> str:
    return {1: "an operator", 2: "two operators"}.get(number, f"{number} operators")


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"
