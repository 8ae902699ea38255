"""`stillwatch demo`: a log with campaigns in it made, scanned, and held against the truth."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import console_on, print_report, say, write_report
from stillwatch.cli.progress import progress_shown
from stillwatch.errors import UsageError

DEMO_MARKER: Final = ".stillwatch-demo"
DEMO_MAKES: Final = ("log", "findings.json", "key")


@click.command()
@click.option(
    "--out", type=FILE, metavar="DIR", default=Path("stillwatch-demo"), show_default=True, help="Folder for all of it."
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
    say(f"making a log in {log} (seed {seed})")
    api.simulate("demo", log, seed=seed)
    key = load_or_make_key(out / "key")
    with progress_shown(quiet=False) as progress:
        findings = api.scan([log / "exchanges"], accounts=log / "accounts.parquet", key=key, progress=progress)
    write_report(findings, "json", findings_file)

    print_report(findings, "human", saved_as=str(findings_file))
    console = console_on(sys.stdout)
    click.echo()
    print_comparison(compare(findings, read_truth(log / "truth" / "accounts.parquet")), console)
    click.echo()
    click.echo(f"Log:      {log / 'exchanges'}")
    click.echo(f"Findings: {findings_file}")
    if findings.campaigns:
        click.echo(f"Next:     stillwatch explain {findings.campaigns[0].id} {findings_file}")


def _clear_demo(out: Path) -> None:
    """Make an empty folder for the demo: an earlier demo's is emptied of what it made, others are refused."""
    marker = out / DEMO_MARKER
    if marker.is_file():
        say(f"{out} holds an earlier demo; starting clean")
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
