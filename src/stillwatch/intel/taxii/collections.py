"""Collections: what one member sees of them (TAXII 2.1, 5.1 and 5.2). Touches the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stillwatch.database.store import Database

_SEEN: Final = """
    SELECT c.number, c.id, c.alias, c.title, c.description, r.can_read, r.can_write
    FROM stillwatch_taxii_collections c JOIN stillwatch_taxii_rights r ON r.collection = c.alias
    WHERE r.member = ? AND (r.can_read = 1 OR r.can_write = 1) ORDER BY c.number
"""


@dataclass(frozen=True, slots=True)
class SharedCollection:
    """A collection, as one member sees it.

    Attributes:
        number: what the store knows it by.
        id: what clients know it by.
        alias: a name that can stand for the id in a URL.
        title: of it.
        description: of it.
        can_read: whether the member may take objects out.
        can_write: whether the member may put objects in.

    """

    number: int
    id: str
    alias: str
    title: str
    description: str
    can_read: bool
    can_write: bool


def seen_by(member: str, database: Database) -> list[SharedCollection]:
    """Give the collections that a member has any right to; the others are to the member as if they were not."""
    return [
        SharedCollection(int(number), str(name), str(alias), str(title), str(words), bool(can_read), bool(can_write))
        for number, name, alias, title, words, can_read, can_write in database.rows(_SEEN, (member,))
    ]
