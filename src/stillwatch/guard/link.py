"""A link to a Valkey or Redis server: one connection, shared by all requests, that is made again whenever it is lost.

Commands are written one behind the other without waiting for answers (pipelining), which come in the same order. So no
request waits for a connection, one that is given up leaves nothing behind for the next, and a server that hangs is
noticed by the oldest command, for all of them. While the server is away, commands fail at once; the link tries again
four times a second by itself. What was in flight when the connection went is not sent again: it may have been done.

RESP 2 is spoken (https://valkey.io/topics/protocol/); hiredis reads and writes it. Touches: sockets.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs, unquote, urlsplit

from stillwatch.errors import StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

try:
    import hiredis
except ImportError as missing:
    raise UsageError("a state on a server needs hiredis: pip install 'stillwatch[valkey]'") from missing

Word = bytes | str | int | float

_PORT: Final = 6379
_ATTEMPT: Final = 0.5  # seconds that connecting may take, in the background
_PAUSE: Final = 0.25  # seconds between two attempts
_MOMENT: Final = 0.01  # seconds before the first attempt, once it was lost
_GRACE: Final = 0.001  # seconds in which an answer that is already there may still be read
_TLS: Final = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_AWAY: Final = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "MOVED", "ASK")  # this server cannot help
_OPTIONS: Final = frozenset({"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, and how to log in. Its text names no password."""

    host: str = "localhost"
    port: int = _PORT
    path: str = ""
    database: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.database}"


def read_place(url: str) -> Place:
    """Read `redis://[[user]:password@]host[:port][/database]`, the same with `valkey`, or `unix://[...@]/path`.

    `rediss` and `valkeys` are over TLS; `?ssl_ca_certs=FILE`, `ssl_certfile` and `ssl_keyfile` name certificates.
    `?db=NUMBER` names the database too.

    Raises:
        StateError: it is none of these.

    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
        options = parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        raise StateError("is no URL of a server", place="the state's URL") from None  # its text may have the password
    scheme, where = parts.scheme, f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    if scheme not in _TLS and scheme != "unix":
        raise StateError("begin it with redis://, rediss://, valkey://, valkeys:// or unix://", place="the state's URL")
    if unknown := sorted(options.keys() - _OPTIONS):
        raise StateError(f"knows no option `{unknown[0]}`; there are {', '.join(sorted(_OPTIONS))}", place=where)
    one = {name: values[-1] for name, values in options.items()}
    number = one.get("db") or ("" if scheme == "unix" else parts.path.strip("/")) or "0"
    if not (number.isascii() and number.isdigit()):
        raise StateError(f"`{number}` is no number of a database", place=where)
    if scheme == "unix" and not parts.path.strip("/"):
        raise StateError("names no socket", place=where)
    return Place(
        host=parts.hostname or "localhost",
        port=port,
        path=unquote(parts.path) if scheme == "unix" else "",
        database=int(number),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=_context(one, where) if _TLS.get(scheme) else None,
    )


def _context(options: dict[str, str], where: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:  # what ssl raises is one
        raise StateError(f"its certificates cannot be read: {error}", place=where) from error
    return context


class Pipe(asyncio.Protocol):
    """One connection: commands go out, answers come back in the same order.

    Attributes:
        over: done when it is lost; its result is why, empty if the server closed it or it never was there.
    """

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._late = False
        self._transport: asyncio.WriteTransport | None = None
        self.over: asyncio.Future[str] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; asyncio calls this."""
        self._transport = cast("asyncio.WriteTransport", transport)  # what streams are given; uvloop's is no subclass

    def ask(self, words: Sequence[Word]) -> asyncio.Future[Any]:
        """Send a command. Answers that are errors are results too, as `hiredis.ReplyError`."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.over.done() or self._transport is None:
            answer.set_exception(_Lost(self.over.result() if self.over.done() else ""))
            return answer
        deadline = self._loop.time() + self._timeout
        self._waiting.append((deadline, answer))
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._look)
        self._transport.write(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]  # its stub says one word
        return answer

    def data_received(self, data: bytes) -> None:
        """Hand answers out; asyncio calls this."""
        self._late = False
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                _, waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        except (hiredis.ProtocolError, IndexError):
            self.lose("answers what is no RESP")

    def connection_lost(self, exc: Exception | None) -> None:
        """End; asyncio calls this."""
        self.lose("" if exc is None else f"the connection broke: {exc}")

    def lose(self, why: str) -> None:
        """Give the connection up; what is in flight fails."""
        if self.over.done():
            return
        self.over.set_result(why)
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        for _, answer in self._waiting:
            if not answer.done():
                answer.set_exception(_Lost(why))
        self._waiting.clear()

    def _look(self) -> None:
        """See whether the oldest command has waited for too long."""
        self._watch = None
        if not self._waiting:
            return
        deadline, late = self._waiting[0][0], self._late
        if deadline > self._loop.time():
            self._watch = self._loop.call_at(deadline, self._look)
        elif not late:  # this process may have been busy: what has come is read before this is looked at again
            self._late = True
            self._watch = self._loop.call_later(_GRACE, self._look)
        else:
            self.lose(f"did not answer within {self._timeout * 1000:g} ms")


class _Lost(Exception):  # noqa: N818  never leaves this module
    """The connection is gone."""


class Link:
    """A server that is reached again whenever it was lost. For one event loop.

    Args:
        place: the server.
        timeout: seconds that a command may take, connecting included.
        script: Lua that `run` runs.
        probe: a command that changes something, to see whether the server allows that; it is sent on connecting.

    """

    def __init__(self, place: Place, *, timeout: float, script: str, probe: Sequence[Word]) -> None:
        self._place = self._at = place
        self._timeout, self._script, self._probe = timeout, script, probe
        self._digest: bytes | None = None
        self._connection: Pipe | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None  # the attempt that requests wait for; later ones they do not
        self._why = "is not connected"
        self._closed = False

    @property
    def trouble(self) -> str:
        """Why the server cannot be asked now; empty if it can, as far as is known."""
        return "" if self._connection is not None else self._why

    async def run(self, keys: Sequence[bytes], arguments: Sequence[Word]) -> Any:  # noqa: ANN401  whatever Lua gives
        """Run the script.

        Raises:
            StateError: the server cannot be reached, does not answer in time, or refuses.

        """
        connection = self._connection or await self._reach()
        words = (len(keys), *keys, *arguments)
        try:
            if self._digest is None:
                answer = await connection.ask((b"EVAL", self._script, *words))
            else:
                answer = await connection.ask((b"EVALSHA", self._digest, *words))
                if isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOSCRIPT"):
                    answer = await connection.ask((b"EVAL", self._script, *words))
        except _Lost as lost:
            raise self._error(str(lost) or "closed the connection") from None
        if isinstance(answer, hiredis.ReplyError):
            self._refused(connection, str(answer))
            raise self._error(str(answer))
        return answer

    async def connect(self) -> None:
        """Connect now rather than at first use.

        Raises:
            StateError: the server cannot be reached, or refuses.

        """
        if self._connection is None:
            await self._reach()

    async def aclose(self) -> None:
        """Close the connection, and try no more."""
        self._closed, self._why = True, "is closed"
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None
            await asyncio.sleep(0)  # the loop closes the socket in its next round

    # ---- reaching it

    async def _reach(self) -> Pipe:
        """Wait for the first attempt at most; while the server is known to be away, do not wait."""
        if self._closed:
            raise self._error(self._why)
        if self._keeping is None:
            self._first = asyncio.get_running_loop().create_future()
            self._keeping = asyncio.create_task(self._keep(), name="stillwatch state")
        if self._first is not None:
            done, _ = await asyncio.wait((self._first,), timeout=self._timeout)
            if not done:
                self._first, self._why = None, f"was not reached within {self._timeout * 1000:g} ms"
        if self._connection is None:
            raise self._error(self._why)
        return self._connection

    async def _keep(self) -> None:
        """Connect, again and again; runs for as long as the link is used."""
        while True:
            connection = Pipe(self._timeout)
            try:
                async with asyncio.timeout(_ATTEMPT):
                    await self._connect(connection)
                self._connection = connection
                self._tried()
                why = await asyncio.shield(connection.over)
            except TimeoutError:
                why = f"was not reached within {_ATTEMPT * 1000:g} ms"
            except _Lost as lost:
                why = str(lost) or "closed the connection"
            except (OSError, ValueError) as error:  # names that cannot be are a ValueError
                why = f"cannot be reached: {getattr(error, 'strerror', None) or error}"
            finally:
                worked, self._connection = self._connection is not None, None
                connection.lose("is closed")
            self._why = why or "closed the connection"
            if worked and not why:  # it closed what was idle, or it starts anew: that attempt is worth waiting for
                self._first = asyncio.get_running_loop().create_future()
            else:
                self._tried()
            await asyncio.sleep(_MOMENT if worked else _PAUSE)

    def _tried(self) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        self._first = None

    async def _connect(self, connection: Pipe) -> None:
        """Open a connection, log in, and see whether the server does what it will be asked for."""
        loop, at = asyncio.get_running_loop(), self._at
        try:
            if at.path:
                await loop.create_unix_connection(lambda: connection, at.path)
            else:
                await loop.create_connection(
                    lambda: connection, at.host, at.port, ssl=at.tls, server_hostname=at.host if at.tls else None
                )
        except OSError:
            self._at = self._place  # where the cluster sent us is gone
            raise
        greeting: list[tuple[Word, ...]] = [("CLIENT", "SETNAME", "stillwatch"), ("SCRIPT", "LOAD", self._script)]
        login: list[tuple[Word, ...]] = []
        if at.password:
            login.append(("AUTH", at.user, at.password) if at.user else ("AUTH", at.password))
        if at.database:
            login.append(("SELECT", at.database))
        answers = [connection.ask(words) for words in (*login, *greeting, tuple(self._probe))]
        *logged, _, digest, probed = await asyncio.gather(*answers)
        for answer in logged:
            if isinstance(answer, hiredis.ReplyError):
                raise _Lost(self._without_password(str(answer)))
        self._digest = digest if isinstance(digest, bytes) else None  # who may not load scripts may still run them
        if isinstance(probed, hiredis.ReplyError):
            self._refused(connection, str(probed))

    def _refused(self, connection: Pipe, answer: str) -> None:
        """Look elsewhere, or later, if the server can do nothing for us now."""
        code = next((code for code in _AWAY if f"{code} " in answer), None)
        if code in {"MOVED", "ASK"}:
            host, _, port = answer.split()[2].rpartition(":")
            self._at = replace(self._place, host=host or self._at.host, port=int(port))
            connection.lose("")
        elif code is not None:
            connection.lose(self._without_password(answer))
            if self._connection is not connection:
                raise _Lost(self._without_password(answer))

    def _without_password(self, text: str) -> str:
        """Take the password out of an answer: servers repeat commands that they do not know."""
        return text.replace(self._place.password, "***") if self._place.password else text

    def _error(self, reason: str) -> StateError:
        return StateError(self._without_password(reason), place=str(self._place))
