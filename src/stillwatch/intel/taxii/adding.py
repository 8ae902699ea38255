"""Adding objects to a collection, and taking them out again (TAXII 2.1, 5.5 and 5.7). Touches the store and the clock.

An object is its first publisher's: nobody else can put a new version of it in its place, speak as an identity that
another brought, or take it out. The same object sent twice is there once, and both times a success.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stillwatch.errors import TaxiiError
from stillwatch.intel.document import Fault
from stillwatch.intel.moment import now_micros, to_text
from stillwatch.intel.shape import REFERENCE
from stillwatch.intel.tlp import Tlp, definitions, marking_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stillwatch.database.store import Database, Value
    from stillwatch.intel.document import Item
    from stillwatch.intel.taxii.collections import SharedCollection
    from stillwatch.intel.taxii.wanted import Version

_AT_ONCE: Final = 500  # ids looked up in one statement
_LAST: Final = "SELECT last_added FROM stillwatch_taxii_collections WHERE number = ?"
_SET_LAST: Final = "UPDATE stillwatch_taxii_collections SET last_added = ? WHERE number = ?"
_KNOWN: Final = """
    SELECT id, added, version, gone, member, digest FROM stillwatch_taxii_objects WHERE collection = ? AND id IN ({})
"""
_ADD: Final = "INSERT INTO stillwatch_taxii_objects VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)"
_FLAG: Final = "UPDATE stillwatch_taxii_objects SET is_first = ?, is_last = ? WHERE collection = ? AND added = ?"
_GONE: Final = """
    UPDATE stillwatch_taxii_objects SET gone = 1, is_first = 0, is_last = 0, content = ''
    WHERE collection = ? AND added = ?
"""
_PURGE: Final = "DELETE FROM stillwatch_taxii_objects WHERE member = ?"


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one object: which version of which, and why not, where it was not added."""

    id: str
    version: str
    reason: str = ""


@dataclass(slots=True)
class _Kept:
    """One version that is there, or was and is withdrawn."""

    added: int
    version: int
    gone: bool
    member: str
    digest: str


@dataclass(slots=True)
class _Batch:
    """What is known and what is new while a request is worked through."""

    collection: int
    member: str
    added: int
    known: dict[str, list[_Kept]]
    rows: list[list[Value]] = field(default_factory=list)
    touched: dict[str, None] = field(default_factory=dict)


def add(
    database: Database,
    collection: SharedCollection,
    member: str,
    items: Sequence[Item | Fault],
    *,
    clock: Callable[[], int] = now_micros,
) -> list[Told]:
    """Add objects to a collection; to be called while writing. What is wrong with one hinders no other."""
    known = definitions(each.value for each in items if not isinstance(each, Fault))
    names = {name for each in items if not isinstance(each, Fault) for name in (each.shape.id, each.shape.creator)}
    ((last,),) = database.rows(_LAST, (collection.number,))
    now = clock()
    batch = _Batch(
        collection.number, member, max(now - 1, int(last)), _kept(database, collection.number, sorted(names - {""}))
    )
    told = []
    for each in items:
        if isinstance(each, Fault):
            told.append(Told(each.id or f"object {each.number}", each.version or to_text(now), each.reason))
            continue
        reason = _forbidden(marking_of(each.value, known), collection.alias) or _add(batch, each)
        told.append(Told(each.shape.id, to_text(_version_of(batch, each)), reason))
    _write(database, batch)
    return told


def withdraw_all(database: Database, member: str) -> None:
    """Take out everything that a member added, as if it had never been; to be called while writing.

    Its ids are free again: whoever they rightly belong to can publish under them.
    """
    database.rows(_PURGE, (member,))  # whatever has one of its ids is its own, so that no other's place changes


def withdraw(
    database: Database, collection: SharedCollection, member: str, identifier: str, versions: Sequence[Version]
) -> None:
    """Take versions of an object out; to be called while writing. They stay known: a replay does not revive them.

    Raises:
        TaxiiError: there are none (404), or some are another member's (403).

    """
    kept = [each for each in _kept(database, collection.number, [identifier]).get(identifier, []) if not each.gone]
    chosen = list(_chosen(kept, versions))
    if not chosen:
        raise TaxiiError(404, "Not Found", "There is no such object here.")
    if any(each.member != member for each in chosen):
        raise TaxiiError(403, "Forbidden", "Only the member who added an object may take it out.")
    database.append(_GONE, [(collection.number, each.added) for each in chosen])
    _flag(database, collection.number, [each for each in kept if each not in chosen])


def _chosen(kept: list[_Kept], versions: Sequence[Version]) -> Iterator[_Kept]:
    ordered = sorted(kept, key=lambda each: each.version)
    for number, each in enumerate(ordered):
        names = {"all", each.version, *(("first",) if number == 0 else ())}
        if not names.isdisjoint(versions) or ("last" in versions and number == len(ordered) - 1):
            yield each


def _kept(database: Database, collection: int, ids: Sequence[str]) -> dict[str, list[_Kept]]:
    known: dict[str, list[_Kept]] = {}
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        statement = _KNOWN.format(", ".join("?" for _ in some))
        for name, added, version, gone, member, digest in database.rows(statement, (collection, *some)):
            one = _Kept(int(added), int(version), bool(gone), str(member), str(digest))
            known.setdefault(str(name), []).append(one)
    return known


def _forbidden(tlp: Tlp | None, alias: str) -> str:
    """Say why what is marked so may not be shared here; empty if it may."""
    if tlp is Tlp.RED or (tlp is Tlp.AMBER_STRICT and alias != "own"):
        return f"marked {tlp.label}, which may not be shared here"
    return ""


def _add(batch: _Batch, item: Item) -> str:
    """Take one object into the batch, or say why not; empty if it is there now."""
    shape = item.shape
    digest = hashlib.sha256(item.canonical).hexdigest()
    kept = batch.known.get(shape.id, [])
    # what has no version of its own (STIX 2.1, 3.6) is what it is: there is one at most
    same = [each for each in kept if shape.version in {None, each.version}]
    if any(each.gone for each in same):
        return "this version was withdrawn; publish a new one"
    if any(each.digest != digest for each in same):
        return "another content of this id and version is held here"
    if same:
        return ""
    if kept and kept[0].member != batch.member:
        return "this id belongs to another member, who alone may publish new versions of it"
    # what is the same for everybody (a technique, say) is everybody's to bring
    speaks = shape.type not in REFERENCE
    if speaks and any(each.member != batch.member for each in batch.known.get(shape.creator, ())):
        return "`created_by_ref` is an identity that another member brought"
    batch.added += 1
    version = batch.added if shape.version is None else shape.version
    batch.known.setdefault(shape.id, []).append(_Kept(batch.added, version, False, batch.member, digest))
    batch.rows.append(
        [batch.collection, batch.added, shape.id, shape.type, version, 0, 0, batch.member, digest, item.content]
    )
    batch.touched[shape.id] = None
    return ""


def _version_of(batch: _Batch, item: Item) -> int:
    if item.shape.version is not None:
        return item.shape.version
    kept = batch.known.get(item.shape.id)
    return kept[0].version if kept else batch.added


def _write(database: Database, batch: _Batch) -> None:
    if not batch.rows:
        return
    new = {row[1]: row for row in batch.rows}
    older: list[tuple[int, int, int, int]] = []
    for name in batch.touched:
        for each, first, last in _flags(batch.known[name]):
            if each.added in new:
                new[each.added][5:7] = [first, last]
            else:
                older.append((first, last, batch.collection, each.added))
    database.append(_ADD, batch.rows)
    if older:
        database.append(_FLAG, older)
    database.rows(_SET_LAST, (batch.added, batch.collection))


def _flag(database: Database, collection: int, kept: list[_Kept]) -> None:
    flags = [(first, last, collection, each.added) for each, first, last in _flags(kept)]
    if flags:
        database.append(_FLAG, flags)


def _flags(kept: Iterable[_Kept]) -> Iterator[tuple[_Kept, int, int]]:
    """Tell of each version that stands whether it is the first and whether it is the last."""
    standing = sorted((each for each in kept if not each.gone), key=lambda each: each.version)
    for number, each in enumerate(standing):
        yield each, int(number == 0), int(number == len(standing) - 1)
