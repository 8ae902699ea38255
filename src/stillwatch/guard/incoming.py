"""One request as a gateway received it, whatever brought it here. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request.

    Attributes:
        method: in capitals.
        path: without the query.
        headers: names in small letters, in their order, as they came.
        client: address of whoever opened the connection, which may be a proxy; empty where there is none.
        body: all of it.
        query: what follows the `?`.
        headers_only: the body is not to be had, and nothing in it is asked.
        editable: whoever asks can send another body on in its place.
    """

    method: str
    path: str
    headers: Sequence[tuple[bytes, bytes]]
    client: str
    body: bytes
    query: bytes = b""
    headers_only: bool = False
    editable: bool = True
    _named: dict[bytes, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_named", dict(self.headers))  # of several the last

    def header(self, name: bytes) -> str:
        """Give a header's value; the last one's if there are several, and nothing if there are none."""
        return self._named.get(name, b"").decode("latin-1")

    def all_of(self, name: bytes) -> str:
        """Give the values of all headers of a name as one list (RFC 9110, section 5.3)."""
        return ",".join(value.decode("latin-1") for each, value in self.headers if each == name)
