"""The reverse proxy: an ASGI application that passes requests on to one upstream. Touches: sockets, the clock.

    Guard(Proxy("http://127.0.0.1:8000"), ...)

Nothing is held back: chunks go on as they come, both ways. What is wrong before the answer's head is told in the error
shape of the API that was asked; what is wrong after it ends the connection without the answer's end, so that a client
sees that there is something missing.
"""

from __future__ import annotations

import logging
import secrets
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

from stillwatch.errors import UpstreamError
from stillwatch.guard.forwarding import BadRequestError, Heading, Trusted, answer_headers, heading
from stillwatch.guard.upstream import Timeouts, Upstream
from stillwatch.guard.wire.endpoint import endpoint
from stillwatch.guard.wire.refused import error_body

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from stillwatch.guard.upstream import Connection

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger(__name__)
_SOON: Final = 0.02  # seconds after which it is worth a task to listen whether the client has gone
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))  # ask for nothing to be done (RFC 9110 9.2.1)
_GONE: Final = 499  # the client has gone: nobody is told


class Proxy:
    """Passes requests on to one upstream.

    Args:
        upstream: `http://host:port/base` or `https://...`.
        timeouts: how long is waited for it.
        max_connections: how many there are to it at once, at most.
        tls: how `https` is verified; None: by the system's authorities.
        trusted_proxies: networks of proxies in front, whose `X-Forwarded-*` and `Forwarded` go on; others' are dropped.

    Raises:
        UsageError: the upstream's URL cannot be used.

    """

    def __init__(
        self,
        upstream: str,
        *,
        timeouts: Timeouts | None = None,
        max_connections: int = 4096,
        tls: ssl.SSLContext | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        self._upstream = Upstream(upstream, timeouts=timeouts, max_connections=max_connections, tls=tls)
        self._trusted = Trusted(trusted_proxies)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the application."""
        if scope["type"] == "http":
            await self._pass_on(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "WebSockets are not served here"})

    async def aclose(self) -> None:
        """Close all connections to the upstream."""
        await self._upstream.aclose()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _pass_on(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            head = self._heading(scope)  # before anything of the body is asked for
        except BadRequestError as error:
            await _refuse(scope, send, error.status, error.message)
            return
        message = await receive()
        if message["type"] != "http.request":
            return
        exchange = _Exchange(self._upstream, scope["method"], head, message, receive)
        try:
            try:
                await exchange.begin()
            except UpstreamError as error:
                if error.status != _GONE:
                    _log.warning("%s %s: %s", scope["method"], scope["path"], error)
                    await _refuse(scope, send, error.status, str(error))
                return
            await exchange.answer(send)
        except UpstreamError as error:
            if error.status != _GONE:  # no end is sent, so that the server cuts the connection
                _log.warning("%s %s: %s in mid-answer", scope["method"], scope["path"], error)
        finally:
            exchange.end()

    def _heading(self, scope: MutableMapping[str, Any]) -> Heading:
        client = scope.get("client")
        upstream = self._upstream
        return heading(
            scope,
            authority=upstream.authority,
            base=upstream.base,
            trusted=client is not None and client[0] in self._trusted,
        )


class _Exchange:
    """One request and its answer."""

    def __init__(self, upstream: Upstream, method: str, head: Heading, first: Message, receive: Receive) -> None:
        self._upstream, self._method, self._head, self._receive = upstream, method, head, receive
        self._body: bytes = first.get("body", b"")
        self._whole = not first.get("more_body", False)
        self._left = head.declared  # bytes of the body that are still to come, where it is known
        self._connection: Connection | None = None
        self._ear: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        """Send the request and wait for the answer's head.

        Raises:
            UpstreamError: there is none.

        """
        connection = self._connection = await self._upstream.connection()
        self._send(connection)
        try:
            await connection.head()
        except UpstreamError:
            if not self._again(connection):
                raise
            self._quiet()
            self._upstream.free(connection)
            connection = self._connection = await self._upstream.connection(fresh=True)
            self._send(connection)
            await connection.head()

    async def answer(self, send: Send) -> None:
        """Pass the answer on.

        Raises:
            UpstreamError: it breaks off, or the client has gone.

        """
        connection = self._connection
        assert connection is not None  # noqa: S101  for the type checker: it has begun
        await send({"type": "http.response.start", "status": connection.status, "headers": _headers(connection)})
        if not connection.complete:
            self._listen()
        more = True
        while more:
            data, more = await connection.body()
            if not more:
                self.end()  # the upstream is done, however long the client takes over the rest
            await send({"type": "http.response.body", "body": data, "more_body": more})

    def end(self) -> None:
        """Be done with the upstream, however it went."""
        self._quiet()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._upstream.free(connection)

    def _send(self, connection: Connection) -> None:
        bodiless = self._method == "HEAD"
        if self._whole:
            data = self._head.with_body(len(self._body)) + self._body
            connection.send(data, bodiless=bodiless, whole=True)
            self._timer = self._upstream.loop.call_later(_SOON, self._listen)
        else:
            connection.send(self._head.with_stream(), bodiless=bodiless, whole=False)
            self._listen()

    def _again(self, connection: Connection) -> bool:
        """Whether it may be sent once more: nothing is done by it, and nothing was heard on a connection kept."""
        safe = self._method in _SAFE and self._whole and not self._body
        return safe and connection.uses > 1 and connection.untouched

    def _listen(self) -> None:
        if self._ear is None:
            self._ear = self._upstream.loop.create_task(self._hear())

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._ear is not None:
            self._ear.cancel()
            self._ear = None

    async def _hear(self) -> None:
        """Take the rest of the body from the client, then wait for it to go."""
        connection = self._connection
        assert connection is not None  # noqa: S101  for the type checker: it has begun
        try:
            if not self._whole:
                await self._upload(connection, self._body, last=False)
            while True:
                message = await self._receive()
                if message["type"] != "http.request":
                    break
                if not self._whole:
                    self._whole = not message.get("more_body", False)
                    await self._upload(connection, message.get("body", b""), last=self._whole)
        except BadRequestError as error:
            connection.fail(UpstreamError(error.status, error.message))
        except Exception:  # noqa: BLE001  whatever a server raises here, the upstream must not work on for nobody
            _log.exception("the client could not be listened to")
        connection.fail(UpstreamError(_GONE, "The client has gone"))

    async def _upload(self, connection: Connection, data: bytes, *, last: bool) -> None:
        if self._left is None:  # in chunks (RFC 9112 7.1)
            framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            await connection.upload(framed + b"0\r\n\r\n" if last else framed, last=last)
            return
        self._left -= len(data)
        if self._left < 0 or (last and self._left):
            raise BadRequestError(400, "The body is not as long as Content-Length says")
        await connection.upload(data, last=last)


def _headers(connection: Connection) -> list[tuple[bytes, bytes]]:
    """What goes on, with a date where the upstream gives none (RFC 9110 6.6.1)."""
    headers = answer_headers(connection.status, connection.headers)
    if not any(name == b"date" for name, _ in headers):
        headers.append((b"date", formatdate(usegmt=True).encode()))
    return headers


async def _refuse(scope: MutableMapping[str, Any], send: Send, status: int, message: str) -> None:
    """Tell what is wrong in the shape of the API that was asked."""
    name = f"sw-{secrets.token_hex(8)}"
    body = error_body(endpoint(scope["method"], scope["path"]).api, status, message, id=name)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-stillwatch-reason", name.encode()),
        (b"date", formatdate(usegmt=True).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
