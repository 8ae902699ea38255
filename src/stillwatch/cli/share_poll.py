"""`stillwatch share poll`: take in what others publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import say
from stillwatch.cli.share_peers import RECEIVED, token_in

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("url")
@click.option("--collection", required=True, metavar="NAME", help="Its id, alias or title at the server.")
@click.option("--token-file", type=FILE, help="File with the token that the server gave us; nobody else may read it.")
@click.option("--user", metavar="NAME", help="The name that goes with the token, for servers that want HTTP Basic.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Objects on a page.")
@RECEIVED
def poll(*, url: str, collection: str, token_file: Path | None, user: str | None, limit: int, place: str) -> None:
    """Take in what was added to a collection of the TAXII 2.1 server at URL since the last time.

    What was taken in is kept with where it came from, its marking, confidence and end. A poll that was cut off goes on
    where it was; nothing is taken in twice.
    """
    from stillwatch.intel.received import IntelStore
    from stillwatch.intel.taxii.client import TaxiiClient
    from stillwatch.intel.taxii.poll import poll as poll_all

    token = None if token_file is None else token_in(token_file)
    with TaxiiClient(url, token, user=user) as client, IntelStore(place, create=True) as store:
        found = client.collection(collection)
        taken = poll_all(client, found, store, limit=limit)
        shown = store.place
    say(f"{taken.new:,} objects were taken into {shown}; {taken.known:,} were known, {taken.odd:,} are odd")
    if taken.refused:
        say(f"{taken.refused:,} were no STIX 2.1 and left out")
