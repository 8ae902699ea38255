"""What the test of radioactivity writes as JSON, `stillwatch.radioactivity/1`. Touches no file.

Readers must pass over keys that they do not know; whatever changes or takes away a key makes it version 2. Next to each
p- and e-value stands its logarithm to base 10, for those that no float can hold.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stillwatch.lineage.radioactivity import Radioactivity, Settings, Told

VERSION: Final = "stillwatch.radioactivity/1"
_TEN: Final = math.log(10.0)
_LARGEST: Final = 700.0  # whose exponential is a float


def written(found: Radioactivity, settings: Settings, *, made_of: Mapping[str, Any]) -> bytes:
    """Write a test.

    Args:
        found: what it came to.
        settings: what was asked of it.
        made_of: of what it was made: digests of the suspect's texts, tokenizer and keys' commitments.

    """
    document = {
        "schema": VERSION,
        "made_of": dict(made_of),
        "settings": {"error": settings.error, "effect": settings.effect, "power": settings.power},
        "texts": found.texts,
        "tokens": found.tokens,
        "repeated": found.repeated,
        "campaigns": [_campaign(each) for each in found.campaigns],
    }
    return json.dumps(document, indent=2, allow_nan=False).encode("ascii") + b"\n"


def _campaign(told: Told) -> dict[str, Any]:
    test = told.scored
    return {
        "campaign": test.campaign,
        "scheme": test.scheme,
        "finding": told.finding,
        "why": told.why,
        "grams": test.grams,
        "score": test.score,
        "expected": test.expected,
        **_both("p_value", test.log_p),
        **_both("p_value_holm", told.log_p_holm),
        **_both("e_value", test.log_e),
        "stands_out": told.stands_out,
        "power": told.power,
        "selected": test.by_e_value,
        "grams_needed": told.grams_needed,
        "tokens_needed": told.tokens_needed,
    }


def _both(name: str, log: float) -> dict[str, float | None]:
    """Give a number and its logarithm to base 10; None where it is too large to be written, or 0."""
    return {
        name: math.exp(log) if log < _LARGEST else None,
        f"{name}_log10": log / _TEN if math.isfinite(log) else None,
    }
