"""The commands on decisions, as a user starts them."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from tests.strategies import quiet, sample
from tests.test_cli import stillwatch

from stillwatch.report.findings_v1 import finding_digest, to_json

if TYPE_CHECKING:
    from pathlib import Path

LEDGER = "stillwatch-ledger.sqlite"
FIRST = "account:acct-d20000"  # of the first campaign


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "found.json").write_bytes(to_json(sample()))
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """What a command prints, on stdout if it succeeds and on stderr if not."""
    done = stillwatch(*arguments, cwd=folder, env={"COLUMNS": "120", **(env or {})})
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return (done.stderr if code else done.stdout).decode()


def document(folder: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(folder, *arguments, "-o", "json"))
    assert found["schema"] == "stillwatch.decisions/1"
    return found


def test_campaigns_are_observed_unless_somebody_asks_for_more(folder: Path) -> None:
    printed = run(folder, "decide", "found.json")
    assert "514 decisions made: 514 observe." in printed  # of two campaigns and a watched cohort
    listed = document(folder, "decisions", "list")["decisions"]
    assert {each["step"] for each in listed} == {"observe"}
    assert all(each["in_force"] for each in listed)


def test_a_dry_run_makes_no_ledger(folder: Path) -> None:
    assert "514 decisions would be made" in run(folder, "decide", "found.json", "--dry-run")
    assert [each.name for each in folder.iterdir()] == ["found.json"]


def test_a_decision_names_its_evidence_rules_approver_and_end(folder: Path) -> None:
    asked = document(folder, "decide", "found.json", "--step", "throttle", "--approver", "ann", "--lasts", "2d")
    made = asked["outcomes"][0]["decision"]
    finding = sample().campaigns[0]
    assert made["subject"] == {"kind": "account", "value": "acct-d20000"}
    assert made["grounds"] == {
        "finding": finding.id,
        "digest": finding_digest(finding),
        "verdict": "campaign",
        "bits": 33.3,
        "q_value": 0.00102,
        "membership": 0.99,
    }
    assert made["marks"][0] == {"family": "content", "mark": "9f21c04be7aa31d0"}
    assert made["policy"] == "stillwatch.ladder/1 up to throttle"
    assert made["approvers"] == ["ann"]
    assert made["expires_at"][8:10] != made["made_at"][8:10]
    shown = run(folder, "decisions", "show", made["id"])
    for part in (FIRST, finding.id, finding_digest(finding), "33.3 bits", "stillwatch.ladder/1", "ann", "Appeal"):
        assert part in shown


def test_what_the_ladder_does_not_allow_is_said(folder: Path) -> None:
    printed = run(folder, "decide", "found.json", "--step", "refuse", "--approver", "ann")
    assert "450 throttle" in printed
    assert "450 subjects  refuse follows a milder step that stands" in printed
    printed = run(folder, "decide", "found.json", "--step", "refuse", "--approver", "ann")
    assert "450 decisions made: 450 refuse; 64 stood already." in printed
    asked = document(folder, "decide", "found.json", "--step", "refuse", "--cohorts")
    assert asked["outcomes"][0]["why_not"][0] == (
        "refuse against a cohort needs the approval of two operators, and has none"
    )
    assert asked["outcomes"][0]["decision"]["step"] == "observe"


def test_a_decisions_life(folder: Path) -> None:
    run(folder, "decide", "found.json")
    assert "d-515: throttle against" in run(
        folder, "decisions", "add", FIRST, "--step", "throttle", "--reason", "seen", "--findings", "found.json"
    )
    run(folder, "decisions", "appeal", "d-515", "--by", "acct", "--reason", "we are a lab")
    assert "appeal open" in run(folder, "decisions", "list", "--subject", FIRST)
    run(folder, "decisions", "appeal", "d-515", "--by", "bob", "--reason", "so they are", "--uphold")
    assert document(folder, "decisions", "list", "--subject", FIRST)["decisions"] == []
    everything = document(folder, "decisions", "list", "--subject", FIRST, "--all")["decisions"]
    assert [(each["id"], each["appeal"]) for each in everything] == [("d-1", "none"), ("d-515", "upheld")]
    lasts = ("--lasts", "180d")
    run(folder, "decisions", "allow", FIRST, "--owner", "trust", "--reason", "verified lab", *lasts)
    assert "verified lab" in run(folder, "decisions", "list", "--subject", FIRST)
    shown = document(folder, "decisions", "show", "a-519")
    assert shown["allowance"]["in_force"]
    assert [entry["action"] for entry in shown["entries"]] == ["allow"]
    run(folder, "decisions", "lift", "a-519", "--by", "ann", "--reason", "contract ended")
    assert not document(folder, "decisions", "show", "a-519")["allowance"]["in_force"]
    assert "0 decisions ended." in run(folder, "decisions", "expire")
    assert document(folder, "ledger", "verify")["entries"] == 520
    trail = run(folder, "decisions", "show", "d-515")
    for said in ("d-515 made: throttle", "opened by acct: we are a lab", "upheld by bob: so they are"):
        assert said in trail


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("decisions", "list"), f"{LEDGER}: there is no ledger here; `stillwatch decide` makes one", 3),
        (("ledger", "verify"), f"{LEDGER}: there is no ledger here", 3),
        (("decide", "none.json"), "none.json: cannot be read: no such file or directory", 3),
        (("decide", "found.json", "--step", "ban"), "'ban' is not one of 'observe', 'verify'", 2),
        (("decide", "found.json", "--lasts", "0d"), "'0d' is no span of time; write 7d, 12h or 30m", 2),
        (("decide", "found.json", "--ledger", "mysql://a:b@c/d"), "mysql://a@c/d: a ledger is a file", 2),
        (("decisions", "add", "acct-1", "--step", "observe", "--reason", "x"), "'acct-1' names no subject; write", 2),
        (("decisions", "add", "account:", "--step", "observe", "--reason", "x"), "a subject needs a name", 2),
        (
            ("decisions", "add", "account:x", "--step", "observe", "--reason", "x", "--findings", "found.json"),
            "found.json: account:x is in no finding",
            2,
        ),
        (
            ("decisions", "add", "account:x", "--step", "refuse", "--reason", "x", "--approver", "ann"),
            "account:x: refuse needs a finding; refuse follows a milder step",
            2,
        ),
        (("decisions", "add", "account:x", "--step", "observe", "--reason", " "), "--reason is blank", 2),
        (
            ("decisions", "allow", "account:x", "--owner", "o", "--reason", "r", "--lasts", "367d"),
            "366 days at most",
            2,
        ),
        (("ledger", "verify", "--head", "12"), "'12' is no head; write it as `ledger verify` prints it", 2),
    ],
)
def test_what_is_wrong_is_said(folder: Path, arguments: tuple[str, ...], message: str, code: int) -> None:
    said = run(folder, *arguments, code=code)
    assert message in " ".join(said.split())


def test_ids_that_are_not_there_are_said(folder: Path) -> None:
    run(folder, "decide", "found.json")
    for command in (("show", "d-9999"), ("lift", "d-9999", "--by", "a", "--reason", "b"), ("show", "x")):
        assert f"no decision or allowance `{command[1]}`" in run(folder, "decisions", *command, code=2).replace(
            "no decision `", "no decision or allowance `"
        )


def test_a_trail_that_was_altered_ends_with_3_and_names_the_entry(folder: Path) -> None:
    run(folder, "decide", "found.json")
    head = document(folder, "ledger", "verify")["head"]
    assert f"Head:     {head}" in run(folder, "ledger", "verify", "--head", head)
    with sqlite3.connect(folder / LEDGER) as connection:
        connection.execute("DROP TRIGGER stillwatch_audit_update")
        connection.execute("UPDATE stillwatch_audit SET at = '2020' WHERE number = 7")
    connection.close()
    assert run(folder, "ledger", "verify", code=3) == (
        f"stillwatch: error: {LEDGER}: altered: entry 7 is not what was hashed\n"
    )


def test_the_ledger_is_where_the_environment_says(folder: Path, place: str) -> None:
    run(folder, "decide", "found.json", env={"STILLWATCH_LEDGER": place})
    assert "514, none altered" in run(folder, "ledger", "verify", "--ledger", place)
    assert not (folder / LEDGER).exists()


def test_nothing_found_is_nothing_to_decide(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_bytes(to_json(quiet()))
    assert "Nothing to decide: there is no campaign, and no cohort to watch." in run(tmp_path, "decide", "found.json")


def test_names_from_logs_steer_no_terminal(folder: Path) -> None:
    name = "account:\x1b[31mred\u202e"
    run(folder, "decisions", "add", name, "--step", "observe", "--reason", "\x1b[2J", "--approver", "\x1b]0;x\x07")
    for command in (("list",), ("show", "d-1")):
        printed = run(folder, "decisions", *command)
        assert "\x1b" not in printed
        assert "\u202e" not in printed
        assert r"\x1b[31mred\u202e" in printed


def test_from_a_log_to_decisions(tmp_path: Path) -> None:
    """The tiny scenario is too small for anything to be said against anybody, so nobody is decided against."""
    run(tmp_path, "simulate", "tiny", "--out", "drill")
    scan = ("scan", "drill/exchanges", "--accounts", "drill/accounts.parquet", "--key-file", "key", "-q")
    run(tmp_path, *scan, "-o", "found.json")
    assert json.loads((tmp_path / "found.json").read_bytes())["campaigns"]
    assert document(tmp_path, "decide", "found.json", "--step", "refuse")["outcomes"] == []
