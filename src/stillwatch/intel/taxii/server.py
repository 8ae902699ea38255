"""The sharing server: an ASGI application. Touches sockets (through its server), threads, the store, the access log.

    TaxiiServer("share.sqlite", Limits(...))

A request's head is judged before its body is read: who asks, whether too often, whether for something that is there.
The store is asked in threads, each with a connection of its own for as long as it takes.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from stillwatch.errors import IntelError, TaxiiError
from stillwatch.intel.taxii import answer, media, openapi
from stillwatch.intel.taxii.answer import Answer
from stillwatch.intel.taxii.asked import Asked, unknown
from stillwatch.intel.taxii.desk import Desk, MethodError
from stillwatch.intel.taxii.members import Caller, caller_of
from stillwatch.intel.taxii.store import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from pathlib import Path

    from stillwatch.database.store import Database
    from stillwatch.intel.taxii.access_log import AccessLog

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
LARGEST: Final = 16 << 20  # bytes of a request's body
PAGE: Final = 1000
_THREADS: Final = 8
_BODIES: Final = 16  # read at once: what they may take of memory is bounded by it
_SLOWEST: Final = 120.0  # seconds that a body may take to come


class Limiter(Protocol):
    """Says who asks too often."""

    def member(self, token: str) -> float | None:
        """Count a request of a member; give the seconds to wait if there were too many, else None."""

    def stranger(self, client: str) -> float | None:
        """Count a request with a token that nobody has, by the address it came from; the same."""


class TaxiiServer:
    """Serves a store to its members.

    Args:
        place: of the store: a path (SQLite) or a URL (`postgresql://...`).
        limiter: who says who asks too often; None: nobody does.
        access: where requests are noted; None: nowhere.
        title: of the server, told to members.
        page: the most objects on a page.
        largest: the most bytes of a request's body.

    """

    def __init__(
        self,
        place: str | Path,
        *,
        limiter: Limiter | None = None,
        access: AccessLog | None = None,
        title: str = "stillwatch",
        page: int = PAGE,
        largest: int = LARGEST,
    ) -> None:
        self._stores = _Stores(place)
        self._limiter, self._access, self._largest = limiter, access, largest
        self._desk = Desk(title, page=page, largest=largest)
        self._threads = ThreadPoolExecutor(_THREADS, "taxii")
        self._bodies = asyncio.Semaphore(_BODIES)
        self._description = Answer(
            200, msgspec.json.encode(openapi.description(title, largest)), kind="application/json"
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the application."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    def close(self) -> None:
        """Let go of the store and the access log."""
        self._threads.shutdown()
        self._stores.close()
        if self._access is not None:
            self._access.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        began = time.monotonic()
        asked = Asked.of(scope)
        caller, answered = None, None
        try:
            if asked.path == ("openapi.json",) and asked.method in {"GET", "HEAD"}:
                answered = self._description
            else:
                caller = await self._admitted(asked)
                media.require_accepted(asked.headers.get("accept"))
                body = await self._body(asked, receive) if asked.method == "POST" else b""
                answered = await self._in_thread(partial(self._answered, caller.member, asked, body))
        except TaxiiError as error:
            answered = answer.refused(error)
            if isinstance(error, MethodError):
                answered = Answer(405, answered.body, (("allow", error.allow),))
        except IntelError:
            _log.exception("the store cannot be used")
            answered = answer.refused(
                TaxiiError(503, "Service Unavailable", "The store cannot be reached.", retry_after=10)
            )
        except _GoneError:
            return
        except Exception:  # noqa: BLE001  a defect of ours is told as such, and noted in the access log like all else
            _log.exception("%s %s", asked.method, scope["path"])
            answered = answer.refused(TaxiiError(500, "Internal Server Error", "This is a defect of the server."))
        await _send(send, answered, bodiless=asked.method == "HEAD")
        if self._access is not None:
            who = "" if caller is None else caller.member
            self._access.note(asked, who, answered.status, len(answered.body), time.monotonic() - began)

    async def _admitted(self, asked: Asked) -> Caller:
        """Give who asks.

        Raises:
            TaxiiError: nobody is known by what was sent (401), or asks too often (429).

        """
        try:
            token, name = asked.credentials
            caller = await self._in_thread(lambda database: caller_of(database, token, name))
            if caller is None:
                raise unknown()
        except TaxiiError:
            self._count(None if self._limiter is None else self._limiter.stranger(asked.client))
            raise
        self._count(None if self._limiter is None else self._limiter.member(caller.token))
        return caller

    @staticmethod
    def _count(wait: float | None) -> None:
        if wait is not None:
            raise TaxiiError(429, "Too Many Requests", "Ask again later.", retry_after=wait)

    def _answered(self, member: str, asked: Asked, body: bytes, database: Database) -> Answer:
        return self._desk.answer(database, member, asked, body)

    async def _body(self, asked: Asked, receive: Receive) -> bytes:
        """Read a body that is what it should be.

        Raises:
            TaxiiError: it is of another type (415), too large (413) or too slow (408).

        """
        media.require_content(asked.headers.get("content-type"), asked.headers.get("content-encoding"))
        declared = asked.headers.get("content-length", "0")
        if not declared.isascii() or not declared.isdigit() or int(declared[:20]) > self._largest:
            raise self._too_large()
        async with self._bodies:
            try:
                async with asyncio.timeout(_SLOWEST):
                    return await self._read(receive)
            except TimeoutError:
                raise TaxiiError(408, "Request Timeout", "The body took too long to come.") from None

    async def _read(self, receive: Receive) -> bytes:
        data = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise _GoneError
            data += message.get("body", b"")
            if len(data) > self._largest:
                raise self._too_large()
            more = message.get("more_body", False)
        return bytes(data)

    def _too_large(self) -> TaxiiError:
        return TaxiiError(413, "Content Too Large", f"At most {self._largest} bytes, as the API root says.")

    async def _in_thread(self, ask: Callable[[Database], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._stores.ask, ask)


class _GoneError(Exception):
    """The client has gone: nobody is told."""


class _Stores:
    """Connections to the store, as many as threads use at once."""

    def __init__(self, place: str | Path) -> None:
        self._place = place
        self._idle: queue.SimpleQueue[Database] = queue.SimpleQueue()
        self._idle.put(open_store(place))  # so that a store that cannot be used is known at once

    def ask(self, ask: Callable[[Database], _Result]) -> _Result:
        """Ask with a connection that nobody else uses; one that fails is not used again."""
        try:
            database = self._idle.get_nowait()
        except queue.Empty:
            database = open_store(self._place)
        try:
            result = ask(database)
        except TaxiiError:
            self._idle.put(database)
            raise
        except BaseException:
            database.close()
            raise
        self._idle.put(database)
        return result

    def close(self) -> None:
        """Let go of all that are idle."""
        while not self._idle.empty():
            self._idle.get_nowait().close()


async def _send(send: Send, answered: Answer, *, bodiless: bool) -> None:
    headers = [
        *(((b"content-type", answered.kind.encode()),) if answered.body else ()),
        (b"content-length", b"%d" % len(answered.body)),
        (b"date", formatdate(usegmt=True).encode()),
        (b"cache-control", b"no-store"),  # what one member may see is no other's
        (b"x-content-type-options", b"nosniff"),
        *((name.encode(), value.encode()) for name, value in answered.headers),
    ]
    await send({"type": "http.response.start", "status": answered.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if bodiless else answered.body, "more_body": False})
