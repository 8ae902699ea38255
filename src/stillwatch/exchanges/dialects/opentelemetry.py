"""OpenTelemetry GenAI spans and log events, as the Collector's file exporter writes them (OTLP JSON). Pure.

A line holds `resourceSpans` or `resourceLogs`; every span or event of a model operation is an exchange, all others
(tools, agents, HTTP) are not. Read are the semantic conventions of 2025 and 2026 (`gen_ai.input.messages` and its
kin, on spans or on the event `gen_ai.client.inference.operation.details`), those up to 1.36 (one event a message:
`gen_ai.user.message`, ..., `gen_ai.choice`; `gen_ai.usage.prompt_tokens`; span events `gen_ai.content.prompt` and
`gen_ai.content.completion`) and the numbered attributes of OpenLLMetry (`gen_ai.prompt.0.content`).

Spans and events of one operation bear one trace and span id, which is the request id; what one lacks the other gives.
What a model span does not say of the client (address, user, agent) is taken from other spans of its trace in the same
line, since it is the HTTP server's span that knows. Attributes of the resource come last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
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
    operation,
    sequence,
)
from stillwatch.exchanges.dialects.messages import content_text, conversation
from stillwatch.exchanges.digest import digest

_ACCOUNT: Final = (
    "enduser.id",
    "user.id",
    "user.hash",
    "enduser.pseudo.id",
    "llm.user",
    "metadata.user_api_key_user_id",
    "metadata.user_api_key_hash",
    "tenant.id",
    "organization.id",
)
_KEY: Final = ("api_key.hash", "metadata.user_api_key_hash")
_ORGANIZATION: Final = ("organization.id", "tenant.id", "metadata.user_api_key_team_id")
_IP: Final = ("client.address", "http.client_ip", "net.peer.ip", "network.peer.address")
_AGENT: Final = ("user_agent.original", "http.user_agent")
_JA4: Final = ("tls.client.ja4", "http.request.header.x-ja4")
_ASN: Final = ("client.as.number", "geo.as.number")
_COUNTRY: Final = ("geo.country.iso_code", "client.geo.country_iso_code")
_CLIENT: Final = (*_ACCOUNT, *_KEY, *_IP, *_AGENT, *_JA4, *_ASN, *_COUNTRY)
_TELLING: Final = ("gen_ai.operation.name", "gen_ai.system", "gen_ai.provider.name", "gen_ai.request.model")
_NO_EXCHANGE: Final = ("execute_tool", "invoke_agent", "create_agent", "invoke_workflow", "plan", "retrieval", "memory")
_DETAILS: Final = "gen_ai.client.inference.operation.details"
_MESSAGE_EVENTS: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE: Final = "gen_ai.choice"
_INPUT_TOKENS: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
_OUTPUT_TOKENS: Final = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
)
_SEED: Final = ("gen_ai.request.seed", "gen_ai.openai.request.seed")
_STREAM: Final = ("gen_ai.request.stream", "gen_ai.request.is_stream", "llm.is_streaming")
_STATUS: Final = ("http.response.status_code", "http.status_code")
_MODEL: Final = ("gen_ai.request.model", "gen_ai.response.model")
_OPERATION: Final = ("gen_ai.operation.name", "llm.request.type")
_CONVERSATION: Final = ("gen_ai.conversation.id", "session.id")


def _recognises(row: Row) -> bool:
    return "resourceSpans" in row or "resourceLogs" in row


def _convert(row: Row) -> Iterator[Exchange]:
    for resource_spans in map(mapping, sequence(row.get("resourceSpans"))):
        yield from _from_spans(resource_spans)
    for resource_logs in map(mapping, sequence(row.get("resourceLogs"))):
        yield from _from_logs(resource_logs)


# ---- OTLP's wrappers --------------------------------------------------------------------------------------------


def _plain(value: object) -> object:
    """Return an AnyValue unwrapped; int64 comes as text (proto3's JSON mapping)."""
    for kind, inner in mapping(value).items():
        if kind in {"stringValue", "boolValue", "doubleValue"}:
            return inner
        if kind == "intValue":
            return int(inner) if isinstance(inner, str) and inner.lstrip("-").isdigit() else inner
        if kind == "arrayValue":
            return [_plain(item) for item in sequence(mapping(inner).get("values"))]
        if kind == "kvlistValue":
            return _attributes(mapping(inner).get("values"))
    return None  # nothing, or bytes, which no attribute read here has


def _attributes(pairs: object) -> dict[str, object]:
    found = {}
    for pair in map(mapping, sequence(pairs)):
        key = pair.get("key")
        if isinstance(key, str):
            found[key] = _plain(pair.get("value"))
    return found


def _items(resource: Row, scopes: tuple[str, ...], name: str) -> Iterator[Row]:
    for scope_name in scopes:
        for scope in map(mapping, sequence(resource.get(scope_name))):
            yield from map(mapping, sequence(scope.get(name)))


def _request_id(item: Row) -> str | None:
    trace, span = item.get("traceId"), item.get("spanId")
    return f"{trace}-{span}" if trace and span else None


# ---- spans ------------------------------------------------------------------------------------------------------


def _from_spans(resource: Row) -> Iterator[Exchange]:
    shared = _attributes(mapping(resource.get("resource")).get("attributes"))
    spans = [
        (span, _attributes(span.get("attributes")))
        for span in _items(resource, ("scopeSpans", "instrumentationLibrarySpans"), "spans")
    ]
    clients: dict[str, dict[str, object]] = defaultdict(dict)
    for span, said in spans:
        for name in _CLIENT:
            if said.get(name) is not None:
                clients[str(span.get("traceId"))].setdefault(name, said[name])
    for span, said in spans:
        if not _tells(said):
            continue
        for event in map(mapping, sequence(span.get("events"))):
            for name, value in _attributes(event.get("attributes")).items():
                if event.get("name") == _DETAILS or name in {"gen_ai.prompt", "gen_ai.completion"}:
                    said.setdefault(name, value)
        failed = mapping(span.get("status")).get("code") in (2, "STATUS_CODE_ERROR")
        merged = {**shared, **clients.get(str(span.get("traceId")), {}), **said}
        exchange = _exchange(merged, failed=failed)
        yield exchange | known([("request_id", _request_id(span)), ("time", span.get("startTimeUnixNano"))])


def _tells(said: Row) -> bool:
    """Whether the attributes are those of one request to a model."""
    if said.get("gen_ai.operation.name") in _NO_EXCHANGE:
        return False
    return any(said.get(name) is not None for name in _TELLING)


# ---- log events -------------------------------------------------------------------------------------------------


def _from_logs(resource: Row) -> Iterator[Exchange]:
    shared = _attributes(mapping(resource.get("resource")).get("attributes"))
    told: dict[str, list[tuple[Row, str, dict[str, object]]]] = defaultdict(list)
    for record in _items(resource, ("scopeLogs", "instrumentationLibraryLogs"), "logRecords"):
        said = _attributes(record.get("attributes"))
        name = str(record.get("eventName") or said.get("event.name") or said.get("name"))
        if name == _DETAILS:
            body = _plain(record.get("body"))
            inner = {str(key): value for key, value in body.items()} if isinstance(body, Mapping) else {}
            time = record.get("timeUnixNano") or record.get("observedTimeUnixNano")
            exchange = _exchange({**shared, **inner, **said}, failed=said.get("error.type") is not None)
            yield exchange | known([("request_id", _request_id(record)), ("time", time)])
        elif (name in _MESSAGE_EVENTS or name == _CHOICE) and (request := _request_id(record)) is not None:
            told[request].append((record, name, said))
    for request, events in told.items():  # up to 1.36: an event a message, all under the span of the operation
        yield _from_message_events(shared, request, events)


def _from_message_events(shared: Row, request: str, events: list[tuple[Row, str, dict[str, object]]]) -> Exchange:
    asked: list[object] = []
    merged = dict(shared)
    choice: Row = {}
    for record, name, said in events:
        merged.update(said)
        body = mapping(_plain(record.get("body")))
        if name == _CHOICE:
            choice = choice or body
        else:
            asked.append({"role": body.get("role") or _MESSAGE_EVENTS[name], "content": body.get("content")})
    text = content_text(mapping(choice.get("message")).get("content") or choice.get("content"))
    times = [t for record, _, _ in events if (t := record.get("timeUnixNano") or record.get("observedTimeUnixNano"))]
    return _exchange(merged, failed=False) | known(
        [
            ("request_id", request),
            ("time", times[0] if times else None),
            *conversation(asked).columns(),
            ("response", text),
            ("answer", digest(text)),
            ("finish_reason", choice.get("finish_reason")),
        ]
    )


# ---- attributes to columns --------------------------------------------------------------------------------------


def _exchange(said: Row, *, failed: bool) -> Exchange:
    asked = said.get("gen_ai.input.messages") or said.get("gen_ai.prompt") or _numbered(said, "gen_ai.prompt")
    answered = said.get("gen_ai.output.messages")
    text = None
    reasons = said.get("gen_ai.response.finish_reasons")
    reason = first({"reason": reasons[0] if isinstance(reasons, list) and reasons else reasons}, "reason")
    if answered is not None:
        message = mapping((sequence(answered) or [answered])[0])
        text = content_text(message.get("parts", message.get("content")))
        reason = reason or message.get("finish_reason")
    else:
        completion = said.get("gen_ai.completion") or _numbered(said, "gen_ai.completion")
        message = mapping((sequence(completion) or [None])[0])
        nested = mapping(message.get("message")) or message
        text = content_text(nested.get("content")) or (completion if isinstance(completion, str) else None)
        reason = reason or message.get("finish_reason")
    error = said.get("error.type")
    status = first(said, *_STATUS) or (error if isinstance(error, str) and error.isdigit() else None)
    tools = said.get("gen_ai.tool.definitions")
    return known(
        [
            ("account", first(said, *_ACCOUNT) or first(said, *_KEY)),
            ("organization", first(said, *_ORGANIZATION)),
            ("api_key", first(said, *_KEY)),
            ("model", first(said, *_MODEL)),
            ("operation", operation(first(said, *_OPERATION))),
            ("ip", client_address(*(said.get(name) for name in _IP))),
            ("asn", first(said, *_ASN)),
            ("country", first(said, *_COUNTRY)),
            ("ja4", _only(first(said, *_JA4))),
            ("user_agent", _only(first(said, *_AGENT))),
            ("conversation", first(said, *_CONVERSATION)),
            *(conversation(asked, said.get("gen_ai.system_instructions")).columns()),
            ("response", text),
            ("answer", digest(text)),
            ("tools", count(tools) if tools is not None else None),
            ("temperature", said.get("gen_ai.request.temperature")),
            ("top_p", said.get("gen_ai.request.top_p")),
            ("max_tokens", said.get("gen_ai.request.max_tokens")),
            ("n", said.get("gen_ai.request.choice.count")),
            ("seed", first(said, *_SEED)),
            ("stream", first(said, *_STREAM)),
            ("input_tokens", first(said, *_INPUT_TOKENS)),
            ("output_tokens", first(said, *_OUTPUT_TOKENS)),
            ("status", status or (500 if failed else None)),
            ("finish_reason", reason),
        ]
    )


def _only(value: object) -> object:
    """Headers captured as attributes are lists."""
    return value[0] if isinstance(value, list) and value else value


def _numbered(said: Row, stem: str) -> list[object] | None:
    """Messages that are spread over `gen_ai.prompt.0.role`, `gen_ai.prompt.0.content`, ..."""
    found: dict[int, dict[str, object]] = defaultdict(dict)
    for name, value in said.items():
        if name.startswith(stem + "."):
            number, _, part = name[len(stem) + 1 :].partition(".")
            if number.isdigit() and part:
                found[int(number)][part] = value
    return [found[number] for number in sorted(found)] or None


def _listed(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


OPENTELEMETRY: Final = Dialect(
    "opentelemetry",
    {
        "request_id": "`traceId` and `spanId`",
        "time": "`startTimeUnixNano` of a span, `timeUnixNano` or `observedTimeUnixNano` of an event",
        "account": _listed(*_ACCOUNT, *_KEY),
        "organization": _listed(*_ORGANIZATION),
        "api_key": _listed(*_KEY),
        "model": _listed(*_MODEL),
        "operation": _listed(*_OPERATION),
        "ip": _listed(*_IP),
        "asn": _listed(*_ASN),
        "country": _listed(*_COUNTRY),
        "ja4": _listed(*_JA4),
        "user_agent": _listed(*_AGENT),
        "conversation": _listed(*_CONVERSATION),
        "system": "`gen_ai.system_instructions`; messages of role `system`; event `gen_ai.system.message`",
        "prompt": "the last user message of `gen_ai.input.messages`, `gen_ai.prompt`, `gen_ai.prompt.N.content`; event "
        "`gen_ai.user.message`",
        "response": "text of `gen_ai.output.messages`, `gen_ai.completion`, `gen_ai.completion.N.content`; event "
        "`gen_ai.choice`",
        "answer": "digest of the answer's text",
        "previous": "digest of the last assistant message; event `gen_ai.assistant.message`",
        "turns": "messages, system messages not counted",
        "tools": "number of `gen_ai.tool.definitions`",
        "temperature": "`gen_ai.request.temperature`",
        "top_p": "`gen_ai.request.top_p`",
        "max_tokens": "`gen_ai.request.max_tokens`",
        "n": "`gen_ai.request.choice.count`",
        "seed": _listed(*_SEED),
        "stream": _listed(*_STREAM),
        "reasoning_handle": "`signature`, `data` or `encrypted_content` of a reasoning part of the messages",
        "input_tokens": _listed(*_INPUT_TOKENS),
        "output_tokens": _listed(*_OUTPUT_TOKENS),
        "status": _listed(*_STATUS) + ", `error.type` where it is a number, else 500 for a failed span",
        "finish_reason": "the first of `gen_ai.response.finish_reasons`; `finish_reason` of the message or of "
        "`gen_ai.choice`",
    },
    _recognises,
    _convert,
    pieces=True,
)
