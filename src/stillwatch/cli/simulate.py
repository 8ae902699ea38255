"""`stillwatch simulate`: a log with known campaigns in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("scenario")
@click.option("--out", type=FILE, metavar="DIR", required=True, help="Folder for log, accounts and truth.")
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
    say(f"next: stillwatch scan {out / 'exchanges'} --accounts {out / 'accounts.parquet'}")
