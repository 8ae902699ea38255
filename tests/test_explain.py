from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from rich.cells import cell_len
from tests.snapshots import check, console
from tests.strategies import CAMPAIGN_EVIDENCE, finding, findings_as_written, quiet, sample

from stillwatch.errors import UnknownNameError
from stillwatch.report.explain import account_steps, campaign_steps, explain, family_caps
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


def test_the_waterfall_ends_where_the_verdict_does() -> None:
    steps = campaign_steps(sample().campaigns[0], family_caps(sample().scan.settings))
    assert math.isclose(sum(step.bits or 0.0 for step in steps), 34.8)
    assert [step.label for step in steps if step.label.startswith("cap")] == ["cap of 12.0 bits"]


def test_caps_that_are_not_known_are_one_step() -> None:
    steps = campaign_steps(sample().campaigns[0], {})
    assert steps[-1].label == "caps of the families"
    assert steps[-1].bits == pytest.approx(-6.7)


def test_caps_are_read_from_the_settings() -> None:
    assert family_caps({"cap.work": 12, "cap.take": 4.5, "cap.other": 1, "rate": 0.1}) == {
        Family.WORK: 12.0,
        Family.TAKE: 4.5,
    }


def test_a_difference_that_no_cap_explains_is_never_hidden() -> None:
    odd = finding(evidences=CAMPAIGN_EVIDENCE[:1], bits=2.0)
    assert campaign_steps(odd, {Family.WORK: 20.0})[-1].bits == pytest.approx(-9.3)
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
    caps = family_caps(findings.scan.settings)
    for each in findings.campaigns:
        assert abs(sum(step.bits or 0.0 for step in campaign_steps(each, caps)) - each.bits) < 0.051
        for member in each.accounts:
            assert abs(sum(step.bits or 0.0 for step in account_steps(member)) - member.bits) < 0.051


def test_a_cleared_cohort_is_explained_with_its_kind() -> None:
    text = explained("c-00000005")
    assert "Cleared: c-00000005" in text
    assert "office (people of one office)" in text
    assert Verdict.CLEARED.value in explained("acct-050003")
