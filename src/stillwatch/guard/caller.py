"""Who asks: address, key, account and organization of a request. Pure, but for what it remembers.

A header says what its sender likes it to say. Where a request came from, and whose it is, is taken from headers only if
the connection was opened by a proxy that the settings trust; then `X-Forwarded-For` is read from its end, as far as
trusted proxies wrote it. Otherwise the connection's own address counts, and the API key.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stillwatch.guard.networks import NetworkList, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.guard.incoming import Incoming
    from stillwatch.guard.settings import Identify

_REMEMBERED: Final = 100_000
_DIGEST: Final = 10  # bytes
_FORWARDED: Final = b"x-forwarded-for"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; what is not known is empty.

    Attributes:
        address: of the client, not of proxies that are trusted.
        key: keyed digest of the API key, or what a trusted gateway calls it.
        account: whose it is.
        organization: which it belongs to.
        country: as a trusted gateway says.
        ja4: fingerprint of the client's TLS, as a trusted gateway says.
        user_agent: as the client says.
    """

    address: str
    key: str
    account: str
    organization: str
    country: str
    ja4: str
    user_agent: str


class Callers:
    """Tells who asks.

    Args:
        identify: headers of a trusted gateway.
        trusted: networks of proxies that are trusted.
        secret: the provider's key, by which API keys become digests.

    """

    def __init__(self, identify: Identify, trusted: Sequence[str], secret: bytes) -> None:
        self._identify, self._trusted, self._secret = identify, NetworkList(trusted), secret
        self._names = {
            name: header.encode() for name in identify.__struct_fields__ if (header := getattr(identify, name))
        }
        self._digests: dict[str, tuple[str, str]] = {}
        self._trust: dict[str, bool] = {}

    def of(self, incoming: Incoming, accounts: Mapping[str, str]) -> Caller:
        """Tell who asks.

        Args:
            incoming: the request.
            accounts: of API keys, by the SHA-256 of the key in hexadecimal.

        """
        said = self._said(incoming) if self.is_trusted(incoming.client) else {}
        key, by_key = self._key(incoming, accounts)
        key = said.get("key") or key
        return Caller(
            self.address(incoming),
            key,
            said.get("account") or by_key or (f"key-{key}" if key else ""),
            said.get("organization", ""),
            said.get("country", ""),
            said.get("ja4", ""),
            incoming.header(b"user-agent"),
        )

    def digest(self, text: str, purpose: bytes) -> str:
        """Give a keyed digest of a text, apart for each purpose."""
        made = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST, key=self._secret[:64], person=purpose
        )
        return made.hexdigest()

    def _said(self, incoming: Incoming) -> dict[str, str]:
        return {name: value for name, header in self._names.items() if (value := incoming.header(header))}

    def _key(self, incoming: Incoming, accounts: Mapping[str, str]) -> tuple[str, str]:
        """Give the digest of the API key, and the account that it belongs to."""
        plain = _api_key(incoming)
        if not plain:
            return "", ""
        known = self._digests.get(plain)
        if known is None:
            if len(self._digests) >= _REMEMBERED:
                self._digests.clear()
            sha = hashlib.sha256(plain.encode("latin-1")).hexdigest()
            known = self._digests[plain] = self.digest(plain, b"api-key"), sha
        return known[0], accounts.get(known[1], "")

    def address(self, incoming: Incoming) -> str:
        """Give the client's address: the last of the chain that no trusted proxy has."""
        address = incoming.client
        if not self.is_trusted(address):
            return address
        for written in reversed(incoming.all_of(_FORWARDED).split(",")):
            found = _plain_address(written)
            if not found:
                break  # what a proxy wrote is no address: what is left of it is not to be believed either
            address = found
            if not self.is_trusted(address):
                break
        return address

    def is_trusted(self, text: str) -> bool:
        """Whether an address is a proxy's that is trusted."""
        found = self._trust.get(text)
        if found is None:
            if len(self._trust) >= _REMEMBERED:
                self._trust.clear()
            found = self._trust[text] = self._trusted.has(text)
        return found


def _api_key(incoming: Incoming) -> str:
    """Give the API key as OpenAI's (`Authorization: Bearer`), Anthropic's or Azure's clients send it."""
    scheme, _, bearer = incoming.header(b"authorization").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    return (incoming.header(b"x-api-key") or incoming.header(b"api-key")).strip()


@functools.lru_cache(maxsize=16_384)
def _plain_address(written: str) -> str:
    """Give the address of one entry of `X-Forwarded-For`, which some proxies write with a port."""
    text = written.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return text if parsed(text) is not None else ""
