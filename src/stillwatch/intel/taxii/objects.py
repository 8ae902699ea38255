"""Objects of a collection: finding them, a page at a time, in the order in which they were added. Touches the store.

Every way to ask is a look at an index, or as many as there are types and versions asked for, put in order afterwards:
what is asked for rarely is found as fast as what is asked for often.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stillwatch.database.store import Database, Value
    from stillwatch.intel.taxii.wanted import Version, Wanted

_RECORD: Final = "added, id, version"
_WHOLE: Final = "added, id, version, content"
_SELECT: Final = "SELECT {} FROM stillwatch_taxii_objects WHERE collection = ? AND added > ?{} ORDER BY added LIMIT ?"
_EXISTS: Final = "SELECT 1 FROM stillwatch_taxii_objects WHERE collection = ? AND id = ? AND gone = 0 LIMIT 1"


@dataclass(frozen=True, slots=True)
class Held:
    """One version of an object.

    Attributes:
        added: when it was, in microseconds since 1970.
        id: of the object.
        version: of the object; where it has none, when it was added.
        content: all of it in JSON; empty where only the record was asked for.

    """

    added: int
    id: str
    version: int
    content: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the objects asked for, and whether there are more."""

    held: tuple[Held, ...]
    more: bool


def page(database: Database, collection: int, wanted: Wanted, *, whole: bool) -> Page:
    """Give the first objects that are asked for.

    Args:
        database: the store.
        collection: its number.
        wanted: what is asked for.
        whole: whether their content is wanted too.

    """
    if wanted.none:
        return Page((), more=False)
    columns = _WHOLE if whole else _RECORD
    some = [
        database.rows(_SELECT.format(columns, condition), (collection, wanted.after, *values, wanted.limit + 1))
        for condition, values in _looks(wanted)
    ]
    merged = some[0] if len(some) == 1 else list(itertools.islice(_in_order(some), wanted.limit + 1))
    return Page(tuple(map(_held, merged[: wanted.limit])), more=len(merged) > wanted.limit)


def exists(database: Database, collection: int, identifier: str) -> bool:
    """Whether there is any version of an object."""
    return bool(database.rows(_EXISTS, (collection, identifier)))


def _looks(wanted: Wanted) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """Give the conditions to look by, one after another, with their values."""
    if wanted.ids:
        of_ids = f" AND id IN ({_marks(wanted.ids)})"
        of_types = f" AND type IN ({_marks(wanted.types)})" if wanted.types else ""
        terms, values = zip(*(_term(each, "+") for each in wanted.versions), strict=True)
        flat = tuple(value for some in values for value in some)
        yield f"{of_ids}{of_types} AND ({' OR '.join(terms)})", (*wanted.ids, *wanted.types, *flat)
        return
    for kind in wanted.types or (None,):
        for version in wanted.versions:
            # a `+` keeps a database from choosing the index of all last versions over that of the type
            term, value = _term(version, "" if kind is None else "+")
            yield (f" AND {term}", value) if kind is None else (f" AND type = ? AND {term}", (kind, *value))


def _term(version: Version, unindexed: str) -> tuple[str, tuple[int, ...]]:
    match version:
        case "all":
            return "gone = 0", ()
        case "first" | "last":
            return f"{unindexed}is_{version} = 1", ()
    return f"(gone = 0 AND {unindexed}version = ?)", (version,)


def _marks(values: Iterable[str]) -> str:
    return ", ".join("?" for _ in values)


def _in_order(some: list[list[tuple[Value, ...]]]) -> Iterator[tuple[Value, ...]]:
    """Put rows in order, each once: one version may be both the first and the last."""
    last: Value = -1
    for row in heapq.merge(*some):
        if row[0] != last:
            last = row[0]
            yield row


def _held(row: tuple[Value, ...]) -> Held:
    return Held(int(row[0]), str(row[1]), int(row[2]), str(row[3]) if len(row) > 3 else "")
