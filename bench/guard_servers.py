"""The servers that `guard.py` loads: each runs in a process of its own, on the core that it is told.

    guard_servers.py ROLE CORE PORT [more]

Roles: `mock` (a model's API in as little code as there can be: what stands behind proxies), `floor` (the same answers
as an ASGI application in the gateway's server), `guard SETTINGS` (the floor with the guard around it), `front-end` and
`guarded-front-end SETTINGS` (the same of an application that reads and writes as inference servers do: FastAPI, and
types of the API checked by pydantic), `proxy UPSTREAM`, `gateway UPSTREAM SETTINGS` (the guard around the proxy).
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httptools
import uvloop

from stillwatch.guard.serve import Serving, run

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST = 0.02  # seconds that the model takes for a stream's first token
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"orion-5-mini","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"It depends on what one wants to know about it."},"logprobs":null,'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":110,"completion_tokens":11,"total_tokens":121}}'
)
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"orion-5-mini",'
    b'"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n'
)
END = b"data: [DONE]\n\n"


class Mock(asyncio.Protocol):
    """Answers whatever it is asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Read."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer."""
        self._transport.write(WHOLE)


async def floor(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI's
    """Answer as a model does."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": (await receive())["type"] + ".complete"})
        return
    body = (message := await receive())["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    streams = b'"stream": true' in body
    headers = [(b"content-type", b"text/event-stream" if streams else b"application/json")]
    if not streams:
        headers.append((b"content-length", b"%d" % len(ANSWER)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if streams:
        await asyncio.sleep(FIRST)
        for _ in range(20):
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
    await send({"type": "http.response.body", "body": END if streams else ANSWER})


def mock(port: int) -> None:
    """Serve the least there can be."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port, backlog=512)
        await server.serve_forever()

    uvloop.run(main())


def plain(port: int) -> None:
    """Serve the floor."""
    run(lambda: floor, Serving(port=port, drain=1))


def guarded(port: int, settings: str) -> None:
    """Serve the floor with the guard around it."""
    from stillwatch.guard.app import Guard  # noqa: PLC0415  only here

    run(lambda: Guard(floor, settings=Path(settings)), Serving(port=port, drain=1))


def front_end(port: int, *settings: str) -> None:
    """Serve what inference servers have before their engines, with the guard around it if there are settings."""
    from fastapi import FastAPI  # noqa: PLC0415  only here
    from openai.types.chat import ChatCompletion  # noqa: PLC0415
    from pydantic import BaseModel, ConfigDict  # noqa: PLC0415

    from stillwatch.guard.app import Guard  # noqa: PLC0415

    class Message(BaseModel):
        role: str
        content: str

    class Asked(BaseModel):
        model_config = ConfigDict(extra="allow")
        model: str
        messages: list[Message]
        max_tokens: int | None = None
        temperature: float = 1.0
        n: int = 1
        stream: bool = False

    api = FastAPI()

    async def answer(asked: Asked) -> ChatCompletion:
        return ChatCompletion.model_validate_json(ANSWER.replace(b"orion-5-mini", asked.model.encode()))

    answer.__annotations__ = {"asked": Asked, "return": ChatCompletion}
    api.post("/v1/chat/completions")(answer)
    app: Any = Guard(api, settings=Path(settings[0])) if settings else api
    run(lambda: app, Serving(port=port, drain=1))


def gateway(port: int, upstream: str, settings: str) -> None:
    """Serve the reverse proxy with the guard around it."""
    from stillwatch.guard.gateway import Gateway  # noqa: PLC0415  only here
    from stillwatch.guard.settings import load_settings  # noqa: PLC0415

    run(Gateway(upstream, load_settings(Path(settings))), Serving(port=port, drain=1))


def proxied(port: int, upstream: str) -> None:
    """Serve the reverse proxy alone."""
    from stillwatch.guard.proxy import Proxy  # noqa: PLC0415  only here

    run(functools.partial(Proxy, upstream), Serving(port=port, drain=1))


ROLES: dict[str, Callable[..., None]] = {
    "mock": mock,
    "floor": plain,
    "guard": guarded,
    "front-end": front_end,
    "guarded-front-end": front_end,
    "proxy": proxied,
    "gateway": gateway,
}


def main() -> None:
    """Be one of them."""
    role, core, port, *more = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    ROLES[role](int(port), *more)


if __name__ == "__main__":
    main()
