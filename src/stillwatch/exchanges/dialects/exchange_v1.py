"""stillwatch's own log format, `exchange/1`: the columns of `schema.py` by their own names. Pure.

Every column may be absent but `time` and `account`; columns of other names are ignored. `answer` is made from
`response` and `request_id` from the row by the reader, for every dialect alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.exchanges.dialects.dialect import Dialect, Exchange, Row
from stillwatch.exchanges.schema import EXCHANGE, REQUIRED, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLUMNS: Final = frozenset(EXCHANGE.names)


_OTHERS: Final = ("request", "message", "call_type", "response_code", "resourceSpans", "resourceLogs")
"""Fields that other formats have, some of which have `time` and `account` beside them too."""


def _recognises(row: Row) -> bool:
    return all(name in row for name in REQUIRED) and not any(name in row for name in _OTHERS)


def _convert(row: Row) -> Iterator[Exchange]:
    yield {name: value for name, value in row.items() if name in _COLUMNS}


EXCHANGE_V1: Final = Dialect(
    VERSION,
    {
        "request_id": "text; made from the row if absent",
        "time": "when the request arrived; required",
        "account": "who is billed: text, or a whole number; required",
        "organization": "the organization that the account says it belongs to",
        "api_key": "a name or digest of the key, never the key",
        "model": "text",
        "operation": "`chat`, `completion`, `embeddings`, `fine-tune`, or another word",
        "ip": "the client's address, as text",
        "asn": "number of the autonomous system of the address",
        "country": "country of the address, ISO 3166-1 alpha-2",
        "ja4": "JA4 fingerprint of the client's TLS hello",
        "user_agent": "the header, as text",
        "system": "the system prompt's text",
        "prompt": "the last user message's text",
        "response": "the answer's text",
        "conversation": "the conversation's id, where the provider keeps one",
        "answer": "digest of the answer's text, any scheme; made from `response` if absent",
        "previous": "digest, by the same scheme, of the last assistant turn that the client sent back",
        "turns": "messages in the request",
        "tools": "number of tools offered",
        "temperature": "number",
        "top_p": "number",
        "max_tokens": "whole number",
        "n": "choices asked for",
        "top_logprobs": "alternatives asked for at each token",
        "logit_bias": "number of biased tokens",
        "seed": "whole number",
        "stream": "true or false",
        "reasoning_handle": "opaque reasoning block or signature sent back by the client",
        "input_tokens": "whole number",
        "output_tokens": "whole number",
        "status": "HTTP status",
        "finish_reason": "text",
    },
    _recognises,
    _convert,
)
