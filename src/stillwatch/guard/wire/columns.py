"""Columns: what a request tells of `exchange/1`, read as the logs of its API are read. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stillwatch.exchanges.dialects.messages import conversation
from stillwatch.exchanges.dialects.openai import request_columns

if TYPE_CHECKING:
    from stillwatch.guard.wire.asked import Asked
    from stillwatch.guard.wire.fields import Body

_INT64 = 2**63
_FACTS = {
    "model": "request.model",
    "tools": "request.tools",
    "n": "request.n",
    "top_logprobs": "request.top_logprobs",
    "logit_bias": "request.logit_bias",
    "stream": "request.stream",
}


def columns(asked: Asked) -> dict[str, object]:
    """Give the columns that the body tells, each of its column's type; those of a batch are its first request's."""
    body = next(iter(asked.parts), None)
    if body is None:
        return {} if asked.operation == "other" else {"operation": asked.operation}
    found: dict[str, object] = {"operation": None if asked.operation == "other" else asked.operation}
    found.update(_conversation(asked, body))
    found.update({name: asked.fact(fact) for name, fact in _FACTS.items()})
    if body.get("n") is None and body.get("best_of") is None:
        del found["n"]
    if not asked.fact("request.logprobs"):
        del found["top_logprobs"]
    elif not found["top_logprobs"]:
        found["top_logprobs"] = int(body.get("logprobs") is True)  # as logs have it
    found["max_tokens"] = asked.fact("request.max_tokens") or None
    found["temperature"], found["top_p"] = _number(body.get("temperature")), _number(body.get("top_p"))
    found["seed"] = _whole(body.get("seed"))
    return {name: value for name, value in found.items() if value is not None and value != ""}


def _conversation(asked: Asked, body: Body) -> dict[str, object]:
    if asked.shape in ("embeddings", "completions"):
        return {"prompt": asked.prompt_text()}
    if asked.api == "anthropic":
        said = dict(conversation(body.get("messages"), body.get("system")).columns())
    else:
        said = dict(request_columns(body))
    kept = body.get("conversation")
    named = kept.get("id") if isinstance(kept, dict) else kept or body.get("previous_response_id")
    return {**said, "conversation": named if isinstance(named, str) else None}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= _INT64:
        return None
    return float(value) if math.isfinite(value) else None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_INT64 <= value < _INT64:
        return None
    return int(value)
