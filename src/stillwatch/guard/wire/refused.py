"""Refusals and errors in the bodies that the clients of OpenAI and Anthropic read. Pure.

Both official clients choose their exception by the status, and show `error.message`; OpenAI's has `code`, `type` and
`param` besides, Anthropic's `type` and the request's id. `error.reason_id` is ours, by which support finds the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stillwatch.decisions.refusal import SHAPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stillwatch.decisions.refusal import Refusal
    from stillwatch.guard.wire.endpoint import Api

_OPENAI_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "requests",
}
_ANTHROPIC_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def refusal_body(api: Api, refusal: Refusal, *, id: str) -> bytes:  # noqa: A002 - what both APIs call it
    """Write a refusal; its status is `refusal.status`."""
    shape = SHAPES[refusal.reason]
    if api == "anthropic":
        return _anthropic(refusal.message, shape.anthropic_type, id)
    return _openai(refusal.message, shape.openai_type, refusal.parameter, shape.openai_code, id)


def error_body(
    api: Api,
    status: int,
    message: str,
    *,
    id: str,  # noqa: A002 - what both APIs call it
    code: str | None = None,
    parameter: str | None = None,
) -> bytes:
    """Write an error that no policy made: 400 for a body that cannot be read, 413, 502, 504."""
    if api == "anthropic":
        usual = "api_error" if status >= 500 else "invalid_request_error"
        return _anthropic(message, _ANTHROPIC_TYPES.get(status, usual), id)
    usual = "server_error" if status >= 500 else "invalid_request_error"
    return _openai(message, _OPENAI_TYPES.get(status, usual), parameter, code, id)


def _openai(message: str, kind: str, parameter: str | None, code: str | None, reason_id: str) -> bytes:
    error = {"message": message, "type": kind, "param": parameter, "code": code, "reason_id": reason_id}
    return _written({"error": error})


def _anthropic(message: str, kind: str, reason_id: str) -> bytes:
    error = {"type": kind, "message": message, "reason_id": reason_id}
    return _written({"type": "error", "error": error, "request_id": reason_id})


def _written(content: dict[str, object]) -> bytes:
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:  # a lone surrogate in a message of somebody's policy
        return msgspec.json.encode(_without_surrogates(content))


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return {name: _without_surrogates(item) for name, item in value.items()} if isinstance(value, dict) else value
