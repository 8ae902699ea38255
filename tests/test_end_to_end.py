from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import stillwatch as package
from stillwatch import api
from stillwatch.errors import LogError
from stillwatch.exchanges.source import LogSource
from stillwatch.report.findings_v1 import from_either, to_json, to_json_lines
from stillwatch.verdicts.evidence import Findings, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = bytes(range(32))
OTHER_KEY = bytes(reversed(KEY))
ENVIRONMENT = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(Path(package.__file__).parent.parent)}

Document = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A made log: its folder, its exchanges in memory, and what a scan of it finds."""

    folder: Path
    exchanges: pa.Table
    findings: Findings

    @property
    def log(self) -> Path:
        return self.folder / "exchanges"

    @property
    def accounts(self) -> Path:
        return self.folder / "accounts.parquet"

    @property
    def document(self) -> Document:
        return document(self.findings)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made") / "log"
    api.simulate("demo", folder, seed=1)
    (part,) = (folder / "exchanges").iterdir()
    accounts = folder / "accounts.parquet"
    return Made(folder, pq.read_table(part), api.scan([folder / "exchanges"], accounts=accounts, key=KEY))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    path.chmod(0o600)
    return path


def document(findings: Findings) -> Document:
    read: Document = json.loads(to_json(findings))
    return read


def stillwatch(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a user starts it, in a process of its own."""
    return subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "stillwatch", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=ENVIRONMENT,
    )


# ---- what is found


def test_campaigns_are_found_and_no_innocent_account_is_named(made: Made) -> None:
    require_truth(made.findings, made)


def require_truth(findings: Findings, made: Made) -> None:
    """Nobody innocent is accused, and nine accounts of campaigns in ten are."""
    truth = pq.read_table(made.folder / "truth" / "accounts.parquet").to_pylist()
    harvesting = {row["account"] for row in truth if row["campaign"]}
    accused = {
        member.account
        for finding in findings.campaigns
        if finding.verdict is Verdict.CAMPAIGN
        for member in finding.accounts
    }
    assert accused <= harvesting
    assert len(accused) >= 0.9 * len(harvesting) > 0


# ---- one log, many shapes: the same findings


def as_jsonl_gz(table: pa.Table, folder: Path) -> None:
    with gzip.open(folder / "log.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as file:
        for row in table.to_pylist():
            told = {name: value for name, value in row.items() if value is not None}
            file.write(json.dumps({**told, "time": row["time"].isoformat()}) + "\n")


def as_csv(table: pa.Table, folder: Path) -> None:
    pyarrow.csv.write_csv(table, folder / "log.csv")


def as_shuffled_parquet(table: pa.Table, folder: Path) -> None:
    order = np.random.default_rng(7).permutation(table.num_rows)
    pq.write_table(table.take(pa.array(order)), folder / "log.parquet", row_group_size=5_000)


def as_files_in_reverse(table: pa.Table, folder: Path) -> None:
    for part, begin in enumerate(range(0, table.num_rows, 20_000)):
        pq.write_table(table.slice(begin, 20_000), folder / f"part-{9 - part}.parquet")


def as_mixed_files(table: pa.Table, folder: Path) -> None:
    third = table.num_rows // 3
    as_csv(table.slice(0, third), folder)
    as_jsonl_gz(table.slice(third, third), folder)
    as_shuffled_parquet(table.slice(2 * third), folder)


@pytest.mark.parametrize("write", [as_jsonl_gz, as_csv, as_shuffled_parquet, as_files_in_reverse, as_mixed_files])
def test_format_order_and_split_change_nothing(
    write: Callable[[pa.Table, Path], None], made: Made, tmp_path: Path
) -> None:
    write(made.exchanges, tmp_path)
    assert document(api.scan([tmp_path], accounts=made.accounts, key=KEY)) == made.document


def test_files_may_be_named_in_any_order(made: Made, tmp_path: Path) -> None:
    as_files_in_reverse(made.exchanges, tmp_path)
    files = sorted(tmp_path.iterdir())
    for named in (files, files[::-1]):
        assert document(api.scan(named, accounts=made.accounts, key=KEY)) == made.document


def test_a_table_in_memory_gives_the_same(made: Made) -> None:
    found = api.scan_table(made.exchanges, accounts=pq.read_table(made.accounts), key=KEY)
    assert document(found) == made.document


def test_the_disk_in_place_of_memory_changes_nothing(made: Made) -> None:
    found = api.scan([made.log], accounts=made.accounts, key=KEY, limit_memory=1_000_000)
    assert document(found) == made.document


# ---- names


def test_renaming_accounts_changes_their_names_and_nothing_else(made: Made, tmp_path: Path) -> None:
    names = sorted(set(made.exchanges.column("account").to_pylist()))
    fresh = [f"customer-{place:05d}" for place in np.random.default_rng(3).permutation(len(names))]
    renamed = dict(zip(names, fresh, strict=True))
    old = {new: name for name, new in renamed.items()}

    def rename(table: pa.Table) -> pa.Table:
        column = pa.array([renamed.get(name, name) for name in table.column("account").to_pylist()])
        return table.set_column(table.column_names.index("account"), "account", column)

    pq.write_table(rename(made.exchanges), tmp_path / "log.parquet")
    pq.write_table(rename(pq.read_table(made.accounts)), tmp_path / "accounts")
    found = document(api.scan([tmp_path / "log.parquet"], accounts=tmp_path / "accounts", key=KEY))
    for finding in found["campaigns"]:
        for member in finding["accounts"] + finding["left_out"]:
            member["account"] = old[member["account"]]
    assert by_account(found) == by_account(made.document)


def by_account(found: Document) -> Document:
    """Findings with equally strong accounts in the order of their names."""
    for finding in found["campaigns"]:
        for members in ("accounts", "left_out"):
            finding[members].sort(key=lambda member: (-member["bits"], member["account"]))
    return found


def test_another_key_changes_ids_and_marks_and_nothing_else(made: Made) -> None:
    other = document(api.scan([made.log], accounts=made.accounts, key=OTHER_KEY))

    def named(found: Document) -> set[str]:
        return {name for finding in found["campaigns"] for name in [finding["id"], *marks(finding)]}

    def marks(finding: Document) -> list[str]:
        return [mark["mark"] for mark in finding["marks"] + finding.get("known_by", {}).get("marks", [])]

    def nameless(found: Document) -> list[str]:
        for finding in found["campaigns"]:
            finding["id"] = ""
            finding["marks"] = sorted(
                [mark["family"], mark["accounts"], mark["exchanges"]] for mark in finding["marks"]
            )
            for mark in finding.get("known_by", {}).get("marks", []):
                mark["mark"] = ""
        return sorted(json.dumps(finding, sort_keys=True) for finding in found["campaigns"])

    assert not named(other) & named(made.document)
    assert other["scan"] == made.document["scan"]
    assert nameless(other) == nameless(made.document)


# ---- the command


def test_scan_writes_findings_and_fails_when_asked_to(made: Made, key_file: Path, tmp_path: Path) -> None:
    arguments = ("scan", made.log, "--accounts", made.accounts, "--key-file", key_file)
    done = stillwatch(*arguments, "-o", "found.json", "--fail-on", "campaign", cwd=tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "found.json").read_bytes() == to_json(made.findings)
    assert made.findings.campaigns[0].id in done.stdout
    assert "stillwatch: findings written to found.json\n" in done.stderr

    lines = stillwatch(*arguments, "--format", "jsonl", "--quiet", "--fail-on", "watch")
    assert lines.returncode == 1
    assert lines.stdout.encode() == to_json_lines(made.findings)
    assert lines.stderr == ""
    assert from_either(lines.stdout.encode(), path="stdout") == from_either(to_json(made.findings), path="found")


def test_explain_answers_for_a_campaign_a_member_and_a_stranger(made: Made, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    found.write_bytes(to_json(made.findings))
    campaign = made.findings.campaigns[0]
    of_campaign = stillwatch("explain", campaign.id, found)
    assert of_campaign.returncode == 0
    for evidence in campaign.evidence:
        assert evidence.signal in of_campaign.stdout
    member = campaign.accounts[0].account
    of_member = stillwatch("explain", member, found)
    assert of_member.returncode == 0
    assert campaign.id in of_member.stdout
    named = {each.account for one in made.findings.campaigns for each in (*one.accounts, *one.left_out)}
    stranger = next(name for name in made.exchanges.column("account").to_pylist() if name not in named)
    of_stranger = stillwatch("explain", stranger, found)
    assert of_stranger.returncode == 0
    assert "bears no marks" in of_stranger.stdout


def test_a_baseline_is_fitted_shown_and_used(made: Made, tmp_path: Path) -> None:
    fitted = tmp_path / "baseline.json"
    done = stillwatch("baseline", "fit", made.log, "--accounts", made.accounts, "-o", fitted, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    shown = stillwatch("baseline", "show", fitted)
    assert shown.returncode == 0
    held = api.load_baseline(fitted)
    assert f"{held.cohorts:,}" in shown.stdout
    assert "{" not in shown.stdout  # every part told in words
    found = api.scan([made.log], accounts=made.accounts, baseline=fitted, key=KEY)
    assert found.scan.baseline == held.name
    require_truth(found, made)  # campaigns were left out of what was fitted, so they are found again


def test_a_window_looks_at_its_own_moments_only(made: Made) -> None:
    since, until = datetime(2026, 9, 2, tzinfo=UTC), datetime(2026, 9, 5, tzinfo=UTC)
    found = api.scan(LogSource([made.log], since=since, until=until), accounts=made.accounts, key=KEY)
    times = made.exchanges.column("time").to_pylist()
    inside = [moment for moment in times if since <= moment < until]
    assert found.scan.exchanges == len(inside)
    assert (found.scan.first, found.scan.last) == (min(inside), max(inside))


# ---- keys


def test_a_key_is_made_once_for_its_owner_only_and_used_again(made: Made, tmp_path: Path) -> None:
    small = tmp_path / "small.parquet"
    pq.write_table(made.exchanges.slice(0, 300), small)
    key = tmp_path / "keys" / "key"
    first = stillwatch("scan", small, "--key-file", key, "--format", "json")
    assert first.returncode == 0
    assert f"made a new key for the marks: {key}" in first.stderr
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    content = key.read_bytes()
    second = stillwatch("scan", small, "--key-file", key, "--format", "json")
    assert "new key" not in second.stderr
    assert key.read_bytes() == content
    assert second.stdout == first.stdout


# ---- logs with little or bad content


ROW = {"time": "2026-07-01T10:00:00Z", "account": "a-1", "prompt": "What is a quasar?", "model": "orion-4"}


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("rows", [0, 1, 60])
def test_a_log_of_nothing_or_of_one_account_holds_no_cohort(rows: int, tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", *({**ROW, "time": 1_780_000_000 + 60 * row} for row in range(rows)))
    found = api.scan([log], key=KEY)
    assert (found.scan.exchanges, found.scan.accounts, found.campaigns) == (rows, min(rows, 1), ())
    done = stillwatch("scan", log, "--key-file", tmp_path / "key", "--fail-on", "watch", "-q")
    assert done.returncode == 0, done.stderr
    assert "No campaign found" in done.stdout


def test_a_row_that_cannot_be_read_is_counted_kept_and_named(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", ROW, {**ROW, "time": "yesterday"}, "{broken", ROW | {"account": "a-2"})
    rejects = tmp_path / "rejects.jsonl"
    found = api.scan(LogSource([log], rejects=rejects), key=KEY)
    assert (found.scan.exchanges, found.scan.rejected.rows) == (2, 2)
    kept = sorted((json.loads(line) for line in rejects.read_text().splitlines()), key=lambda each: each["line"])
    assert [(Path(each["path"]).name, each["line"]) for each in kept] == [("log.jsonl", 2), ("log.jsonl", 3)]
    assert kept[0]["field"] == "time"
    assert all(each["reason"] for each in kept)


def test_strict_stops_at_the_first_bad_row_and_says_where(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", ROW, {**ROW, "time": "yesterday"})
    with pytest.raises(LogError) as raised:
        api.scan(LogSource([log], strict=True), key=KEY)
    assert (raised.value.line, raised.value.field) == (2, "time")
    done = stillwatch("scan", log, "--strict", "--key-file", tmp_path / "key", "-q", "-o", tmp_path / "found.json")
    assert done.returncode == 3
    assert f"stillwatch: error: {log}:2: time: " in done.stderr
    assert not (tmp_path / "found.json").exists()
