"""The digest by which an answer is known when a client sends it back. Pure.

Unkeyed on purpose: both ends of the join are made in one place, from text that may lie in different files. A scan
keys every digest again before it stores anything.
"""

from __future__ import annotations

from hashlib import blake2b


def digest(text: str | None) -> str | None:
    """16 hex digits of BLAKE2b (RFC 7693) over the text with every run of white space as one space; None for no text.

    Clients trim and re-wrap what they send back, so white space does not count.
    """
    words = text.split() if text else None
    return blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=8).hexdigest() if words else None
