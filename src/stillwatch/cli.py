"""The command line: arguments to `api`, results to stdout, all else to stderr. Touches clock, terminal and files.

Exit codes: 0 done; 1 `--fail-on` is met; 2 wrong usage; 3 failure; 130 interrupted; 141 the reader of stdout went away.
Whatever is slow to import is imported where it is used, so that `--help` answers at once.
"""

# ruff: noqa: PLC0415  what is slow to import is imported where it is used

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import time
import traceback
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from stillwatch.errors import FindingsError, OutputError, StillwatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.console import Console

    from stillwatch.api import Progress
    from stillwatch.verdicts.evidence import Findings

FAIL_ON_MET: Final = 1
FAILURE: Final = 3
INTERRUPTED: Final = 128 + 2  # as a shell reports SIGINT
READER_GONE: Final = 128 + 13  # as a shell reports SIGPIPE

DEMO_MARKER: Final = ".stillwatch-demo"
DEMO_MAKES: Final = ("log", "findings.json", "key")
SECONDS_BETWEEN_LINES: Final = 5.0


class _Commands(click.Group):
    """The commands, with every error turned into a message and an exit code in one place."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  the signature is click's
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            _say("interrupted; no findings were written")
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # a second failure when Python flushes at exit would print a traceback: let it flush into nothing
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(READER_GONE) from None
        except StillwatchError as error:
            _say(f"error: {error}")
            raise click.exceptions.Exit(error.exit_code) from None
        except OSError as error:
            _say(f"error: {error.filename or 'output'}: {(error.strerror or str(error)).lower()}")
            raise click.exceptions.Exit(FAILURE) from None
        except MemoryError:
            _say("error: out of memory; --limit-memory makes a scan use the disk instead")
            raise click.exceptions.Exit(FAILURE) from None
        except Exception:  # noqa: BLE001  Python's exit code for it is 1, which here means `--fail-on`
            traceback.print_exc()
            _say("error: this is a defect of stillwatch; please report it with the lines above")
            raise click.exceptions.Exit(FAILURE) from None
        return result


class _Time(click.ParamType[datetime]):
    """A time: RFC 3339, or a day; without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401  the signature is click's
        try:
            parsed = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-07-01 or 2026-07-01T12:00:00Z", param, ctx)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


class _Memory(click.ParamType[int]):
    """An amount of memory: `2GB`, `512MiB`, or bytes."""

    name = "size"
    _UNITS: Final[Mapping[str, int]] = {
        **dict.fromkeys(("", "b"), 1),
        **{unit: 1000**power for power, unit in enumerate(("kb", "mb", "gb", "tb"), start=1)},
        **{unit: 1024**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), start=1)},
    }

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401  the signature is click's
        written = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value).lower())
        if written is None or written[2] not in self._UNITS:
            self.fail(f"{value!r} is no amount of memory; write 2GB or 512MiB", param, ctx)
        size = int(float(written[1]) * self._UNITS[written[2]])
        if size < 1:
            self.fail("no memory at all is too little", param, ctx)
        return size


_FILE = click.Path(path_type=Path)
_LOGS = click.argument("logs", nargs=-1, required=True, metavar="LOGS...")
_QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress, no notes, no second copy of the report.")


def _log_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give the options of every command that reads logs."""
    for option in reversed(
        (
            click.option("--accounts", type=_FILE, metavar="FILE", help="Table of accounts: sign-up, payment, tier."),
            click.option("--dialect", metavar="NAME", help="How the logs are written; recognised if not given."),
            click.option("--since", type=_Time(), metavar="TIME", help="Leave out what is earlier than this."),
            click.option("--until", type=_Time(), metavar="TIME", help="Leave out this moment and what is later."),
            click.option("--strict", is_flag=True, help="Stop at the first row that cannot be read."),
            click.option("--rejects", type=_FILE, metavar="FILE", help="Write the rows that cannot be read here."),
            click.option("--limit-memory", type=_Memory(), metavar="SIZE", help="Use the disk beyond this, e.g. 2GB."),
            click.option("--key-file", type=_FILE, metavar="FILE", help="Key of the marks; made on first use."),
        )
    ):
        command = option(command)
    return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 --fail-on is met, 2 wrong usage, 3 failure.",
)
@click.version_option(package_name="stillwatch", message="%(prog)s %(version)s")
def commands() -> None:
    """Find adversarial distillation in a model's request logs.

    Many accounts, one operator, one queue of prompts: stillwatch gathers accounts that act as one, judges
    which of these cohorts are campaigns, and shows the evidence. Start with: stillwatch demo
    """


@commands.command()
@_LOGS
@_log_options
@click.option("--baseline", type=_FILE, metavar="FILE", help="What ordinary traffic looks like (see `baseline fit`).")
@click.option(
    "--format",
    "form",
    type=click.Choice(["human", "json", "jsonl"]),
    help="Default: human, or what the name given with -o ends in.",
)
@click.option("-o", "--output", type=_FILE, metavar="FILE", help="Write the findings here, whole or not at all.")
@click.option("--fail-on", type=click.Choice(["campaign", "watch"]), help="Exit with 1 if there is one (or worse).")
@_QUIET
def scan(
    *,
    logs: tuple[str, ...],
    accounts: Path | None,
    dialect: str | None,
    since: datetime | None,
    until: datetime | None,
    strict: bool,
    rejects: Path | None,
    limit_memory: int | None,
    key_file: Path | None,
    baseline: Path | None,
    form: str | None,
    output: Path | None,
    fail_on: str | None,
    quiet: bool,
) -> None:
    """Scan request logs and report the campaigns in them.

    LOGS are files, folders or globs: Parquet, JSON lines (plain, .gz, .zst) or CSV. With -o, the findings are
    written to a file and the report for people is printed as well (not with --quiet).
    """
    if output == Path("-"):
        output = None  # as everywhere: stdout
    form = form or _form_of(output)
    _require_window(since, until)
    _require_writable(output, logs=logs, inputs=(accounts, baseline, key_file))
    _require_writable(rejects, logs=logs, inputs=(accounts, baseline, key_file, output))
    key = _key(key_file)

    from stillwatch import api

    with _progress(quiet=quiet) as progress:
        findings = api.scan(
            logs,
            accounts=accounts,
            dialect=dialect,
            baseline=baseline,
            key=key,
            since=since,
            until=until,
            strict=strict,
            rejects=rejects,
            limit_memory=limit_memory,
            progress=progress,
            note=None if quiet else _say,
        )
    if output is None:
        _print(findings, form)
    else:
        _write(findings, form, output)
        if not quiet:
            if form != "human":
                _print(findings, "human", saved_as=str(output))
            _say(f"findings written to {output}")
    if _fails(findings, fail_on):
        raise click.exceptions.Exit(FAIL_ON_MET)


@commands.command()
@click.argument("name", metavar="CAMPAIGN|ACCOUNT")
@click.argument("findings_file", type=_FILE, metavar="FINDINGS")
def explain(name: str, findings_file: Path) -> None:
    """Show how a verdict came about, bit by bit.

    Give the id of a campaign or cohort (its beginning is enough), or an account: why is it in, or why not?
    FINDINGS is what `scan -o findings.json` wrote; `-` reads it from stdin.
    """
    from stillwatch.report.explain import explain as print_explanation
    from stillwatch.report.findings_v1 import from_either

    findings = from_either(_read_findings(findings_file), path=str(findings_file))
    print_explanation(findings, name, _console(sys.stdout))


@commands.group()
def baseline() -> None:
    """Learn what ordinary traffic looks like here, and look at what was learned."""


@baseline.command()
@_LOGS
@_log_options
@click.option(
    "-o",
    "--output",
    type=_FILE,
    metavar="FILE",
    default=Path("baseline.json"),
    show_default=True,
    help="Write it here.",
)
@_QUIET
def fit(
    *,
    logs: tuple[str, ...],
    accounts: Path | None,
    dialect: str | None,
    since: datetime | None,
    until: datetime | None,
    strict: bool,
    rejects: Path | None,
    limit_memory: int | None,
    key_file: Path | None,
    output: Path,
    quiet: bool,
) -> None:
    """Learn the baseline from LOGS of ordinary traffic; campaigns among them do not spoil it.

    Give the file to `scan --baseline`.
    """
    _require_window(since, until)
    _require_writable(output, logs=logs, inputs=(accounts, key_file))
    _require_writable(rejects, logs=logs, inputs=(accounts, key_file, output))
    key = _key(key_file)

    from stillwatch import api

    with _progress(quiet=quiet) as progress:
        fitted = api.fit_baseline(
            logs,
            accounts=accounts,
            dialect=dialect,
            since=since,
            until=until,
            strict=strict,
            rejects=rejects,
            limit_memory=limit_memory,
            key=key,
            progress=progress,
        )
    api.save_baseline(fitted, output)
    if not quiet:
        _say(f"baseline written to {output}; next: stillwatch scan LOGS --baseline {output}")


@baseline.command("show")
@click.argument("file", type=_FILE, metavar="FILE")
def show_baseline(file: Path) -> None:
    """Show what a baseline holds."""
    import msgspec

    from stillwatch import api
    from stillwatch.report.baseline import print_baseline

    api.load_baseline(file)  # refuses what is no baseline, with a reason
    content = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    print_baseline(content, _console(sys.stdout), path=str(file))


@commands.command()
@click.argument("scenario")
@click.option("--out", type=_FILE, metavar="DIR", required=True, help="Folder for log, accounts and truth.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed makes another log.")
@click.option("--scale", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "jsonl", "csv"]),
    default="parquet",
    show_default=True,
    help="How the log is written.",
)
def simulate(*, scenario: str, out: Path, seed: int, scale: float, form: str) -> None:
    """Make a request log with known campaigns in it, to try whether they would be found.

    SCENARIO is a YAML file, or the name of one that comes with stillwatch (`demo`).
    """
    from stillwatch import api

    api.simulate(scenario, out, seed=seed, scale=scale, format=form)
    click.echo(f"log:      {out / 'exchanges'}")
    click.echo(f"accounts: {out / 'accounts.parquet'}")
    click.echo(f"truth:    {out / 'truth' / 'accounts.parquet'}")
    _say(f"next: stillwatch scan {out / 'exchanges'} --accounts {out / 'accounts.parquet'}")


@commands.command()
@click.option(
    "--out", type=_FILE, metavar="DIR", default=Path("stillwatch-demo"), show_default=True, help="Folder for all of it."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed makes another log.")
def demo(*, out: Path, seed: int) -> None:
    """Make a log with campaigns in it, scan it, and hold the findings against the truth.

    Nothing outside the folder is touched.
    """
    _clear_demo(out)

    from stillwatch import api
    from stillwatch.report.key_file import load_or_make_key
    from stillwatch.report.truth import compare, print_comparison, read_truth

    log, findings_file = out / "log", out / "findings.json"
    _say(f"making a log in {log} (seed {seed})")
    api.simulate("demo", log, seed=seed)
    key = load_or_make_key(out / "key")
    with _progress(quiet=False) as progress:
        findings = api.scan([log / "exchanges"], accounts=log / "accounts.parquet", key=key, progress=progress)
    _write(findings, "json", findings_file)

    _print(findings, "human", saved_as=str(findings_file))
    console = _console(sys.stdout)
    click.echo()
    print_comparison(compare(findings, read_truth(log / "truth" / "accounts.parquet")), console)
    click.echo()
    click.echo(f"Log:      {log / 'exchanges'}")
    click.echo(f"Findings: {findings_file}")
    if findings.campaigns:
        click.echo(f"Next:     stillwatch explain {findings.campaigns[0].id} {findings_file}")


@commands.command()
def version() -> None:
    """Show the versions of stillwatch and of the formats that it reads and writes."""
    from stillwatch.exchanges.schema import VERSION as LOG_VERSION
    from stillwatch.report.findings_v1 import VERSION as FINDINGS_VERSION

    click.echo(f"stillwatch {_installed_version()}")
    click.echo(f"reads  {LOG_VERSION}")
    click.echo(f"writes {FINDINGS_VERSION}")


def _installed_version() -> str:
    try:
        return metadata.version("stillwatch")
    except metadata.PackageNotFoundError:
        return "(run from its source, not installed)"


def _clear_demo(out: Path) -> None:
    """Make an empty folder for the demo: an earlier demo's is emptied of what it made, others are refused."""
    marker = out / DEMO_MARKER
    if marker.is_file():
        _say(f"{out} holds an earlier demo; starting clean")
        for name in DEMO_MAKES:
            made = out / name
            if made.is_dir() and not made.is_symlink():
                shutil.rmtree(made)
            else:
                made.unlink(missing_ok=True)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already and was not made by the demo; name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    marker.write_text("made by stillwatch demo; the next one starts clean here\n", encoding="utf-8")


def _form_of(output: Path | None) -> str:
    """Give the format that a file's name asks for."""
    endings = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    return "human" if output is None else endings.get(output.suffix.lower(), "human")


def _require_window(since: datetime | None, until: datetime | None) -> None:
    if since is not None and until is not None and since >= until:
        raise UsageError(f"--since {since.isoformat()} is not before --until {until.isoformat()}: nothing lies between")


def _require_writable(path: Path | None, *, logs: tuple[str, ...] = (), inputs: tuple[Path | None, ...] = ()) -> None:
    """See before a long scan, not after it, that this file can be written and is none of those that are read."""
    if path is None:
        return
    target = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a pipe or a device: only writing tells
    read = [Path(log) for log in logs] + [each for each in inputs if each is not None]
    if any(target == each.resolve() for each in read):
        raise UsageError(f"{path}: is read and would be written to as well; name another file")
    if target.is_dir():
        raise OutputError(f"{path}: cannot be written: it is a folder")
    if not target.parent.is_dir():
        raise OutputError(f"{path}: cannot be written: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{path}: cannot be written: permission denied")


def _key(key_file: Path | None) -> bytes:
    from stillwatch.report.key_file import FIRST_USE, default_key_path, load_or_make_key

    path = default_key_path() if key_file is None else key_file
    first_use = not path.exists()
    key = load_or_make_key(path)
    if first_use:
        _say(FIRST_USE.format(path=path))
    return key


def _read_findings(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise FindingsError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def _fails(findings: Findings, fail_on: str | None) -> bool:
    from stillwatch.verdicts.evidence import Verdict

    failing = {"campaign": {Verdict.CAMPAIGN}, "watch": {Verdict.CAMPAIGN, Verdict.WATCH}}.get(fail_on or "", set())
    return any(finding.verdict in failing for finding in findings.campaigns)


# ---- output


def _say(message: str) -> None:
    click.echo(f"stillwatch: {message}", err=True)


def _console(file: IO[str], width: int | None = None) -> Console:
    from rich.console import Console

    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="backslashreplace")  # names come from logs; no terminal's encoding may stop a report
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def _print(findings: Findings, form: str, *, saved_as: str = "") -> None:
    if form == "human":
        from stillwatch.report.terminal import print_findings

        print_findings(findings, _console(sys.stdout), saved_as=saved_as)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(_encoded(findings, form))
        sys.stdout.buffer.flush()


def _write(findings: Findings, form: str, path: Path) -> None:
    from stillwatch.report.output_file import write_whole

    write_whole(path, _encoded(findings, form))


def _encoded(findings: Findings, form: str) -> bytes:
    from stillwatch.report.findings_v1 import to_json, to_json_lines
    from stillwatch.report.terminal import print_findings

    if form == "human":
        page = io.StringIO()
        print_findings(findings, _console(page, width=100))
        return page.getvalue().encode()
    return to_json(findings) if form == "json" else to_json_lines(findings)


# ---- progress


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Give what to call as work goes on: a bar on a terminal, a line now and then elsewhere, nothing if quiet."""
    if quiet:
        yield None
        return
    if next(Path(__file__).parent.rglob("*.nbi"), None) is None:  # no machine code beside the sources yet
        _say("the first scan on this machine compiles its kernels, which takes about half a minute")
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
    _say(f"{seen:,} exchanges in {seconds:.1f} s" + (f" ({seen / seconds:,.0f} a second)" if seconds >= 1 else ""))


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


def main() -> None:
    """Run the command `stillwatch`."""
    commands(prog_name="stillwatch")


if __name__ == "__main__":
    main()
