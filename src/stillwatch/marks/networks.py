"""From the text of an IP address to a hash of its network: the /24 of IPv4, the /48 of IPv6. Touches nothing.

An address has many spellings (RFC 4291, section 2.2: case, leading zeros, `::`, IPv4 inside IPv6), so it is parsed, not
cut. These sizes are what one customer is given as a rule: RFC 6177 for IPv6; a /24 is the least that is routed of IPv4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stillwatch.compiled import compiled, inlined
from stillwatch.marks.normalise import one_text, text_buffers
from stillwatch.marks.tokens import mixed

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from stillwatch.marks.tokens import Bytes

_VERSION_4, _VERSION_6 = 4 << 48, 6 << 48
_COLON, _DOT, _PERCENT = 58, 46, 37


def hash_networks(addresses: pa.Array) -> NDArray[np.uint64]:
    """Hash each address's network; null, empty and what is no address give 0.

    Args:
        addresses: of type string or large_string.

    """
    offsets, data = text_buffers(addresses.fill_null("") if addresses.null_count else addresses)
    hashes = np.empty(len(offsets) - 1, np.uint64)
    _hash_networks(offsets, data, np.zeros(8, np.int64), hashes)
    return hashes


def hash_network(address: str) -> int:
    """Hash one address's network, as `hash_networks` does a column of them."""
    data, bounds = one_text(address)
    found = np.empty(1, np.uint64)
    _hash_networks(bounds, data, np.zeros(8, np.int64), found)
    return int(found[0])


@compiled
def _hash_networks(
    offsets: NDArray[np.signedinteger[Any]], data: Bytes, groups: NDArray[np.int64], hashes: NDArray[np.uint64]
) -> None:
    for row in range(len(offsets) - 1):
        position, end = int(offsets[row]), int(offsets[row + 1])
        address = _version_4(data, position, end)
        network = address >> 8 | _VERSION_4 if address >= 0 else _version_6(data, position, end, groups)
        hashes[row] = mixed(np.uint64(network)) if network >= 0 else np.uint64(0)


@inlined
def _version_4(data: Bytes, position: int, end: int) -> int:
    """Return the 32 bits of an address in dotted decimal, or -1."""
    address = 0
    for place in range(4):
        part, digits = 0, 0
        while position < end and digits < 3 and 48 <= data[np.uintp(position)] <= 57:
            part = 10 * part + int(data[np.uintp(position)]) - 48
            position += 1
            digits += 1
        if digits == 0 or part > 255:
            return -1
        if place < 3:
            if position >= end or data[np.uintp(position)] != _DOT:
                return -1
            position += 1
        address = address << 8 | part
    return address if position == end else -1


@inlined
def _version_6(data: Bytes, position: int, end: int, groups: NDArray[np.int64]) -> int:  # noqa: C901, PLR0911, PLR0912  # a grammar
    """Return the /48 of an address in hexadecimal groups (or the /24 of an IPv4 one inside it), or -1."""
    found, gap = 0, -1
    if position + 1 < end and data[position] == _COLON and data[position + 1] == _COLON:
        gap = 0
        position += 2
    while position < end and data[np.uintp(position)] != _PERCENT:  # after "%" comes a zone
        if found == 8:
            return -1
        inside = _version_4(data, position, end)
        if inside >= 0:
            if found > 6:
                return -1
            groups[found], groups[found + 1] = inside >> 16, inside & 0xFFFF
            found += 2
            break
        group, digits = 0, 0
        while position < end and digits < 4:
            digit = _hexadecimal(int(data[np.uintp(position)]))
            if digit < 0:
                break
            group = group << 4 | digit
            position += 1
            digits += 1
        if digits == 0:
            return -1
        groups[found] = group
        found += 1
        if position >= end or data[np.uintp(position)] == _PERCENT:
            break
        if data[np.uintp(position)] != _COLON:
            return -1
        position += 1
        if position < end and data[np.uintp(position)] == _COLON:
            if gap >= 0:
                return -1
            gap = found
            position += 1
        elif position >= end:
            return -1
    if gap < 0 and found < 8:
        return -1
    if gap >= 0:
        for back in range(8):  # what follows "::" stands at the end
            place = 7 - back
            groups[place] = groups[found - 1 - back] if back < found - gap else groups[place] if place < gap else 0
    if groups[5] == 0xFFFF and not (groups[0] | groups[1] | groups[2] | groups[3] | groups[4]):
        return int(groups[6]) << 8 | int(groups[7]) >> 8 | _VERSION_4
    return int(groups[0]) << 32 | int(groups[1]) << 16 | int(groups[2]) | _VERSION_6


@inlined
def _hexadecimal(byte: int) -> int:
    """Return the value of a hexadecimal digit, or -1."""
    if 48 <= byte <= 57:
        return byte - 48
    letter = byte | 32
    return letter - 87 if 97 <= letter <= 102 else -1
