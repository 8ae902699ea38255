from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from tests.shared_findings import campaign, findings
from tests.test_cli import stillwatch

from stillwatch.errors import ShareError
from stillwatch.intel.advisory import CONDUCT, PURPOSE, Advisory, advisory, to_json
from stillwatch.intel.advisory_html import to_html
from stillwatch.intel.marking import Marking
from stillwatch.intel.stix import Terms
from stillwatch.intel.wording import is_ours
from stillwatch.report.findings_v1 import finding_digest
from stillwatch.report.findings_v1 import to_json as findings_json
from stillwatch.verdicts.evidence import Evidence, Family, Verdict
from stillwatch.verdicts.signals import BY_ID, SIGNALS

if TYPE_CHECKING:
    from pathlib import Path

DAY = datetime(2026, 9, 1, 13, 14, tzinfo=UTC)
SHARED = "37 % of its 51 customers pay by a means that others of them pay by too"


def sign(signal: str, bits: float = 3.0, says: str = "") -> Evidence:
    return Evidence(signal, BY_ID[signal].family, bits, says or "told", "innocent", "itself")


def report(*evidence: Evidence, marking: Marking = Marking.AMBER, provider: str = "Example Models") -> Advisory:
    one = replace(campaign(), evidence=evidence or campaign().evidence)
    return advisory(findings(one), Terms(marking, provider), document=b"the findings", on=DAY)


class Page(HTMLParser):
    """A page's elements, what they load, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            f"{name}={value}" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}
        ]
        if tag not in {"meta", "br", "i"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "i":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_signals_under_headings_are_signals() -> None:
    assert {name for part in (*CONDUCT.values(), *PURPOSE.values()) for name in part} <= set(BY_ID)


def test_every_heading_is_there_and_fact_stands_apart_from_inference() -> None:
    (one,) = report(sign("shared-cards", 4.0, SHARED), sign("partition", -2.0)).campaigns
    assert [each.title for each in one.conduct] == ["Controls circumvented", "False credentials", "Terms violated"]
    assert [each.title for each in one.purpose] == [
        "Volume", "Structure", "Coordination", "Capability concentration", "Timing",
    ]  # fmt: skip
    credentials = one.conduct[1]
    assert credentials.facts[0].measured == SHARED
    assert any(SHARED in fact for fact in one.facts)
    assert not any(SHARED in inference for inference in one.inferences)
    assert any(inference.startswith("False credentials: ") for inference in one.inferences)
    assert one.conduct[2].facts == []
    assert "No signal of this kind" in one.conduct[2].inference
    assert any("This takes 2.0 bits away." in each for each in one.against)
    assert any(BY_ID["shared-cards"].innocent_reading in each for each in one.against)


def test_what_is_held_against_the_evidence_later() -> None:
    made = report()
    assert made.findings_sha256 == hashlib.sha256(b"the findings").hexdigest()
    assert made.campaigns[0].sha256 == finding_digest(campaign())
    assert made.prepared_on == "2026-09-01"


def test_a_sentence_that_is_not_ours_is_replaced() -> None:
    assert is_ours(SHARED)
    for foreign in ("acct-oakridge pays by a means", "pays by 4111111111111111", "a network 203.0.113.77", "x" * 601):
        assert not is_ours(foreign)
        page = to_html(report(sign("shared-cards", 4.0, foreign))).decode()
        assert foreign not in page
        assert BY_ID["shared-cards"].question in page


def test_every_sentence_of_our_signals_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(is_ours(signal.innocent_reading) and is_ours(signal.question) for signal in SIGNALS)
    assert capsys.readouterr().out == ""


def test_what_is_watched_or_cleared_is_not_reported() -> None:
    with pytest.raises(ShareError, match="hold no campaign"):
        advisory(findings(campaign(verdict=Verdict.WATCH)), Terms(), document=b"", on=DAY)
    both = findings(campaign(1), campaign(2, verdict=Verdict.CLEARED))
    made = advisory(both, Terms(), document=b"", on=DAY)
    assert [each.id for each in made.campaigns] == ["c-0000000001"]
    assert made.cleared == 1


@pytest.mark.parametrize("marking", list(Marking))
def test_the_page_stands_by_itself(marking: Marking) -> None:
    page = Page(to_html(report(marking=marking, provider='<img src=x onerror="alert(1)">')))
    assert page.open == []
    assert page.loads == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert marking.value in page.text
    assert '<img src=x onerror="alert(1)">' in page.text  # as text
    assert "url(" not in page.text
    assert "@import" not in page.text


def test_the_page_says_what_the_json_says() -> None:
    made = report()
    text = Page(to_html(made)).text
    one = json.loads(to_json(made))["campaigns"][0]
    for said in (*one["facts"], *one["inferences"], *one["against"], one["sha256"], one["summary"]):
        assert said in text
    for indicator in one["indicators"]:
        assert indicator["mark"] in text


def test_confidence_is_never_certainty() -> None:
    sure = replace(campaign(), q_value=0.0, bits=99.0)
    made = advisory(findings(sure), Terms(), document=b"", on=DAY)
    assert made.campaigns[0].confidence.score == 85
    assert made.campaigns[0].confidence.level == "high"
    unsure = replace(campaign(), q_value=0.04, bits=14.0)
    assert advisory(findings(unsure), Terms(), document=b"", on=DAY).campaigns[0].confidence.level == "moderate"


def test_families_without_a_sign_speak_against() -> None:
    (one,) = report(sign("shared-cards")).campaigns
    assert any(Family.WORK.value in each and "Nothing stands out" in each for each in one.against)


def test_the_command(tmp_path: Path) -> None:
    found, page, data = tmp_path / "found.json", tmp_path / "report.html", tmp_path / "report.json"
    found.write_bytes(findings_json(findings()))
    asked = ("share", "report", found, "--template", "advisory", "--approver", "A. Person", "--marking", "red")
    for out in (page, data):
        done = stillwatch(*asked, "-o", out)
        assert done.returncode == 0, done.stderr
        assert b"acct-" not in out.read_bytes()
        assert b"A. Person" not in out.read_bytes()
    assert json.loads(data.read_bytes())["marking"] == "TLP:RED"
    assert page.read_bytes().startswith(b"<!doctype html>")
    record = json.loads((tmp_path / "report.html.approval.json").read_bytes())
    assert record["sha256"] == hashlib.sha256(page.read_bytes()).hexdigest()
    shown = stillwatch("share", "report", found, "--dry-run")
    assert json.loads(shown.stdout)["schema"] == "stillwatch.advisory/1"
    refused = stillwatch("share", "report", found, "-o", page)
    assert refused.returncode == 2
