"""A model's API as its documentation shapes it: OpenAI's and Anthropic's endpoints, without a model.

It answers with words of its own, as many as it is allowed (`max_tokens`), a word a token; `"n"` answers, log
probabilities, calls of tools and reasoning where they are asked for; streams, plain or with `stream_options`. It is an
ASGI application; `running` has it answer on a port. What went wrong is asked for by the model's name:

    fault-400 fault-429 fault-500 fault-529   an error of this status, in the API's shape
    fault-hang                                no answer
    fault-stall                               a stream's first piece, and no more
    fault-cut                                 a stream's first pieces, then the connection is closed

and a pause of as many seconds before each piece by the header `x-delay`. `seen` has every request, `left` counts those
whose client went away before the answer's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Event = tuple[str, dict[str, Any]]  # its name, and what it carries
    Plain = Callable[[dict[str, Any]], dict[str, Any]]
    Stream = Callable[[dict[str, Any]], Iterator[Event]]
    App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

WORDS = "the quick answer to what was asked is that it depends on what one wants to know about it".split()  # noqa: SIM905
THOUGHTS = "first look at what is asked then at what is known".split()  # noqa: SIM905
CREATED = 1_767_225_600


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> list[bytes]:
        """Give all values of a header."""
        return [value for each, value in self.headers if each == name]

    @property
    def json(self) -> dict[str, Any]:
        """The body, read."""
        read: dict[str, Any] = json.loads(self.body)
        return read


@dataclass(slots=True)
class ModelServer:
    """The application, and what it has seen."""

    seen: list[Seen] = field(default_factory=list)
    left: int = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        request = Seen(scope["method"], scope["path"], scope["query_string"], tuple(scope["headers"]), body)
        self.seen.append(request)
        await _Answering(self, request, receive, send).run()


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


class _Answering:
    """One request's answer."""

    def __init__(self, server: ModelServer, request: Seen, receive: Receive, send: Send) -> None:
        self.server, self.request, self.receive, self.send = server, request, receive, send
        self.delay = float((request.header(b"x-delay") or [b"0"])[0])

    async def run(self) -> None:
        path = self.request.path
        shape = path.partition("/v1/")[2]
        if self.request.method == "GET" and shape == "models":
            await self.whole(200, {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "us"}]})
            return
        ask = SHAPES.get(shape)
        if ask is None or self.request.method != "POST":
            await self.error(404, "There is no such thing")
            return
        try:
            asked = self.request.json
        except ValueError:
            await self.error(400, "The body is no JSON")
            return
        await self.serve(asked, *ask)

    async def serve(self, asked: dict[str, Any], plain: Plain, stream: Stream | None) -> None:
        model = str(asked.get("model", ""))
        fault = model.removeprefix("fault-") if model.startswith("fault-") else ""
        if fault.isdigit():
            await self.error(int(fault), "This was asked for")
        elif fault == "hang":
            await self.until_left()
        elif asked.get("stream") and stream is not None:
            await self.stream(stream(asked), fault, done="messages" not in self.request.path)
        else:
            await asyncio.sleep(self.delay)
            await self.whole(200, plain(asked))

    async def until_left(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.server.left += 1

    async def whole(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", b"req-1"),
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def error(self, status: int, message: str) -> None:
        if "/v1/messages" in self.request.path:
            kinds = {400: "invalid_request_error", 404: "not_found_error", 429: "rate_limit_error"}
            error = {"type": kinds.get(status, "api_error"), "message": message}
            await self.whole(status, {"type": "error", "error": error})
        else:
            kind = "invalid_request_error" if status < 500 else "server_error"
            error = {"message": message, "type": kind, "param": None, "code": None}  # type: ignore[dict-item]
            await self.whole(status, {"error": error})

    async def stream(self, events: Iterator[Event], fault: str, *, done: bool) -> None:
        """Send events as they come, and notice where the client goes."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        leaving = asyncio.ensure_future(self.until_left())
        try:
            async for piece in self.pieces(events, fault):
                if leaving.done():
                    return
                await self.send({"type": "http.response.body", "body": piece, "more_body": True})
            if fault == "stall":
                await leaving
            elif fault == "cut":
                return  # without an end: the server closes the connection
            else:
                last = b"data: [DONE]\n\n" if done and "responses" not in self.request.path else b""
                await self.send({"type": "http.response.body", "body": last})
        finally:
            leaving.cancel()

    async def pieces(self, events: Iterator[Event], fault: str) -> AsyncIterator[bytes]:
        most = {"stall": 1, "cut": 3}.get(fault, 1_000_000)
        for number, (name, data) in enumerate(events):
            if number == most:
                return
            if self.delay:
                await asyncio.sleep(self.delay)
            yield (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


# ---------------------------------------------------------------- what is said
def spoken(asked: dict[str, Any]) -> tuple[list[str], bool]:
    """Words of an answer, and whether they were cut."""
    most = asked.get("max_completion_tokens") or asked.get("max_output_tokens") or asked.get("max_tokens") or len(WORDS)
    return [word if i == 0 else f" {word}" for i, word in enumerate(WORDS[:most])], most < len(WORDS)


def _read(asked: dict[str, Any]) -> int:
    told = [asked.get(name) for name in ("messages", "prompt", "input", "system", "instructions")]
    return max(1, len(json.dumps(told).split()))


def _logprobs(words: list[str], top: int) -> dict[str, Any]:
    def of(word: str, rank: int) -> dict[str, Any]:
        return {"token": word, "logprob": -0.1 - rank, "bytes": list(word.encode())}

    content = [{**of(word, 0), "top_logprobs": [of(word, rank) for rank in range(top)]} for word in words]
    return {"content": content, "refusal": None}


# ---------------------------------------------------------------- chat/completions
def _usage(asked: dict[str, Any], said: int) -> dict[str, Any]:
    read = _read(asked)
    return {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}


def _tool(asked: dict[str, Any]) -> str | None:
    tools = asked.get("tools") or ()
    return next((tool.get("function", tool).get("name") for tool in tools), None)


def _chat(asked: dict[str, Any]) -> dict[str, Any]:
    words, cut = spoken(asked)
    name = _tool(asked)
    message: dict[str, Any] = {"role": "assistant", "content": None if name else "".join(words)}
    if asked.get("reasoning_effort"):
        message["reasoning_content"] = " ".join(THOUGHTS)
    if name:
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}]
    choice: dict[str, Any] = {"message": message, "logprobs": None}
    choice["finish_reason"] = "tool_calls" if name else "length" if cut else "stop"
    if asked.get("logprobs"):
        choice["logprobs"] = _logprobs(words, asked.get("top_logprobs", 0))
    choices = [{"index": index, **choice} for index in range(asked.get("n") or 1)]
    return {**_chunk(asked, "chat.completion"), "choices": choices, "usage": _usage(asked, len(words) * len(choices))}


def _chunk(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": CREATED, "model": asked.get("model", "")}


def _chat_stream(asked: dict[str, Any]) -> Iterator[Event]:
    words, cut = spoken(asked)
    name = _tool(asked)
    head = _chunk(asked, "chat.completion.chunk")

    def event(delta: dict[str, Any], finish: str | None = None, logprobs: object = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return "", {**head, "choices": [choice]}

    yield event({"role": "assistant", "content": ""})
    for thought in THOUGHTS if asked.get("reasoning_effort") else ():
        yield event({"reasoning_content": f"{thought} "})
    if name:
        for arguments in ("{", "}"):
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
            yield event({"tool_calls": [call if arguments == "{" else {"index": 0, "function": {"arguments": "}"}}]})
    else:
        for word in words:
            told = _logprobs([word], asked.get("top_logprobs", 0)) if asked.get("logprobs") else None
            yield event({"content": word}, logprobs=told)
    yield event({}, "tool_calls" if name else "length" if cut else "stop")
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield "", {**head, "choices": [], "usage": _usage(asked, len(words))}


# ---------------------------------------------------------------- completions, embeddings
def _completion(asked: dict[str, Any]) -> dict[str, Any]:
    words, cut = spoken(asked)
    choice: dict[str, Any] = {"index": 0, "text": "".join(words), "finish_reason": "length" if cut else "stop"}
    choice["logprobs"] = _old_logprobs(words, asked["logprobs"]) if asked.get("logprobs") else None
    return {**_chunk(asked, "text_completion"), "choices": [choice], "usage": _usage(asked, len(words))}


def _old_logprobs(words: list[str], top: int) -> dict[str, Any]:
    return {
        "tokens": words,
        "token_logprobs": [-0.1] * len(words),
        "top_logprobs": [{f"{word}{rank}": -0.1 - rank for rank in range(top)} for word in words],
        "text_offset": [sum(map(len, words[:i])) for i in range(len(words))],
    }


def _completion_stream(asked: dict[str, Any]) -> Iterator[Event]:
    words, cut = spoken(asked)
    head = _chunk(asked, "text_completion")
    for number, word in enumerate(words, start=1):
        finish = None if number < len(words) else "length" if cut else "stop"
        yield "", {**head, "choices": [{"index": 0, "text": word, "logprobs": None, "finish_reason": finish}]}


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    given = asked.get("input", "")
    texts = given if isinstance(given, list) else [given]
    data = [{"object": "embedding", "index": i, "embedding": [0.5, -0.25, float(i)]} for i in range(len(texts))]
    used = {"prompt_tokens": _read(asked), "total_tokens": _read(asked)}
    return {"object": "list", "data": data, "model": asked.get("model", ""), "usage": used}


# ---------------------------------------------------------------- responses
def _response(asked: dict[str, Any], *, done: bool = True) -> dict[str, Any]:
    words, cut = spoken(asked)
    output: list[dict[str, Any]] = []
    if asked.get("reasoning"):
        thoughts = [{"type": "reasoning_text", "text": " ".join(THOUGHTS)}]
        output.append({"id": "rs_1", "type": "reasoning", "summary": [], "content": thoughts})
    output.append(_message(words, "completed"))
    read = _read(asked)
    used = {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": len(words),
        "output_tokens_details": {"reasoning_tokens": len(THOUGHTS) if asked.get("reasoning") else 0},
        "total_tokens": read + len(words),
    }
    ended = "incomplete" if cut else "completed"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": ended if done else "in_progress",
        "incomplete_details": {"reason": "max_output_tokens"} if cut and done else None,
        "error": None,
        "model": asked.get("model", ""),
        "output": output if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": used if done else None,
    }


def _message(words: list[str], status: str) -> dict[str, Any]:
    text = {"type": "output_text", "text": "".join(words), "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [text] if words else []}


def _response_stream(asked: dict[str, Any]) -> Iterator[Event]:
    for number, (name, data) in enumerate(_response_events(asked)):
        yield name, {"type": name, "sequence_number": number, **data}


def _response_events(asked: dict[str, Any]) -> Iterator[Event]:
    words, cut = spoken(asked)
    at = 1 if asked.get("reasoning") else 0
    yield "response.created", {"response": _response(asked, done=False)}
    if at:
        item: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": [], "content": []}
        where: dict[str, Any] = {"item_id": "rs_1", "output_index": 0, "content_index": 0}
        yield "response.output_item.added", {"output_index": 0, "item": item}
        for thought in THOUGHTS:
            yield "response.reasoning_text.delta", {**where, "delta": f"{thought} "}
        yield "response.reasoning_text.done", {**where, "text": " ".join(THOUGHTS)}
        yield "response.output_item.done", {"output_index": 0, "item": _response(asked)["output"][0]}
    where = {"item_id": "msg_1", "output_index": at, "content_index": 0}
    part = _message(words, "completed")["content"][0]
    yield "response.output_item.added", {"output_index": at, "item": _message([], "in_progress")}
    yield "response.content_part.added", {**where, "part": {**part, "text": ""}}
    for word in words:
        yield "response.output_text.delta", {**where, "delta": word, "logprobs": []}
    yield "response.output_text.done", {**where, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**where, "part": part}
    yield "response.output_item.done", {"output_index": at, "item": _message(words, "completed")}
    yield "response.incomplete" if cut else "response.completed", {"response": _response(asked)}


# ---------------------------------------------------------------- messages
def _blocks(asked: dict[str, Any]) -> list[dict[str, Any]]:
    words, _ = spoken(asked)
    blocks: list[dict[str, Any]] = []
    if (asked.get("thinking") or {}).get("type") == "enabled":
        blocks.append({"type": "thinking", "thinking": " ".join(THOUGHTS), "signature": "c2ln"})
    name = _tool(asked)
    if name:
        blocks.append({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}})
    else:
        blocks.append({"type": "text", "text": "".join(words)})
    return blocks


def _messages(asked: dict[str, Any]) -> dict[str, Any]:
    words, cut = spoken(asked)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked.get("model", ""),
        "content": _blocks(asked),
        "stop_reason": "tool_use" if _tool(asked) else "max_tokens" if cut else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": _read(asked), "output_tokens": len(words)},
    }


_EMPTY: dict[str, dict[str, Any]] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}


def _messages_stream(asked: dict[str, Any]) -> Iterator[Event]:
    for name, data in _message_events(asked):
        yield name, {"type": name, **data}


def _message_events(asked: dict[str, Any]) -> Iterator[Event]:
    whole = _messages(asked)
    started = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield "message_start", {"message": started}
    yield "ping", {}
    for index, block in enumerate(whole["content"]):
        started = {**block, **_EMPTY[block["type"]]}
        yield "content_block_start", {"index": index, "content_block": started}
        for delta in _deltas(asked, block["type"]):
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": delta, "usage": {"output_tokens": whole["usage"]["output_tokens"]}}
    yield "message_stop", {}


def _deltas(asked: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    if kind == "thinking":
        for i, thought in enumerate(THOUGHTS):
            yield {"type": "thinking_delta", "thinking": thought if i == 0 else f" {thought}"}
        yield {"type": "signature_delta", "signature": "c2ln"}
    elif kind == "tool_use":
        yield {"type": "input_json_delta", "partial_json": "{}"}
    else:
        for word in spoken(asked)[0]:
            yield {"type": "text_delta", "text": word}


SHAPES: dict[str, tuple[Plain, Stream | None]] = {
    "chat/completions": (_chat, _chat_stream),
    "completions": (_completion, _completion_stream),
    "embeddings": (_embeddings, None),
    "responses": (_response, _response_stream),
    "messages": (_messages, _messages_stream),
    "messages/count_tokens": (lambda asked: {"input_tokens": _read(asked)}, None),
}


@contextlib.contextmanager
def running(app: App, **options: Any) -> Iterator[str]:  # noqa: ANN401  uvicorn's own
    """Serve an application from a thread; gives `http://host:port`."""
    told: dict[str, Any] = {
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "ws": "none",
        "proxy_headers": False,
    }
    config = uvicorn.Config(app, **{**told, "timeout_graceful_shutdown": 5, **options})
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
