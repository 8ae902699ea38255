"""A load generator: requests ready in memory, raw connections, one process.

`steady` sends at set moments whatever the server does, and counts from those moments, so that a server that stalls is
charged for all who would have come meanwhile; `flat_out` has each connection send as soon as it has its answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PAUSE = 0.0005  # seconds between two looks for what is due


class LoadError(Exception):
    """A request was not served, so that figures would flatter."""


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, done: Callable[[Connection], None]) -> None:
        self.begun = self.first = 0.0  # when the request was due, and when the first of the answer's body came
        self.lost = False
        self._done = done
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        """Be given the connection."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's
        """Take note."""
        self.lost = True

    def data_received(self, data: bytes) -> None:
        """Read."""
        self._parser.feed_data(data)

    def send(self, request: bytes, due: float) -> None:
        """Send one request."""
        if self._transport is None or self.lost:
            raise LoadError("the server closed a connection")
        self.begun, self.first = due, 0.0
        self._transport.write(request)

    def on_body(self, data: bytes) -> None:  # noqa: ARG002  httptools'
        """Take note of when it came."""
        if not self.first:
            self.first = time.perf_counter()

    def on_message_complete(self) -> None:
        """Be done."""
        if self._parser.get_status_code() != 200:
            raise LoadError(f"a request was answered with {self._parser.get_status_code()}")
        self._done(self)

    def close(self) -> None:
        """Close."""
        if self._transport is not None:
            self._transport.close()


@dataclass
class Load:
    """Connections to one server.

    Args:
        port: on this machine.
        requests: sent one after the other, over and over.

    """

    port: int
    requests: Sequence[bytes]
    idle: deque[Connection] = field(default_factory=deque)
    took: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    answered: int = 0
    _again: bool = False
    _next: Iterator[bytes] = field(init=False)
    _all: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next = cycle(self.requests)

    async def open(self, connections: int) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, made = await loop.create_connection(lambda: Connection(self._answered), "127.0.0.1", self.port)
            self._all.append(made)
            self.idle.append(made)

    def close(self) -> None:
        """Close all connections."""
        for each in self._all:
            each.close()

    async def flat_out(self, seconds: float) -> float:
        """Give answers a second, with all connections busy."""
        self._forget(again=True)
        begun = time.perf_counter()
        while self.idle:
            self.idle.popleft().send(next(self._next), begun)
        await asyncio.sleep(seconds)
        rate = self.answered / (time.perf_counter() - begun)
        self._again = False
        await self._settle()
        return rate

    async def steady(self, rate: float, seconds: float) -> None:
        """Send so many requests a second; `took` and `firsts` have seconds from when each was due."""
        self._forget(again=False)
        begun, sent, most = time.perf_counter() + 0.01, 0, round(rate * seconds)
        while sent < most:
            now = time.perf_counter()
            while sent < most and begun + sent / rate <= now and self.idle:
                self.idle.popleft().send(next(self._next), begun + sent / rate)
                sent += 1
            await asyncio.sleep(PAUSE)
        await self._settle()

    async def _settle(self) -> None:
        end = time.perf_counter() + 30
        while len(self.idle) < len(self._all):
            if time.perf_counter() > end or any(each.lost for each in self._all):
                raise LoadError("an answer did not come")
            await asyncio.sleep(PAUSE)

    def _forget(self, *, again: bool) -> None:
        self.took, self.firsts, self.answered, self._again = [], [], 0, again

    def _answered(self, connection: Connection) -> None:
        now = time.perf_counter()
        self.answered += 1
        self.took.append(now - connection.begun)
        self.firsts.append(connection.first - connection.begun)
        if self._again:
            connection.send(next(self._next), now)
        else:
            self.idle.append(connection)


def request(body: bytes, headers: Sequence[tuple[str, str]] = (), path: str = "/v1/chat/completions") -> bytes:
    """Write one request as the official Python client does."""
    lines = [
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        "accept-encoding: gzip, deflate",
        "connection: keep-alive",
        "accept: application/json",
        "content-type: application/json",
        "user-agent: OpenAI/Python 3.57.0",
        "x-stainless-lang: python",
        "x-stainless-os: Linux",
        "x-stainless-retry-count: 0",
        *(f"{name}: {value}" for name, value in headers),
        f"content-length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
