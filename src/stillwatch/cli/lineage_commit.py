"""`stillwatch lineage commit`: bind keys to a moment, before they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stillwatch.cli.lineage_options import COMMITMENTS
from stillwatch.cli.options import FILE

if TYPE_CHECKING:
    from pathlib import Path


@click.command("commit")
@click.argument("keys", type=FILE, metavar="KEYS")
@COMMITMENTS
@click.option(
    "--ledger", "place", metavar="PATH|URL", help="Note this ledger's head in the commitment, to show what came first."
)
def commit_keys(*, keys: Path, commitments: Path, place: str | None) -> None:
    """Commit to every key of a file, before it is used; shows neither key nor campaign.

    What was committed to before stays as it is. Note the head where others can see it: in the reason of the decision to
    dye, with a notary, or as a time stamp (RFC 3161). Against it nobody can say that a key was chosen afterwards.
    """
    from stillwatch.cli.ledger_options import opened
    from stillwatch.decisions.audit import Head
    from stillwatch.lineage.commitments import commit, read_commitments
    from stillwatch.lineage.key_ring import load_keys

    ledger = ""
    if place is not None:
        with opened(place) as held:
            ledger = str(held.head())
    ring = load_keys(keys)
    made = commit(commitments, ring, ledger=ledger)
    for key, each in zip(ring, made, strict=True):
        click.echo(f"{each.entry.number}  {each.entry.at}  {each.commitment}  {key.campaign}")
    whole = read_commitments(commitments)
    head = Head(whole[-1].entry.number, whole[-1].entry.hash) if whole else Head()
    click.echo(f"Head:     {head}")
