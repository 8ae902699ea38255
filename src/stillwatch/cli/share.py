"""`stillwatch share`: intelligence given to others and taken from them."""

from __future__ import annotations

import click

from stillwatch.cli.share_export import export
from stillwatch.cli.share_report import report
from stillwatch.cli.share_sightings import sightings


@click.group()
def share() -> None:
    """Share what was found with other providers and agencies.

    Whatever leaves is keyed, rounded, marked (TLP 2.0) and approved by a person.
    """


share.add_command(export)
share.add_command(sightings)
share.add_command(report)
