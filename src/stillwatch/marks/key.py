"""Keyed hashing: how a mark is named once it leaves the process.

Inside a scan marks are plain 64-bit hashes, so that nothing that is counted depends on the key. Whatever is written
down is named by a keyed hash (BLAKE2b, RFC 7693, keyed mode), so that nobody without the provider's key can test a
guess against it.

Touches nothing.
"""

from __future__ import annotations

import base64
import hashlib

NAME_BYTES = 10


def name_mark(key: bytes, family: str, mark: int) -> str:
    """Name a mark: 16 characters that only the key's owner can make again.

    Args:
        key: the provider's key, at least 16 bytes.
        family: the mark's family.
        mark: its plain hash.
    """
    hashed = mark_hash(key, family)
    hashed.update(int(mark).to_bytes(8, "little"))
    return written(hashed.digest())


def mark_hash(key: bytes, family: str) -> hashlib.blake2b:
    """Hash of a family's marks, to be copied and given 8 bytes, the mark's, lowest first: its digest is the name."""
    return hashlib.blake2b(family.encode() + b"\0", digest_size=NAME_BYTES, key=key[:64])


def written(name: bytes) -> str:
    """Give a name as it is written."""
    return base64.b32encode(name).decode().lower()


def read(name: str) -> bytes:
    """Give back a name that was written.

    Raises:
        ValueError: it is none.

    """
    found = base64.b32decode(name.upper())
    if len(found) != NAME_BYTES:
        raise ValueError(f"no mark's name: {name!r}")
    return found


def name_cohort(key: bytes, family: str, mark: int) -> str:
    """Id of the cohort that is known by this mark, e.g. `c-7f3a9c2e51`; the same mark and key give the same id."""
    plain = b"cohort/" + family.encode() + b"\0" + int(mark).to_bytes(8, "little")
    return "c-" + hashlib.blake2b(plain, digest_size=5, key=key[:64]).hexdigest()


def name_key(key: bytes) -> str:
    """Id of a key that several share, e.g. `k-7f3a9c2e51d0`: tells who has the same, and nothing of the key."""
    return "k-" + hashlib.blake2b(b"stillwatch shared key", digest_size=6, key=key[:64]).hexdigest()
