from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.strategies import quiet, sample

import stillwatch as package
from stillwatch.report.findings_v1 import to_json, to_json_lines

ENVIRONMENT = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(Path(package.__file__).parent.parent)}


def stillwatch(
    *arguments: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The command as a user starts it, in a process of its own."""
    return subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "stillwatch", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=cwd,
        env={**ENVIRONMENT, **(env or {})},
    )


@pytest.fixture
def found(tmp_path: Path) -> Path:
    path = tmp_path / "found.json"
    path.write_bytes(to_json(sample()))
    return path


# ---- help and usage


def test_help_names_every_command() -> None:
    done = stillwatch("--help")
    assert done.returncode == 0
    for command in (
        "scan",
        "explain",
        "decide",
        "decisions",
        "ledger",
        "share",
        "baseline",
        "policy",
        "replay",
        "simulate",
        "demo",
        "version",
    ):
        assert f"\n  {command} ".encode() in done.stdout
    assert b"Exit codes: 0 done, 1 --fail-on is met, 2 wrong usage, 3 failure." in done.stdout


def test_help_imports_nothing_slow() -> None:
    command = "import sys, stillwatch.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)  # noqa: S603  our own command
    slow = {"numpy", "pyarrow", "numba", "rich", "msgspec", "yaml", "cel_expr_python"}
    assert not slow & {module.split(".")[0] for module in done.stdout.decode().split()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Usage: stillwatch"),
        (("scan",), "Missing argument 'LOGS...'"),
        (("scan", "log", "--since", "yesterday"), "'yesterday' is no time; write 2026-07-01 or"),
        (("scan", "log", "--limit-memory", "lots"), "'lots' is no amount of memory; write 2GB or 512MiB"),
        (("scan", "log", "--limit-memory", "0GB"), "no memory at all is too little"),
        (("scan", "log", "--format", "xml"), "'xml' is not one of 'human', 'json', 'jsonl'"),
        (("scan", "log", "--since", "2026-07-02", "--until", "2026-07-01T05:00:00+05:00"), "is not before --until"),
        (("scan", "log.json", "-o", "log.json"), "log.json: is read and would be written to as well"),
        (("scan", "log", "--rejects", "a.json", "-o", "a.json"), "a.json: is read and would be written to as well"),
        (("explain", "c-7f"), "Missing argument 'FINDINGS'"),
        (("baseline", "fit"), "Missing argument 'LOGS...'"),
        (("simulate", "demo"), "Missing option '--out'"),
        (("simulate", "demo", "--out", "x", "--scale", "0"), "--scale"),
        (("policy", "check"), "Missing argument 'FILE'"),
        (("policy", "explain", "strict"), "Missing option '--facts'"),
        (("harvest",), "No such command 'harvest'"),
    ],
)
def test_wrong_usage_is_said_and_ends_with_2(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = stillwatch(*arguments, cwd=tmp_path)
    assert message in " ".join(done.stderr.decode().split())
    assert done.returncode == 2
    assert done.stdout == b""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [(".", "it is a folder"), ("none/found.json", "there is no folder"), ("here/log", "there is no folder")],
)
def test_an_output_that_cannot_be_written_is_said_before_the_scan(output: str, message: str, tmp_path: Path) -> None:
    done = stillwatch("scan", "log", "-o", output, "--key-file", tmp_path / "key", cwd=tmp_path)
    assert done.returncode == 3
    assert message in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_open_to_others_ends_with_3(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o644)
    done = stillwatch("scan", "log", "--key-file", tmp_path / "key")
    assert done.returncode == 3
    assert f"chmod 600 {tmp_path / 'key'}" in done.stderr.decode()


def test_versions_are_shown() -> None:
    done = stillwatch("version")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == [
        b"reads  exchange/1",
        b"writes stillwatch.findings/1",
        b"writes stillwatch.decisions/1",
        b"writes stillwatch.audit/1",
    ]


# ---- explain


def test_explain_reads_json_lines_and_stdin_alike(found: Path, tmp_path: Path) -> None:
    (tmp_path / "found.jsonl").write_bytes(to_json_lines(sample()))
    once = stillwatch("explain", "c-7f3a90d2", found)
    assert once.returncode == 0
    assert b"How the evidence adds up" in once.stdout
    assert once.stderr == b""
    assert stillwatch("explain", "c-7f", tmp_path / "found.jsonl").stdout == once.stdout
    assert stillwatch("explain", "c-7f", "-", stdin=to_json(sample())).stdout == once.stdout


def test_explain_answers_for_an_account_in_no_finding(found: Path) -> None:
    done = stillwatch("explain", "acct-nobody", found)
    assert done.returncode == 0
    assert b"bears no marks of any reported cohort" in done.stdout


def test_explain_of_an_unknown_id_ends_with_2_and_near_ones(found: Path) -> None:
    done = stillwatch("explain", "c-7f3a90d3", found)
    assert done.returncode == 2
    assert done.stderr == (
        b"stillwatch: error: no cohort `c-7f3a90d3` in these findings; near it: c-7f3a90d2, c-91d04c3e\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: no such file or directory"),
        (b"", "the file is empty"),
        (b"{}", "$: object missing required field `schema`"),
        (to_json(quiet())[:-20], "the file ends in the middle of the document"),
        (to_json(sample()).replace(b'"bits": 33.3', b'"bits": "33.3"'), "$.campaigns[0].bits: expected `float`"),
    ],
)
def test_findings_that_cannot_be_read_end_with_3(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    if content is not None:
        path.write_bytes(content)
    done = stillwatch("explain", "c-7f", path)
    assert done.returncode == 3
    assert done.stderr.decode().startswith(f"stillwatch: error: {path}: ")
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_narrow_encoding_stops_no_report(found: Path) -> None:
    done = stillwatch("explain", "c-7f", found, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0
    assert b"#####" in done.stdout
    other = stillwatch("explain", "日本", found, env={"PYTHONIOENCODING": "ascii"})
    assert other.returncode == 0
    assert rb"\u65e5\u672c bears no marks" in other.stdout


def test_a_reader_that_goes_away_gets_no_traceback(found: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "stillwatch", "explain", "c-7f", found],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


def test_an_interruption_is_said_and_ends_with_130() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "stillwatch", "explain", "c-7f", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b" " * 500_000)  # more than a pipe holds: once it is through, the command is reading
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert said == b"stillwatch: interrupted; no findings were written\n"
    assert process.returncode == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_device_behind_stdout_ends_with_3(found: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, "-m", "stillwatch", "explain", "c-7f", found],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr == b"stillwatch: error: output: no space left on device\n"


# ---- demo


def test_the_demo_leaves_a_folder_alone_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    done = stillwatch("demo", "--out", tmp_path)
    assert done.returncode == 2
    assert "was not made by the demo" in done.stderr.decode()
    assert (tmp_path / "diary.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
