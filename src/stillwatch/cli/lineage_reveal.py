"""`stillwatch lineage reveal`: one campaign's key, for whoever is to check the commitment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stillwatch.cli.lineage_options import COMMITMENTS
from stillwatch.cli.options import FILE
from stillwatch.errors import UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("reveal")
@click.argument("keys", type=FILE, metavar="KEYS")
@click.argument("campaign", metavar="CAMPAIGN")
@COMMITMENTS
@click.option("-o", "--output", type=FILE, required=True, metavar="FILE", help="Where to write it.")
def reveal(*, keys: Path, campaign: str, commitments: Path, output: Path) -> None:
    """Write what others need to check that a campaign's key was committed to: the key, its salt, and the entry.

    Whoever has it can find the campaign's dye, and remove or forge it: dye nothing with this key afterwards.
    """
    from stillwatch.lineage.commitments import committed_to, read_commitments, revealed
    from stillwatch.lineage.key_ring import load_keys
    from stillwatch.report.output_file import write_whole

    key = next((each for each in load_keys(keys) if each.campaign == campaign), None)
    if key is None:
        raise UnknownNameError(f"{keys}: no campaign {campaign!r}")
    committed = committed_to(key, read_commitments(commitments), place=str(keys))
    write_whole(output, revealed(key, committed), private=True)
    click.echo(f"Revealed: {output}, the key of {campaign}, committed to at {committed.entry.at}")
    click.echo(f"Check:    stillwatch lineage verify {output} --commitments {commitments}")
