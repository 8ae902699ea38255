"""The guard as ASGI middleware: around vLLM's server, SGLang, LiteLLM's proxy, or any ASGI application.

A request's body is read before anything is decided; an answer passes as it comes, chunk by chunk, and is changed only
where the policy says so. Touches: the environment, for the settings' place where none are given.
"""

from __future__ import annotations

import asyncio
import gc
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from stillwatch.errors import SettingsError
from stillwatch.guard import litellm, metrics_port, nginx
from stillwatch.guard.asgi import respond, respond_json
from stillwatch.guard.door import Door
from stillwatch.guard.incoming import Incoming
from stillwatch.guard.litellm import LiteLLMGuardrail
from stillwatch.guard.nginx import AuthRequest
from stillwatch.guard.settings import GuardSettings, load_settings
from stillwatch.guard.wire.answer import AnswerReader
from stillwatch.guard.wire.edited import client_steering
from stillwatch.guard.wire.endpoint import endpoint
from stillwatch.guard.wire.refused import error_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stillwatch.guard.admission import Admission, Header
    from stillwatch.guard.asgi import App, Message, Receive, Scope, Send
    from stillwatch.guard.state import State
    from stillwatch.guard.wire.answer import Said

ENVIRONMENT: Final = "STILLWATCH_GUARD"
PREFIX: Final = "/stillwatch/"
_GRACE: Final = 5.0  # seconds in which Envoy's questions may still be answered


class Guard:
    """A guard around an application.

    Args:
        app: what is guarded.
        policy: a file, or the name of a policy that comes with stillwatch.
        store: the ledger: a path of SQLite, or `postgresql://...`.
        settings: all else, and these two where they are not given here; where nothing at all is given, the file that
            the variable `STILLWATCH_GUARD` names.
        state: what guards remember together; by the settings, if None.
        told: is told what goes wrong; standard error, if None.

    Raises:
        SettingsError: the settings say something wrong, or no policy is named.
        PolicyError: there is no such policy, it is empty, or it says something wrong.
        InputError: a file that the settings name cannot be read.

    """

    def __init__(
        self,
        app: App,
        policy: str | Path | None = None,
        store: str | Path | None = None,
        settings: GuardSettings | str | Path | None = None,
        *,
        state: State | None = None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._app = app
        self.door = Door(_settings(policy, store, settings), state=state, told=told)
        self.routes: dict[str, App] = {nginx.PATH: AuthRequest(self.door), litellm.PATH: LiteLLMGuardrail(self.door)}
        self._ends: list[Callable[[], Awaitable[object]]] = []
        self._started, self._starting = False, asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI 3.0 has it."""
        kind = scope["type"]
        if kind == "http":
            if not self._started:
                await self._start()
            if scope["path"].startswith(PREFIX):
                await self._own(scope, receive, send)
            else:
                await self._guarded(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        elif kind == "websocket" and self.door.enforces:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "not governed by a policy"})
        else:
            await self._app(scope, receive, send)

    # ---- its own life

    async def _start(self) -> None:
        async with self._starting:
            if self._started:
                return
            await self.door.start()
            gc.freeze()  # decisions stay: a collector that walks over a million of them would hold requests up
            settings = self.door.settings
            if settings.metrics.ports:
                listening = await metrics_port.listen(self.door.metrics, settings.metrics.host, settings.metrics.ports)
                self._ends.append(_closing(listening))
            if settings.envoy is not None:
                from stillwatch.guard.envoy import serve_envoy  # noqa: PLC0415  gRPC need not be installed otherwise

                host, _, port = settings.envoy.rpartition(":")
                server, _ = await serve_envoy(self.door, host, int(port))
                self._ends.append(partial(server.stop, _GRACE))
            self._started = True

    async def _end(self) -> None:
        self._started = False
        while self._ends:
            await self._ends.pop()()
        await self.door.aclose()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin before the application begins, and end after it has ended."""

        async def listened() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start()
            return message

        async def said(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown") and self._started:
                await self._end()
            await send(message)

        await self._app(scope, listened, said)

    # ---- requests

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole, body = endpoint(scope["method"], scope["path"]).read, b""
        messages: list[Message] = []
        if whole:
            read = await _read_body(receive, self.door.settings.body_limit)
            if read is None:
                return  # the client has gone
            body, messages = read
        client = scope.get("client")
        incoming = Incoming(
            scope["method"],
            scope["path"],
            scope["headers"],
            client[0] if client else "",
            body,
            scope.get("query_string", b""),
        )
        admission = await self.door.admit(incoming)
        if not admission.served:
            status, headers, refused = admission.refused()
            await self.door.close(admission, status=status, said=None)
            await respond(send, status, headers, refused)
            return
        answer = _Answer(admission, send, self.door)
        replayed = _Replayed(admission.body, messages, receive) if whole else None
        try:
            await self._app(_sent_on(scope, admission, enforced=self.door.enforces), replayed or receive, answer.send)
        finally:
            if answer.streams:
                self.door.metrics.closed()
            await self.door.close(admission, status=answer.status, said=answer.said())

    # ---- its own pages

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(PREFIX)
        client = scope.get("client")
        incoming = Incoming(scope["method"], scope["path"], scope["headers"], client[0] if client else "", b"")
        route = self.routes.get(path)
        if path == "health/live":
            await respond_json(send, 200, {"status": "live"})
        elif route is not None:
            await route(scope, receive, send)
        elif not self.door.is_operator(incoming):
            await respond(send, 404)
        elif path == "health/ready":
            ready = self.door.readiness()
            await respond_json(send, 200 if ready.ok else 503, {"ready": ready.ok, "parts": dict(ready.parts)})
        elif path == "metrics":
            accept = incoming.header(b"accept")
            page = self.door.metrics.render(accept)
            headers = [
                (b"content-type", self.door.metrics.content_type(accept).encode()),
                (b"content-length", str(len(page)).encode()),
            ]
            await respond(send, 200, headers, page)
        else:
            await respond(send, 404)


class _Replayed:
    """A request's body, given once more to the application, and after it whatever comes from the client."""

    def __init__(self, body: bytes, messages: list[Message], receive: Receive) -> None:
        self._first: list[Message] = messages or [{"type": "http.request", "body": body, "more_body": False}]
        self._receive = receive

    async def __call__(self) -> Message:
        return self._first.pop(0) if self._first else await self._receive()


class _Answer:
    """An answer on its way to the client: edited where the ruling says so, and read as it passes."""

    def __init__(self, admission: Admission, send: Send, door: Door) -> None:
        self._admission, self._send, self._door = admission, send, door
        self._reader: AnswerReader | None = None
        self._start: Message | None = None  # held back until the length is known
        self._held: list[bytes] = []
        self._blocked = self.streams = False
        self.status = 0

    def said(self) -> Said | None:
        return None if self._reader is None else self._reader.said()

    async def send(self, message: Message) -> None:
        if self._blocked:
            return
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body" and self._reader is not None:
            await self._pass(message, self._reader)
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        self.status, admission = message["status"], self._admission
        headers: list[Header] = [(name.lower(), value) for name, value in message.get("headers", ())]
        kind, encoding = _last(headers, b"content-type"), _last(headers, b"content-encoding")
        self.streams = kind.startswith("text/event-stream")
        if self.streams:
            self._door.metrics.opened()
        edits = admission.answer_edits
        if admission.asked is None or (admission.asked.body is None and not edits):
            await self._send(message)
            return
        if encoding not in {"", "identity"}:
            if edits:
                await self._block()
            else:
                await self._send(message)
            return
        reader = self._reader = AnswerReader(admission.asked, edits, content_type=kind, keep_text=self._door.keeps_text)
        if not reader.changes:
            await self._send(message)
            return
        changed = {**message, "headers": [each for each in headers if each[0] != b"content-length"]}
        if self.streams:
            await self._send(changed)
        else:
            self._start = changed

    async def _pass(self, message: Message, reader: AnswerReader) -> None:
        more = message.get("more_body", False)
        body: bytes = reader.feed(message.get("body", b""))
        if not more:
            body += reader.end()
        if self._start is None:
            if body or not more:
                await self._send({"type": "http.response.body", "body": body, "more_body": more})
            return
        self._held.append(body)
        if not more:
            whole = b"".join(self._held)
            start, self._start = self._start, None
            start["headers"].append((b"content-length", str(len(whole)).encode()))
            await self._send(start)
            await self._send({"type": "http.response.body", "body": whole, "more_body": False})

    async def _block(self) -> None:
        """Answer in place of an answer that cannot be edited: nothing that must not be seen may pass."""
        self._blocked, self.status = True, 502
        text = "The answer is compressed and cannot be checked"
        body = error_body(self._admission.api, 502, text, id=self._admission.id)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await respond(self._send, 502, headers, body)


async def _read_body(receive: Receive, limit: int) -> tuple[bytes, list[Message]] | None:
    """Read a body: all of it, or a little more than the limit; None if the client has gone.

    Gives the messages too where the body is over the limit, since what is left of it has not been read.
    """
    parts: list[bytes] = []
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if not more and not parts:
            return part, []
        parts.append(part)
        messages.append(message)
        size += len(part)
        if not more:
            return b"".join(parts), []
        if size > limit:
            return b"".join(parts), messages


def _sent_on(scope: Scope, admission: Admission, *, enforced: bool) -> Scope:
    """Give the scope as the application gets it."""
    if not enforced:
        return scope
    headers = [each for each in scope["headers"] if each[0][:1] != b"x" or not client_steering(each[0])]
    if admission.asked is None or not (admission.asked.body or admission.answer_edits):
        return {**scope, "headers": [*headers, *admission.headers]}
    changed = admission.body is not admission.incoming.body
    headers = [each for each in headers if each[0] != b"accept-encoding"]
    if changed:
        dropped = (b"content-length", b"transfer-encoding", b"content-digest", b"digest", b"content-md5")
        headers = [each for each in headers if each[0] not in dropped]
        headers.append((b"content-length", str(len(admission.body)).encode()))
    told = {name for name, _ in admission.headers}
    headers = [each for each in headers if each[0] not in told]
    headers.append((b"accept-encoding", b"identity"))
    headers.extend(admission.headers)
    extensions = {name: each for name, each in (scope.get("extensions") or {}).items() if not name.endswith("send")}
    return {**scope, "headers": headers, "extensions": extensions}


def _closing(listening: asyncio.Server) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        listening.close()
        await listening.wait_closed()

    return close


def _last(headers: list[Header], name: bytes) -> str:
    for each, value in reversed(headers):
        if each == name:
            return value.decode("latin-1").strip().lower()
    return ""


def _settings(
    policy: str | Path | None, store: str | Path | None, settings: GuardSettings | str | Path | None
) -> GuardSettings:
    if settings is None:
        place = os.environ.get(ENVIRONMENT, "")
        if not place and policy is None:
            reason = f"no settings: give a policy, or name a file of settings in the variable {ENVIRONMENT}"
            raise SettingsError("guard", (), reason=reason)
        settings = load_settings(Path(place)) if place else GuardSettings()
    elif not isinstance(settings, GuardSettings):
        settings = load_settings(Path(settings))
    given = {"policy": policy, "ledger": store}
    return msgspec.structs.replace(settings, **{name: str(value) for name, value in given.items() if value is not None})
