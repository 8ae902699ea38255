"""`stillwatch lineage`: was a model distilled from ours? One file a subcommand."""

from __future__ import annotations

import click

from stillwatch.cli.lineage_behaviour import behaviour
from stillwatch.cli.lineage_canaries import canaries
from stillwatch.cli.lineage_commit import commit_keys
from stillwatch.cli.lineage_evidence import verify_evidence
from stillwatch.cli.lineage_keygen import keygen
from stillwatch.cli.lineage_neutrality import neutrality
from stillwatch.cli.lineage_reveal import reveal
from stillwatch.cli.lineage_safety import safety
from stillwatch.cli.lineage_test import test_suspect
from stillwatch.cli.lineage_verdict import verdict
from stillwatch.cli.lineage_verify import verify_file


@click.group()
def lineage() -> None:
    """Tell whether a suspect model learnt from ours, and whether its safeguards were removed."""


for _command in (
    *(keygen, commit_keys, reveal, verify_file, test_suspect),
    *(canaries, behaviour, verdict, safety, neutrality, verify_evidence),
):
    lineage.add_command(_command)
