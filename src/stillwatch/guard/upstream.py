"""The server behind the gateway: HTTP/1.1 connections to it, kept and used again. Touches: sockets.

Why not a general client: those that there are spend more on one request than everything else that the guard does with
it (`bench/guard.py`). This one writes a head that is ready, has `httptools` read the answer, and gives chunks on as
they come. What it holds to:

- A request is written once. Only one without a body that asks for nothing to be done (GET, HEAD, OPTIONS) is written
  again, on a fresh connection, where a kept one was closed before the first byte of an answer (RFC 9112 9.3.1).
- A kept connection is looked at before it is used: if the upstream has closed it meanwhile, nothing is written to it.
- After a fault, half an answer, or bytes that nobody asked for, a connection is never used again.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httptools

from stillwatch.errors import UpstreamError, UsageError

if TYPE_CHECKING:
    from stillwatch.guard.forwarding import Headers

_HELD: Final = 256 * 1024  # bytes of an answer that wait for the client before the upstream is made to wait
_HEAD: Final = 256 * 1024  # bytes of headers of an answer
_NEVER: Final = float("inf")
_BODILESS: Final = frozenset((204, 304))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long is waited for the upstream, in seconds.

    Attributes:
        connect: for a connection.
        first_byte: for the head of an answer, after the request is written.
        idle: for more of a body that has begun.
        keep: how long a connection that nobody uses is kept; less than what model servers keep it (uvicorn, and so
            vLLM and SGLang: 5 s), so that they seldom close one in the moment in which it is used.

    """

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 300.0
    keep: float = 4.0

    def __post_init__(self) -> None:
        """Refuse times that are none.

        Raises:
            UsageError: a time is not above 0.

        """
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}: seconds above 0 are wanted, not {getattr(self, name)}")


class Connection(asyncio.Protocol):
    """One connection, and the one exchange that it is used for at a time."""

    def __init__(self, upstream: Upstream, sock: socket.socket) -> None:
        self.uses = 0
        self.deadline = _NEVER
        self.idle_since = 0.0
        self._upstream = upstream
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._closed = False
        self._busy = False
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        # of one exchange
        self.status = 0
        self.headers: Headers = []
        self.headed = False
        self.complete = False
        self.sent_all = True
        self.failure: UpstreamError | None = None
        self._heard = False
        self._bodiless = self._asked_head = False
        self._until_end = False
        self._keep = True
        self._pending: list[bytes] = []
        self._held = self._head_size = 0
        self._paused = False

    # ------------------------------------------------------------ one exchange
    def send(self, data: bytes, *, bodiless: bool, whole: bool) -> None:
        """Begin an exchange.

        Args:
            data: the request's head, and what there is of its body.
            bodiless: whether the answer has no body whatever its headers say: to HEAD.
            whole: whether that is all of the request.

        """
        self._begin(bodiless=bodiless)
        self.uses += 1
        self.sent_all = whole
        self.deadline = self._upstream.now() + self._upstream.timeouts.first_byte
        self._write(data)

    async def upload(self, data: bytes, *, last: bool) -> None:
        """Write more of the request's body; waits while the upstream takes no more."""
        if self.failure is not None or self.complete:
            return
        if data:
            self._write(data)
        if last:
            self.sent_all = True
        if not self.headed:
            self.deadline = self._upstream.now() + self._upstream.timeouts.first_byte
        if self._writable is not None:
            await self._writable

    async def head(self) -> None:
        """Wait for `status` and `headers`.

        Raises:
            UpstreamError: there will be none.

        """
        while not self.headed:
            await self._more()

    async def body(self) -> tuple[bytes, bool]:
        """Give what there is of the answer's body, as soon as there is something, and whether more is to come.

        Raises:
            UpstreamError: the answer breaks off here.

        """
        while not self._pending:
            if self.complete:
                return b"", False
            await self._more()
        pending = self._pending
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        pending.clear()
        self._held = 0
        if self._paused:
            self._resume()
        return data, not self.complete

    def fail(self, failure: UpstreamError) -> None:
        """End the exchange and the connection here and now; whoever waits is told why. The first reason counts."""
        if self.failure is None and not self.complete:
            self.failure = failure
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Close it without a farewell: what the upstream is still at, it need not finish."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow this one."""
        return self._keep and self.complete and self.sent_all and not self._closed

    @property
    def untouched(self) -> bool:
        """Whether nothing at all came of the answer."""
        return not self._heard

    def alive(self) -> bool:
        """Whether the upstream still holds a connection that nobody uses; looks into the socket."""
        if self._closed or self._transport is None or self._transport.is_closing():
            return False
        return not self._poll.poll(0)  # else it is at its end, or holds bytes that nobody asked for

    # ------------------------------------------------------------ asyncio
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is a stream
        """Be given the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        if not self._busy or self.complete:
            self.abort()  # an answer to nothing: whose it is cannot be told
            return
        self._heard = True
        if not self.headed:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep = False
            self.fail(UpstreamError(502, "The upstream's answer is not HTTP"))
            return
        self._arrived()

    def _arrived(self) -> None:
        """See to what is to be done after a piece was read."""
        if not self.headed and self._head_size > _HEAD:
            self.fail(UpstreamError(502, "The head of the upstream's answer is too long"))
            return
        if self.complete:
            self.deadline = _NEVER
        elif self.headed:
            self.deadline = self._upstream.now() + self._upstream.timeouts.idle
            if self._held > _HELD:
                self._pause()
        self._wake()

    def eof_received(self) -> None:
        """Take note that the upstream sends no more; the transport closes itself."""
        self._over(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that it is gone."""
        self._over(exc)
        self._upstream.lost(self)

    def pause_writing(self) -> None:
        """Have writers wait."""
        self._writable = self._upstream.loop.create_future()

    def resume_writing(self) -> None:
        """Have them go on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # ------------------------------------------------------------ httptools
    def on_message_begin(self) -> None:
        """Let no second answer follow the first."""
        if self.complete:
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are dropped."""
        if not self.headed:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Look at what kind of answer it is."""
        if self.headed:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:  # only said on the way (RFC 9110 15.2)
            self.headers.clear()
            self._head_size = 0
            if self.status == 101:
                raise ValueError("switches protocols unasked")
            return
        self._frame()
        self.headed = True
        self.complete = self._bodiless

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body until it is fetched."""
        if self.complete:
            self._keep = False  # a body where there can be none, or another answer's
            return
        self._pending.append(data)
        self._held += len(data)

    def on_message_complete(self) -> None:
        """Take note of the answer's end."""
        if self.headed:
            self.complete = True

    # ------------------------------------------------------------ inside
    def _begin(self, *, bodiless: bool) -> None:
        self.status = 0
        self.headers = []
        self.headed = self.complete = self._heard = False
        self.failure = None
        self._busy = True
        self._bodiless = self._asked_head = bodiless
        self._until_end = False
        self._keep = True
        self._pending = []
        self._held = self._head_size = 0
        self._paused = False

    def _frame(self) -> None:
        """Tell from the head where the answer ends (RFC 9112 6.3)."""
        lengths = {value for name, value in self.headers if name == b"content-length"}
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]) or len(lengths) > (0 if codings else 1):
            raise ValueError("where it ends cannot be told")
        self._bodiless = self._asked_head or self.status in _BODILESS
        self._until_end = not codings and not lengths and not self._bodiless
        self._keep = not self._until_end and self._parser.should_keep_alive()

    def _over(self, error: Exception | None) -> None:
        """The upstream sends no more."""
        self._closed = True
        self._keep = False
        if self.headed and self._until_end and error is None:
            self.complete = True
        elif self._busy and not self.complete and self.failure is None:
            self.failure = UpstreamError(502, "The upstream broke off" if self.headed else "The upstream hung up")
        self.resume_writing()
        self._wake()

    async def _more(self) -> None:
        if self.failure is not None:
            raise self.failure
        self._waiter = self._upstream.loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._closed:
            self._transport.write(data)

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._closed:
            self._paused = True
            self.deadline = _NEVER  # it is the client who is slow
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if self._transport is not None and not self._closed:
            self.deadline = self._upstream.now() + self._upstream.timeouts.idle
            self._transport.resume_reading()

    def rest(self, now: float) -> None:
        """Nobody uses it from now on."""
        self._busy = False
        self.deadline = _NEVER
        self.idle_since = now
        if self._asked_head:  # the parser still waits for the body that a GET would have had
            self._parser = httptools.HttpResponseParser(self)


class Upstream:
    """All connections to one server.

    Args:
        url: `http://host:port/base` or `https://...`; what clients ask for is put behind `/base`.
        timeouts: how long is waited.
        max_connections: how many there are at once, at most; a request beyond them waits its turn for as long as for a
            connection.
        tls: how `https` is verified; None: by the system's authorities.

    Raises:
        UsageError: the URL cannot be used.

    """

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts | None = None,
        max_connections: int = 4096,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self._host, self._port, self._tls, self.authority, self.base = _parts(url, tls)
        self._most = max_connections
        self._opening = 0
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that all happens in."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def now(self) -> float:
        """Seconds since some moment."""
        return self.loop.time()

    async def connection(self, *, fresh: bool = False) -> Connection:
        """Give a connection for one exchange; give it back with `free`, however that ends.

        Args:
            fresh: not one that was used before.

        Raises:
            UpstreamError: there is none to be had.

        """
        kept = None if fresh else self._kept()
        if kept is None:
            if len(self._busy) + len(self._idle) + self._opening < self._most:
                return await self._open()
            return await self._in_turn(fresh=fresh)
        self._busy.add(kept)
        return kept

    def free(self, connection: Connection) -> None:
        """Take a connection back: keep it where its exchange ended well, close it otherwise."""
        if connection not in self._busy:
            return
        self._busy.discard(connection)
        if connection.reusable:
            connection.rest(self.now())
            self._idle.append(connection)
        else:
            connection.abort()
        self._next()

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._next()

    async def aclose(self) -> None:
        """Close all of them."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # transports close in the loop's next turn

    # ------------------------------------------------------------ inside
    def _kept(self) -> Connection | None:
        """Give the one used last: the likeliest to live, while the others grow old and are closed."""
        old = self.now() - self.timeouts.keep
        while self._idle:
            kept = self._idle.pop()
            if kept.idle_since >= old and kept.alive():
                return kept
            kept.abort()
        return None

    async def _in_turn(self, *, fresh: bool) -> Connection:
        """Wait until another request is done."""
        try:
            async with asyncio.timeout(self.timeouts.connect):
                while len(self._busy) + self._opening >= self._most:
                    await self._turn()
        except TimeoutError:
            raise UpstreamError(503, "All connections to the upstream are in use") from None
        if fresh and self._idle:
            self._idle.pop(0).abort()  # to make room
        return await self.connection(fresh=fresh)

    async def _turn(self) -> None:
        turn = self.loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _open(self) -> Connection:
        self._opening += 1
        try:
            async with asyncio.timeout(self.timeouts.connect):
                connection = await self._connect()
        except TimeoutError:
            raise UpstreamError(504, "The upstream does not take the connection") from None
        except ssl.SSLError as error:
            raise UpstreamError(502, "The upstream is not who it should be") from error
        except OSError as error:
            raise UpstreamError(502, "The upstream cannot be reached") from error
        finally:
            self._opening -= 1
            self._next()
        self._busy.add(connection)
        if self._sweeper is None:
            self._sweep()
        return connection

    async def _connect(self) -> Connection:
        """Try every address that the name has."""
        failed: OSError | None = None
        for family, kind, protocol, _, address in await self.loop.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self.loop.sock_connect(sock, address)
                return await self._wrap(sock)
            except ssl.SSLError:
                sock.close()
                raise
            except OSError as error:
                sock.close()
                failed = error
            except BaseException:
                sock.close()
                raise
        raise failed or OSError("the name has no address")

    async def _wrap(self, sock: socket.socket) -> Connection:
        _, connection = await self.loop.create_connection(
            lambda: Connection(self, sock),
            sock=sock,
            ssl=self._tls,
            server_hostname=self._host if self._tls is not None else None,
        )
        return connection

    def _sweep(self) -> None:
        """Look at all deadlines from time to time: cheaper than a timer for each request, and as good for seconds."""
        now = self.now()
        for late in [each for each in self._busy if each.deadline < now]:
            late.fail(UpstreamError(504, "The upstream stopped" if late.headed else "The upstream does not answer"))
        old = now - self.timeouts.keep
        while self._idle and self._idle[0].idle_since < old:
            self._idle.pop(0).abort()
        if self._busy or self._idle:
            self._sweeper = self.loop.call_later(self._interval(), self._sweep)
        else:
            self._sweeper = None

    def _interval(self) -> float:
        return min(1.0, min(self.timeouts.first_byte, self.timeouts.idle, self.timeouts.keep) / 8)


def _parts(url: str, tls: ssl.SSLContext | None) -> tuple[str, int, ssl.SSLContext | None, bytes, bytes]:
    """Take a URL apart: host, port, TLS, authority, base."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"upstream {url}: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"upstream {url}: a URL like http://127.0.0.1:8000 is wanted")
    if parts.query or parts.fragment or parts.username is not None:
        raise UsageError(f"upstream {parts.scheme}://{parts.hostname}: only host, port and path are wanted")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = 443 if parts.scheme == "https" else 80
    authority = host if port in {None, usual} else f"{host}:{port}"
    base = parts.path.rstrip("/")
    if not (authority + base).isascii() or any(char <= " " for char in authority + base):
        raise UsageError(f"upstream {url}: host and path are wanted in ASCII")
    context = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
    return parts.hostname, port or usual, context, authority.encode(), base.encode()
