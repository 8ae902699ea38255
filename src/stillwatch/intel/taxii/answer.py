"""Answers: status, headers and body, and errors in the shape of the specification (TAXII 2.1, 3.6.1). Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from stillwatch.intel.moment import to_text
from stillwatch.intel.taxii import media
from stillwatch.intel.taxii.filters import cursor_at

if TYPE_CHECKING:
    from stillwatch.errors import TaxiiError
    from stillwatch.intel.taxii.objects import Page


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets.

    Attributes:
        status: of HTTP.
        body: in JSON; empty where there is none.
        headers: besides those that every answer has.
        kind: the media type.

    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = media.TAXII


def resource(document: Any, status: int = 200) -> Answer:  # noqa: ANN401  anything that can be written as JSON
    """Give a resource."""
    return Answer(status, msgspec.json.encode(document))


def objects(page: Page) -> Answer:
    """Give objects as an envelope (TAXII 2.1, 3.7), as they stand in the store."""
    if not page.held:
        return Answer(200, b"{}")
    return Answer(
        200, f'{{{_more(page)}"objects":[{",".join(each.content for each in page.held)}]}}'.encode(), _when(page)
    )


def manifest(page: Page) -> Answer:
    """Give the records of objects (TAXII 2.1, 5.3.1)."""
    if not page.held:
        return Answer(200, b"{}")
    records = ",".join(
        f'{{"id":"{each.id}","date_added":"{to_text(each.added)}","version":"{to_text(each.version)}"'
        f',"media_type":"{media.STIX}"}}'  # ids were checked when they came: nothing in them needs escaping
        for each in page.held
    )
    return Answer(200, f'{{{_more(page)}"objects":[{records}]}}'.encode(), _when(page))


def versions(page: Page) -> Answer:
    """Give the versions of an object (TAXII 2.1, 5.8.1)."""
    if not page.held:
        return Answer(200, b"{}")
    listed = ",".join(f'"{to_text(each.version)}"' for each in page.held)
    return Answer(200, f'{{{_more(page)}"versions":[{listed}]}}'.encode(), _when(page))


def refused(error: TaxiiError) -> Answer:
    """Give an error."""
    headers: list[tuple[str, str]] = []
    if error.status == 401:
        headers.append(("www-authenticate", 'Basic realm="stillwatch", charset="UTF-8"'))
        headers.append(("www-authenticate", 'Bearer realm="stillwatch"'))
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after)))))
    document = {"title": error.title, "description": error.description, "http_status": str(error.status)}
    return Answer(error.status, msgspec.json.encode(document), tuple(headers))


def _more(page: Page) -> str:
    return f'"more":true,"next":"{cursor_at(page.held[-1].added)}",' if page.more else '"more":false,'


def _when(page: Page) -> tuple[tuple[str, str], ...]:
    return (
        ("x-taxii-date-added-first", to_text(page.held[0].added)),
        ("x-taxii-date-added-last", to_text(page.held[-1].added)),
    )
