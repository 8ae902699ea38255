"""How far the work is, on stderr: a bar on a terminal, a line now and then elsewhere, nothing if quiet."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import stillwatch
from stillwatch.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stillwatch.api import Progress

SECONDS_BETWEEN_LINES: Final = 5.0


@contextlib.contextmanager
def progress_shown(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Give what to call as work goes on: a bar on a terminal, a line now and then elsewhere, nothing if quiet."""
    if quiet:
        yield None
        return
    if next(Path(stillwatch.__file__).parent.rglob("*.nbi"), None) is None:  # no machine code beside the sources yet
        say("the first scan on this machine compiles its kernels, which takes about half a minute")
    started = time.monotonic()
    seen = 0

    with contextlib.ExitStack() as stack:
        show = stack.enter_context(_bar()) if sys.stderr.isatty() else _Lines(sys.stderr)

        def report(progress: Progress) -> None:
            nonlocal seen
            seen = max(seen, progress.exchanges)
            show(progress)

        yield report
    seconds = time.monotonic() - started
    say(f"{seen:,} exchanges in {seconds:.1f} s" + (f" ({seen / seconds:,.0f} a second)" if seconds >= 1 else ""))


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True, expand=True) as bars:
        tasks: dict[str, tuple[TaskID, float]] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                task = bars.add_task(progress.stage, total=progress.total or None, detail="")
                tasks[progress.stage] = (task, time.monotonic())
            task, started = tasks[progress.stage]
            seconds = time.monotonic() - started
            bars.update(
                task,
                completed=progress.done,
                total=progress.total or None,
                detail=_detail(progress, seconds if len(tasks) == 1 else 0.0),
            )

        yield show


class _Lines:
    """Progress where there is no terminal: a line when a stage begins, and every few seconds within it."""

    def __init__(self, file: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._stage = ""
        self._started = self._said = 0.0

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        if progress.stage != self._stage:
            first_stage = not self._stage
            self._stage, self._started, self._said = progress.stage, now, now
            self._counting = first_stage
        elif now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = now
        share = f" {progress.done / progress.total:.0%}" if progress.total else ""
        detail = _detail(progress, now - self._started if self._counting else 0.0)
        self._file.write(f"stillwatch: {progress.stage}{share}{f' ({detail})' if detail else ''}\n")
        self._file.flush()

    _counting = False


def _detail(progress: Progress, seconds: float) -> str:
    """Exchanges so far; with seconds, how many a second."""
    if not progress.exchanges:
        return ""
    rate = f", {progress.exchanges / seconds:,.0f} a second" if seconds >= 1 else ""
    return f"{progress.exchanges:,} exchanges{rate}"
