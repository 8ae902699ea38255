from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from rich.cells import cell_len
from tests.snapshots import check, console
from tests.strategies import SAMPLE_SCAN, finding, findings_as_written, member, quiet, sample

from stillwatch.report.figures import bar, count, odds, percent, printable, probability, sentence, signed
from stillwatch.report.terminal import print_findings
from stillwatch.verdicts.evidence import Findings, Verdict


def rendered(findings: Findings, width: int = 80, *, ascii_only: bool = False, saved_as: str = "") -> str:
    page, stream = console(width, ascii_only=ascii_only)
    print_findings(findings, page, saved_as=saved_as)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_report(width: int) -> None:
    check(f"findings-{width}.txt", rendered(sample(), width))


def test_the_report_where_nothing_is_found() -> None:
    check("findings-quiet-80.txt", rendered(quiet()))


def test_the_report_without_line_drawing() -> None:
    text = rendered(sample(), ascii_only=True)
    assert text.isascii()
    check("findings-ascii-80.txt", text)


def test_the_report_in_colour() -> None:
    page, stream = console(80, colour=True)
    print_findings(sample(), page)
    assert "\x1b[" in stream.getvalue()
    assert "Campaign c-7f3a90d2" in stream.getvalue()


@given(findings_as_written)
@settings(max_examples=25, deadline=None)
def test_any_findings_fit_the_width_and_never_steer_the_terminal(findings: Findings) -> None:
    text = rendered(findings, 80)
    assert all(cell_len(line) <= 80 for line in text.split("\n"))
    assert all(character == "\n" or unicodedata.category(character) not in {"Cc", "Cf"} for character in text)
    assert not any(line.endswith(" ") for line in text.split("\n"))


def test_no_evidence_is_left_out_of_a_campaign() -> None:
    text = " ".join(rendered(sample()).split())
    for each in sample().campaigns[0].evidence:
        assert each.signal in text
        assert sentence(each.says) in text
        assert sentence(each.innocent_reading, capital=False) in text


def test_every_cohort_is_counted_even_where_only_some_are_listed() -> None:
    many = tuple(finding(f"c-{n:04x}", Verdict.CLEARED, "app", accounts=n % 7 + 1) for n in range(1000))
    text = rendered(Findings(SAMPLE_SCAN, many))
    assert "1,000 cohorts cleared" in text
    assert "app (users of one app): 1,000 cohorts, the largest of 7 accounts" in text
    assert "and 996 more" in text
    assert "No campaign found" in text


def test_all_watched_cohorts_are_counted_even_where_only_some_are_shown() -> None:
    many = tuple(finding(f"c-{n:04x}", Verdict.WATCH) for n in range(25))
    text = rendered(Findings(SAMPLE_SCAN, many))
    assert "25 cohorts to watch" in text
    assert "and 15 more cohorts to watch" in text


def test_what_could_not_be_seen_is_said_where_nothing_is_found() -> None:
    text = rendered(quiet())
    assert "No campaign found" in text
    assert "No cohort was tested" in text
    assert "What is asked (no column prompt)." in text
    assert "That nothing was found says nothing about these." in text


def test_a_log_cannot_write_markup_or_escapes_into_the_report() -> None:
    hostile = "[red]x[/red]\x1b[2J\u202etxt\r"
    text = rendered(Findings(SAMPLE_SCAN, (replace(finding(), accounts=(member(hostile),)),)), 120)
    assert r"[red]x[/red]\x1b[2J\u202etxt\r" in text


def test_the_report_says_how_to_go_on() -> None:
    assert "stillwatch explain c-7f3a90d2 here.json" in rendered(sample(), saved_as="here.json")
    assert "stillwatch scan LOGS -o findings.json" in rendered(sample())


def test_figures_read_well() -> None:
    assert [count(1, "account"), count(1204, "account")] == ["1 account", "1,204 accounts"]
    assert [odds(0), odds(0.000208), odds(0.3), odds(0.7), odds(1e-12)] == [
        *("never", "1 time in 4,808", "1 time in 3.3", "70 % of the time", "less than 1 time in 1,000,000,000")
    ]
    assert [percent(0), percent(0.00102), percent(0.00004), percent(0.12), percent(1)] == [
        *("0 %", "0.1 %", "0.004 %", "12 %", "100 %")
    ]
    assert [signed(0.01), signed(-0.04), signed(3.14), signed(-2)] == ["0.0", "0.0", "+3.1", "-2.0"]
    assert [probability(0.31), probability(0.000208), probability(2e-7), probability(0)] == [
        "0.31",
        "0.00021",
        "2e-07",
        "0",
    ]
    assert sentence("top_logprobs is 20") == "top_logprobs is 20."
    assert printable("日本 🙂 é") == "日本 🙂 é"


def test_bars_lie_on_the_scale_and_small_steps_stay_visible() -> None:
    assert bar(0, 10, low=0, high=10, width=10) == "█" * 10
    assert bar(5, 10, low=0, high=10, width=10) == "     █████"
    assert bar(10, 5, low=0, high=10, width=10, ascii_only=True) == "     -----"
    assert bar(10, 10.001, low=0, high=10.001, width=10) == "         █"
    assert bar(3, 3, low=0, high=10, width=10) == ""
