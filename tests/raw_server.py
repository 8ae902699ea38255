"""An upstream that misbehaves: each connection is a function's to do with as it likes; and a client as plain."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Wire:
    """One connection, read and written by hand."""

    sock: socket.socket
    held: bytearray = field(default_factory=bytearray)
    last: bytes = b""  # body of the last message read

    def until(self, end: bytes) -> bytes:
        """Read up to and with these bytes; what there is, where the connection ends before."""
        while end not in self.held:
            more = self._more()
            if not more:
                break
            self.held += more
        at = self.held.find(end)
        size = len(self.held) if at < 0 else at + len(end)
        return self._take(size)

    def exactly(self, size: int) -> bytes:
        """Read so many bytes, or as many as come."""
        while len(self.held) < size:
            more = self._more()
            if not more:
                break
            self.held += more
        return self._take(size)

    def message(self) -> tuple[bytes, bytes]:
        """Read a head and its body; both empty at the connection's end."""
        head = self.until(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return head, self.chunks()
        if b"content-length: " in lower:
            return head, self.exactly(int(lower.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return head, b""

    def chunks(self) -> bytes:
        """Read a body in chunks; `!` at its end: it breaks off."""
        body = b""
        while True:
            line = self.until(b"\r\n")
            if not line.endswith(b"\r\n"):
                return body + b"!"
            size = int(line, 16)
            if not size:
                self.until(b"\r\n")
                return body
            body += self.exactly(size)
            self.exactly(2)

    def rest(self) -> bytes:
        """Read to the connection's end."""
        while more := self._more():
            self.held += more
        return self._take(len(self.held))

    def send(self, data: bytes) -> None:
        """Write."""
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close so that the other side is told of an error."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _take(self, size: int) -> bytes:
        data = bytes(self.held[:size])
        del self.held[:size]
        return data

    def _more(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except OSError:
            return b""


@dataclass
class Raw:
    """The upstream: its URL, and what it got."""

    url: str
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    events: dict[str, threading.Event] = field(default_factory=dict)

    def event(self, name: str) -> threading.Event:
        """Give an event by name, to wait for each other."""
        return self.events.setdefault(name, threading.Event())

    def read(self, wire: Wire) -> bool:
        """Read one request; False: there is none."""
        head, body = wire.message()
        if not head:
            return False
        wire.last = body
        self.heads.append(head)
        self.bodies.append(body)
        return True


@contextlib.contextmanager
def raw_server(handler: Callable[[Raw, Wire], None]) -> Iterator[Raw]:
    """Serve connections, each in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        raw = Raw(f"http://127.0.0.1:{listening.getsockname()[1]}")
        open_now: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def serve(sock: socket.socket) -> None:
            with sock, contextlib.suppress(OSError):
                handler(raw, Wire(sock))

        def accept() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                raw.connections += 1
                open_now.append(sock)
                threads.append(threading.Thread(target=serve, args=(sock,), daemon=True))
                threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield raw
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            accepting.join(5)
            for event in raw.events.values():
                event.set()
            for sock in open_now:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


@contextlib.contextmanager
def client(url: str) -> Iterator[Wire]:
    """Connect to a server."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=20) as sock:
        yield Wire(sock)


def post(body: bytes = b"{}", *, path: str = "/v1/chat/completions", headers: bytes = b"") -> bytes:
    """Write a request."""
    return b"POST %b HTTP/1.1\r\nhost: g\r\ncontent-length: %d\r\n%b\r\n%b" % (path.encode(), len(body), headers, body)


def get(path: str = "/v1/models", *, method: str = "GET", headers: bytes = b"") -> bytes:
    """Write one without a body."""
    return b"%b %b HTTP/1.1\r\nhost: g\r\n%b\r\n" % (method.encode(), path.encode(), headers)
