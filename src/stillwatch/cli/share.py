"""`stillwatch share`: intelligence between providers, clouds and agencies."""

from __future__ import annotations

import click

from stillwatch.cli.share_member import member
from stillwatch.cli.share_poll import poll
from stillwatch.cli.share_publish import publish
from stillwatch.cli.share_serve import serve


@click.group()
def share() -> None:
    """Share what was found with others, and take what they found."""


share.add_command(member)
share.add_command(poll)
share.add_command(publish)
share.add_command(serve)
