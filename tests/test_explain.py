from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from rich.cells import cell_len
from tests.snapshots import check, console
from tests.strategies import CAMPAIGN_EVIDENCE, evidence, finding, findings_as_written, quiet, sample

from stillwatch.errors import UnknownNameError
from stillwatch.report.explain import account_steps, campaign_steps, explain
from stillwatch.verdicts.evidence import Family, Findings, Verdict


def explained(name: str, findings: Findings | None = None, width: int = 80, *, ascii_only: bool = False) -> str:
    page, stream = console(width, ascii_only=ascii_only)
    explain(findings or sample(), name, page)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_campaign(width: int) -> None:
    check(f"explain-campaign-{width}.txt", explained("c-7f3a90d2", width=width))


def test_a_campaign_without_line_drawing() -> None:
    text = explained("c-7f3a90d2", ascii_only=True)
    assert text.isascii()
    check("explain-campaign-ascii-80.txt", text)


def test_a_member() -> None:
    check("explain-member-80.txt", explained("acct-d20003"))


def test_an_account_that_was_left_out() -> None:
    text = explained("acct-oakridge")
    assert "Why acct-oakridge is not in c-7f3a90d2" in text
    assert "Why not this one: few marks: 31 of its 2,204 exchanges bear the marks." in text
    check("explain-left-out-80.txt", text)


def test_an_account_without_marks_is_an_answer_and_no_error() -> None:
    text = explained("acct-nobody")
    assert "acct-nobody bears no marks of any reported cohort." in text
    check("explain-absent-80.txt", text)
    assert "bears no marks of any reported cohort" in explained("c-7f3a90d2", quiet())


def test_an_account_in_several_findings_is_explained_in_each() -> None:
    twice = replace(sample(), campaigns=(sample().campaigns[0], replace(sample().campaigns[0], id="c-0a0a0a0a")))
    text = explained("acct-d20003", twice)
    assert "Why acct-d20003 is in c-7f3a90d2" in text
    assert "Why acct-d20003 is in c-0a0a0a0a" in text


def test_the_beginning_of_an_id_is_enough_if_only_one_begins_so() -> None:
    assert explained("c-7f") == explained("c-7f3a90d2")
    with pytest.raises(UnknownNameError, match=r"`c-0000` is the beginning of 8 cohorts: c-00000001, c-00000002"):
        explained("c-0000")


def test_an_account_comes_before_the_beginning_of_an_id() -> None:
    member = replace(sample().campaigns[1].accounts[0], account="c-7f")
    findings = replace(sample(), campaigns=(sample().campaigns[0], replace(sample().campaigns[1], accounts=(member,))))
    assert "Why c-7f is in c-20be11f7" in explained("c-7f", findings)


def test_an_unknown_id_is_refused_with_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"no cohort `c-7f3a90d3` in these findings; near it: c-7f3a90d2"):
        explained("c-7f3a90d3")


def within(bits: float) -> dict[Family, tuple[float, float]]:
    return dict.fromkeys(Family, (-bits, bits))


def test_the_waterfall_ends_where_the_verdict_does() -> None:
    steps = campaign_steps(sample().campaigns[0], within(12.0))
    assert math.isclose(sum(step.bits or 0.0 for step in steps), 33.3)
    assert [step.label for step in steps if step.label.startswith("cap")] == ["cap of 12.0 bits"] * 2


def test_a_cap_that_is_not_known_is_one_step() -> None:
    steps = campaign_steps(sample().campaigns[0], {})
    assert steps[-1].label == "cap of each family"
    assert steps[-1].bits == pytest.approx(-8.2)


def test_the_cap_holds_for_what_speaks_against_as_well() -> None:
    against = tuple(evidence(f"signal-{n}", Family.TAKE, -5.0) for n in range(3))
    steps = campaign_steps(finding(evidences=against, bits=-8.0), within(8.0))
    assert [step.bits for step in steps if step.bits is not None] == [-5.0, -5.0, -5.0, 7.0]


def test_an_innocent_explanation_is_told_after_the_cap_of_what_it_takes_away() -> None:
    given = (
        evidence("even-dealing", Family.DEALING, 6.0),
        evidence("in-step", Family.DEALING, 5.0),
        evidence("one-customer", Family.DEALING, -8.0, "its accounts are paid for as one customer's in the open"),
    )
    steps = campaign_steps(finding(evidences=given, bits=0.0), within(8.0))
    assert [(step.label, step.bits) for step in steps if step.bits is not None] == [
        ("even-dealing", 6.0),
        ("in-step", 5.0),
        ("cap of 8.0 bits", -3.0),
        ("one-customer", -8.0),
    ]


def test_both_sides_are_told_with_what_they_need() -> None:
    text = " ".join(explained("c-7f3a90d2").split())
    assert "needs both sides: 3.0 bits of what is asked, 5.0 of acting as one and 12.0 in all." in text
    assert "What is asked gives +12.0 bits (work); acting as one gives +12.0 bits (dealing)." in text
    one_sided = " ".join(explained("c-91d04c3e").split())
    assert "What is asked gives +11.3 bits (work); acting as one gives nothing." in one_sided


def test_a_difference_that_no_cap_explains_is_never_hidden() -> None:
    odd = finding(evidences=CAMPAIGN_EVIDENCE[:1], bits=2.0)
    assert campaign_steps(odd, within(20.0))[-1].bits == pytest.approx(-9.3)
    member = replace(odd.accounts[0], bits=1.0)
    assert account_steps(member)[-1].bits == pytest.approx(1.0 - sum(each.bits for each in member.evidence))


@given(findings_as_written)
@settings(max_examples=25, deadline=None)
def test_every_finding_and_member_can_be_explained_within_the_width(findings: Findings) -> None:
    for each in findings.campaigns:
        for name in (each.id, each.accounts[0].account):
            text = explained(name, findings)
            assert text.strip()
            assert all(cell_len(line) <= 80 for line in text.split("\n"))


@given(findings_as_written)
@settings(max_examples=25, deadline=None)
def test_steps_always_add_up(findings: Findings) -> None:
    for each in findings.campaigns:
        for cap in (math.inf, 0.0, 8.0):
            assert abs(sum(step.bits or 0.0 for step in campaign_steps(each, within(cap))) - each.bits) < 0.051
        for member in each.accounts:
            assert abs(sum(step.bits or 0.0 for step in account_steps(member)) - member.bits) < 0.051


def test_a_cleared_cohort_is_explained_with_its_kind() -> None:
    text = explained("c-00000005")
    assert "Cleared: c-00000005" in text
    assert "office (people of one office)" in text
    assert Verdict.CLEARED.value in explained("acct-050003")
