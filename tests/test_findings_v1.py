from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.strategies import (
    CAMPAIGN_EVIDENCE,
    KNOWN_BY,
    finding,
    findings_as_written,
    findings_at_full_precision,
    quiet,
    sample,
)

from stillwatch.errors import FindingsError
from stillwatch.report.findings_v1 import (
    VERSION,
    from_either,
    from_json,
    from_json_lines,
    json_schema,
    to_json,
    to_json_lines,
)

if TYPE_CHECKING:
    from stillwatch.verdicts.evidence import Findings

SCHEMA = Path(__file__).parent.parent / "docs" / "findings-v1.schema.json"


def parsed(findings: Findings) -> Any:  # noqa: ANN401  JSON is anything
    return json.loads(to_json(findings))


# ---- laws


@given(findings_as_written)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back_exactly(findings: Findings) -> None:
    assert from_json(to_json(findings), path="f") == findings


@given(findings_as_written)
@settings(max_examples=40, deadline=None)
def test_lines_are_read_back_exactly(findings: Findings) -> None:
    assert from_json_lines(to_json_lines(findings), path="f") == findings


@given(findings_as_written)
@example(quiet())
@settings(max_examples=40, deadline=None)
def test_either_form_is_recognised(findings: Findings) -> None:
    assert from_either(to_json(findings), path="f") == findings
    assert from_either(to_json_lines(findings), path="f") == findings
    assert from_either(json.dumps(parsed(findings)).encode(), path="f") == findings  # on one line, and foreign


@given(findings_at_full_precision)
@settings(max_examples=40, deadline=None)
def test_rounding_happens_once(findings: Findings) -> None:
    written = to_json(findings)
    assert to_json(from_json(written, path="f")) == written


@given(findings_as_written)
@settings(max_examples=30, deadline=None)
def test_every_document_satisfies_the_published_schema(findings: Findings) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))
    validator.validate(parsed(findings))


@settings(deadline=None)
@given(st.binary(max_size=60))
@example(b"")
@example(b"\xff")
@example(b'{"schema":"stillwatch.findings/1"' + b',"x":{"a":' * 50_000)
def test_whatever_else_is_read_is_refused_in_our_words(data: bytes) -> None:
    for read in (from_json, from_json_lines, from_either):
        with pytest.raises(FindingsError, match=r"^some/file"):
            read(data, path="some/file")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_one_damaged_byte_is_either_harmless_or_refused(data: st.DataObject) -> None:
    written = bytearray(to_json(replace(sample(), campaigns=(finding(evidences=CAMPAIGN_EVIDENCE),))))
    written[data.draw(st.integers(0, len(written) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = from_json(bytes(written), path="f")
    except FindingsError as error:
        assert str(error).startswith("f: ")  # noqa: PT017  damage need not raise
    else:
        assert to_json(read)


# ---- the contract


def test_the_contract_has_these_keys_in_this_order() -> None:
    document = parsed(sample())
    assert list(document) == ["schema", "scan", "campaigns"]
    assert document["schema"] == VERSION == "stillwatch.findings/1"
    assert list(document["scan"]) == [
        *("exchanges", "accounts", "from", "to", "rejected", "columns_absent", "blind_to", "engine", "baseline"),
        *("cohorts_tested", "settings"),
    ]
    campaign = document["campaigns"][0]
    assert list(campaign) == [
        *("id", "verdict", "kind", "reason", "bits", "p_value", "q_value", "first_seen", "last_seen", "exchanges"),
        *("input_tokens", "output_tokens", "seeks", "accounts", "left_out", "marks", "evidence"),
    ]
    assert list(campaign["accounts"][0]) == [
        *("account", "membership", "bits", "first_seen", "last_seen", "exchanges", "harvest_exchanges", "evidence"),
    ]
    assert list(campaign["marks"][0]) == ["family", "mark", "accounts", "exchanges"]
    assert list(campaign["evidence"][0]) == ["signal", "family", "bits", "says", "innocent_reading", "calibrated_on"]


def test_settings_and_reasons_come_in_an_order_of_their_own() -> None:
    scan = sample().scan
    turned = replace(
        scan,
        settings=dict(reversed(scan.settings.items())),
        rejected=replace(scan.rejected, reasons=dict(reversed(scan.rejected.reasons.items()))),
    )
    assert to_json(replace(sample(), scan=turned)) == to_json(sample())


def test_times_are_utc_whatever_zone_they_came_in() -> None:
    elsewhere = sample().campaigns[0].first_seen.astimezone(timezone(timedelta(hours=5, minutes=30)))
    findings = replace(sample(), campaigns=(replace(sample().campaigns[0], first_seen=elsewhere),))
    assert parsed(findings)["campaigns"][0]["first_seen"] == "2026-07-02T02:24:00Z"


def test_numbers_are_rounded_as_promised() -> None:
    finding = replace(sample().campaigns[0], bits=12.3456, p_value=0.000123456, q_value=0.98765)
    written = parsed(replace(sample(), campaigns=(finding,)))["campaigns"][0]
    assert (written["bits"], written["p_value"], written["q_value"]) == (12.35, 0.000123, 0.988)
    assert b"-0.0" not in to_json(replace(sample(), campaigns=(replace(finding, bits=-0.001),)))


def test_lines_hold_the_scan_then_one_finding_each() -> None:
    head, *findings = to_json_lines(sample()).splitlines()
    assert set(json.loads(head)) == {"schema", "scan"}
    assert [json.loads(line)["id"] for line in findings] == [each.id for each in sample().campaigns]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_a_defect_of_ours(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        to_json(replace(sample(), campaigns=(replace(sample().campaigns[0], bits=number),)))
    with pytest.raises(ValueError, match="finite"):
        to_json(replace(sample(), scan=replace(sample().scan, settings={"rate": number})))


def test_a_time_without_zone_is_a_defect_of_ours() -> None:
    bare = datetime(2026, 7, 1, tzinfo=UTC).replace(tzinfo=None)
    with pytest.raises(ValueError, match="zone"):
        to_json(replace(sample(), scan=replace(sample().scan, first=bare)))


def test_the_published_schema_is_made_from_the_code() -> None:
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("WRITE_SNAPSHOTS"):
        SCHEMA.write_text(text, encoding="utf-8")
    assert SCHEMA.read_text(encoding="utf-8") == text
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_refuses_what_the_code_refuses() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    document = parsed(sample())
    document["campaigns"][0]["evidence"] = []
    assert not validator.is_valid(document)


# ---- bad input names the place

Path_ = tuple[str | int, ...]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            ("campaigns", 1, "accounts", 0, "bits"),
            "many",
            "$.campaigns[1].accounts[0].bits: expected `float`, got `str`",
        ),
        (("campaigns", 0, "verdict"), "guilty", "$.campaigns[0].verdict: invalid enum value 'guilty'"),
        (("campaigns", 0, "evidence", 2, "family"), "hunch", "$.campaigns[0].evidence[2].family: invalid enum value"),
        (("campaigns", 2, "evidence"), [], "$.campaigns[2].evidence: expected `array` of length >= 1"),
        (("campaigns", 2, "accounts"), [], "$.campaigns[2].accounts: expected `array` of length >= 1"),
        (("campaigns", 0, "p_value"), 1.5, "$.campaigns[0].p_value: expected `float` <= 1"),
        (("campaigns", 0, "exchanges"), -1, "$.campaigns[0].exchanges: expected `int` >= 0"),
        (("campaigns", 0, "first_seen"), "2026-07-01T00:00:00", "$.campaigns[0].first_seen: expected `datetime` with"),
        (("campaigns", 0, "evidence", 0, "innocent_reading"), "", "innocent_reading: expected `str` of length >= 1"),
        (("scan", "from"), "yesterday", "$.scan.from: invalid RFC3339"),
        (("schema",), "stillwatch.findings/2", "$.schema: this is `stillwatch.findings/2`; only"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(place: Path_, value: object, message: str) -> None:
    document = parsed(sample())
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(FindingsError) as caught:
        from_json(json.dumps(document).encode(), path="found.json")
    assert str(caught.value).startswith("found.json: ")
    assert message in str(caught.value)


def test_a_missing_key_is_refused_with_its_place() -> None:
    document = parsed(sample())
    del document["campaigns"][1]["accounts"][0]["account"]
    with pytest.raises(FindingsError, match=r"\$\.campaigns\[1\]\.accounts\[0\]: .*`account`"):
        from_json(json.dumps(document).encode(), path="found.json")


def test_a_key_from_a_later_minor_version_is_passed_over() -> None:
    document = parsed(sample())
    document["campaigns"][0]["weather"] = {"sunny": True}
    assert from_json(json.dumps(document).encode(), path="f") == sample()


def test_half_a_document_is_refused() -> None:
    written = to_json(sample())
    with pytest.raises(FindingsError, match="ends in the middle"):
        from_json(written[: len(written) // 2], path="f")


def test_a_wrong_line_is_refused_with_its_number() -> None:
    lines = to_json_lines(sample()).splitlines()
    lines[2] = lines[2].replace(b'"exchanges":', b'"exchange":', 1)
    with pytest.raises(FindingsError, match=r"^f:3: \$.*exchanges"):
        from_json_lines(b"\n".join(lines), path="f")


def test_by_what_a_campaign_is_known_reads_back_and_files_without_it_read_as_before() -> None:
    known = replace(sample(), campaigns=(finding(known_by=KNOWN_BY), finding("c-2")))
    for write, read in ((to_json, from_json), (to_json_lines, from_json_lines)):
        data = write(known)
        assert read(data, path="here") == known
        assert data.count(b"known_by") == 1
    assert from_json(to_json(sample()), path="here") == sample()


@pytest.mark.parametrize(
    ("old", "new"), [("ordinary", 3), ("agreeing", [1, 2, 0]), ("agreeing", [1, 0]), ("until", "2020-01-01T00:00:00Z")]
)
def test_counts_that_cannot_be_are_refused_where_they_stand(old: str, new: object) -> None:
    document = json.loads(to_json(replace(sample(), campaigns=(finding(known_by=KNOWN_BY),))))
    document["campaigns"][0]["known_by"][old] = new
    with pytest.raises(FindingsError, match=r"here: \$\.campaigns\[0\]\.known_by"):
        from_json(json.dumps(document).encode(), path="here")
