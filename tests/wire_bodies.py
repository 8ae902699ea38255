"""Requests and answers as the APIs of OpenAI, Anthropic, vLLM and SGLang have them, for the tests of the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from stillwatch.guard.wire import Asked, read_request

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
EMBEDDINGS, MESSAGES, COUNT = "/v1/embeddings", "/v1/messages", "/v1/messages/count_tokens"
MESSAGE_BATCHES, BATCHES, FINE_TUNING = "/v1/messages/batches", "/v1/batches", "/v1/fine_tuning/jobs"

SECRET = "marrow"  # noqa: S105 - a word that only raw reasoning has


def chat(**more: object) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": "orion-5",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is in it?"}]},
        ],
    }
    return {**body, **more}


def completion(**more: object) -> dict[str, Any]:
    return {"model": "orion-5", "prompt": "Once upon a time", **more}


def responses(**more: object) -> dict[str, Any]:
    return {"model": "orion-5", "instructions": "Be brief.", "input": "What is it?", **more}


def messages(**more: object) -> dict[str, Any]:
    body = {"model": "orion-5", "max_tokens": 2000, "messages": [{"role": "user", "content": "What is it?"}]}
    return {**body, **more}


def batch(*params: dict[str, Any]) -> dict[str, Any]:
    return {"requests": [{"custom_id": str(at), "params": one} for at, one in enumerate(params)]}


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, chat(logprobs=True, top_logprobs=5, n=2, seed=7, logit_bias={"50256": -100}, max_tokens=64)),
    "completion": (COMPLETIONS, completion(logprobs=3, best_of=4, echo=True)),
    "responses": (RESPONSES, responses(include=["message.output_text.logprobs"], reasoning={"summary": "auto"})),
    "embeddings": (EMBEDDINGS, {"model": "e", "input": ["one", "two"]}),
    "messages": (MESSAGES, messages(thinking={"type": "enabled", "budget_tokens": 1500}, tools=[{"name": "a"}])),
    "count": (COUNT, {"model": "m", "messages": [{"role": "user", "content": "What?"}]}),
    "message batch": (MESSAGE_BATCHES, batch(messages(), messages(max_tokens=9))),
    "batch": (BATCHES, {"input_file_id": "f", "endpoint": CHAT, "completion_window": "24h"}),
    "fine-tuning": (FINE_TUNING, {"model": "m", "training_file": "f"}),
}


def asked(body: dict[str, Any] | None = None, path: str = CHAT) -> Asked:
    return read_request("POST", path, msgspec.json.encode(chat() if body is None else body))


# ---------------------------------------------------------------- answers

_USAGE = {"prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33}


def _token(word: str) -> dict[str, Any]:
    top = [{"token": other, "logprob": -0.5 - at, "bytes": [1]} for at, other in enumerate((word, "a", "b", "c"))]
    return {"token": word, "logprob": -0.5, "bytes": [1], "top_logprobs": top}


def _choice(**more: object) -> dict[str, Any]:
    logprobs = {"content": [_token("It"), _token(" is")], "refusal": None}
    message = {"role": "assistant", "content": "It is\nso."}
    return {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop", **more}


CHAT_ANSWER: dict[str, Any] = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "orion-5",
    "choices": [_choice(), _choice(index=1)], "usage": _USAGE,
}  # fmt: skip
REASONED_CHAT_ANSWER: dict[str, Any] = {
    **CHAT_ANSWER,
    "choices": [
        _choice(
            token_ids=[1, 2],
            message={
                "role": "assistant",
                "content": "It is\nso.",
                "reasoning_content": f"Look at the {SECRET} first.",
                "reasoning": f"Look at the {SECRET} first.",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": SECRET, "index": 0},
                    {"type": "reasoning.encrypted", "data": "sealed", "index": 1},
                ],
                "thinking_blocks": [{"type": "thinking", "thinking": SECRET, "signature": "signed"}],
                "provider_specific_fields": {"reasoning_content": SECRET},
            },
        )
    ],
}
COMPLETION_ANSWER: dict[str, Any] = {
    "id": "c", "object": "text_completion", "created": 1, "model": "orion-5", "usage": _USAGE,
    "choices": [{
        "index": 0, "text": "It is", "finish_reason": "length",
        "logprobs": {
            "tokens": ["It", " is"], "token_logprobs": [-1.5, -0.2], "text_offset": [0, 2],
            "top_logprobs": [{"A": -0.1, "B": -0.3, "C": -0.9, "It": -1.5}, {" is": -0.2, " was": -0.7}],
        },
        "prompt_logprobs": [None, {"5": {"logprob": -3.0, "rank": 9}, "6": {"logprob": -0.1, "rank": 1}}],
    }],
}  # fmt: skip


def _text_part() -> dict[str, Any]:
    return {"type": "output_text", "text": "It is so.", "annotations": [], "logprobs": [_token("It")]}


def _reasoning_item(**more: object) -> dict[str, Any]:
    return {
        "type": "reasoning", "id": "rs_1", "encrypted_content": "sealed",
        "summary": [{"type": "summary_text", "text": f"The {SECRET}."}],
        "content": [{"type": "reasoning_text", "text": f"Look at the {SECRET} first."}], **more,
    }  # fmt: skip


def _response(status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    usage = {
        "input_tokens": 11, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 22,
        "output_tokens_details": {"reasoning_tokens": 9}, "total_tokens": 33,
    }  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "orion-5", "output": output,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "top_logprobs": 2, "error": None,
        "incomplete_details": None, "instructions": "No reasoning, no logprobs.", "temperature": 1.0, "top_p": 1.0,
        "reasoning": {"effort": "high", "summary": "auto"}, "metadata": {"logprobs": "kept", "reasoning": "kept"},
        "usage": usage if status == "completed" else None,
    }  # fmt: skip


def _message_item() -> dict[str, Any]:
    return {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [_text_part()]}


RESPONSE_ANSWER = _response("completed", [_reasoning_item(), _message_item()])
MESSAGE_ANSWER: dict[str, Any] = {
    "id": "m", "type": "message", "role": "assistant", "model": "orion-5", "stop_reason": "end_turn",
    "stop_sequence": None,
    "content": [
        {"type": "thinking", "thinking": f"Look at the {SECRET} first.", "signature": "signed"},
        {"type": "redacted_thinking", "data": "sealed"},
        {"type": "text", "text": "It is so.", "citations": None},
        {"type": "tool_use", "id": "t", "name": "grade", "input": {"reasoning": "kept", "logprobs": [1]}},
    ],
    "usage": {"input_tokens": 8, "cache_read_input_tokens": 3, "output_tokens": 22},
}  # fmt: skip
ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, CHAT_ANSWER),
    "reasoned chat": (CHAT, REASONED_CHAT_ANSWER),
    "completion": (COMPLETIONS, COMPLETION_ANSWER),
    "responses": (RESPONSES, RESPONSE_ANSWER),
    "messages": (MESSAGES, MESSAGE_ANSWER),
}

# ---------------------------------------------------------------- streams


def _chunk(delta: dict[str, Any], **more: object) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **more}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "orion-5", "choices": [choice]}


def _logprobs(word: str) -> dict[str, Any]:
    return {"content": [_token(word)], "refusal": None}


CHAT_EVENTS: list[dict[str, Any]] = [
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"reasoning_content": "Look at the mar"}, logprobs=_logprobs("mar")),
    _chunk({"reasoning_content": "row first."}, logprobs=_logprobs("row")),
    _chunk({"reasoning_content": f" {SECRET}"}),
    _chunk({"content": "It"}, logprobs=_logprobs("It")),
    _chunk({"content": " is so."}, logprobs=_logprobs(" is")),
    _chunk({}, finish_reason="stop"),
    {**_chunk({}), "choices": [], "usage": _USAGE},
]


def _typed(number: int, kind: str, **more: object) -> dict[str, Any]:
    return {"type": kind, "sequence_number": number, **more}


_REASONING_AT: dict[str, Any] = {"item_id": "rs_1", "output_index": 0}
_TEXT_AT: dict[str, Any] = {"item_id": "m", "output_index": 1, "content_index": 0}
RESPONSE_EVENTS: list[dict[str, Any]] = [
    _typed(0, "response.created", response=_response("in_progress", [])),
    _typed(1, "response.output_item.added", output_index=0, item=_reasoning_item(content=[], summary=[])),
    _typed(2, "response.reasoning_summary_part.added", **_REASONING_AT, summary_index=0,
           part={"type": "summary_text", "text": ""}),
    _typed(3, "response.reasoning_summary_text.delta", **_REASONING_AT, summary_index=0, delta=SECRET),
    _typed(4, "response.reasoning_text.delta", **_REASONING_AT, content_index=0, delta=SECRET),
    _typed(5, "response.output_item.done", output_index=0, item=_reasoning_item()),
    _typed(6, "response.output_item.added", output_index=1, item={**_message_item(), "content": []}),
    _typed(7, "response.content_part.added", **_TEXT_AT, part={**_text_part(), "text": "", "logprobs": []}),
    _typed(8, "response.output_text.delta", **_TEXT_AT, delta="It is", logprobs=[_token("It")]),
    _typed(9, "response.output_text.delta", **_TEXT_AT, delta=" so.", logprobs=[]),
    _typed(10, "response.output_text.done", **_TEXT_AT, text="It is so.", logprobs=[_token("It")]),
    _typed(11, "response.content_part.done", **_TEXT_AT, part=_text_part()),
    _typed(12, "response.output_item.done", output_index=1, item=_message_item()),
    _typed(13, "response.completed", response=RESPONSE_ANSWER),
]  # fmt: skip


def _block(kind: str, index: int, **more: object) -> dict[str, Any]:
    return {"type": f"content_block_{kind}", "index": index, **more}


MESSAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {
        **MESSAGE_ANSWER, "content": [], "stop_reason": None,
        "usage": {"input_tokens": 8, "cache_read_input_tokens": 3, "output_tokens": 1},
    }},
    _block("start", 0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    {"type": "ping"},
    _block("delta", 0, delta={"type": "thinking_delta", "thinking": "Look at the mar"}),
    _block("delta", 0, delta={"type": "thinking_delta", "thinking": "row first."}),
    _block("delta", 0, delta={"type": "signature_delta", "signature": "signed"}),
    _block("stop", 0),
    _block("start", 1, content_block={"type": "text", "text": ""}),
    _block("delta", 1, delta={"type": "text_delta", "text": "It is so."}),
    _block("stop", 1),
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
     "usage": {"output_tokens": 22}},
    {"type": "message_stop"},
]  # fmt: skip


def stream(events: list[dict[str, Any]], *, end: bytes = b"\n", done: bool = True) -> bytes:
    """Events as a server writes them: typed ones bear their type as their name."""
    written = [b": hello" + end + end]
    for event in events:
        name = b"event: " + event["type"].encode() + end if "type" in event else b""
        written.append(name + b"data: " + msgspec.json.encode(event) + end + end)
    if done and "type" not in events[0]:
        written.append(b"data: [DONE]" + end + end)
    return b"".join(written)


STREAMS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "chat": (CHAT, CHAT_EVENTS),
    "responses": (RESPONSES, RESPONSE_EVENTS),
    "messages": (MESSAGES, MESSAGE_EVENTS),
}
