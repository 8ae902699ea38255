from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.test_cli import ENVIRONMENT

from stillwatch import api

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 77,165 exchanges, and a line that cannot be read."""
    folder = tmp_path_factory.mktemp("early")
    api.simulate("demo", folder / "made", seed=1)
    (folder / "made" / "exchanges" / "broken.jsonl").write_text('{"time": "never", "account": "x"}\n')
    (folder / "key").write_text("ab" * 32)
    (folder / "key").chmod(0o600)
    return folder / "made" / "exchanges"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "stillwatch", *map(str, arguments)]


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    _, said = process.communicate()
    return process.returncode, said


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("stage", ["reading", "gathering"])
def test_a_scan_that_is_stopped_leaves_older_files_whole_and_nothing_else(
    log: Path, tmp_path: Path, number: signal.Signals, stage: str
) -> None:
    found, rejects = tmp_path / "found.json", tmp_path / "rejects.jsonl"
    found.write_text("older findings\n")
    arguments = command("scan", log, "--key-file", log.parent.parent / "key", "-o", found)
    if stage == "reading":
        rejects.write_text("older rejects\n")
        arguments += ["--rejects", str(rejects)]
    with subprocess.Popen(  # noqa: S603  our own command
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:  # progress: the scan is under way
            if stage in line:
                break
        code, said = stopped(process, number)
    assert code == 128 + number, said
    assert "stillwatch: interrupted; no findings were written" in said
    assert "Traceback" not in said
    assert found.read_text() == "older findings\n"
    assert stage != "reading" or rejects.read_text() == "older rejects\n"
    assert {path.name for path in tmp_path.iterdir()} <= {"found.json", "rejects.jsonl"}


@pytest.mark.parametrize("number", SIGNALS)
def test_made_traffic_that_is_stopped_leaves_no_folder(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(  # noqa: S603  our own command
        command("simulate", "demo", "--out", tmp_path / "drill", "--format", "jsonl"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        while process.poll() is None and not any(tmp_path.rglob("part-*")):
            time.sleep(0.005)  # until it is writing
        code, said = stopped(process, number)
    assert code == 128 + number, said
    assert list(tmp_path.iterdir()) == []


def test_what_is_ignored_stays_ignored(log: Path, tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603  our own command
        ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command("scan", log, "--key-file", log.parent.parent / "key",
         "-o", tmp_path / "found.json")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "reading" in line:
                break
        code, said = stopped(process, signal.SIGHUP)
    assert code == 0, said
    assert (tmp_path / "found.json").exists()


# ---- a full disk


def on_a_full_disk(*arguments: str | Path, room: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run where the system takes no more than so many bytes in a file, as a full disk does."""
    return subprocess.run(  # noqa: S603  our own command
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**ENVIRONMENT, "TMPDIR": str(folder)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )


@pytest.mark.parametrize(
    ("options", "room", "message"),
    [
        (("-o", "found.json"), 10_000, "found.json: cannot be written: file too large"),
        (("--rejects", "rejects.jsonl"), 20, "rejects.jsonl: rejected rows cannot be kept: file too large"),
        (("--limit-memory", "1MB"), 10_000, "the temporary files of the scan could not be written: File too large"),
    ],
)
def test_a_scan_that_finds_no_room_says_so_and_leaves_nothing(
    log: Path, tmp_path: Path, options: tuple[str, ...], room: int, message: str
) -> None:
    named = [tmp_path / option if "." in option else option for option in options]
    key = log.parent.parent / "key"
    done = on_a_full_disk("scan", log, "-q", "--key-file", key, *named, room=room, folder=tmp_path)
    assert done.returncode == 3
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("form", ["human", "json", "jsonl"])
def test_a_full_device_behind_stdout_ends_a_scan_with_3(log: Path, tmp_path: Path, form: str) -> None:
    small = tmp_path / "small.parquet"
    pq.write_table(pq.read_table(next(log.glob("*.parquet"))).slice(0, 100), small)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(  # noqa: S603  our own command
            command("scan", small, "-q", "--format", form, "--key-file", log.parent.parent / "key"),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            env={**os.environ, **ENVIRONMENT},
        )
    assert done.returncode == 3
    assert done.stderr == b"stillwatch: error: output: no space left on device\n"
