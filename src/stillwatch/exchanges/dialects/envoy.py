"""Envoy's JSON access logs, as Envoy Gateway, Istio and Envoy AI Gateway write them. Pure; there is no content.

The keys of Envoy's JSON access log are whatever its configuration says. Read here are the default keys of Envoy
Gateway and Istio (`x-forwarded-for` or `x_forwarded_for`), the GenAI keys that Envoy AI Gateway's documentation maps
its dynamic metadata `io.envoy.ai_gateway` to, and the metadata's own names. Who pays is in no default: log a digest
of the credential (never the credential), or the authenticated subject, under one of the names below. `-` is Envoy's
word for nothing. Requests to other paths than those of a model API tell of no exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.exchanges.dialects.address import client_address
from stillwatch.exchanges.dialects.dialect import Dialect, Exchange, Row, first, known, operation, operation_of_path

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATH: Final = ("x-envoy-origin-path", "path", "x_envoy_original_path")
_ACCOUNT: Final = ("account", "x-account-id", "x_account_id", "caller", "user_id", "x-user-id", "subject", "jwt_sub")
_KEY: Final = (
    "api_key_hash",
    "authorization_digest",
    "authorization_sha256",
    "x-api-key-hash",
    "x-api-key-digest",
)
_ORGANIZATION: Final = ("organization", "x-organization-id", "x-tenant-id", "tenant")
_MODEL: Final = ("gen_ai.request.model", "x-ai-eg-model", "service", "model", "gen_ai.response.model", "response_model")
_INPUT: Final = ("gen_ai.usage.input_tokens", "llm_input_token", "input_tokens", "input_token")
_OUTPUT: Final = ("gen_ai.usage.output_tokens", "llm_output_token", "output_tokens", "output_token")
_STATUS: Final = ("response_code", "status")
_ID: Final = ("x-request-id", "request_id", "x_request_id")
_IP: Final = ("downstream_remote_address", "x-forwarded-for", "x_forwarded_for")
_AGENT: Final = ("user-agent", "user_agent")
_JA4: Final = ("ja4", "x-ja4", "ja4_fingerprint", "x-ja4-fingerprint", "tls_ja4_fingerprint")
_COUNTRY: Final = ("country", "x-country-code", "cf-ipcountry", "x-geo-country")
_ASN: Final = ("asn", "x-geo-asn")
_SESSION: Final = ("session.id", "gen_ai.conversation.id", "x-session-id")


def _recognises(row: Row) -> bool:
    return "start_time" in row and any(name in row for name in (*_STATUS, "response_flags"))


def _convert(row: Row) -> Iterator[Exchange]:
    said = {name: value for name, value in row.items() if value not in (None, "", "-")}
    asked = first(said, "gen_ai.operation.name")
    path = first(said, *_PATH)
    by_path = operation_of_path(path)
    if path is not None and by_path is None and asked is None and first(said, *_MODEL) is None:
        return
    yield known(
        [
            ("request_id", first(said, *_ID)),
            ("time", first(said, "start_time")),
            ("account", first(said, *_ACCOUNT) or first(said, *_KEY) or first(said, *_ORGANIZATION)),
            ("organization", first(said, *_ORGANIZATION)),
            ("api_key", first(said, *_KEY)),
            ("model", first(said, *_MODEL)),
            ("operation", operation(asked) or by_path),
            ("ip", client_address(*(said.get(name) for name in _IP))),
            ("asn", first(said, *_ASN)),
            ("country", first(said, *_COUNTRY)),
            ("ja4", first(said, *_JA4)),
            ("user_agent", first(said, *_AGENT)),
            ("conversation", first(said, *_SESSION)),
            ("input_tokens", first(said, *_INPUT)),
            ("output_tokens", first(said, *_OUTPUT)),
            ("status", first(said, *_STATUS)),
        ]
    )


def _listed(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


ENVOY: Final = Dialect(
    "envoy",
    {
        "request_id": _listed(*_ID),
        "time": "`start_time`",
        "account": _listed(*_ACCOUNT, *_KEY, *_ORGANIZATION),
        "organization": _listed(*_ORGANIZATION),
        "api_key": _listed(*_KEY),
        "model": _listed(*_MODEL),
        "operation": "`gen_ai.operation.name`, else the path: " + _listed(*_PATH),
        "ip": _listed(*_IP) + " (the first that names an address outside private networks; of a list the last such)",
        "asn": _listed(*_ASN),
        "country": _listed(*_COUNTRY),
        "ja4": _listed(*_JA4),
        "user_agent": _listed(*_AGENT),
        "conversation": _listed(*_SESSION),
        "input_tokens": _listed(*_INPUT),
        "output_tokens": _listed(*_OUTPUT),
        "status": _listed(*_STATUS),
    },
    _recognises,
    _convert,
)
