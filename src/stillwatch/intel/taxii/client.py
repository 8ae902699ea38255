"""A TAXII 2.1 client: asks a server of others. Touches sockets.

What comes is bounded and distrusted: an answer may be so large and no larger, redirections are not followed, and the
token is sent to no host but the one that was named, and never in the clear across a network.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

from stillwatch.errors import PollError, UsageError
from stillwatch.intel.taxii import media

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

LARGEST: Final = 256 << 20  # bytes of an answer
_PATIENCE: Final = 60.0  # seconds that a server may be silent
_TRIES: Final = 3  # of a request that may be sent again
_LONGEST_WAIT: Final = 60.0  # seconds that a server may ask to wait
_HERE: Final = frozenset(("localhost", "127.0.0.1", "::1"))
_BUSY: Final = frozenset((429, 503))


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered.

    Attributes:
        body: of the answer.
        headers: by lower-case name.

    """

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RemoteCollection:
    """A collection of somebody else's server.

    Attributes:
        url: of it; what came from it is kept by this name.
        id: of it.
        alias: of it; empty if it has none.
        can_read: whether we may take objects out.
        can_write: whether we may put objects in.
        largest: the most bytes of a request to add objects.

    """

    url: str
    id: str
    alias: str
    can_read: bool
    can_write: bool
    largest: int


class TaxiiClient:
    """Asks one server.

    Args:
        url: of its discovery, an API root or just the server: `https://host[:port][/path]`.
        token: what we are known by there; None: nothing.
        tls: how the server's certificate is verified; None: by the system's authorities.
        user: the name that goes with the token, where the server wants HTTP Basic; None: it takes bearers.

    Raises:
        UsageError: the URL cannot be used, or the token would cross a network in the clear.

    """

    def __init__(
        self, url: str, token: str | None, *, tls: ssl.SSLContext | None = None, user: str | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise UsageError(f"{url.partition('@')[2] or url}: no URL such as https://share.example/taxii2/")
        if parts.scheme == "http" and parts.hostname not in _HERE and token is not None:
            raise UsageError(f"{url}: the token would cross the network in the clear; use https")
        self._origin = (parts.scheme, parts.hostname, parts.port)
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self._tls = ssl.create_default_context() if tls is None and parts.scheme == "https" else tls
        self._token, self._user = token, user
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def collection(self, name: str) -> RemoteCollection:
        """Find a collection by id, alias or title.

        Raises:
            PollError: there is none, or the server cannot be asked.

        """
        path = urlsplit(self._url).path
        first = self._document(self._url if path.strip("/") else urljoin(self._url, "/taxii2/"))
        roots = first.get("api_roots")
        found: list[RemoteCollection] = []
        for root in [self._url] if "versions" in first else roots if isinstance(roots, list) else []:
            found += self._collections(urljoin(self._url, str(root).rstrip("/") + "/"), name)
        if len(found) != 1:
            raise PollError(
                f"{self._url}: {'several collections are' if found else 'no collection is'} called {name!r}"
            )
        return found[0]

    def get(self, url: str, query: Mapping[str, str] | None = None) -> Response:
        """Get something; what fails on the way is asked for again a few times.

        Raises:
            PollError: it cannot be had.

        """
        target = f"{url}?{urlencode(query)}" if query else url
        for left in reversed(range(_TRIES)):
            try:
                return self._ask("GET", target, None)
            except PollError as error:
                if not left or error.status not in {None, *_BUSY}:
                    raise
        raise AssertionError

    def post(self, url: str, body: bytes) -> Response:
        """Send something; a server that is busy is asked again, for what is added twice is there once.

        Raises:
            PollError: it could not be sent.

        """
        for left in reversed(range(_TRIES)):
            try:
                return self._ask("POST", url, body)
            except PollError as error:
                if not left or error.status not in {None, *_BUSY}:
                    raise
        raise AssertionError

    # ---- within

    def _collections(self, root: str, name: str) -> list[RemoteCollection]:
        said = self._document(root).get("max_content_length")
        largest = said if type(said) is int and said > 0 else 1 << 20
        listed = self._document(urljoin(root, "collections/")).get("collections", [])
        found = []
        for each in listed if isinstance(listed, list) else []:
            if not isinstance(each, dict) or not isinstance(each.get("id"), str) or "/" in each["id"]:
                raise PollError(f"{root}: answers what is no list of collections")
            if name in {each["id"], each.get("alias"), each.get("title")}:
                rights = (each.get("can_read") is True, each.get("can_write") is True)
                alias = str(each.get("alias") or "")
                found.append(
                    RemoteCollection(urljoin(root, f"collections/{each['id']}/"), each["id"], alias, *rights, largest)
                )
        return found

    def _document(self, url: str) -> dict[str, Any]:
        body = self.get(url).body
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PollError(f"{url}: answers what is no TAXII: {error}") from None

    def _ask(self, method: str, url: str, body: bytes | None) -> Response:
        parts = urlsplit(url)
        if (parts.scheme, parts.hostname, parts.port) != self._origin:
            raise PollError(
                f"{self._url}: points to another server, {parts.scheme}://{parts.netloc}, which gets no token"
            )
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection = self._connected()
        try:
            connection.request(method, target, body, self._headers(body))
            response = connection.getresponse()
            data = response.read(LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise PollError(f"{self._url}: {str(error) or type(error).__name__}") from error
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close or len(data) > LARGEST:
            self.close()
        if len(data) > LARGEST:
            raise PollError(f"{self._url}: an answer larger than {LARGEST >> 20} MiB", status=response.status)
        self._check(response.status, headers, data)
        return Response(data, headers)

    def _check(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        if status in {200, 202}:
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != media.TAXII.partition(";")[0]:
                raise PollError(f"{self._url}: answers with {kind or 'no type'}, which is no TAXII", status=status)
            return
        if status in _BUSY:
            _wait(headers.get("retry-after", ""))
        raise PollError(f"{self._url}: {status} {_told(data)}".rstrip(), status=status)

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"Accept": media.TAXII, "User-Agent": "stillwatch"}
        if body is not None:
            headers["Content-Type"] = media.TAXII
        if self._token is not None and self._user is not None:
            import base64  # noqa: PLC0415  only here

            headers["Authorization"] = f"Basic {base64.b64encode(f'{self._user}:{self._token}'.encode()).decode()}"
        elif self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            scheme, host, port = self._origin
            self._connection = (
                http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=self._tls)
                if scheme == "https"
                else http.client.HTTPConnection(host, port, timeout=_PATIENCE)
            )
        return self._connection


def _wait(retry_after: str) -> None:
    """Wait as long as a server asks for, but not for ever."""
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 1.0
    time.sleep(min(seconds, _LONGEST_WAIT))


def _told(data: bytes) -> str:
    """Give what a server says is wrong, as far as that can be read and shown."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    words = [str(said.get(name, "")) for name in ("title", "description")] if isinstance(said, dict) else []
    return "".join(each for each in ": ".join(filter(None, words)) if each.isprintable())[:300]
