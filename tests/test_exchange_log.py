from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stillwatch as package
from stillwatch.decisions.refusal import Refusal, RefusalReason
from stillwatch.decisions.ruling import NOTHING, Outcome, Ruling, changes_nothing
from stillwatch.decisions.step import Step
from stillwatch.errors import OutputError
from stillwatch.exchanges.read import LogReader
from stillwatch.exchanges.schema import EXCHANGE, TEXT
from stillwatch.exchanges.source import LogSource
from stillwatch.guard.exchange_log import ExchangeLog, ruling_columns
from stillwatch.guard.part import RULED

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = str(Path(package.__file__).parent.parent)
ENVIRONMENT = {**os.environ, "PYTHONPATH": SOURCE, "COLUMNS": "80"}
REFUSAL = Refusal(RefusalReason.RATE_LIMITED, "Rate limit reached", "burst")
ALLOWED = Ruling(Outcome.ALLOW, None, (), (), NOTHING, Step.OBSERVE, ("one", "two"), (), (), "sha256:1")
REFUSED = Ruling(Outcome.REFUSE, REFUSAL, (), (), NOTHING, Step.THROTTLE, ("burst",), ("odd",), (), "sha256:1")


def row(number: int, **more: object) -> dict[str, object]:
    return {
        "request_id": f"sw-{number}",
        "time": 1_790_000_000 + number / 10,
        "account": f"account-{number % 7}",
        "model": "m",
        "operation": "chat",
        "input_tokens": 100,
        "output_tokens": 20,
        "status": 200,
        **more,
    }


@contextmanager
def opened(folder: Path, **named: Any) -> Iterator[ExchangeLog]:  # noqa: ANN401 - whatever the log takes
    log = ExchangeLog(folder, **named)
    try:
        yield log
    finally:
        log.close()


def table(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def ids(folder: Path) -> list[str]:
    return sorted(each for path in folder.glob("*.parquet") for each in pq.read_table(path)["request_id"].to_pylist())


def names(folder: Path) -> set[str]:
    return {"".join(path.suffixes) for path in folder.iterdir()}


# ---- what is written


def test_rows_come_back_as_a_scan_reads_them(tmp_path: Path) -> None:
    when = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
    with opened(tmp_path) as log:
        assert log.write(row(1, time=when, temperature=1, top_p=0.5, stream=True, seed=2**40, unknown="left out"))
        assert log.write(row(2, temperature=0.7, **ruling_columns(REFUSED, REFUSAL, "sw-2")))
    reader = LogReader(LogSource((str(tmp_path),), strict=True))
    read = pa.Table.from_batches(reader.batches()).to_pylist()
    assert [each["request_id"] for each in read] == ["sw-1", "sw-2"]
    assert read[0]["time"] == when
    assert read[1]["time"] == datetime.fromtimestamp(1_790_000_000.2, tz=UTC)
    assert (read[0]["temperature"], read[0]["stream"], read[0]["seed"]) == (1.0, True, 2**40)
    assert reader.report().dialects == {str(next(tmp_path.glob("*.parquet"))): "exchange/1"}
    assert (log.taken, log.dropped, log.waiting, log.parts, log.lag) == (2, 0, 0, 1, 0.0)


def test_what_was_ruled_stands_beside_the_exchange(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.write(row(1, **ruling_columns(ALLOWED, None, "sw-a")))
        log.write(row(2, **ruling_columns(REFUSED, REFUSAL, "sw-b")))
        log.write(row(3, **ruling_columns(changes_nothing(REFUSED), None, "sw-c")))
    allowed, refused, observed = table(tmp_path).select(RULED.names).to_pylist()
    assert allowed == dict.fromkeys(RULED.names) | {
        "guard_outcome": "allow",
        "guard_reason_id": "sw-a",
        "guard_step": "observe",
        "guard_rules": ["one", "two"],
        "guard_policy": "sha256:1",
    }
    assert (refused["guard_outcome"], refused["guard_reason"], refused["guard_by"]) == (
        "refuse",
        "rate_limited",
        "burst",
    )
    assert (refused["guard_step"], refused["guard_failed"]) == ("throttle", ["odd"])
    assert (observed["guard_outcome"], observed["guard_would_outcome"]) == ("allow", "refuse")
    assert (observed["guard_would_reason"], observed["guard_would_step"]) == ("rate_limited", "throttle")


def test_columns_of_a_ruling_are_exactly_those_of_a_part() -> None:
    assert list(ruling_columns(ALLOWED, None, "")) == RULED.names
    assert not set(RULED.names) & set(EXCHANGE.names)


@pytest.mark.parametrize("text", [False, True])
def test_text_is_kept_only_if_asked_for(tmp_path: Path, text: bool) -> None:
    words = "what nobody is to see"
    with opened(tmp_path, text=text) as log:
        log.write(row(1, **dict.fromkeys(TEXT, words)))
        log.flush()
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert (words.encode() in held) is text
    assert (set(TEXT) <= set(table(tmp_path).column_names)) is text


def test_values_that_are_of_no_use_lose_no_row(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.write(row(1, model="half \ud800 a character", seed=2**70, max_tokens="many", n=object(), tools=2**64 - 1))
        log.write(row(2, guard_rules="no list", temperature=float("nan"), top_p=float("inf"), max_tokens=5))
    first, second = table(tmp_path).to_pylist()
    assert first["model"] == "half ? a character"
    assert [first[name] for name in ("seed", "max_tokens", "n", "tools")] == [None] * 4
    assert [second[name] for name in ("guard_rules", "temperature", "top_p", "max_tokens")] == [None, None, None, 5]


def test_a_row_that_the_caller_goes_on_using_stays_as_it_was(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        one = row(1)
        log.write(one)
        one["request_id"] = "another"
    assert ids(tmp_path) == ["sw-1"]


# ---- parts


def test_parts_are_made_by_rows_and_by_age_and_old_ones_are_never_touched(tmp_path: Path) -> None:
    with opened(tmp_path, rows=10, linger=0.0) as log:
        for number in range(100):
            log.write(row(number))
            log.flush()
        log.roll()
        before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
        assert len(before) == 10
    with opened(tmp_path, seconds=0.05) as log:
        log.write(row(100))
        until = time.monotonic() + 20
        while log.parts == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert log.parts == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert ids(tmp_path) == sorted(f"sw-{number}" for number in range(101))
    assert names(tmp_path) == {".parquet"}


def test_a_log_that_took_nothing_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "new" / "folder") as log:
        log.flush()
        log.roll()
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_many_rows_at_once_and_long_ones(tmp_path: Path) -> None:
    with opened(tmp_path, text=True, rows=1_000_000) as log:
        for number in range(3_000):
            log.write(row(number, prompt="word " * (number % 50)))
        log.write(row(3_000, prompt="x" * 3_000_000))
    assert len(ids(tmp_path)) == 3_001
    assert max(len(each or "") for each in table(tmp_path)["prompt"].to_pylist()) == 3_000_000


def test_several_logs_share_a_folder(tmp_path: Path) -> None:
    logs = [ExchangeLog(tmp_path, rows=20) for _ in range(3)]

    def write(log: ExchangeLog, begin: int) -> None:
        for number in range(begin, begin + 200):
            log.write(row(number))

    threads = [threading.Thread(target=write, args=(log, 200 * each)) for each, log in enumerate(logs) for _ in "a"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    assert ids(tmp_path) == sorted(f"sw-{number}" for number in range(600))


def test_threads_share_a_log(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        threads = [
            threading.Thread(target=lambda begin=begin: [log.write(row(n)) for n in range(begin, begin + 500)])
            for begin in range(0, 2_000, 500)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert log.taken == 2_000
    assert len(set(ids(tmp_path))) == 2_000


# ---- acknowledged


def test_written_says_that_rows_are_on_disk(tmp_path: Path) -> None:
    async def writes(log: ExchangeLog) -> None:
        await log.written()  # nothing was taken: nothing to wait for
        for number in range(50):
            log.write(row(number))
            await log.written()
            assert log.waiting == 0
        await asyncio.gather(*(one(log, number) for number in range(50, 250)))
        assert log.waiting == 0
        await log.aclose()

    async def one(log: ExchangeLog, number: int) -> None:
        log.write(row(number))
        await log.written()

    asyncio.run(writes(ExchangeLog(tmp_path)))
    assert len(ids(tmp_path)) == 250


def test_a_waiter_that_went_away_keeps_nobody(tmp_path: Path) -> None:
    async def leaves(log: ExchangeLog) -> None:
        log.write(row(1))
        waiting = asyncio.create_task(log.written())
        await asyncio.sleep(0)
        waiting.cancel()
        log.write(row(2))
        await log.written()

    with opened(tmp_path) as log:
        asyncio.run(leaves(log))
    assert ids(tmp_path) == ["sw-1", "sw-2"]


def test_a_row_after_the_end_is_counted_as_dropped(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        pass
    log.close()  # once more does no harm
    assert not log.write(row(1))
    assert log.dropped == 1


def test_a_program_that_ends_without_closing_loses_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from stillwatch.guard.exchange_log import ExchangeLog\n"
        "log = ExchangeLog(Path(sys.argv[1]), linger=60)\n"
        "log.write({'request_id': 'last', 'time': 1.7e9, 'account': 'a'})"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=ENVIRONMENT, check=True)  # noqa: S603
    assert ids(tmp_path) == ["last"]


# ---- killed


def noted(path: Path) -> set[str]:
    return {line.removesuffix(";") for line in path.read_text().splitlines() if line.endswith(";")}


@pytest.mark.parametrize("how", ["at 1 64", "timed 8"])
def test_acknowledged_rows_outlive_a_kill_and_none_is_doubled(tmp_path: Path, how: str) -> None:
    folder, acknowledged = tmp_path / "log", tmp_path / "ids"
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(Path(__file__).with_name("killed_writer.py")), folder, acknowledged, *how.split()],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == {"at 1 64": 64, "timed 8": 16}[how]
    with opened(folder) as log:
        log.roll()
    found = ids(folder)
    assert len(found) == len(set(found))
    assert noted(acknowledged) <= set(found) <= noted(acknowledged.with_suffix(".all"))
    assert names(folder) == {".parquet"}  # no journal, nothing half done


# ---- a disk that is full, slow or gone


class Disk:
    """What stands between the log and the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reason: OSError | None = None
        self.answers = threading.Event()
        self.answers.set()
        write = os.pwrite

        def pwrite(handle: int, data: bytes, at: int) -> int:
            self.answers.wait()
            if (reason := self.reason) is not None:
                write(handle, data[: len(data) // 2], at)
                raise reason
            return write(handle, data, at)

        monkeypatch.setattr(os, "pwrite", pwrite)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


FULL = OSError(28, "No space left on device")


def test_rows_wait_for_a_full_disk_and_are_written_when_it_has_room(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    async def waits(log: ExchangeLog) -> None:
        log.write(row(2))
        with pytest.raises(OutputError, match="no space left on device"):
            await log.written()

    with opened(tmp_path) as log:
        log.write(row(1))
        log.flush()
        disk.reason = FULL
        asyncio.run(waits(log))
        with pytest.raises(OutputError, match="no space"):
            log.flush()
        assert log.waiting == 1
        assert log.lag > 0
        assert str(tmp_path) in (log.trouble or "")
        disk.reason = None
        until = time.monotonic() + 20
        while log.waiting and time.monotonic() < until:
            time.sleep(0.01)
        log.flush()
        assert log.trouble is None
        log.write(row(3))
    assert ids(tmp_path) == ["sw-1", "sw-2", "sw-3"]
    assert names(tmp_path) == {".parquet"}
    assert "no space left on device; 1 rows wait in memory, 0 dropped so far" in caplog.text
    assert "rows are written again" in caplog.text


@pytest.mark.parametrize("on_full", ["drop", "refuse"])
def test_a_disk_that_does_not_answer_keeps_nobody_waiting_and_memory_is_bounded(
    tmp_path: Path, disk: Disk, on_full: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, memory=20_000, on_full=on_full) as log:
        disk.answers.clear()
        try:
            assert log.ready
            taken = [log.write(row(number)) for number in range(1_000)]
            kept = sum(taken)
            assert 0 < kept < 1_000
            assert taken == [True] * kept + [False] * (1_000 - kept)
            assert (log.dropped, log.waiting) == (1_000 - kept, kept)
            assert log.ready is (on_full == "drop")
        finally:
            disk.answers.set()
        log.flush()
        assert log.ready
        assert log.write(row(1_000))
    assert len(ids(tmp_path)) == kept + 1
    assert f"{1_000 - kept} rows were dropped" in caplog.text


def test_closing_on_a_full_disk_gives_up_and_says_what_is_lost(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stillwatch.guard.exchange_log._GRACE", 0.2)
    disk.reason = FULL
    with opened(tmp_path) as log:
        log.write(row(1))
    assert (log.dropped, log.waiting) == (1, 0)
    assert "1 rows were dropped" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_cannot_be_made_stays_a_journal_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise FULL

    with opened(tmp_path) as log, monkeypatch.context() as patched:
        patched.setattr(pq.ParquetWriter, "write_table", full)
        log.write(row(1))
        with pytest.raises(OutputError, match="no part can be made: no space"):
            log.roll()
        assert names(tmp_path) == {".journal"}
        log.write(row(2))
        log.flush()  # the log itself goes on
    assert ids(tmp_path) == ["sw-1", "sw-2"]
    assert names(tmp_path) == {".parquet"}


def test_a_real_limit_on_files_is_a_full_disk_too(tmp_path: Path) -> None:
    program = """
import resource, sys, time
from pathlib import Path
from stillwatch.guard.exchange_log import ExchangeLog
log = ExchangeLog(Path(sys.argv[1]))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
rows = [{"request_id": str(n), "time": 1.7e9 + n, "account": "a" * 100} for n in range(500)]
resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))
for row in rows:
    assert log.write(row)
while log.trouble is None:
    time.sleep(0.01)
print(log.waiting > 0, log.trouble)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
log.close()
print(log.waiting, log.dropped)
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, str(tmp_path)], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"True {tmp_path}: file too large", "0 0"]
    assert "file too large" in done.stderr
    assert len(set(ids(tmp_path))) == len(ids(tmp_path)) == 500


def test_a_folder_that_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written: not a directory"):
        ExchangeLog(tmp_path / "file" / "log")


def test_a_folder_that_may_not_be_written_to_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may be allowed everything
    with pytest.raises(OutputError, match="cannot be written: permission denied"):
        ExchangeLog(tmp_path)


# ---- scanned


def test_a_scan_reads_the_log_while_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with opened(folder, rows=1_500, text=True) as log:
        for number in range(4_000):
            log.write(row(number, prompt=f"What is {number}?", **ruling_columns(ALLOWED, None, f"sw-{number}")))
        log.roll()
        for number in range(4_000, 4_010):
            log.write(row(number))
        log.flush()
        (folder / ".exchanges-of-another.parquet.tmp").write_bytes(b"PAR1 half of it")
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "stillwatch", "scan", str(folder), "--strict", "--format", "json"],
            env={**ENVIRONMENT, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode in {0, 1}, done.stderr
    scan = json.loads(done.stdout)["scan"]
    assert (scan["exchanges"], scan["accounts"], scan["rejected"]["rows"]) == (4_000, 7, 0)
