"""Publishing: putting a bundle's objects into a collection of others, as far as their markings allow. Touches sockets.

Nothing is sent if anything in the bundle may not go: what a person approved goes whole or not at all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

import msgspec

from stillwatch.errors import BundleError, MarkingError, PollError
from stillwatch.intel.document import Fault, Item, items
from stillwatch.intel.shape import REFERENCE
from stillwatch.intel.tlp import definitions, marking_of, may_go

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stillwatch.intel.document import Document
    from stillwatch.intel.received import IntelStore
    from stillwatch.intel.taxii.client import RemoteCollection, TaxiiClient
    from stillwatch.intel.tlp import Tlp

_AT_ONCE: Final = 1000  # objects in a request
_SHOWN: Final = 20  # reasons given, of however many there are
_ASKED: Final = 60  # times that a status is asked for
_BETWEEN: Final = 1.0  # seconds


@dataclass(slots=True)
class Published:
    """What came of it.

    Attributes:
        added: objects that are there now.
        failures: objects that the server did not take: id, and why.

    """

    added: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def allowed(document: Document, alias: str, received: IntelStore | None) -> list[Item]:
    """Give a bundle's objects if all of them may go into a collection.

    Args:
        document: the bundle.
        alias: of the collection.
        received: what came from others, which its markings bind us for; None: nothing did.

    Raises:
        BundleError: something in it is no STIX 2.1.
        MarkingError: something in it may not go there by its marking.

    """
    read = list(items(document))
    faults = [f"object {each.number} {each.id}: {each.reason}" for each in read if isinstance(each, Fault)]
    if faults:
        raise BundleError(_listed("the bundle cannot be published", faults))
    good = [each for each in read if isinstance(each, Item)]
    known = definitions(each.value for each in good)
    others = {} if received is None else received.from_others({each.shape.id for each in good})
    forbidden = []
    for each in good:
        tlp = marking_of(each.value, known)
        if each.shape.id in others:
            tlp = _stricter(tlp, others[each.shape.id])
        exempt = each.shape.type in REFERENCE and tlp is None
        if not exempt and not may_go(tlp, alias, received=each.shape.id in others):
            marked = "bears no TLP marking" if tlp is None else f"is marked {tlp.label}"
            forbidden.append(f"{each.shape.id} {marked}{', and came from others' if each.shape.id in others else ''}")
    if forbidden:
        raise MarkingError(_listed(f"nothing was published: not all of it may go to {alias!r}", forbidden))
    return good


def publish(client: TaxiiClient, collection: RemoteCollection, some: Sequence[Item]) -> Published:
    """Send objects, and wait until the server has said what came of each.

    Raises:
        PollError: the server cannot be asked; what was sent before is there, and sending it again doubles nothing.

    """
    published = Published()
    root = collection.url.rpartition("/collections/")[0] + "/"
    for body in _envelopes(some, collection.largest):
        status = _status(client.post(f"{collection.url}objects/", body).body)
        for _ in range(_ASKED):
            if status["status"] == "complete":
                break
            time.sleep(_BETWEEN)
            status = _status(client.get(urljoin(root, f"status/{status['id']}/")).body)
        published.added += _count(status.get("success_count"))
        failures = status.get("failures", [])
        for each in failures if isinstance(failures, list) else []:
            if isinstance(each, dict):
                published.failures.append((str(each.get("id", ""))[:200], str(each.get("message", ""))[:300]))
    return published


def _stricter(ours: Tlp | None, theirs: Tlp | None) -> Tlp | None:
    """Give what binds us for what came from others: whoever marks it more weakly, or not at all, unbinds nobody."""
    return None if ours is None or theirs is None else max(ours, theirs)


def _envelopes(some: Sequence[Item], largest: int) -> Iterator[bytes]:
    """Put objects into as few envelopes as may be sent; what others refer to goes first."""
    ordered = sorted(some, key=lambda each: each.shape.type not in REFERENCE)
    held: list[bytes] = []
    size = 0
    for each in ordered:
        content = each.content.encode()
        if held and (len(held) == _AT_ONCE or size + len(content) + len(held) + 16 > largest):
            yield b'{"objects":[' + b",".join(held) + b"]}"
            held, size = [], 0
        held.append(content)
        size += len(content)
    if held:
        yield b'{"objects":[' + b",".join(held) + b"]}"


def _status(body: bytes) -> dict[str, Any]:
    try:
        status = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        status = {}
    if (
        not isinstance(status.get("id"), str)
        or status.get("status") not in {"complete", "pending"}
        or "/" in status["id"]
    ):
        raise PollError("the server answers what is no status")
    return status


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _listed(what: str, reasons: Sequence[str]) -> str:
    more = [f"and {len(reasons) - _SHOWN} more"] if len(reasons) > _SHOWN else []
    return "\n  ".join((f"{what}:", *reasons[:_SHOWN], *more))
