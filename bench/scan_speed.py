"""Speed: a scan from end to end, its text kernels alone, and two floors under it, in one run on two cores.

    scan_speed.py                                1 and 10 million exchanges
    scan_speed.py --rows 100000 --rows 1000000   other sizes
    scan_speed.py --keep FOLDER                  write the logs there, and use them again next time

Floor 1 reads the same Parquet columns and does nothing with them. Floor 2 hashes every prompt byte once with a native
hash (BLAKE2b of the standard library, one call a batch over Arrow's buffer, one core). The kernels alone are
`stillwatch.marks.text.read_text` on batches in memory, on one core. The scan goes through `stillwatch.api.scan`:
reading the log and the account file, marks, sums, cohorts, verdicts. Start-up is stated apart: importing, and a first
scan of 2,000 exchanges, once with nothing compiled yet and once with the compiled code on disk. Every figure comes
from a process of its own; peak memory is that process's largest resident set. A machine may be noisy: compare ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = (1_000_000, 10_000_000)
CORES = 2
SMALL = 2_000
BATCH = 65_536

Figures = dict[str, float]


def files_of(log: Path) -> list[Path]:
    """The log's files, in order of time."""
    return sorted((log / "exchanges").glob("*.parquet"))


def batches(log: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """All batches of a log."""
    for path in files_of(log):
        yield from pq.ParquetFile(path).iter_batches(batch_size=BATCH, columns=columns, use_threads=True)


def prompt_bytes(prompts: pa.Array) -> memoryview:
    """The bytes of a string column, as they lie in Arrow's buffer."""
    _, offsets, data = prompts.buffers()
    width = 8 if pa.types.is_large_string(prompts.type) else 4
    ends = memoryview(offsets).cast("q" if width == 8 else "i")
    return memoryview(data)[ends[prompts.offset] : ends[prompts.offset + len(prompts)]]


# ---------------------------------------------------------------- what a child process measures
def write(log: Path) -> Figures:
    """Write a log of as many rows as its folder is called."""
    from traffic import write_log  # noqa: PLC0415 - a child loads only what it measures

    begun = time.perf_counter()
    write_log(log, int(log.name))
    return {"seconds": time.perf_counter() - begun}


def read(log: Path) -> Figures:
    """Floor 1."""
    begun = time.perf_counter()
    rows = sum(batch.num_rows for batch in batches(log, None))
    return {"seconds": time.perf_counter() - begun, "rows": rows}


def digest(log: Path) -> Figures:
    """Floor 2: only the hashing is timed."""
    seconds, size = 0.0, 0
    for batch in batches(log, ["prompt"]):
        data = prompt_bytes(batch.column(0))
        begun = time.perf_counter()
        hashlib.blake2b(data).digest()
        seconds += time.perf_counter() - begun
        size += len(data)
    return {"seconds": seconds, "bytes": size}


def kernels(log: Path) -> Figures:
    """Time the text kernels on one core, compiled beforehand."""
    from stillwatch.marks.text import read_text  # noqa: PLC0415 - a child loads only what it measures

    seconds, size = 0.0, 0
    for i, batch in enumerate(batches(log, ["prompt"])):
        prompts = batch.column(0)
        if i == 0:
            read_text(prompts)
        begun = time.perf_counter()
        read_text(prompts)
        seconds += time.perf_counter() - begun
        size += len(prompt_bytes(prompts))
    return {"seconds": seconds, "bytes": size}


def start(log: Path) -> Figures:
    """Import, then scan the small log once."""
    begun = time.perf_counter()
    from scans import scan_arena  # noqa: PLC0415 - a child loads only what it measures

    imported = time.perf_counter()
    scan_arena(log)
    return {"import_seconds": imported - begun, "first_scan_seconds": time.perf_counter() - imported}


def scan(log: Path) -> Figures:
    """Scan end to end, after a scan of the small log that loads what was compiled."""
    from scans import accused_in, scan_arena  # noqa: PLC0415 - a child loads only what it measures

    scan_arena(log.with_name(str(SMALL)))
    begun = time.perf_counter()
    findings = scan_arena(log)
    seconds = time.perf_counter() - begun
    if findings.scan.rejected.rows:
        raise SystemExit(f"{log}: {findings.scan.rejected.rows} rows were rejected, so the figures would flatter")
    return {"seconds": seconds, "rows": findings.scan.exchanges, "campaigns": len(accused_in(findings))}


TASKS: dict[str, tuple[Callable[[Path], Figures], int]] = {  # task -> what runs it, on how many cores
    "write": (write, CORES),
    "read": (read, CORES),
    "digest": (digest, 1),
    "kernels": (kernels, 1),
    "start": (start, CORES),
    "scan": (scan, CORES),
}


def work(task: str, log: Path) -> None:
    """Be the child: bind to the cores, run the task, print its figures."""
    run, cores = TASKS[task]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    pa.set_cpu_count(cores)
    figures = run(log)
    figures["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def child(task: str, log: Path, **environment: str) -> Any:  # noqa: ANN401 - figures as JSON gives them
    """Run one task in a process of its own and return its figures."""
    command = [sys.executable, __file__, "--child", task, str(log)]
    # The parent stays small: a child's peak begins with the size of the process it was forked from.
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment)  # noqa: S603 - this very script
    return json.loads(done.stdout.splitlines()[-1])


# ---------------------------------------------------------------- the parent
def ready(folder: Path, rows: int) -> Path:
    """Return the log of that many rows, written if it is not there yet."""
    log = folder / str(rows)
    if not (log / "accounts.parquet").exists():
        seconds = child("write", log)["seconds"]
        print(f"wrote {rows:,} exchanges in {seconds:.0f} s", file=sys.stderr)
    return log


def measure(log: Path) -> dict[str, Any]:
    """All figures of one log."""
    return {task: child(task, log) for task in ("read", "digest", "kernels", "scan")}


def show(rows: int, log: Path, figures: dict[str, Any]) -> None:
    """Print one log's figures, each with its ratio to the floors."""
    size = sum(path.stat().st_size for path in files_of(log))
    floor, hashed, kernel, whole = (figures[t] for t in ("read", "digest", "kernels", "scan"))
    megabytes = hashed["bytes"] / 1e6
    print(
        f"\n{rows:,} exchanges, prompts of {hashed['bytes'] / rows:.0f} bytes on average, {size / 1e6:,.0f} MB in "
        f"{len(files_of(log))} files\n"
        f"  floor 1, reading, {CORES} cores      {floor['seconds']:8.2f} s"
        f"  {rows / floor['seconds']:12,.0f} exchanges/s\n"
        f"  floor 2, hashing, one core     {hashed['seconds']:8.2f} s"
        f"  {megabytes / hashed['seconds']:12,.0f} MB/s\n"
        f"  kernels alone, one core        {kernel['seconds']:8.2f} s  {megabytes / kernel['seconds']:12,.0f} MB/s"
        f"  ({kernel['seconds'] / hashed['seconds']:.1f} times floor 2)\n"
        f"  scan, end to end, {CORES} cores      {whole['seconds']:8.2f} s"
        f"  {rows / whole['seconds']:12,.0f} exchanges/s"
        f"  ({whole['seconds'] / floor['seconds']:.1f} times floor 1, "
        f"{whole['seconds'] / (floor['seconds'] + hashed['seconds']):.1f} times both floors), "
        f"{whole['campaigns']} campaigns found\n"
        f"  peak memory                    scan {whole['peak_megabytes']:,.0f} MB, "
        f"reading alone {floor['peak_megabytes']:,.0f} MB"
    )


def show_growth(measured: dict[int, dict[str, Any]]) -> None:
    """Print how time and memory grow from the smallest log to the largest."""
    small, large = min(measured), max(measured)
    if small == large:
        return
    one, other = measured[small]["scan"], measured[large]["scan"]
    linear = large / small
    print(
        f"\nfrom {small:,} to {large:,} exchanges: time grows {other['seconds'] / one['seconds']:.2f} times, "
        f"{other['seconds'] / one['seconds'] / linear:.2f} of linear; "
        f"peak memory grows {other['peak_megabytes'] / one['peak_megabytes']:.2f} times"
    )


def show_start(folder: Path) -> dict[str, Any]:
    """Measure and print start-up, cold and warm."""
    small = ready(folder, SMALL)
    with TemporaryDirectory(prefix="compiled-") as cache:
        cold = child("start", small, NUMBA_CACHE_DIR=cache)
        warm = child("start", small, NUMBA_CACHE_DIR=cache)
    print(
        f"start-up: import {warm['import_seconds']:.2f} s; first scan of {SMALL:,} exchanges "
        f"{cold['first_scan_seconds']:.2f} s with nothing compiled, {warm['first_scan_seconds']:.2f} s afterwards"
    )
    return {"cold": cold, "warm": warm}


def main() -> None:
    """Measure each size in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append", help="exchanges of a log; may be given more than once")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the logs are, or are to be kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    parser.add_argument("--child", nargs=2, metavar=("TASK", "LOG"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        work(args.child[0], Path(args.child[1]))
        return
    with ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(TemporaryDirectory(prefix="logs-")))
        started = show_start(folder)
        measured = {}
        for rows in args.rows or ROWS:
            log = ready(folder, rows)
            measured[rows] = measure(log)
            show(rows, log, measured[rows])
            sys.stdout.flush()
        show_growth(measured)
        if args.json:
            args.json.write_text(json.dumps({"start": started, "logs": measured}, indent=1))


if __name__ == "__main__":
    main()
