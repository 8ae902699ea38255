"""What the commands on decisions print as JSON, `stillwatch.decisions/1`. Touches no file.

Decisions and allowances are written as in the audit trail (`audit_v1`), each with `in_force` beside. Readers must pass
over keys that they do not know; whatever changes or takes away a key makes it version 2.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stillwatch.decisions.decision import Decision
from stillwatch.ledger.audit_v1 import allowance_out, decision_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from stillwatch.decisions.allowance import Allowance
    from stillwatch.decisions.audit import Entry, Head
    from stillwatch.decisions.events import Event
    from stillwatch.ledger.ledger import Outcome

VERSION: Final = "stillwatch.decisions/1"


def listing(
    decisions: Iterable[Decision], allowances: Iterable[Allowance], *, in_force: Iterable[Decision], now: datetime
) -> bytes:
    """Write decisions and allowances, and which of them hold now."""
    holding = {each.id for each in in_force}
    return _document(
        decisions=[{**decision_out(each), "in_force": each.id in holding} for each in decisions],
        allowances=[{**allowance_out(each), "in_force": each.stands(now)} for each in allowances],
    )


def outcomes(found: Iterable[Outcome], *, dry_run: bool) -> bytes:
    """Write what was asked, and what came of it."""
    return _document(
        dry_run=dry_run,
        outcomes=[
            {
                "subject": {"kind": each.granted.asked.subject.kind, "value": each.granted.asked.subject.value},
                "asked": each.granted.asked.step,
                "why_not": list(each.granted.why_not),
                "stands": None if each.granted.stands is None else decision_out(each.granted.stands),
                "decision": None if each.decision is None else decision_out(each.decision),
            }
            for each in found
        ],
    )


def history(what: Decision | Allowance, entries: Sequence[tuple[Entry, Event]], *, in_force: bool) -> bytes:
    """Write one decision or allowance with its entries in the trail, as they stand there."""
    shown = decision_out(what) if isinstance(what, Decision) else allowance_out(what)
    name = "decision" if isinstance(what, Decision) else "allowance"
    return _document(**{name: {**shown, "in_force": in_force}, "entries": [asdict(entry) for entry, _ in entries]})


def one(what: Decision | Allowance) -> bytes:
    """Write what was done to one decision or allowance."""
    if isinstance(what, Decision):
        return _document(decision=decision_out(what))
    return _document(allowance=allowance_out(what))


def followed(ended: Iterable[tuple[Decision, Decision | None]]) -> bytes:
    """Write which decisions ended, and what follows each."""
    return _document(
        ended=[
            {"decision": decision_out(each), "followed_by": None if after is None else decision_out(after)}
            for each, after in ended
        ]
    )


def verified(head: Head, *, place: str) -> bytes:
    """Write that a trail is whole."""
    return _document(ledger=place, entries=head.number, head=str(head))


def _document(**content: Any) -> bytes:  # noqa: ANN401  JSON's own types
    return msgspec.json.format(msgspec.json.encode({"schema": VERSION, **content}), indent=2) + b"\n"
