"""LiteLLM's standard logging payload, as its callbacks and bucket loggers write it. Pure.

One `StandardLoggingPayload` a line, or a callback's keyword arguments that hold it as `standard_logging_object`.
LiteLLM bills keys, users and teams. The account is the user of the key; keys that the proxy's own administrator made
all bear the user `default_user_id`, which names nobody, so that the key itself is the account there.
With `turn_off_message_logging` content is absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.exchanges.dialects.address import client_address
from stillwatch.exchanges.dialects.dialect import Dialect, Exchange, Row, first, known, mapping, operation, sequence
from stillwatch.exchanges.dialects.messages import content_text, conversation
from stillwatch.exchanges.dialects.openai import response_columns, sampling
from stillwatch.exchanges.digest import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOBODY: Final = "default_user_id"
_AGENT: Final = "User-Agent: "
_STATUS: Final = {"success": 200, "failure": 500}


def _payload(row: Row) -> Row:
    return mapping(row.get("standard_logging_object")) or row


def _recognises(row: Row) -> bool:
    payload = _payload(row)
    return "call_type" in payload and "startTime" in payload and ("metadata" in payload or "model_group" in payload)


def _convert(row: Row) -> Iterator[Exchange]:
    payload = _payload(row)
    who = mapping(payload.get("metadata"))
    parameters = mapping(payload.get("model_parameters"))
    user = first(who, "user_api_key_user_id")
    agents = [t for t in sequence(payload.get("request_tags")) if isinstance(t, str) and t.startswith(_AGENT)]
    status = payload.get("status")
    if status == "failure":
        code = mapping(payload.get("error_information")).get("error_code")
        status = code if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else "failure"
    answer = payload.get("response") if payload.get("response") != "{}" else None  # an empty object in a table
    answered = response_columns(mapping(answer))
    if not mapping(answer).get("choices") and not mapping(answer).get("output"):
        text = content_text(answer) if isinstance(answer, str) else content_text(mapping(answer).get("content"))
        answered = [("response", text), ("answer", digest(text)), *answered[2:]]
    said = conversation(payload.get("messages"), first(parameters, "system", "instructions"))
    trace = first(payload, "trace_id")
    yield known(
        [
            ("request_id", first(payload, "id")),
            ("time", first(payload, "startTime")),
            ("account", (user if user != _NOBODY else None) or first(who, "user_api_key_hash")
             or first(payload, "end_user") or first(who, "user_api_key_end_user_id", "user_api_key_team_id")),
            ("organization", first(who, "user_api_key_org_id", "user_api_key_team_id")),
            ("api_key", first(who, "user_api_key_hash")),
            ("model", first(payload, "model_group", "model")),
            ("operation", operation(payload.get("call_type"))),
            ("ip", client_address(first(payload, "requester_ip_address"), first(who, "requester_ip_address"))),
            ("user_agent", max(agents, key=len).removeprefix(_AGENT) if agents else None),
            ("conversation", first(payload, "session_id") or (trace if trace != payload.get("id") else None)),
            *said.columns(),
            *sampling(parameters),
            *answered,
            ("stream", first(payload, "stream") if payload.get("stream") is not None else parameters.get("stream")),
            ("input_tokens", payload.get("prompt_tokens")),
            ("output_tokens", payload.get("completion_tokens")),
            ("status", _STATUS.get(status, status) if isinstance(status, str) else status),
        ]
    )  # fmt: skip


LITELLM: Final = Dialect(
    "litellm",
    {
        "request_id": "`id`",
        "time": "`startTime`",
        "account": "`metadata.user_api_key_user_id` (but not `default_user_id`), `metadata.user_api_key_hash`, "
        "`end_user`, `metadata.user_api_key_end_user_id`, `metadata.user_api_key_team_id`",
        "organization": "`metadata.user_api_key_org_id`, `metadata.user_api_key_team_id`",
        "api_key": "`metadata.user_api_key_hash`",
        "model": "`model_group`, `model`",
        "operation": "`call_type`",
        "ip": "`requester_ip_address`, `metadata.requester_ip_address`",
        "user_agent": "the longest of `request_tags` that begins with `User-Agent: `",
        "conversation": "`session_id`, `trace_id` where it differs from `id`",
        "system": "`messages` of role `system` or `developer`, `model_parameters.system`, "
        "`model_parameters.instructions`",
        "prompt": "the last user message of `messages`, or `messages` itself where it is text",
        "response": "text of `response.choices[0].message.content`, `response.output[].content`, `response.content`, "
        "or `response` itself where it is text",
        "answer": "digest of the answer's text",
        "previous": "digest of the last assistant message of `messages`",
        "turns": "messages, system and developer messages not counted",
        "tools": "number of `model_parameters.tools`, `model_parameters.functions`",
        "temperature": "`model_parameters.temperature`",
        "top_p": "`model_parameters.top_p`",
        "max_tokens": "`model_parameters.max_completion_tokens`, `model_parameters.max_output_tokens`, "
        "`model_parameters.max_tokens`",
        "n": "`model_parameters.n`",
        "top_logprobs": "`model_parameters.top_logprobs`, `model_parameters.logprobs` (true counts as 1)",
        "logit_bias": "number of tokens in `model_parameters.logit_bias`",
        "seed": "`model_parameters.seed`",
        "stream": "`stream`, `model_parameters.stream`",
        "reasoning_handle": "the last `signature` or `data` in `thinking_blocks` or content, or `encrypted_content` "
        "of a `reasoning` item, in `messages`",
        "input_tokens": "`prompt_tokens`",
        "output_tokens": "`completion_tokens`",
        "status": "`status`: `success` is 200, `failure` is `error_information.error_code`, else 500",
        "finish_reason": "`response.choices[0].finish_reason`, `response.incomplete_details.reason`, "
        "`response.status` (responses)",
    },
    _recognises,
    _convert,
)
