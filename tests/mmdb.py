"""A small writer of databases in MaxMind's format, for tests: https://maxmind.github.io/MaxMind-DB/."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARKER = b"\xab\xcd\xefMaxMind.com"
_UINT16, _UINT32, _UINT64 = 5, 6, 9
_BETWEEN = 16  # zero bytes between tree and data


def database(networks: Mapping[str, Any], *, kind: str = "Test", version: int = 6) -> bytes:
    """Write networks and their records; those of version 4 lie at ::/96 of a tree of version 6."""
    nodes: list[list[int | bytes | None]] = [[None, None]]
    for text, record in networks.items():
        network = ipaddress.ip_network(text)
        value, length, width = int(network.network_address), network.prefixlen, network.max_prefixlen
        if version == 6 and network.version == 4:
            length, width = length + 96, 128
        at = 0
        for place in range(length):
            bit = value >> (width - 1 - place) & 1
            if place == length - 1:
                nodes[at][bit] = _encoded(record)
                break
            inner = nodes[at][bit]
            if not isinstance(inner, int):
                nodes.append([None, None])
                inner = nodes[at][bit] = len(nodes) - 1
            at = inner
    data, tree = b"", b""
    for node in nodes:
        for record in node:
            if isinstance(record, bytes):
                pointer = len(nodes) + _BETWEEN + len(data)
                data += record
            else:
                pointer = len(nodes) if record is None else record
            tree += pointer.to_bytes(3)
    about = {
        "binary_format_major_version": (_UINT16, 2),
        "binary_format_minor_version": (_UINT16, 0),
        "build_epoch": (_UINT64, 1_800_000_000),
        "database_type": kind,
        "description": {"en": "made by a test"},
        "ip_version": (_UINT16, version),
        "languages": ["en"],
        "node_count": (_UINT32, len(nodes)),
        "record_size": (_UINT16, 24),
    }
    return tree + bytes(_BETWEEN) + data + _MARKER + _encoded(about)


def _encoded(value: object) -> bytes:
    match value:
        case bool():
            return _control(14, int(value))
        case str():
            return _control(2, len(value.encode())) + value.encode()
        case int():
            return _encoded((_UINT32, value))
        case (int() as kind, int() as number):
            written = number.to_bytes((number.bit_length() + 7) // 8)
            return _control(kind, len(written)) + written
        case dict():
            return _control(7, len(value)) + b"".join(_encoded(each) for pair in value.items() for each in pair)
        case list():
            return _control(11, len(value)) + b"".join(map(_encoded, value))
    raise TypeError(value)


def _control(kind: int, size: int) -> bytes:
    first, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return (bytes([kind << 5 | first]) if kind < 8 else bytes([first, kind - 7])) + more
