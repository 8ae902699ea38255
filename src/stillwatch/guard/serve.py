"""The server that the gateway runs in: uvicorn on uvloop and httptools. Touches: sockets, processes, signals.

Uvicorn reads requests; what is added here is what a gateway that faces strangers needs: an end to heads without end,
to clients that send a byte a minute or take none, and to trailers that would pass for headers.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from stillwatch.errors import UsageError

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from uvicorn.config import Config

_HEAD: Final = 64 * 1024  # bytes of a request's head: nginx takes 32 KiB, and prompts are not in it
_STALL: Final = 60.0  # seconds in which a client that is to send or to take something must move
_TOO_LONG: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"  # RFC 6585
)


class _OneWrite:
    """A transport that holds an answer's head until the body's first piece, or the loop's next turn, comes.

    Sending is the dearest thing that a gateway does; uvicorn would send twice for each answer.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Send, or hold what comes first."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head:
            self._head, head = b"", self._head
            self._transport.write(head + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is held."""
        if self._head:
            self._head, head = b"", self._head
            self._transport.write(head)

    def close(self) -> None:
        """Send what is held, and close."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self._transport.is_closing()


class GuardedHttp(HttpToolsProtocol):
    """Uvicorn's connection to one client, with bounds on what a client may keep it waiting for."""

    def __init__(self, *args: Any, **keywords: Any) -> None:  # noqa: ANN401  uvicorn's own
        super().__init__(*args, **keywords)
        self._in_message = False
        self._in_head = True
        self._head_size = 0
        self._moved = False
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and wait for a first request no longer than for more of one."""
        super().connection_made(transport)
        self._in_message = True
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._moved = True
        if self._in_head:
            self._head_size += len(data)
            super().data_received(data)
            if self._in_head and self._head_size > _HEAD and not self.transport.is_closing():
                self.transport.write(_TOO_LONG)
                self.transport.close()
        else:
            super().data_received(data)
        if self._in_message and self._stalled is None:
            self._watch()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_message = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request over; what comes as headers after its body is not among them (RFC 9110 6.5.1)."""
        self._in_head = False
        self._head_size = 0
        super().on_headers_complete()
        self.cycle.transport = _OneWrite(self.transport, self.loop)  # type: ignore[assignment]  # all that it uses
        self.headers = []  # the application has the list that was
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # no other protocol is spoken; what follows is not read as requests

    def on_message_complete(self) -> None:
        """Be done with reading a request."""
        self._in_message = False
        self._in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Wait for a client that takes no more, but not for ever."""
        super().pause_writing()
        self._unwatch()
        self._stalled = self.loop.call_later(_STALL, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self._unwatch()
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a client may offer what it likes."""

    def _watch(self) -> None:
        self._moved = False
        self._stalled = self.loop.call_later(_STALL, self._look)

    def _unwatch(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _look(self) -> None:
        self._stalled = None
        if not self._in_message:
            return
        if self._moved or self.flow.read_paused:  # it moves, or it is us who do not read
            self._watch()
        else:
            self.transport.abort()


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and how to serve.

    Attributes:
        host: the address to listen on.
        port: 0: any that is free.
        workers: processes that share it.
        drain: seconds that open streams are let finish after a signal to stop (SIGTERM, SIGINT).
        keep_alive: seconds that a client's connection is kept between requests; longer than a load balancer in front
            keeps its own (AWS: 60 s), so that it is never closed just when a request is sent.
        certificate: file of the certificate to serve TLS with, and those that it stands on; None: plain HTTP.
        private_key: file of its key; None: in the same file.

    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    drain: float = 30.0
    keep_alive: float = 75.0
    certificate: str | None = None
    private_key: str | None = None


def config_of(app_factory: Callable[[], Any], serving: Serving) -> Config:
    """Make uvicorn's configuration.

    Raises:
        UsageError: the numbers make no sense.

    """
    if serving.workers < 1 or serving.drain < 0:
        raise UsageError("at least one worker, and no time below 0, are wanted")
    return uvicorn.Config(
        app_factory,
        factory=True,
        host=serving.host,
        port=serving.port,
        workers=serving.workers,
        loop="uvloop",
        http=GuardedHttp,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whose word counts is the guard's to say
        server_header=False,
        date_header=False,  # the upstream's goes on
        timeout_keep_alive=int(serving.keep_alive),
        timeout_graceful_shutdown=max(1, round(serving.drain)),
        ssl_certfile=serving.certificate,
        ssl_keyfile=serving.private_key,
    )


def run(app_factory: Callable[[], Any], serving: Serving | None = None) -> None:
    """Serve until a signal says to stop; then take no more, let what is open finish for `drain` seconds, and end.

    Args:
        app_factory: makes the application, in each worker its own; with several workers it must be picklable.
        serving: where and how.

    Raises:
        UsageError: the address cannot be had, or the numbers make no sense.

    """
    config = config_of(app_factory, serving or Serving())
    try:
        listening = config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise UsageError(f"{config.host}:{config.port} cannot be listened on") from None
    server = uvicorn.Server(config)
    with listening, contextlib.suppress(KeyboardInterrupt):
        if config.workers > 1:
            _workers(config, server, listening).run()
        else:
            server.run(sockets=[listening])


def _workers(config: Config, server: uvicorn.Server, listening: socket.socket) -> Multiprocess:
    """Make the supervisor of several workers: newer releases of uvicorn make their servers themselves."""
    own: dict[str, Any] = {"target": server.run} if "target" in signature(Multiprocess).parameters else {}
    return Multiprocess(config, sockets=[listening], **own)
