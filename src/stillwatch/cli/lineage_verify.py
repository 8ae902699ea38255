"""`stillwatch lineage verify`: check what somebody shows, by what it says it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stillwatch.cli.lineage_options import COMMITMENTS, HEAD
from stillwatch.cli.options import FILE
from stillwatch.errors import LineageError

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.decisions.audit import Head


@click.command("verify")
@click.argument("file", type=FILE, metavar="FILE")
@COMMITMENTS
@HEAD
def verify_file(*, file: Path, commitments: Path, head: Head | None) -> None:
    """Check a revealed key against the commitments, and those against their hashes and a head noted earlier.

    Exits with 3 if anything is not what it says.
    """
    from stillwatch.lineage.commitments import read_commitments, verify_reveal

    try:
        data = file.read_bytes()
    except OSError as error:
        raise LineageError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    key, committed = verify_reveal(data, read_commitments(commitments, head), place=str(file))
    click.echo(f"Campaign: {key.campaign}")
    click.echo(f"Key:      the one that was committed to in entry {committed.entry.number}, at {committed.entry.at}")
    if committed.ledger:
        click.echo(f"Ledger:   its head then was {committed.ledger}")
    if head is None:
        click.echo("Time:     by the file's own word; give --head, noted where others saw it, to rely on it")
