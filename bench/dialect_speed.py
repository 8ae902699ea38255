"""How fast each JSON log format is read, next to merely parsing its lines: `python bench/dialect_speed.py`.

Rows are shaped as the tests' fixtures are, with prompts and answers of some hundred bytes, all different. The floor is
`msgspec.json.decode` of every line into plain objects, which any reader of such a format has to do; a ratio of 3 means
that reading takes three times as long as that. Seconds are the process's own, so that a busy machine does not count.
Touches a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from stillwatch.exchanges.read import LogReader
from stillwatch.exchanges.source import LogSource
from stillwatch.marks.digest import NEEDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Row = dict[str, object]

WORDS: Final = ("river", "table", "glass", "seven", "quiet", "market", "under", "copper", "letter", "winter", "seldom")


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def _messages(rng: random.Random) -> list[Row]:
    return [
        {"role": "system", "content": "You are exact."},
        {"role": "user", "content": _text(rng, 20)},
        {"role": "assistant", "content": _text(rng, 30)},
        {"role": "user", "content": _text(rng, 45)},
    ]


def _choices(rng: random.Random) -> list[Row]:
    return [{"index": 0, "message": {"role": "assistant", "content": _text(rng, 60)}, "finish_reason": "stop"}]


def _exchange_v1(rng: random.Random, number: int) -> Row:
    return {
        "request_id": f"r-{number}", "time": f"2026-03-02T10:{number // 60 % 60:02d}:{number % 60:02d}.5Z",
        "account": f"acct-{number % 997}", "model": "orion-4", "operation": "chat", "ip": "203.0.113.9",
        "user_agent": "OpenAI/Python 2.0", "system": "You are exact.", "prompt": _text(rng, 45),
        "response": _text(rng, 60), "turns": 3, "temperature": 0.7, "max_tokens": 900, "stream": True,
        "input_tokens": 120, "output_tokens": 90, "status": 200, "finish_reason": "stop",
    }  # fmt: skip


def _openai(rng: random.Random, number: int) -> Row:
    return {
        "time": 1_772_000_000.5 + number, "account": f"acct-{number % 997}", "ip": "203.0.113.9", "status": 200,
        "request": {
            "headers": {"user-agent": "OpenAI/Python 2.0", "x-request-id": f"r-{number}"},
            "path": "/v1/chat/completions",
            "body": {"model": "orion-4", "messages": _messages(rng), "temperature": 0.7, "top_p": 1, "stream": True,
                     "max_completion_tokens": 900, "tools": [{"type": "function", "function": {"name": "look_up"}}]},
        },
        "response": {"body": {
            "id": f"chatcmpl-{number}", "object": "chat.completion", "model": "orion-4",
            "choices": _choices(rng),
            "usage": {"prompt_tokens": 120, "completion_tokens": 90},
        }},
    }  # fmt: skip


def _anthropic(rng: random.Random, number: int) -> Row:
    system, *messages = _messages(rng)
    return {
        "time": 1_772_000_000.5 + number, "account": f"acct-{number % 997}", "client_ip": "203.0.113.9",
        "request": {"model": "orion-4", "system": system["content"], "messages": messages, "max_tokens": 900},
        "response": {
            "id": f"msg-{number}", "type": "message", "content": [{"type": "text", "text": _text(rng, 60)}],
            "stop_reason": "end_turn", "usage": {"input_tokens": 120, "output_tokens": 90},
        },
    }  # fmt: skip


def _litellm(rng: random.Random, number: int) -> Row:
    return {
        "id": f"chatcmpl-{number}", "trace_id": f"t-{number}", "call_type": "acompletion", "status": "success",
        "startTime": 1_772_000_000.5 + number, "endTime": 1_772_000_002.5 + number, "model": "orion-4",
        "model_group": "orion-4", "prompt_tokens": 120, "completion_tokens": 90, "total_tokens": 210, "stream": True,
        "request_tags": ["User-Agent: OpenAI/Python 2.0"], "requester_ip_address": "203.0.113.9",
        "metadata": {"user_api_key_hash": f"k-{number % 997}", "user_api_key_user_id": f"acct-{number % 997}"},
        "messages": _messages(rng), "model_parameters": {"temperature": 0.7, "max_tokens": 900, "stream": True},
        "response": {"choices": _choices(rng)},
    }  # fmt: skip


def _opentelemetry(rng: random.Random, number: int) -> Row:
    asked = [{"role": m["role"], "parts": [{"type": "text", "content": m["content"]}]} for m in _messages(rng)]
    answered = [{"role": "assistant", "parts": [{"type": "text", "content": _text(rng, 60)}], "finish_reason": "stop"}]
    said = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "orion-4", "enduser.id": f"acct-{number % 997}",
        "client.address": "203.0.113.9", "user_agent.original": "OpenAI/Python 2.0",
        "gen_ai.input.messages": json.dumps(asked), "gen_ai.output.messages": json.dumps(answered),
    }  # fmt: skip
    counts = {"gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 90, "gen_ai.request.max_tokens": 900}
    attributes: list[Row] = [{"key": key, "value": {"stringValue": value}} for key, value in said.items()]
    attributes += [{"key": key, "value": {"intValue": str(value)}} for key, value in counts.items()]
    attributes.append({"key": "gen_ai.request.temperature", "value": {"doubleValue": 0.7}})
    span = {
        "traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": "chat orion-4", "attributes": attributes,
        "startTimeUnixNano": str(1_772_000_000_500_000_000 + number * 10**9),
    }  # fmt: skip
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}


def _vllm(rng: random.Random, number: int) -> Row:
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in _messages(rng))
    return {
        "asctime": f"2026-03-02 10:{number // 60 % 60:02d}:{number % 60:02d},500", "levelname": "INFO",
        "message": f"Received request chatcmpl-acct-{number % 997}:{number}: prompt: {turns!r}, "
        "params: SamplingParams(n=1, presence_penalty=0.0, temperature=0.7, top_p=0.95, top_k=20, seed=None, stop=[], "
        "max_tokens=900, min_tokens=0, logprobs=None), prompt_token_ids: None, lora_request: None.",
    }  # fmt: skip


def _envoy(rng: random.Random, number: int) -> Row:
    return {
        "start_time": f"2026-03-02T10:{number // 60 % 60:02d}:{number % 60:02d}.500Z", "method": "POST",
        "x-envoy-origin-path": "/v1/chat/completions", "response_code": 200, "response_flags": "-", "duration": 2100,
        "x-request-id": f"r-{number}", "user-agent": "OpenAI/Go 3.0.0", "x-forwarded-for": "203.0.113.9",
        "downstream_remote_address": "203.0.113.9:51022", "api_key_hash": f"k-{number % 997}", "bytes_sent": 4096,
        "ja4": "t13d1312h2_f57a46bbacb6_ab7e3b40a677", "gen_ai.request.model": "orion-4", "upstream_host": "10.0.0.4:9",
        "gen_ai.usage.input_tokens": 100 + rng.randrange(50), "gen_ai.usage.output_tokens": 90,
    }  # fmt: skip


ROWS: Final[Mapping[str, Callable[[random.Random, int], Row]]] = {
    "exchange/1": _exchange_v1,
    "opentelemetry": _opentelemetry,
    "litellm": _litellm,
    "anthropic": _anthropic,
    "openai": _openai,
    "vllm": _vllm,
    "envoy": _envoy,
}


def _floor(log: Path) -> float:
    began = time.process_time()
    for line in log.read_bytes().splitlines():
        msgspec.json.decode(line)
    return time.process_time() - began


def _reading(log: Path, rows: int) -> float:
    reader = LogReader(LogSource([log]), columns=NEEDED)
    began = time.process_time()
    read = sum(batch.num_rows for batch in reader.batches())
    took = time.process_time() - began
    if read != rows:
        raise SystemExit(f"{log}: {read} rows read of {rows}")
    return took


def main() -> None:
    """Measure every format; of several runs the fastest counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(ROWS), metavar="FORMAT")
    args = parser.parse_args()
    print(f"{'format':<14} {'rows a second':>14} {'bytes a row':>12} {'times parsing':>14}")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            rng = random.Random(1)  # noqa: S311  no secret: the same rows in every run
            log = Path(folder) / f"{name.replace('/', '-')}.jsonl"
            log.write_bytes(b"".join(json.dumps(ROWS[name](rng, n)).encode() + b"\n" for n in range(args.rows)))
            took = min(_reading(log, args.rows) for _ in range(args.runs))
            floor = min(_floor(log) for _ in range(args.runs))
            size = log.stat().st_size / args.rows
            print(f"{name:<14} {args.rows / took:>14,.0f} {size:>12,.0f} {took / floor:>14.1f}")


if __name__ == "__main__":
    main()
