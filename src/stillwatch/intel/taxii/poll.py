"""Polling: taking in what others added since the last time, page by page. Touches sockets and the local store.

A page and how far it goes are kept together. After a cut, polling goes on with the page that was under way; should the
server have forgotten it, with what the run began from: what comes twice is known by its source, id and version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.errors import BundleError, PollError
from stillwatch.intel.document import cut, items
from stillwatch.intel.moment import to_micros, to_text
from stillwatch.intel.received import Cursor, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from stillwatch.intel.document import Document
    from stillwatch.intel.received import IntelStore
    from stillwatch.intel.taxii.client import RemoteCollection, Response, TaxiiClient

_FORGOTTEN: Final = frozenset((400, 404, 410))  # how servers say that they do not know a `next`
_LAST: Final = "x-taxii-date-added-last"


def poll(
    client: TaxiiClient,
    collection: RemoteCollection,
    store: IntelStore,
    *,
    limit: int = 1000,
    heard: Callable[[Taken], None] | None = None,
) -> Taken:
    """Take in everything that was added since the last time.

    Args:
        client: of the server.
        collection: of the server's.
        store: where it is kept.
        limit: objects on a page.
        heard: told after each page what it brought.

    Raises:
        PollError: the server cannot be asked, or answers what is no TAXII; what came before is kept.
        IntelError: the store cannot be written.

    """
    source, taken = collection.url, Taken()
    cursor = store.cursor(source)
    while True:
        response = _page(client, collection, cursor, limit)
        if response is None:  # the server has forgotten the page: go on from where the run began
            cursor = Cursor(upto=cursor.since)
            continue
        try:
            envelope = cut(response.body, f"{source}: the answer")
        except BundleError as error:
            raise PollError(str(error)) from None
        following = _after(cursor, envelope, response)
        if envelope.more and following == cursor:
            raise PollError(f"{source}: says that there is more, and gives the same again")
        page = store.take(source, list(items(envelope)), following)
        taken += page
        if heard is not None:
            heard(page)
        cursor = following
        if not envelope.more:
            return taken


def _page(client: TaxiiClient, collection: RemoteCollection, cursor: Cursor, limit: int) -> Response | None:
    """Ask for one page; None if the server has forgotten which was next."""
    query = {"limit": str(limit), "match[version]": "all"}
    since = _since(cursor)
    if since:
        query["added_after"] = since
    if not cursor.next:
        return client.get(f"{collection.url}objects/", query)
    try:
        return client.get(f"{collection.url}objects/", {**query, "next": cursor.next})
    except PollError as error:
        if error.status not in _FORGOTTEN:
            raise
        return None


def _after(cursor: Cursor, envelope: Document, response: Response) -> Cursor:
    """Give how far has been read after a page."""
    last = response.headers.get(_LAST, "")
    try:
        upto = to_text(to_micros(last)) if last else cursor.upto
    except ValueError:
        raise PollError(f"{_LAST}: {last[:60]!r} is no time") from None
    if not envelope.more:
        return Cursor(upto=max(upto, cursor.upto))
    if envelope.next:
        return Cursor(upto=upto, since=_since(cursor), next=envelope.next)
    return Cursor(upto=upto, since=upto)  # TAXII 2.1, 3.5: without `next`, the time of the last one says where to go on


def _since(cursor: Cursor) -> str:
    """Give what to ask from: in a new run from just before the last one, for servers may add several at one time."""
    if cursor.since or cursor.next or not cursor.upto:
        return cursor.since
    return to_text(to_micros(cursor.upto) - 1)
