"""`stillwatch lineage`: was a model distilled from ours? One file a subcommand."""

from __future__ import annotations

import click

from stillwatch.cli.lineage_commit import commit_keys
from stillwatch.cli.lineage_keygen import keygen
from stillwatch.cli.lineage_reveal import reveal
from stillwatch.cli.lineage_test import test_suspect
from stillwatch.cli.lineage_verify import verify_file


@click.group()
def lineage() -> None:
    """Dye answers that campaigns get, and find the dye in a suspect model's texts."""


for _command in (keygen, commit_keys, reveal, verify_file, test_suspect):
    lineage.add_command(_command)
