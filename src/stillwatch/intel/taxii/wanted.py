"""What a client asks a collection for: filters and a page (TAXII 2.1, 3.4 and 3.5). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Version: TypeAlias = int | Literal["first", "last", "all"]
"""One version of an object, in microseconds since 1970, or one that is known by its place among them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks for.

    Attributes:
        after: only what was added after it, in microseconds since 1970.
        ids: of objects; empty for all.
        types: of objects; empty for all.
        versions: of objects.
        none: whether nothing can match, since only versions of STIX are asked for that are not held here.
        limit: how many at most.

    """

    after: int = -1
    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    versions: tuple[Version, ...] = ("last",)
    none: bool = False
    limit: int = 1000
