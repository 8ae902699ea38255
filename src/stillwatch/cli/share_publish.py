"""`stillwatch share publish`: put a bundle where others read it."""

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
@click.argument("bundle", type=FILE)
@click.option("--collection", required=True, metavar="NAME", help="Its id, alias or title at the server.")
@click.option("--token-file", type=FILE, help="File with the token that the server gave us; nobody else may read it.")
@click.option("--user", metavar="NAME", help="The name that goes with the token, for servers that want HTTP Basic.")
@RECEIVED
def publish(*, url: str, bundle: Path, collection: str, token_file: Path | None, user: str | None, place: str) -> None:
    """Put the objects of BUNDLE into a collection of the TAXII 2.1 server at URL.

    Refused whole if any object may not go there by its TLP marking: TLP:RED goes nowhere, TLP:AMBER+STRICT and what
    bears no marking only to `own`, and what came from others under TLP:AMBER is not passed on.
    """
    from stillwatch.errors import OutputError
    from stillwatch.intel.document import read_bundle
    from stillwatch.intel.received import IntelStore
    from stillwatch.intel.taxii.client import TaxiiClient
    from stillwatch.intel.taxii.publish import allowed
    from stillwatch.intel.taxii.publish import publish as publish_all

    token = None if token_file is None else token_in(token_file)
    document = read_bundle(bundle)
    with TaxiiClient(url, token, user=user) as client, IntelStore(place, create=True) as received:
        found = client.collection(collection)
        some = allowed(document, found.alias or collection, received)
        received.note_ours({each.shape.id for each in some})
        published = publish_all(client, found, some)
    say(f"{published.added:,} of {len(some):,} objects are there now")
    if published.failures:
        for name, reason in published.failures[:20]:
            say(f"not taken: {name}: {reason}")
        raise OutputError(f"{len(published.failures):,} objects were not taken by the server")
