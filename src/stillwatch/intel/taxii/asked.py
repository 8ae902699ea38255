"""One request, read as far as its head goes. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from stillwatch.errors import TaxiiError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

_UNKNOWN = TaxiiError(401, "Unauthorized", "Send a member's token, as Bearer or as the password of Basic.")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's head.

    Attributes:
        method: of HTTP.
        path: its segments, each decoded on its own, so that no escape can make one into two.
        query: as it stands in the URL.
        headers: by lower-case name; what a client says twice is said once here, with a comma.
        client: the address it came from; empty if that is not known.

    """

    method: str
    path: tuple[str, ...]
    query: bytes
    headers: Mapping[str, str]
    client: str

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> Asked:
        """Read an ASGI scope."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        raw = scope.get("raw_path") or scope["path"].encode()
        segments = raw.decode("latin-1").partition("?")[0].split("/")[1:]
        if segments and segments[-1] == "":
            segments.pop()
        client = scope.get("client")
        path = tuple(unquote(each, errors="replace") for each in segments)
        return cls(scope["method"], path, scope.get("query_string", b""), headers, client[0] if client else "")

    @property
    def credentials(self) -> tuple[str, str | None]:
        """The token, and the member's name where it is said.

        Raises:
            TaxiiError: there is none (401).

        """
        scheme, _, value = self.headers.get("authorization", "").strip().partition(" ")
        match scheme.lower():
            case "bearer" | "token":  # RFC 6750; the other is what taxii2-client calls it
                return value.strip(), None
            case "basic":  # RFC 7617, which a TAXII server must offer (TAXII 2.1, 8.2)
                try:
                    name, colon, token = base64.b64decode(value.strip(), validate=True).decode().partition(":")
                except (binascii.Error, ValueError):
                    raise unknown() from None
                if colon:
                    return token, name
        raise unknown()


def unknown() -> TaxiiError:
    """Say that nobody is known by what was sent; the same whatever is wrong with it."""
    return TaxiiError(_UNKNOWN.status, _UNKNOWN.title, _UNKNOWN.description)
