"""The wire format of replays, `stillwatch.replay/1`: JSON. Touches no file.

Times are RFC 3339 in UTC, spans are seconds, shares are from 0 to 1. Readers must pass over keys that they do not know;
whatever changes or takes away a key makes it version 2.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from stillwatch.decisions.price import Price, Replay, Toll

VERSION: Final = "stillwatch.replay/1"


def to_json(replay: Replay) -> bytes:
    """Write a replay as one indented JSON document, ending in a line feed."""
    document = {
        "schema": VERSION,
        "exchanges": replay.exchanges,
        "failed": replay.failed,
        "accounts": replay.accounts,
        "from": replay.first,
        "to": replay.last,
        "known": replay.known,
        "decisions": replay.decisions,
        "given": dict(replay.assumed),
        "columns_absent": replay.columns_absent,
        "policy": _price(replay.asked),
        "against": None if replay.against is None else _price(replay.against),
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _price(price: Price) -> dict[str, Any]:
    return {
        "name": price.name,
        "version": price.version,
        "mode": price.mode,
        "harvest": _toll(price.harvest),
        "campaigns": [
            {
                "name": each.name,
                **_toll(each.toll),
                "first_touched": None if each.first is None else asdict(each.first),
            }
            for each in price.campaigns
        ],
        "watched": _toll(price.watched),
        "honest": _toll(price.honest),
        "honest_by_tier": [{"tier": tier, **_toll(toll)} for tier, toll in price.by_tier.items()],
        "honest_by_kind": [{"kind": kind, **_toll(toll)} for kind, toll in price.by_kind.items()],
        "rules": [asdict(each) for each in price.rules],
        "untold": price.untold,
    }


def _toll(toll: Toll) -> dict[str, int | float]:
    return {
        **asdict(toll),
        "untouched": toll.untouched,
        "share_touched": round(toll.share_touched, 6),
        "share_stopped": round(toll.share_stopped, 6),
    }
