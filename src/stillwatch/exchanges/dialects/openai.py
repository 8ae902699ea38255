"""OpenAI-style request and response logs: chat completions, responses, completions, embeddings. Pure.

One object a line, `{"request": {...}, "response": {...}, ...}`, as gateways and the provider's own request logs keep
them. `request` and `response` are the bodies, or objects that hold them in `body` beside `headers`, `path` and
`status_code` (as in batch files), or either written as JSON text. Who, when and from where stand beside them.

Only the first of several choices counts as the answer. Streams must have been put together by whoever logged them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from stillwatch.exchanges.dialects.address import client_address
from stillwatch.exchanges.dialects.dialect import (
    Dialect,
    Exchange,
    Row,
    count,
    first,
    known,
    mapping,
    operation_of_path,
    sequence,
)
from stillwatch.exchanges.dialects.messages import content_text, conversation
from stillwatch.exchanges.digest import digest

_BODY_FIELDS: Final = ("messages", "input", "prompt", "training_file")

TIME: Final = ("time", "timestamp", "created_at", "start_time", "request_time", "startTime")
ACCOUNT: Final = ("account", "account_id", "user_id", "api_key_hash", "api_key_id", "organization_id", "organization")
ENVELOPE: Final = {
    "request_id": "`request_id`, header `x-request-id`, `response.request_id`, `response.id`, `id`, `custom_id`",
    "time": "`time`, `timestamp`, `created_at`, `start_time`, `request_time`, `startTime`, `response.created`, "
    "`response.created_at`",
    "account": "`account`, `account_id`, `user_id`, `api_key_hash`, `api_key_id`, `organization_id`, `organization`, "
    "`user`, `request.safety_identifier`, `request.user`, `request.metadata.user_id`",
    "organization": "`organization`, `organization_id`, header `openai-organization`, header "
    "`anthropic-organization-id`",
    "api_key": "`api_key_hash`, `api_key_id`",
    "ip": "`ip`, `client_ip`, `remote_addr`, header `x-forwarded-for` (its last address outside private networks)",
    "asn": "`asn`",
    "country": "`country`, header `cf-ipcountry`",
    "ja4": "`ja4`, header `x-ja4`",
    "user_agent": "`user_agent`, header `user-agent`",
    "conversation": "`conversation`, `conversation_id`, `session_id`, `request.conversation` (or its `id`), "
    "`request.previous_response_id`",
    "status": "`status`, `status_code`, `response.status_code`",
}
"""The envelope's mapping, which Anthropic-style logs share."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A request and its response, taken out of what they are wrapped in."""

    row: Row
    request: Row
    response: Row
    headers: Row
    path: object
    status: object


def pair(row: Row) -> Pair:
    """Unwrap a row's request and response."""
    outer_request, outer_response = mapping(row.get("request")), mapping(row.get("response"))
    request = mapping(outer_request.get("body")) or outer_request
    response = mapping(outer_response.get("body")) or outer_response
    headers = mapping(first(outer_request, "headers")) or mapping(first(row, "request_headers", "headers"))
    return Pair(
        row,
        request,
        response,
        {str(name).lower(): _single(value) for name, value in headers.items()},
        first(outer_request, "path", "url") or first(row, "path", "url", "endpoint"),
        first(row, "status_code", "status") or first(outer_response, "status_code"),
    )


def _single(value: object) -> object:
    """Return a header's value; some logs keep a list of them."""
    return value[0] if isinstance(value, list) and value else value


def envelope(found: Pair) -> Exchange:
    """Return the columns that stand beside request and response: who, when, from where, with what."""
    row, request, response, headers = found.row, found.request, found.response, found.headers
    asked = request.get("conversation")
    return known(
        [
            (
                "request_id",
                first(row, "request_id")
                or headers.get("x-request-id")
                or first(mapping(row.get("response")), "request_id")
                or first(response, "id")
                or first(row, "id", "custom_id"),
            ),
            ("time", first(row, *TIME) or first(response, "created", "created_at")),
            (
                "account",
                first(row, *ACCOUNT, "user") or first(request, "safety_identifier", "user", "metadata.user_id"),
            ),
            (
                "organization",
                first(row, "organization", "organization_id")
                or headers.get("openai-organization")
                or headers.get("anthropic-organization-id"),
            ),
            ("api_key", first(row, "api_key_hash", "api_key_id")),
            ("ip", client_address(first(row, "ip", "client_ip", "remote_addr"), headers.get("x-forwarded-for"))),
            ("asn", first(row, "asn")),
            ("country", first(row, "country") or headers.get("cf-ipcountry")),
            ("ja4", first(row, "ja4") or headers.get("x-ja4")),
            ("user_agent", first(row, "user_agent") or headers.get("user-agent")),
            (
                "conversation",
                first(row, "conversation", "conversation_id", "session_id")
                or (asked.get("id") if isinstance(asked, Mapping) else asked)
                or first(request, "previous_response_id"),
            ),
            ("status", found.status if not isinstance(found.status, str) or found.status.isdigit() else None),
        ]
    )


def sampling(request: Row) -> list[tuple[str, object]]:
    """Return the sampling parameters of an OpenAI-style body as columns."""
    logprobs = request.get("logprobs")
    top = request.get("top_logprobs")
    if top is None and logprobs is not None:  # completions: how many; chat: whether
        top = int(logprobs) if isinstance(logprobs, bool) else logprobs
    return [
        ("temperature", request.get("temperature")),
        ("top_p", request.get("top_p")),
        ("max_tokens", first(request, "max_completion_tokens", "max_output_tokens", "max_tokens")),
        ("n", request.get("n")),
        ("top_logprobs", top),
        ("logit_bias", count(request.get("logit_bias"))),
        ("seed", request.get("seed")),
        ("stream", request.get("stream")),
        ("tools", count(first(request, "tools", "functions"))),
    ]


def response_columns(response: Row) -> list[tuple[str, object]]:
    """Answer, tokens and the reason it ended, from any OpenAI-style response body."""
    choices = [mapping(choice) for choice in sequence(response.get("choices"))]
    outputs = [mapping(item) for item in sequence(response.get("output"))]
    choice: Row = choices[0] if choices else {}
    texts = [content_text(mapping(choice.get("message")).get("content")) or choice.get("text")]
    texts += [content_text(item.get("content")) for item in outputs if item.get("type", "message") == "message"]
    text = "\n".join(t for t in texts if isinstance(t, str)) or None
    usage = mapping(response.get("usage"))
    return [
        ("response", text),
        ("answer", digest(text)),
        ("input_tokens", first(usage, "prompt_tokens", "input_tokens")),
        ("output_tokens", first(usage, "completion_tokens", "output_tokens")),
        (
            "finish_reason",
            choice.get("finish_reason")
            or mapping(response.get("incomplete_details")).get("reason")
            or (response.get("status") if outputs else None),
        ),
    ]


def request_columns(request: Row) -> list[tuple[str, object]]:
    """System prompt, prompt and conversation, from any OpenAI-style request body."""
    if request.get("messages") is not None:
        return conversation(request["messages"]).columns()
    if request.get("input") is not None:  # responses, or embeddings, whose texts read like user messages
        return conversation(request["input"], request.get("instructions")).columns()
    prompt = request.get("prompt")
    texts = [prompt] if isinstance(prompt, str) else [t for t in sequence(prompt) if isinstance(t, str)]
    return [("prompt", "\n".join(texts) or None)]


def _operation(found: Pair) -> str | None:
    kind = found.response.get("object")
    if (by_path := operation_of_path(found.path)) is not None:
        return by_path
    if "messages" in found.request or kind == "response" or "instructions" in found.request:
        return "chat"
    if "prompt" in found.request:
        return "completion"
    if "training_file" in found.request:
        return "fine-tune"
    if "input" in found.request:
        embedded = kind == "list" or "embedding" in str(found.request.get("model"))
        return "embeddings" if embedded or "encoding_format" in found.request else "chat"
    return None


def _recognises(row: Row) -> bool:
    found = pair(row)
    return any(name in found.request for name in _BODY_FIELDS) or (
        "request" in row and ("choices" in found.response or found.response.get("object") == "response")
    )


def _convert(row: Row) -> Iterator[Exchange]:
    found = pair(row)
    operation = _operation(found)
    said = request_columns(found.request)
    if operation == "embeddings":  # several texts in one call: all of them were asked for
        texts = found.request.get("input")
        joined = [t for t in sequence(texts) if isinstance(t, str)] if not isinstance(texts, str) else [texts]
        said = [("prompt", "\n".join(joined) or None)]
    yield envelope(found) | known(
        [
            ("model", first(found.request, "model") or first(found.response, "model")),
            ("operation", operation),
            *said,
            *sampling(found.request),
            *response_columns(found.response),
        ]
    )


OPENAI: Final = Dialect(
    "openai",
    {
        **ENVELOPE,
        "model": "`request.model`, `response.model`",
        "operation": "the path, else the shape of the request",
        "system": "`request.messages` of role `system` or `developer`, `request.instructions`",
        "prompt": "the last user message of `request.messages` or `request.input`; `request.prompt`; embeddings: all "
        "texts of `request.input`",
        "response": "text of `response.choices[0].message.content`, `response.choices[0].text`, "
        "`response.output[].content`",
        "answer": "digest of the answer's text",
        "previous": "digest of the last assistant message of `request.messages` or `request.input`",
        "turns": "messages of `request.messages` or `request.input`, system and developer messages not counted",
        "tools": "number of `request.tools`, `request.functions`",
        "temperature": "`request.temperature`",
        "top_p": "`request.top_p`",
        "max_tokens": "`request.max_completion_tokens`, `request.max_output_tokens`, `request.max_tokens`",
        "n": "`request.n`",
        "top_logprobs": "`request.top_logprobs`, `request.logprobs` (true counts as 1)",
        "logit_bias": "number of tokens in `request.logit_bias`",
        "seed": "`request.seed`",
        "stream": "`request.stream`",
        "reasoning_handle": "the last `encrypted_content` of a `reasoning` item of `request.input`; `signature` in "
        "`thinking_blocks` of a message",
        "input_tokens": "`response.usage.prompt_tokens`, `response.usage.input_tokens`",
        "output_tokens": "`response.usage.completion_tokens`, `response.usage.output_tokens`",
        "finish_reason": "`response.choices[0].finish_reason`, `response.incomplete_details.reason`, "
        "`response.status` (responses)",
    },
    _recognises,
    _convert,
)
