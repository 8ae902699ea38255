"""Anthropic-style request and response logs of the messages API. Pure.

One object a line, `{"request": {...}, "response": {...}, ...}`, wrapped as OpenAI-style logs are (see openai.py).
A `thinking` block's `signature`, or the `data` of a `redacted_thinking` block, that the client sends back is the
reasoning handle. Tokens read from and written to the provider's cache are input tokens too: the API's own
`input_tokens` leaves them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.exchanges.dialects.dialect import Dialect, Exchange, Row, count, first, known, mapping
from stillwatch.exchanges.dialects.messages import content_text, conversation
from stillwatch.exchanges.dialects.openai import ENVELOPE, Pair, envelope, pair
from stillwatch.exchanges.digest import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

_INPUT_TOKENS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def _recognises(row: Row) -> bool:
    found = pair(row)
    if "request" not in row:
        return False
    return (
        found.response.get("type") in ("message", "error")
        or "stop_reason" in found.response
        or "anthropic-version" in found.headers
        or "anthropic_version" in found.request
        or (isinstance(found.path, str) and found.path.partition("?")[0].rstrip("/").endswith("/v1/messages"))
        or ("messages" in found.request and "system" in found.request)
    )


def _convert(row: Row) -> Iterator[Exchange]:
    found: Pair = pair(row)
    request, response = found.request, found.response
    usage = mapping(response.get("usage"))
    inputs = [value for name in _INPUT_TOKENS if isinstance(value := usage.get(name), int | float)]
    text = content_text(response.get("content"))
    yield envelope(found) | known(
        [
            ("model", first(request, "model") or first(response, "model")),
            ("operation", "chat"),
            *conversation(request.get("messages"), request.get("system")).columns(),
            ("response", text),
            ("answer", digest(text)),
            ("tools", count(request.get("tools"))),
            ("temperature", request.get("temperature")),
            ("top_p", request.get("top_p")),
            ("max_tokens", request.get("max_tokens")),
            ("stream", request.get("stream")),
            ("input_tokens", sum(inputs) if inputs else usage.get("input_tokens")),
            ("output_tokens", usage.get("output_tokens")),
            ("finish_reason", response.get("stop_reason") or mapping(response.get("error")).get("type")),
        ]
    )


ANTHROPIC: Final = Dialect(
    "anthropic",
    {
        **ENVELOPE,
        "model": "`request.model`, `response.model`",
        "operation": "always `chat`",
        "system": "`request.system` (text, or its text blocks)",
        "prompt": "text of the last user message of `request.messages` that has any",
        "response": "the text blocks of `response.content`",
        "answer": "digest of the answer's text",
        "previous": "digest of the text of the last assistant message of `request.messages`",
        "turns": "number of `request.messages`",
        "tools": "number of `request.tools`",
        "temperature": "`request.temperature`",
        "top_p": "`request.top_p`",
        "max_tokens": "`request.max_tokens`",
        "stream": "`request.stream`",
        "reasoning_handle": "the last `signature` of a `thinking` block, or `data` of a `redacted_thinking` block, in "
        "`request.messages`",
        "input_tokens": "`response.usage.input_tokens` + `response.usage.cache_creation_input_tokens` + "
        "`response.usage.cache_read_input_tokens`",
        "output_tokens": "`response.usage.output_tokens`",
        "finish_reason": "`response.stop_reason`, `response.error.type`",
    },
    _recognises,
    _convert,
)
