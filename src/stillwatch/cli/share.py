"""`stillwatch share`: intelligence between providers, clouds and agencies."""

from __future__ import annotations

import click

from stillwatch.cli.share_export import export
from stillwatch.cli.share_member import member
from stillwatch.cli.share_poll import poll
from stillwatch.cli.share_publish import publish
from stillwatch.cli.share_report import report
from stillwatch.cli.share_serve import serve
from stillwatch.cli.share_sightings import sightings


@click.group()
def share() -> None:
    """Share what was found with other providers and agencies, and take what they found.

    Whatever leaves is keyed, rounded, marked (TLP 2.0) and approved by a person.
    """


share.add_command(export)
share.add_command(sightings)
share.add_command(report)
share.add_command(member)
share.add_command(poll)
share.add_command(publish)
share.add_command(serve)
