"""vLLM's request log, written as JSON records or in plain text. Pure.

It is written by `vllm serve --enable-log-requests --enable-log-outputs --logging-config.formatter json`, or with any
Python logging configuration that has a JSON formatter and a date format with the year in it.
A record is `{"asctime": ..., "levelname": ..., "message": ...}`; the lines of a plain text log are made into such
records by the reader (server_log.py). Three messages tell of a request, and share its id:

    Received request ID: params: SamplingParams(...), lora_request: ...      (before 0.11 with the prompt in it)
    Request ID details: prompt: '...', prompt_token_ids: ...                 (level DEBUG)
    Generated response ID: output: '...', finish_reason: ...

All other records tell of no exchange. Of streamed answers the complete one counts, not the deltas.

vLLM does not know who pays. Either a logging filter adds `account` (or another name below) to the records, or the
gateway in front sends the header `X-Request-Id: ACCOUNT:ID`, which vLLM makes part of the request id. The prompt is
logged as the model sees it, after its chat template; the templates of ChatML and Llama 3 are taken apart again, of
others the whole prompt is one user message. `asctime` has no zone and is read as UTC; a format with milliseconds or
a zone is read as it says.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from stillwatch.exchanges.dialects.dialect import Dialect, Exchange, Row, first, known, unreadable
from stillwatch.exchanges.dialects.messages import conversation
from stillwatch.exchanges.digest import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TIME: Final = ("timestamp", "time", "asctime")
_ACCOUNT: Final = ("account", "account_id", "user_id", "user", "api_key_hash", "organization")
_RECEIVED: Final = re.compile(r"Received request (?P<id>\S+): (?P<rest>.*)", re.DOTALL)
_DETAILS: Final = re.compile(r"Request (?P<id>\S+) details: (?P<rest>.*)", re.DOTALL)
_GENERATED: Final = re.compile(
    r"Generated response (?P<id>\S+?)(?P<stream> \(streaming (?:delta|complete)\))?: (?P<rest>output: .*)", re.DOTALL
)
_LITERAL: Final = r"'[^'\\]*+(?:\\.[^'\\]*+)*+'|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\""
_TEXT: Final = re.compile(rf"(?:prompt|output): ({_LITERAL}|None)(?:, )?", re.DOTALL)
_REASON: Final = re.compile(r"finish_reason: (\w+)\s*$")
_TOKENS: Final = re.compile(r"prompt_token_ids: \[([^\]]*)\]")
_OUT_TOKENS: Final = re.compile(r"output_token_ids: [\[(]([^\])]*)[\])]")
_PARAMETER: Final = re.compile(r"\b(n|temperature|top_p|seed|max_tokens|logprobs)=(-?[\d.]+(?:e-?\d+)?)")
_BIAS: Final = re.compile(r"logit_bias=\{([^}]*)\}")
_LORA: Final = re.compile(r"lora_name='([^']*)'")
_OPERATIONS: Final = {"chatcmpl": "chat", "cmpl": "completion", "embd": "embeddings", "resp": "chat"}
_ID_PREFIX: Final = re.compile(r"(?P<kind>chatcmpl|cmpl|embd|resp)[-_](?P<rest>.*)", re.DOTALL)
_CHATML: Final = ("<|im_start|>", "\n", "<|im_end|>")
_LLAMA: Final = ("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>")
_LONGEST_ROLE: Final = 64


def _recognises(row: Row) -> bool:
    message = row.get("message")
    if not isinstance(message, str) or not any(name in row for name in _TIME):
        return False
    return any(pattern.match(message) for pattern in (_RECEIVED, _DETAILS, _GENERATED)) or "vllm_process_name" in row


def _convert(row: Row) -> Iterator[Exchange]:
    message = row.get("message")
    if not isinstance(message, str):
        raise unreadable("message", "missing")
    for pattern, read in ((_RECEIVED, _received), (_DETAILS, _details), (_GENERATED, _generated)):
        if (match := pattern.match(message)) is not None:
            if match.groupdict().get("stream") == " (streaming delta)":
                return
            name, account, kind = _identified(match["id"])
            yield known(
                [
                    ("request_id", name),
                    ("time", _utc(first(row, *_TIME))),
                    ("account", first(row, *_ACCOUNT) or account),
                    ("operation", kind),
                    ("model", first(row, "model")),
                    ("ip", first(row, "ip", "client_address")),
                    ("user_agent", first(row, "user_agent")),
                    *read(match["rest"]),
                    ("stream", True if match.groupdict().get("stream") else None),
                ]
            )
            return


def _hopeless(head: Sequence[Row]) -> str | None:
    told = [exchange for row in head if _recognises(row) for exchange in _convert(row)]
    if not told or any("account" in exchange for exchange in told):
        return None
    return (
        "vLLM's log of requests that says of none who pays, which vLLM does not know; let the gateway in front of it "
        "send the header X-Request-Id: ACCOUNT:ID with each request, or a logging filter add `account` to JSON records"
    )


def _identified(name: str) -> tuple[str, str | None, str | None]:
    """Request id, account where the gateway put it there, and operation. `-0` ends the ids of completions."""
    match = _ID_PREFIX.match(name)
    kind = _OPERATIONS[match["kind"]] if match else None
    account, separator, _ = (match["rest"] if match else name).rpartition(":")
    return (name.removesuffix("-0") if kind == "completion" else name), account if separator else None, kind


def _utc(time: object) -> object:
    """Python's `asctime` parts milliseconds with a comma."""
    return time.replace(",", ".", 1) if isinstance(time, str) else time


def _received(rest: str) -> list[tuple[str, object]]:
    prompted: list[tuple[str, object]] = []
    if rest.startswith("prompt: "):
        text, rest = _quoted(rest)
        prompted = [*_conversation(text), ("input_tokens", _counted(_TOKENS, rest))]
    values = dict(_PARAMETER.findall(rest))
    bias = _BIAS.search(rest)
    lora = _LORA.search(rest)
    return [
        *prompted,
        ("n", values.get("n")),
        ("temperature", values.get("temperature")),
        ("top_p", values.get("top_p")),
        ("seed", values.get("seed")),
        ("max_tokens", values.get("max_tokens")),
        ("top_logprobs", values.get("logprobs")),
        ("logit_bias", bias[1].count(":") if bias else None),
        ("model", lora[1] if lora else None),
    ]


def _details(rest: str) -> list[tuple[str, object]]:
    text, rest = _quoted(rest)
    return [*_conversation(text), ("input_tokens", _counted(_TOKENS, rest))]


def _generated(rest: str) -> list[tuple[str, object]]:
    text, rest = _quoted(rest)
    reason = _REASON.search(rest)
    return [
        ("response", text),
        ("answer", digest(text)),
        ("output_tokens", _counted(_OUT_TOKENS, rest)),
        ("finish_reason", reason[1] if reason and reason[1] != "None" else None),
        ("status", 200),
    ]


def _conversation(text: str | None) -> list[tuple[str, object]]:
    said = [*_spoken(text, *_CHATML), *_spoken(text, *_LLAMA)] if text else []
    messages = [{"role": role, "content": content.strip()} for role, content in said if content.strip()]
    return conversation(messages or text).columns()


def _spoken(text: str, opening: str, named: str, closing: str) -> Iterator[tuple[str, str]]:
    """Yield role and content of each message that a chat template put together."""
    place = text.find(opening)
    while place >= 0:
        begin = place + len(opening)
        middle = text.find(named, begin, begin + _LONGEST_ROLE)
        role = text[begin:middle]
        if middle < 0 or not role.isidentifier():
            place = text.find(opening, begin)
            continue
        end = text.find(closing, middle)
        end = len(text) if end < 0 else end
        yield role, text[middle + len(named) : end]
        place = text.find(opening, end)


def _counted(tokens: re.Pattern[str], rest: str) -> int | None:
    match = tokens.search(rest)
    return len([token for token in match[1].split(",") if token.strip()]) or None if match else None


def _quoted(rest: str) -> tuple[str | None, str]:
    """Text that Python's `repr` wrote at the beginning, and what follows it: nothing inside the text is looked at."""
    match = _TEXT.match(rest)
    if match is None:
        return None, rest
    following, written = rest[match.end() :], match[1]
    if "\\" not in written:
        return (None if written == "None" else written[1:-1]), following
    try:
        return str(ast.literal_eval(written)), following
    except (ValueError, SyntaxError):
        return None, following


def _listed(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


VLLM: Final = Dialect(
    "vllm",
    {
        "request_id": "the id in `message`",
        "time": _listed(*_TIME),
        "account": _listed(*_ACCOUNT) + "; the part of the request id before its last `:`",
        "model": "`model`, the name in `lora_request`",
        "operation": "the id's beginning: `chatcmpl-`, `cmpl-`, `embd-`, `resp_`",
        "ip": "`ip`, `client_address`",
        "user_agent": "`user_agent`",
        "system": "the system part of `prompt`, after the chat template",
        "prompt": "the last user part of `prompt`, or all of it",
        "response": "`output`",
        "answer": "digest of the answer's text",
        "previous": "digest of the last assistant part of `prompt`",
        "turns": "parts of `prompt`, system parts not counted",
        "temperature": "`temperature` in `SamplingParams`",
        "top_p": "`top_p` in `SamplingParams`",
        "max_tokens": "`max_tokens` in `SamplingParams`",
        "n": "`n` in `SamplingParams`",
        "top_logprobs": "`logprobs` in `SamplingParams`",
        "logit_bias": "number of tokens in `logit_bias` in `SamplingParams`",
        "seed": "`seed` in `SamplingParams`",
        "stream": "true for `(streaming complete)`",
        "input_tokens": "number of `prompt_token_ids`",
        "output_tokens": "number of `output_token_ids`",
        "status": "200 for an answer",
        "finish_reason": "`finish_reason`",
    },
    _recognises,
    _convert,
    pieces=True,
    hopeless=_hopeless,
)
