from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.snapshots import check, console
from tests.strategies import SAMPLE_SCAN, finding, member

from stillwatch.errors import LogError
from stillwatch.report.truth import Truth, compare, print_comparison, read_truth
from stillwatch.verdicts.evidence import Findings, Verdict

if TYPE_CHECKING:
    from pathlib import Path

FINDINGS = Findings(
    SAMPLE_SCAN,
    (
        replace(finding("c-aa"), accounts=(member("h1"), member("h2"), member("h3"), member("worker"))),
        replace(finding("c-bb"), accounts=(member("h3"), member("h4"), member("stranger"))),
        replace(finding("c-cc", Verdict.WATCH), accounts=(member("s1"), member("h5"))),
        replace(finding("c-dd", Verdict.CLEARED, "app"), accounts=(member("m1"),)),
    ),
)
TRUTH = Truth(
    campaign={
        **dict.fromkeys(("h1", "h2", "h3", "h4", "h5"), "hydra"),
        **dict.fromkeys(("s1", "s2"), "slow-drip"),
        "m1": "mixed",
        **dict.fromkeys(("worker", "student", "nurse"), ""),
    },
    kind={"worker": "labellers", "student": "class", "nurse": "person"},
)


def test_found_watched_missed_and_falsely_accused_are_told_apart() -> None:
    comparison = compare(FINDINGS, TRUTH)
    told = {each.name: (each.accounts, each.accused, each.watched, each.findings) for each in comparison.campaigns}
    assert told == {
        "hydra": (5, 4, 1, ("c-aa", "c-bb")),
        "mixed": (1, 0, 0, ()),
        "slow-drip": (2, 0, 1, ("c-cc",)),
    }
    assert comparison.falsely_accused == {"stranger": "", "worker": "labellers"}
    assert comparison.innocent == 3


def test_the_table() -> None:
    page, stream = console(80)
    print_comparison(compare(FINDINGS, TRUTH), page)
    check("comparison-80.txt", stream.getvalue())


def test_nobody_accused_is_said_so() -> None:
    page, stream = console(80)
    print_comparison(compare(Findings(SAMPLE_SCAN, ()), TRUTH), page)
    assert "Falsely accused: 0 of 3 innocent accounts" in stream.getvalue()
    assert stream.getvalue().count("missed") == 3


def test_the_truth_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "accounts.parquet"
    pq.write_table(
        pa.table({"account": ["a", "b"], "kind": ["app", None], "campaign": ["", "x"], "cohort": [1, 2]}), path
    )
    assert read_truth(path) == Truth({"a": "", "b": "x"}, {"a": "app", "b": ""})


def test_what_is_no_truth_is_refused_with_its_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"account": ["a"]}), tmp_path / "other.parquet")
    for name in ("none.parquet", "other.parquet"):
        with pytest.raises(LogError, match=name):
            read_truth(tmp_path / name)
