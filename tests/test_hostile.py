"""Logs that somebody made to hurt: the scan ends, accuses nobody, and says what it thought of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.traffic import KEY, accused

from stillwatch import api
from stillwatch.exchanges.read import LogReader
from stillwatch.exchanges.source import LogSource
from stillwatch.report.findings_v1 import from_either, to_json

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.verdicts.evidence import Findings

START = datetime(2026, 9, 1, tzinfo=UTC)
DAYS = 14
MICROSECONDS = 1_000_000


def spread(rows: int, seed: int = 1) -> pa.Array:
    """Times all over two weeks, in microseconds."""
    second = np.sort(np.random.default_rng(seed).uniform(0, DAYS * 86_400, rows))
    return pa.array(
        (START.timestamp() * MICROSECONDS + second * MICROSECONDS).astype(np.int64), pa.timestamp("us", "UTC")
    )


def names(rows: int, accounts: int) -> pa.Array:
    return pa.array([f"account-{row % accounts:07d}" for row in range(rows)])


def scanned(folder: Path, **columns: Any) -> Findings:  # noqa: ANN401  columns of any type
    """Findings of a log with these columns; they can be written and read again."""
    log = folder / "log.parquet"
    pq.write_table(pa.table(columns), log)
    findings = api.scan([log], key=KEY)
    told = to_json(findings)
    assert to_json(from_either(told, path="findings")) == told
    return findings


# ---- marks


def test_one_mark_on_every_row_tells_nobody_from_anybody(tmp_path: Path) -> None:
    rows, accounts = 60_000, 20_000
    findings = scanned(
        tmp_path,
        time=spread(rows),
        account=names(rows, accounts),
        prompt=pa.array(["Solve the task step by step. Show your reasoning."] * rows),
        system=pa.array(["You are a careful solver."] * rows),
        user_agent=pa.array(["client/1.0"] * rows),
        ja4=pa.array(["t13d1516h2_eb799758b89f_d4feae776fce"] * rows),
        ip=pa.array(["203.0.113.7"] * rows),
        temperature=pa.array([0.7] * rows),
    )
    assert (findings.scan.exchanges, findings.scan.accounts) == (rows, accounts)
    assert accused(findings) == set()


def test_many_accounts_of_one_row_each_are_no_cohort(tmp_path: Path) -> None:
    rows = 300_000
    numbers = np.random.default_rng(2).integers(0, 1 << 40, rows).astype(str)
    findings = scanned(
        tmp_path,
        time=spread(rows),
        account=names(rows, rows),
        prompt=pa.array(np.char.add("What is the sum of the digits of ", numbers).tolist()),
        user_agent=pa.array([f"client/{row % 977}" for row in range(rows)]),
    )
    assert (findings.scan.exchanges, findings.scan.accounts) == (rows, rows)
    assert accused(findings) == set()


def test_prompts_that_all_begin_with_one_another(tmp_path: Path) -> None:
    words = ["please", "write", "some", "more", "words", "about"]
    longest = [word for _ in range(50) for word in words]
    rows = 12_000
    prompts = [" ".join(longest[: 5 + row % 250]) for row in range(rows)]
    findings = scanned(tmp_path, time=spread(rows), account=names(rows, 600), prompt=pa.array(prompts))
    assert findings.scan.exchanges == rows
    assert accused(findings) == set()


@pytest.mark.parametrize("unit", ["x", "a ", "\n", "词", "1,", "\u202e", "é\u0301", "{[(\"'"])
def test_a_prompt_of_five_megabytes(unit: str, tmp_path: Path) -> None:
    rows = 400
    huge = unit * (5_000_000 // len(unit.encode()))
    prompts = [huge if row == 7 else f"What is {row} times {row}?" for row in range(rows)]
    findings = scanned(tmp_path, time=spread(rows), account=names(rows, 40), prompt=pa.array(prompts))
    assert findings.scan.exchanges + findings.scan.rejected.rows == rows
    assert accused(findings) == set()


def test_texts_that_are_no_text(tmp_path: Path) -> None:
    rows = 4_000
    odd = [
        "",
        " ",
        "\x00",
        "\ufeff",
        "\U0010ffff",
        "\u200b" * 30,
        "NaN",
        "null",
        "'; DROP TABLE accounts; --",
        "a" * 300,
    ]
    texts = ("prompt", "system", "response", "user_agent", "ja4", "ip", "model", "country", "organization")
    columns = {
        name: pa.array([odd[(row + place) % len(odd)] for row in range(rows)]) for place, name in enumerate(texts)
    }
    findings = scanned(tmp_path, time=spread(rows), account=names(rows, 200), **columns)
    assert findings.scan.exchanges == rows
    assert accused(findings) == set()


# ---- times


def test_all_at_one_moment(tmp_path: Path) -> None:
    rows = 6_000
    findings = scanned(
        tmp_path,
        time=pa.array([START] * rows, pa.timestamp("us", "UTC")),
        account=names(rows, 300),
        prompt=pa.array([f"What is {row} plus {row}?" for row in range(rows)]),
    )
    assert findings.scan.first == findings.scan.last == START
    assert accused(findings) == set()


def test_times_far_in_the_past_and_in_the_future(tmp_path: Path) -> None:
    rows = 6_000
    moments = [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
        START,
    ]
    times = [moments[row % 4 if row < 40 else 3] + timedelta(seconds=row) for row in range(rows)]
    findings = scanned(
        tmp_path,
        time=pa.array(times, pa.timestamp("us", "UTC")),
        account=names(rows, 300),
        prompt=pa.array([f"What is {row} plus {row}?" for row in range(rows)]),
    )
    assert findings.scan.exchanges + findings.scan.rejected.rows == rows
    assert findings.scan.rejected.rows == sum(findings.scan.rejected.reasons.values())
    assert findings.scan.first is not None
    assert findings.scan.last is not None
    assert findings.scan.first <= START <= findings.scan.last
    assert accused(findings) == set()


def test_a_reader_says_how_many_rows_are_of_the_future(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    times = [START + timedelta(days=400 * (row % 2)) for row in range(100)]
    pq.write_table(pa.table({"time": pa.array(times, pa.timestamp("us", "UTC")), "account": names(100, 5)}), log)
    reader = LogReader(LogSource([log]), now=START + timedelta(days=30))
    assert sum(batch.num_rows for batch in reader.batches()) == 100
    assert any("50" in note and "future" in note for note in reader.report().notes)


# ---- numbers


LARGEST = 2**63 - 1


@pytest.mark.parametrize("value", [-1, -LARGEST - 1, LARGEST, 0])
def test_whole_numbers_that_cannot_be(value: int, tmp_path: Path) -> None:
    rows = 3_000
    whole = ("input_tokens", "output_tokens", "max_tokens", "n", "turns", "tools", "status", "seed", "asn")
    findings = scanned(
        tmp_path,
        time=spread(rows),
        account=names(rows, 150),
        prompt=pa.array([f"What is {row} plus {row}?" for row in range(rows)]),
        **{name: pa.array([value] * rows, pa.int64()) for name in whole},
    )
    assert findings.scan.exchanges + findings.scan.rejected.rows == rows
    assert accused(findings) == set()
    for finding in findings.campaigns:
        assert finding.input_tokens >= 0
        assert finding.output_tokens >= 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e308, -5.0])
def test_fractions_that_cannot_be(value: float, tmp_path: Path) -> None:
    rows = 3_000
    findings = scanned(
        tmp_path,
        time=spread(rows),
        account=names(rows, 150),
        prompt=pa.array([f"What is {row} plus {row}?" for row in range(rows)]),
        temperature=pa.array([value] * rows),
        top_p=pa.array([value] * rows),
    )
    assert findings.scan.exchanges + findings.scan.rejected.rows == rows
    assert accused(findings) == set()
