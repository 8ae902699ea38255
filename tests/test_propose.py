from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.decisions import DAY, FIRM, NOW, asked
from tests.strategies import KNOWN_BY, finding, sample

from stillwatch.decisions.allowance import Allowance
from stillwatch.decisions.book import Book
from stillwatch.decisions.case import Case
from stillwatch.decisions.events import Allowed, Decided, Event
from stillwatch.decisions.ladder import Asked, made, may
from stillwatch.decisions.propose import OBSERVE, Chooser, asked_of, granted, up_to
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject, SubjectKind
from stillwatch.report.findings_v1 import finding_digest, from_json, to_json
from stillwatch.verdicts.evidence import Finding, Verdict


def digest(finding: Finding) -> str:
    return f"digest of {finding.id}"


# ---- what a chooser asks for


def test_everybody_in_a_campaign_is_asked_about_and_nobody_who_is_cleared() -> None:
    found = sample().campaigns
    wanted = asked_of(found, up_to(Step.THROTTLE), digest=digest)
    asks = {(each.grounds.finding, each.step) for each in wanted if each.grounds}
    assert asks == {("c-7f3a90d2", "throttle"), ("c-20be11f7", "throttle"), ("c-91d04c3e", "observe")}
    accused = [member.account for each in found if each.verdict is not Verdict.CLEARED for member in each.accounts]
    assert [each.subject.value for each in wanted] == accused
    assert {each.policy for each in wanted} == {"stillwatch.ladder/1 up to throttle"}
    assert all(each.grounds and each.grounds.digest == f"digest of {each.grounds.finding}" for each in wanted)


def test_a_cohort_is_one_subject_that_its_accounts_belong_to() -> None:
    (wanted,) = asked_of([finding(accounts=3)], OBSERVE, digest=digest, cohorts=True)
    assert wanted.subject == Subject(SubjectKind.COHORT, "c-7f3a90d2")
    assert [str(each) for each in wanted.belongs_to] == [f"account:acct-d2000{n}" for n in range(3)]


def test_successors_are_asked_about_besides_and_by_what_they_are_known_goes_along() -> None:
    found = finding(accounts=2, known_by=KNOWN_BY)
    cohort, *accounts = asked_of([found], OBSERVE, digest=digest, successors=True)
    assert cohort.subject == Subject(SubjectKind.COHORT, found.id)
    assert cohort.known_by == KNOWN_BY
    assert [str(each) for each in cohort.belongs_to] == [str(each.subject) for each in accounts]
    assert [each.known_by for each in accounts] == [None, None]
    (alone,) = asked_of([found], OBSERVE, digest=digest, cohorts=True, successors=True)
    assert alone == cohort
    assert made(cohort, name="d-1", now=NOW).known_by == KNOWN_BY


def test_a_chooser_may_look_at_anything_in_a_finding() -> None:
    chooser = Chooser("mine/3", lambda each: Step.REFUSE if each.bits > 30 else None)
    wanted = asked_of([finding(bits=31), finding("c-2", bits=29)], chooser, digest=digest)
    assert {(each.grounds.finding, each.step, each.policy) for each in wanted if each.grounds} == {
        ("c-7f3a90d2", Step.REFUSE, "mine/3")
    }


def test_an_allowance_for_one_account_holds_up_a_step_against_its_cohort() -> None:
    allowed = Allowance("a-1", Subject.parsed("account:acct-d20001"), "trust", "evaluator", NOW, NOW + DAY)
    book = Book().add([Allowed(allowed)])
    (wanted,) = asked_of([finding()], up_to(Step.THROTTLE), digest=digest, cohorts=True, approvers=("ann",))
    grant = granted(wanted, book.case(wanted.subject, wanted.belongs_to), now=NOW)
    assert grant.step is Step.OBSERVE
    assert grant.why_not == ("account:acct-d20001 is on the allow-list until 2026-07-02 (a-1, trust: evaluator)",)


def test_the_digest_is_of_the_finding_not_of_its_file() -> None:
    found = sample()
    read = from_json(to_json(found), path="here")
    assert [finding_digest(each) for each in read.campaigns] == [finding_digest(each) for each in found.campaigns]
    assert len({finding_digest(each) for each in found.campaigns}) == len(found.campaigns)
    one = found.campaigns[0]
    assert finding_digest(replace(one, bits=one.bits + 0.01)) != finding_digest(one)


# ---- what the ladder grants

steps = st.sampled_from(Step)
wanted = st.builds(
    lambda step, bits, approvers: asked(step, grounds=replace(FIRM, bits=bits), approvers=approvers),
    steps,
    st.floats(0, 30),
    st.sampled_from([(), ("ann",), ("ann", "bob")]),
)
cases = st.lists(steps, unique=True, max_size=3).map(
    lambda stand: Case(tuple(made(asked(step), name=f"d-{n}", now=NOW) for n, step in enumerate(stand)))
)


@given(wanted, cases)
def test_what_is_granted_is_allowed_and_no_stronger_than_asked(each: Asked, case: Case) -> None:
    grant = granted(each, case, now=NOW)
    if grant.step is not None:
        assert grant.step.height <= each.step.height
        assert may(replace(each, step=grant.step), case, now=NOW) == ()
        assert bool(grant.why_not) == (grant.step is not each.step)
        assert grant.stands is None
    else:
        assert grant.stands or grant.why_not
    if grant.stands is not None:
        assert grant.stands in case.in_force(NOW)


@given(wanted, cases)
def test_exactly_means_that_step_or_none(each: Asked, case: Case) -> None:
    assert granted(each, case, now=NOW, exactly=True).step in {each.step, None}


# ---- the book


def test_a_request_is_held_against_all_that_stand_behind_it() -> None:
    account, lab = Subject.parsed("account:a"), Subject.parsed("organization:lab")
    cohort = Subject.parsed("cohort:c-1")
    events: list[Event] = [
        Decided(made(asked(Step.OBSERVE, account), name="d-1", now=NOW)),
        Decided(made(asked(Step.REFUSE, cohort), name="d-2", now=NOW)),
        Decided(made(asked(Step.VERIFY, "account:other"), name="d-3", now=NOW)),
    ]
    book = Book().add(events)
    assert [each.id for each in book.against((account, lab, cohort), NOW)] == ["d-2", "d-1"]
    book.add([Allowed(Allowance("a-4", lab, "trust", "researchers", NOW, NOW + DAY))])
    assert [each.id for each in book.against((account, lab, cohort), NOW)] == ["d-1"]
    assert [each.id for each in book.against((account, cohort), NOW)] == ["d-2", "d-1"]


@given(st.lists(st.tuples(steps, st.sampled_from("ab")), max_size=6), st.integers(0, 6))
def test_a_book_is_a_sum_over_events(taken: list[tuple[Step, str]], cut: int) -> None:
    events = [
        Decided(made(asked(step, f"account:{name}"), name=f"d-{n}", now=NOW)) for n, (step, name) in enumerate(taken)
    ]
    assert Book().add(events) == Book().add(events[:cut]).add(events[cut:])
