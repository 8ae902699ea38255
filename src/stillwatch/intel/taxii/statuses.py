"""Statuses: what came of a request to add objects (TAXII 2.1, 4.3). Touches the store and the clock.

Objects are added before the answer goes out, so that a status is complete from the start; it is kept for a month.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stillwatch.intel.moment import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stillwatch.database.store import Database
    from stillwatch.intel.taxii.adding import Told

_KEPT: Final = 30 * 24 * 3600 * 1_000_000  # microseconds
_ADD: Final = "INSERT INTO stillwatch_taxii_statuses VALUES (?, ?, ?, ?)"
_PRUNE: Final = "DELETE FROM stillwatch_taxii_statuses WHERE made < ?"
_GET: Final = "SELECT content FROM stillwatch_taxii_statuses WHERE id = ? AND member = ?"


def keep(database: Database, member: str, told: Sequence[Told], now: int) -> bytes:
    """Keep what came of a request, and give it as a status; to be called while writing."""
    identifier = str(uuid.uuid4())
    content = msgspec.json.encode(_status(identifier, told, now))
    database.rows(_PRUNE, (now - _KEPT,))
    database.rows(_ADD, (identifier, member, now, content.decode()))
    return content


def status(database: Database, member: str, identifier: str) -> bytes | None:
    """Give a status again; None if there is none of that id, or it is another member's."""
    rows = database.rows(_GET, (identifier, member))
    return str(rows[0][0]).encode() if rows else None


def _status(identifier: str, told: Sequence[Told], now: int) -> dict[str, Any]:
    good = [{"id": each.id, "version": each.version} for each in told if not each.reason]
    bad = [{"id": each.id, "version": each.version, "message": each.reason} for each in told if each.reason]
    document: dict[str, Any] = {
        "id": identifier,
        "status": "complete",
        "request_timestamp": to_text(now),
        "total_count": len(told),
        "success_count": len(good),
        "failure_count": len(bad),
        "pending_count": 0,
    }
    # TAXII 2.1, 2: no list is empty
    return {**document, **({"successes": good} if good else {}), **({"failures": bad} if bad else {})}
