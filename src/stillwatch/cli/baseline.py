"""`stillwatch baseline`: what ordinary traffic looks like, learned and looked at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.options import FILE, QUIET, reads_logs
from stillwatch.cli.output import console_on, require_writable, say
from stillwatch.cli.progress import progress_shown

if TYPE_CHECKING:
    from stillwatch.exchanges.source import LogSource


@click.group()
def baseline() -> None:
    """Learn what ordinary traffic looks like here, and look at what was learned."""


@baseline.command()
@reads_logs
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    default=Path("baseline.json"),
    show_default=True,
    help="Write it here.",
)
@QUIET
def fit(
    *,
    source: LogSource,
    accounts: Path | None,
    limit_memory: int | None,
    output: Path,
    quiet: bool,
) -> None:
    """Learn the baseline from LOGS of ordinary traffic; campaigns among them do not spoil it.

    Give the file to `scan --baseline`.
    """
    read = (*source.logs, accounts)
    require_writable(output, read=read)
    require_writable(source.rejects, read=(*read, output))

    from stillwatch import api

    with progress_shown(quiet=quiet) as progress:
        fitted = api.fit_baseline(source, accounts=accounts, limit_memory=limit_memory, progress=progress)
    api.save_baseline(fitted, output)
    if not quiet:
        say(f"baseline written to {output}; next: stillwatch scan LOGS --baseline {output}")


@baseline.command("show")
@click.argument("file", type=FILE, metavar="FILE")
def show_baseline(file: Path) -> None:
    """Show what a baseline holds."""
    import msgspec

    from stillwatch import api
    from stillwatch.report.baseline import print_baseline

    api.load_baseline(file)  # refuses what is no baseline, with a reason
    content = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    print_baseline(content, console_on(sys.stdout), path=str(file))
