"""Who let an export leave, and what it was: a record kept beside the bundle, in the house. Pure; touches nothing.

The approver's name is not in the bundle: it is nobody's business outside. The record holds the SHA-256 of the bundle,
so that it can be shown later what was approved.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from stillwatch.errors import ShareError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stillwatch.intel.leaving import Row

VERSION: Final = "stillwatch.approval/1"


class WireRow(msgspec.Struct):
    """One field that left, how often, and why it may."""

    type: str
    field: str
    values: int
    why: str


class Approval(msgspec.Struct):
    """One approved export."""

    schema: Literal["stillwatch.approval/1"]
    approver: Annotated[str, msgspec.Meta(min_length=1)]
    approved_at: datetime
    what: str
    marking: str
    sha256: str
    bytes: int
    left: list[WireRow]


def approved(
    document: bytes, *, approver: str, at: datetime, what: str, marking: str, left: Iterable[Row] = ()
) -> bytes:
    """Give the record as JSON.

    Args:
        document: what leaves.
        approver: the person who says that it may.
        at: when.
        what: `bundle`, `sightings` or `report`.
        marking: to whom it may be passed on.
        left: every field that leaves, and why it may.

    Raises:
        ShareError: nobody is named.

    """
    if not approver.strip():
        raise ShareError("a person approves what leaves: name one with --approver, or look at it with --dry-run")
    rows = [WireRow(each.kind, each.field, each.values, each.why) for each in left]
    digest = hashlib.sha256(document).hexdigest()
    record = Approval(VERSION, approver.strip(), at.astimezone(UTC), what, marking, digest, len(document), rows)
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
