"""Ids that are functions of what they name, so that the same thing has the same id in every export. Pure.

UUIDv5 (RFC 9562, section 5.5). STIX 2.1, section 2.9, asks for the namespace `00abedb4` for observables, over the
canonical JSON (RFC 8785) of the properties that tell them apart; for all else a namespace of our own does.
"""

from __future__ import annotations

import uuid
from typing import Final

from stillwatch.decisions.audit import canonical

_OURS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:stillwatch:stix:1")
_OBSERVABLES: Final = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")


def object_id(kind: str, *parts: str) -> str:
    """Give the id of an object of this type that these parts tell apart; the order of the parts counts."""
    return f"{kind}--{uuid.uuid5(_OURS, canonical([kind, *parts]))}"


def observable_id(kind: str, **properties: str) -> str:
    """Give the id of an observable that these properties tell apart (all of them plain ASCII)."""
    return f"{kind}--{uuid.uuid5(_OBSERVABLES, canonical(properties))}"
