"""The ladder as a transcript: what is asked, in what case, and what it answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.decisions import ACCOUNT, DAY, FIRM, NOW, asked

from stillwatch.decisions.allowance import Allowance
from stillwatch.decisions.case import Case
from stillwatch.decisions.decision import Appeal, Decision
from stillwatch.decisions.ladder import ALTERS, LADDER, Asked, Ladder, decayed, following, made, may
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject
from stillwatch.verdicts.evidence import Verdict

ANN, BOB = "ann", "bob"
NEW = Case()
COHORT = Subject.parsed("cohort:c-1")
LAB = Allowance("a-9", ACCOUNT, "trust", "verified evaluator", NOW - DAY, NOW + DAY)


def standing(*steps: Step, appeal: Appeal = Appeal.NONE) -> Case:
    """The case of a subject against whom these steps stand."""
    taken = (replace(made(asked(step), name=f"d-{n}", now=NOW), appeal=appeal) for n, step in enumerate(steps, 1))
    return Case(tuple(taken))


OBSERVED = standing(Step.OBSERVE)

TRANSCRIPT: list[tuple[Asked, Case, list[str]]] = [
    # the policy alone: what can be borne by somebody innocent, and no more
    (asked(Step.OBSERVE), NEW, []),
    (asked(Step.VERIFY), NEW, []),
    (asked(Step.THROTTLE), NEW, []),
    (asked(Step.NARROW), OBSERVED, ["narrow needs the approval of an operator, and has none"]),
    (asked(Step.DYE), OBSERVED, ["dye needs the approval of two operators, and has none"]),
    (asked(Step.REFUSE), OBSERVED, ["refuse needs the approval of an operator, and has none"]),
    # operators
    (asked(Step.NARROW, approvers=(ANN,)), OBSERVED, []),
    (asked(Step.REFUSE, approvers=(ANN,)), OBSERVED, []),
    (asked(Step.DYE, approvers=(ANN,)), OBSERVED, ["dye needs the approval of two operators, and has 1"]),
    (asked(Step.DYE, approvers=(ANN, ANN)), OBSERVED, ["dye needs the approval of two operators, and has 1"]),
    (asked(Step.DYE, approvers=(ANN, " ann ")), OBSERVED, ["dye needs the approval of two operators, and has 1"]),
    (asked(Step.DYE, approvers=(ANN, BOB)), OBSERVED, []),
    # against many at once
    (asked(Step.OBSERVE, COHORT), NEW, []),
    (
        asked(Step.THROTTLE, COHORT),
        NEW,
        ["throttle against a cohort needs the approval of an operator, and has none"],
    ),
    (asked(Step.THROTTLE, COHORT, approvers=(ANN,)), NEW, []),
    (
        asked(Step.REFUSE, "organization:acme", approvers=(ANN,)),
        OBSERVED,
        ["refuse against an organization needs the approval of two operators, and has 1"],
    ),
    (asked(Step.REFUSE, "organization:acme", approvers=(ANN, BOB)), OBSERVED, []),
    # evidence
    (asked(Step.OBSERVE, grounds=replace(FIRM, verdict=Verdict.WATCH, bits=0.1)), NEW, []),
    (asked(Step.VERIFY, grounds=replace(FIRM, verdict=Verdict.WATCH, bits=9.0)), NEW, []),
    (
        asked(Step.OBSERVE, grounds=replace(FIRM, verdict=Verdict.CLEARED)),
        NEW,
        ["observe needs a verdict of campaign or watch; c-1 is cleared"],
    ),
    (
        asked(Step.THROTTLE, grounds=replace(FIRM, verdict=Verdict.WATCH)),
        NEW,
        ["throttle needs a verdict of campaign; c-1 is watch"],
    ),
    (
        asked(Step.REFUSE, grounds=replace(FIRM, bits=14.9), approvers=(ANN,)),
        OBSERVED,
        ["refuse needs 15 bits of evidence; c-1 has 14.9"],
    ),
    (
        asked(Step.DYE, grounds=replace(FIRM, bits=17.9, q_value=0.02), approvers=(ANN, BOB)),
        OBSERVED,
        ["dye needs 18 bits of evidence; c-1 has 17.9", "dye needs a q-value of at most 0.01; c-1 has 0.02"],
    ),
    (
        asked(Step.NARROW, grounds=replace(FIRM, membership=0.9), approvers=(ANN,)),
        OBSERVED,
        ["narrow needs a membership of 0.95; account:acct-1 belongs to c-1 with 0.9"],
    ),
    # without a finding
    (asked(Step.THROTTLE, grounds=None, approvers=(ANN,)), NEW, []),
    (asked(Step.OBSERVE, grounds=None), NEW, ["observe needs the approval of an operator, and has none"]),
    (asked(Step.REFUSE, grounds=None, approvers=(ANN, BOB)), OBSERVED, ["refuse needs a finding"]),
    # the ladder is climbed
    (
        asked(Step.NARROW, approvers=(ANN,)),
        NEW,
        ["narrow follows a milder step that stands (observe, verify, throttle); none does"],
    ),
    (
        asked(Step.REFUSE, approvers=(ANN,)),
        NEW,
        ["refuse follows a milder step that stands (observe, verify, throttle, narrow, dye); none does"],
    ),
    (asked(Step.REFUSE, approvers=(ANN,)), standing(Step.DYE), []),
    (
        asked(Step.NARROW, approvers=(ANN,)),
        standing(Step.REFUSE),
        ["narrow follows a milder step that stands (observe, verify, throttle); none does"],
    ),
    (asked(Step.OBSERVE), OBSERVED, ["observe stands already: d-1, until 2026-07-31 12:00 UTC"]),
    # the allow-list
    (asked(Step.OBSERVE), Case(allowances=(LAB,)), []),
    (
        asked(Step.REFUSE, approvers=(ANN, BOB)),
        replace(OBSERVED, allowances=(LAB,)),
        ["account:acct-1 is on the allow-list until 2026-07-02 (a-9, trust: verified evaluator)"],
    ),
    (asked(Step.VERIFY), Case(allowances=(replace(LAB, expires_at=NOW),)), []),
    (asked(Step.VERIFY), Case(allowances=(replace(LAB, withdrawn_at=NOW - DAY),)), []),
    # appeals
    (
        asked(Step.THROTTLE),
        standing(Step.OBSERVE, appeal=Appeal.OPEN),
        ["an appeal is open against d-1; nothing more is done until it is judged"],
    ),
    (asked(Step.THROTTLE), standing(Step.OBSERVE, appeal=Appeal.REJECTED), []),
    (
        asked(Step.THROTTLE, approvers=(ANN,)),
        Case(overturned=frozenset({"c-1"})),
        ["an appeal has overturned a decision on c-1; only two operators may decide anew"],
    ),
    (asked(Step.THROTTLE, approvers=(ANN, BOB)), Case(overturned=frozenset({"c-1"})), []),
    (asked(Step.THROTTLE), Case(overturned=frozenset({"c-2"})), []),
    # length
    (asked(Step.THROTTLE, lasts=30 * DAY), NEW, []),
    (asked(Step.THROTTLE, lasts=31 * DAY), NEW, ["throttle may last 30 days at most"]),
    (asked(Step.THROTTLE, lasts=timedelta(0)), NEW, ["throttle must last some time"]),
    # several reasons at once
    (
        asked(Step.REFUSE, grounds=replace(FIRM, verdict=Verdict.WATCH, bits=9.0), lasts=91 * DAY),
        NEW,
        [
            "refuse needs the approval of an operator, and has none",
            "refuse needs a verdict of campaign; c-1 is watch",
            "refuse needs 15 bits of evidence; c-1 has 9.0",
            "refuse follows a milder step that stands (observe, verify, throttle, narrow, dye); none does",
            "refuse may last 90 days at most",
        ],
    ),
]


@pytest.mark.parametrize(("wanted", "case", "answer"), TRANSCRIPT)
def test_the_ladder_answers(wanted: Asked, case: Case, answer: list[str]) -> None:
    assert list(may(wanted, case, now=NOW)) == answer


@pytest.mark.parametrize(
    ("days", "left", "until"),
    [
        (0, "d-1", 14),
        (13.99, "d-1", 14),
        (14, "d-1.throttle", 21),
        (20.99, "d-1.throttle", 21),
        (21, "d-1.observe", 51),
        (50.99, "d-1.observe", 51),
        (51, None, None),
        (1000, None, None),
    ],
)
def test_refuse_steps_down_by_itself(days: float, left: str | None, until: int | None) -> None:
    refuse = made(asked(Step.REFUSE), name="d-1", now=NOW)
    after = decayed(refuse, NOW + days * DAY)
    assert (after.id if after else None) == left
    assert (after.expires_at if after else None) == (NOW + until * DAY if until is not None else None)


def test_what_follows_keeps_its_grounds_and_its_appeal() -> None:
    dye = replace(made(asked(Step.DYE, approvers=(ANN, BOB)), name="d-4", now=NOW), appeal=Appeal.OPEN)
    after = following(dye)
    assert after == replace(
        dye, id="d-4.observe", step=Step.OBSERVE, made_at=dye.expires_at, expires_at=dye.expires_at + 30 * DAY
    )


decisions = st.builds(
    lambda step, days: made(asked(step, lasts=timedelta(days=days)), name="d-1", now=NOW),
    st.sampled_from(Step),
    st.integers(1, 90),
)
moments = st.floats(0, 400).map(lambda days: NOW + days * DAY)


@given(decisions, moments, moments)
def test_time_only_makes_milder(decision: Decision, one: datetime, other: datetime) -> None:
    earlier, later = min(one, other), max(one, other)
    before, after = decayed(decision, earlier), decayed(decision, later)
    if before is None:
        assert after is None
    else:
        assert before.stands(earlier)
        assert after is None or after.step.height <= before.step.height
        assert decayed(before, later) == after  # in one go or in two


@given(decisions, moments)
def test_a_lifted_decision_leaves_nothing(decision: Decision, moment: datetime) -> None:
    assert decayed(replace(decision, lifted_at=NOW), moment) is None


@given(st.sampled_from(sorted(ALTERS)), st.sampled_from(Verdict), st.floats(0, 40), st.floats(0, 1), st.floats(0, 1))
def test_answers_are_altered_at_high_confidence_only(
    step: Step, verdict: Verdict, bits: float, q_value: float, membership: float
) -> None:
    grounds = replace(FIRM, verdict=verdict, bits=bits, q_value=q_value, membership=membership)
    if not may(asked(step, grounds=grounds, approvers=(ANN, BOB)), OBSERVED, now=NOW):
        assert verdict is Verdict.CAMPAIGN
        assert bits >= 15
        assert q_value <= 0.01
        assert membership >= 0.95


@given(st.sampled_from(Step), st.lists(st.sampled_from([ANN, BOB, "cy"]), max_size=3))
def test_who_is_on_the_allow_list_is_never_more_than_observed(step: Step, approvers: list[str]) -> None:
    case = replace(OBSERVED, allowances=(LAB,))
    if not may(asked(step, approvers=tuple(approvers)), case, now=NOW):
        assert step is Step.OBSERVE


@pytest.mark.parametrize(
    ("step", "change", "says"),
    [
        (Step.REFUSE, {"verdicts": frozenset({Verdict.WATCH})}, "refuse: needs a campaign"),
        (Step.DYE, {"approvals": 0}, "dye: needs a campaign, an operator"),
        (Step.NARROW, {"after": frozenset()}, "narrow: needs a campaign, an operator, and a milder step"),
        (Step.NARROW, {"without_finding": True}, "narrow: needs a campaign"),
        (Step.REFUSE, {"then": Step.REFUSE}, "refuse: decays to something milder"),
        (Step.VERIFY, {"after": frozenset({Step.DYE})}, "verify: follows milder steps only"),
        (Step.THROTTLE, {"lasts": 31 * DAY}, "throttle: lasts some time, and no longer than at most"),
        (Step.REFUSE, {"approvals_of_many": 0}, "refuse: against many it needs no fewer approvals"),
    ],
)
def test_no_ladder_gives_up_what_due_process_needs(step: Step, change: dict[str, Any], says: str) -> None:
    rungs = tuple(replace(rung, **change) if rung.step is step else rung for rung in LADDER.rungs)
    with pytest.raises(ValueError, match=says):
        Ladder("other/1", rungs)


def test_a_ladder_has_every_step_once() -> None:
    with pytest.raises(ValueError, match="every step once, mildest first"):
        Ladder("other/1", LADDER.rungs[1:])


def test_other_bounds_may_be_given() -> None:
    strict = Ladder("strict/1", tuple(replace(rung, bits=rung.bits + 10) for rung in LADDER.rungs))
    assert may(asked(Step.THROTTLE), NEW, now=NOW, ladder=strict) == (
        "throttle needs 22 bits of evidence; c-1 has 20.0",
    )
