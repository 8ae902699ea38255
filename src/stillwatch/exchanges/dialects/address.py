"""The client's address out of what proxies log. Pure.

Whatever a client writes into `X-Forwarded-For` stays at its front, so the front proves nothing: a campaign could put
an innocent company's address there. The proxies append, so the last address outside the provider's own networks is
the one that a proxy saw.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final

_INSIDE: Final = tuple(
    ip_network(block)
    for block in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)  # RFC 1918, 1122, 3927, 6598, 4291, 4193


def client_address(*logged: object) -> str | None:
    """Return the first of these that names an address outside private networks; else the first that names any address.

    Args:
        logged: what was logged, most trusted first: an address, with or without a port, or a list of addresses as
            `X-Forwarded-For` has it, of which the last outside private networks counts.

    """
    inside: str | None = None
    for value in logged:
        if not isinstance(value, str):
            continue
        for word in reversed(value.split(",")):
            address, private = _address(word.strip())
            if address is None:
                continue
            if not private:
                return address
            inside = inside or address
    return inside


@lru_cache(maxsize=1 << 16)  # a log has few clients beside its requests
def _address(word: str) -> tuple[str | None, bool]:
    """Address of `192.0.2.1`, `192.0.2.1:443`, `[2001:db8::1]:443` or `2001:db8::1`, and whether it is private."""
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        address = ip_address(word)
    except ValueError:
        return None, False
    return str(address), any(address in block for block in _INSIDE if block.version == address.version)
