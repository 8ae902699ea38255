"""What a proxy passes on: request heads to the upstream, response headers to the client. Pure.

Sources: RFC 9110 (semantics), section 7.6 on what intermediaries pass on; RFC 9112 (HTTP/1.1), section 6 on where
messages end. Where a message ends is never taken over: the body's length is written anew, so that what this side and
the upstream believe to be one request cannot differ (request smuggling).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Headers = list[tuple[bytes, bytes]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

OURS: Final = b"x-stillwatch-"  # instructions to the engine: no client can have them taken off by naming them
PSEUDONYM: Final = b"1.1 stillwatch"

# for one connection only (RFC 9110 7.6.1, 10.1.1, 11.7), or written anew (`host`, `content-length`)
_REQUEST_ONLY_HERE: Final = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_RESPONSE_ONLY_HERE: Final = _REQUEST_ONLY_HERE - {b"content-length", b"host", b"expect"}
_START: Final = 7  # pieces that the request line and `host` are made of
_NO_URL: Final = bytes(range(0x21)) + b"#\x7f"  # spaces, control characters, and what begins a fragment
_SENDER: Final = frozenset((b"forwarded", b"x-real-ip"))  # who sent it, as a client may lie about it; x-forwarded-* too
_UNSPOKEN: Final = frozenset((b"close", b"keep-alive", b"te", b"trailers", b"upgrade", b""))
_NONE: Final[set[bytes]] = set()


class BadRequestError(Exception):
    """A request that is not passed on.

    Attributes:
        status: what the client is told.
        message: the same in words.

    """

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of a request as it goes on, but for the length of its body.

    Attributes:
        lines: request line and headers, each with its end.
        declared: the length that the client declared; None where it is chunked, or there is none.
        chunked: whether the client sends chunks.

    """

    lines: bytes
    declared: int | None
    chunked: bool

    def with_body(self, length: int) -> bytes:
        """Write the whole head for a body of which all is known."""
        if length or self.declared is not None or self.chunked:
            return b"%bcontent-length: %d\r\n\r\n" % (self.lines, length)
        return self.lines + b"\r\n"

    def with_stream(self) -> bytes:
        """Write the whole head for a body that is still to come."""
        if self.declared is not None:
            return b"%bcontent-length: %d\r\n\r\n" % (self.lines, self.declared)
        return self.lines + b"transfer-encoding: chunked\r\n\r\n"


def heading(scope: Mapping[str, Any], *, authority: bytes, base: bytes, trusted: bool) -> Heading:
    """Write the head that goes to the upstream.

    Args:
        scope: ASGI's, of a request.
        authority: the upstream's host, and port where it is not the scheme's.
        base: the path of the upstream's URL, without a slash at its end.
        trusted: whether the peer is a proxy whose word on the sender counts.

    Raises:
        BadRequestError: it cannot be passed on as one request.

    """
    own = _Own()
    pieces = [_method(scope), b" ", base, target(scope), b" HTTP/1.1\r\nhost: ", authority, b"\r\n"]
    for name, value in scope["headers"]:
        if name in _REQUEST_ONLY_HERE:
            own.take(name, value)
        elif name[:2] == b"x-" and name.startswith(b"x-forwarded-"):
            if trusted:
                own.forwarded.setdefault(name, []).append(value)
        elif trusted or name not in _SENDER:
            pieces += (name, b": ", value, b"\r\n")
    if own.named:
        own.leave_out(pieces)
    if own.chunked and own.length is not None:
        raise BadRequestError(400, "A request has either a length or chunks")
    _tell_sender(pieces, own, scope)
    pieces += (b"via", b": ", PSEUDONYM, b"\r\n")
    lines = b"".join(pieces)
    ends = (len(pieces) - _START) // 4 + 2
    if lines.count(b"\n") != ends or lines.count(b"\r") != ends or b"\0" in lines:
        raise BadRequestError(400, "A header has a line break in it")
    return Heading(lines, own.length, own.chunked)


class _Own:
    """What a request says to this side only."""

    __slots__ = ("chunked", "forwarded", "host", "length", "named")

    def __init__(self) -> None:
        self.host = b""
        self.length: int | None = None
        self.chunked = False
        self.named: set[bytes] = set()
        self.forwarded: dict[bytes, list[bytes]] = {}

    def take(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self.host = value
        elif name == b"content-length":
            self.length = _length(value, self.length)
        elif name == b"connection":
            self.named.update(_named(value))
        elif name == b"transfer-encoding":
            self.chunked = _chunked(value, before=self.chunked)
        elif name == b"upgrade" and value.strip().lower() == b"websocket":
            raise BadRequestError(501, "WebSockets are not served here")

    def leave_out(self, pieces: list[bytes]) -> None:
        """Take out what `Connection` names; each header is four pieces."""
        kept = []
        for at in range(_START, len(pieces), 4):
            if pieces[at] not in self.named or pieces[at].startswith(OURS):
                kept += pieces[at : at + 4]
        pieces[_START:] = kept
        self.forwarded = {name: told for name, told in self.forwarded.items() if name not in self.named}


def target(scope: Mapping[str, Any]) -> bytes:
    """Give path and query as they came, byte for byte.

    Raises:
        BadRequestError: the path is another one to who tidies it up, so that it would get past the policy.

    """
    path: str = scope["path"]
    if not path.startswith("/") or "//" in path or "/." in path:
        _refuse_untidy(path)
    raw: bytes = scope.get("raw_path") or quote(path, safe="/:@!$&'()*+,;=~%").encode()
    raw = raw.partition(b"?")[0]  # some servers leave the query in it
    query: bytes = scope.get("query_string", b"")
    whole = raw + b"?" + query if query else raw
    if not whole.isascii() or whole.translate(None, _NO_URL) != whole:
        raise BadRequestError(400, "The path has characters that no URL has")
    return whole


def answer_headers(status: int, headers: Headers) -> Headers:
    """Give the headers of a response that go on to the client, in their order.

    Args:
        status: of the response.
        headers: names in lower case.

    """
    named: set[bytes] = set()
    kept: Headers = []
    for pair in headers:
        name = pair[0]
        if name not in _RESPONSE_ONLY_HERE:
            kept.append(pair)
        elif name == b"connection":
            named |= _named(pair[1])
    if named:
        kept = [pair for pair in kept if pair[0] not in named]
    if status in {204, 304}:  # these have no body, whatever length they tell (RFC 9110 8.6)
        kept = [pair for pair in kept if pair[0] != b"content-length"]
    return kept


class Trusted:
    """Whether an address is one of the proxies whose word on the sender of a request counts.

    Args:
        networks: `192.0.2.0/24`, `2001:db8::1`.

    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)
        self._known: dict[str, bool] = {}

    def __contains__(self, address: object) -> bool:
        """Look it up."""
        if not self._networks or not isinstance(address, str):
            return False
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= 10_000:  # addresses are the clients' choice: the memory for them has an end
                self._known.clear()
            known = self._known[address] = self._look(address)
        return known

    def _look(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _method(scope: Mapping[str, Any]) -> bytes:
    method: str = scope["method"]
    if method in {"CONNECT", "TRACE"}:
        raise BadRequestError(405, f"{method} is not served here")
    if not (method.isascii() and method.isalpha()):
        raise BadRequestError(400, "No such method")
    return method.encode()


def _length(value: bytes, before: int | None) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BadRequestError(400, "Content-Length is no number")
    if before is not None and before != int(value):
        raise BadRequestError(400, "There are two lengths")
    return int(value)


def _chunked(value: bytes, *, before: bool) -> bool:
    if before or value.strip().lower() != b"chunked":
        raise BadRequestError(501, "No transfer coding but chunks is served here")
    return True


def _named(value: bytes) -> set[bytes]:
    """Give the headers that a `Connection` names."""
    if value == b"keep-alive":
        return _NONE
    return {name.strip() for name in value.lower().split(b",")} - _UNSPOKEN


def _tell_sender(pieces: list[bytes], own: _Own, scope: Mapping[str, Any]) -> None:
    """Say who sent the request, how and where to: after what a trusted proxy said, instead of what others said."""
    client = scope.get("client")
    told = own.forwarded
    if client:
        address = str(client[0]).encode()
        before = told.pop(b"x-forwarded-for", None) if told else None
        pieces += (b"x-forwarded-for", b": ", address if before is None else b", ".join((*before, address)), b"\r\n")
    if b"x-forwarded-proto" not in told:
        pieces += (b"x-forwarded-proto", b": ", scope.get("scheme", "http").encode(), b"\r\n")
    if own.host and b"x-forwarded-host" not in told:
        pieces += (b"x-forwarded-host", b": ", own.host, b"\r\n")
    for name, values in told.items():
        for value in values:
            pieces += (name, b": ", value, b"\r\n")


def _refuse_untidy(path: str) -> None:
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or "" in parts[1:-1] or "." in parts or ".." in parts:
        raise BadRequestError(400, "The path is not in its normal form")
