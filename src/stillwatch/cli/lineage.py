"""`stillwatch lineage`: was a model distilled from ours? One file a subcommand."""

from __future__ import annotations

import click

from stillwatch.cli.lineage_behaviour import behaviour
from stillwatch.cli.lineage_canaries import canaries
from stillwatch.cli.lineage_evidence import verify_evidence
from stillwatch.cli.lineage_neutrality import neutrality
from stillwatch.cli.lineage_safety import safety
from stillwatch.cli.lineage_verdict import verdict


@click.group()
def lineage() -> None:
    """Tell whether a suspect model learnt from ours, and whether its safeguards were removed."""


for _command in (canaries, behaviour, verdict, safety, neutrality, verify_evidence):
    lineage.add_command(_command)
