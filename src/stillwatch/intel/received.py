"""What was received from others: a local store. Touches its database and the clock.

An object is kept by who it came from, its id and its version, so that nobody's object takes the place of another's.
What a source says of an object (its marking, how sure it is, when it ends) is kept beside it, and so is what is odd
about it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stillwatch.errors import IntelError
from stillwatch.intel.document import Fault
from stillwatch.intel.moment import now_micros
from stillwatch.intel.taxii.store import open_database
from stillwatch.intel.tlp import Tlp, definitions, marking_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from stillwatch.database.store import Database, Value
    from stillwatch.intel.document import Item

SCHEMA: Final = 1  # of the tables
_LOCK: Final = 0x5717_7EC3  # an advisory lock of our own in PostgreSQL
_AT_ONCE: Final = 500  # objects looked up in one statement
_PAGE: Final = 1000
_AHEAD: Final = 10 * 60 * 1_000_000  # microseconds that another's clock may be ahead of ours
_MARK: Final = "stillwatch_intel"
_TABLES: Final = (
    f"CREATE TABLE {_MARK} (version INTEGER NOT NULL)",
    f"""CREATE TABLE {_MARK}_received (
        source TEXT NOT NULL, id TEXT NOT NULL, version BIGINT NOT NULL, type TEXT NOT NULL, is_last INTEGER NOT NULL,
        received BIGINT NOT NULL, creator TEXT NOT NULL, marking INTEGER NOT NULL, confidence INTEGER NOT NULL,
        valid_until BIGINT NOT NULL, revoked INTEGER NOT NULL, flags TEXT NOT NULL, digest TEXT NOT NULL,
        content TEXT NOT NULL, PRIMARY KEY (source, id, version)
    )""",
    f"CREATE INDEX {_MARK}_id ON {_MARK}_received (id)",
    f"CREATE INDEX {_MARK}_standing ON {_MARK}_received (source, id) WHERE is_last = 1",
    f"CREATE TABLE {_MARK}_ours (id TEXT NOT NULL PRIMARY KEY)",
    f"""CREATE TABLE {_MARK}_cursors (
        source TEXT NOT NULL PRIMARY KEY, upto TEXT NOT NULL, since TEXT NOT NULL, next TEXT NOT NULL
    )""",
)
_COLUMNS: Final = (
    "source, id, version, type, received, creator, marking, confidence, valid_until, revoked, flags, content"
)
_HELD: Final = f"SELECT id, version, digest FROM {_MARK}_received WHERE source = ? AND id IN ({{}})"  # noqa: S608
_INSERT: Final = f"INSERT INTO {_MARK}_received VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_UNLAST: Final = f"UPDATE {_MARK}_received SET is_last = 0 WHERE source = ? AND id = ? AND version = ?"  # noqa: S608
_REFLAG: Final = f"UPDATE {_MARK}_received SET flags = ? WHERE source = ? AND id = ? AND version = ?"  # noqa: S608
_FLAGS: Final = f"SELECT flags FROM {_MARK}_received WHERE source = ? AND id = ? AND version = ?"  # noqa: S608
_STANDING: Final = f"""
    SELECT {_COLUMNS} FROM {_MARK}_received WHERE is_last = 1 AND (source > ? OR (source = ? AND id > ?))
    ORDER BY source, id LIMIT ?
"""  # noqa: S608
_OF: Final = f"SELECT {_COLUMNS} FROM {_MARK}_received WHERE id = ? ORDER BY source, version"  # noqa: S608
_FROM_OTHERS: Final = f"""
    SELECT id, min(marking), max(marking) FROM {_MARK}_received
    WHERE id IN ({{}}) AND id NOT IN (SELECT id FROM {_MARK}_ours) GROUP BY id
"""  # noqa: S608
_OURS: Final = f"INSERT INTO {_MARK}_ours VALUES (?) ON CONFLICT (id) DO NOTHING"  # noqa: S608
_DEFINITIONS: Final = f"SELECT {_COLUMNS} FROM {_MARK}_received WHERE source = ? AND id IN ({{}})"  # noqa: S608
_CURSOR: Final = f"SELECT upto, since, next FROM {_MARK}_cursors WHERE source = ?"  # noqa: S608
_SET_CURSOR: Final = f"""
    INSERT INTO {_MARK}_cursors VALUES (?, ?, ?, ?)
    ON CONFLICT (source) DO UPDATE SET upto = excluded.upto, since = excluded.since, next = excluded.next
"""  # noqa: S608


class Odd(StrEnum):
    """What is odd about an object."""

    FUTURE = "future"  # dated later than it was received
    BACK_DATED = "back-dated"  # came after a version that is dated later
    EXPIRED = "expired"  # had ended when it came
    ALTERED = "altered"  # its source sent another content of the same version later; the first is kept


@dataclass(frozen=True, slots=True)
class Received:
    """One version of an object, from one source.

    Attributes:
        source: the collection's URL.
        id: of the object.
        version: in microseconds since 1970; 0 where the object has none.
        type: of the object.
        received: when it was, in microseconds since 1970.
        creator: the identity that it says it is from; empty if it says none. Whoever may write to the source's
            collection can say so.
        marking: the strictest of its markings; None if it bears none.
        confidence: 0 to 100; None if it says nothing.
        valid_until: when it ends, in microseconds since 1970; None if it says nothing.
        revoked: whether it was taken back by its source.
        odd: what is odd about it.
        content: all of it, in JSON.

    """

    source: str
    id: str
    version: int
    type: str
    received: int
    creator: str
    marking: Tlp | None
    confidence: int | None
    valid_until: int | None
    revoked: bool
    odd: frozenset[Odd]
    content: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source has been read.

    Attributes:
        upto: TAXII time of the last addition that was taken, when all before it were; empty before the first.
        since: what the run under way asked from; empty if none is.
        next: what its next page is asked for with; empty if none is under way.

    """

    upto: str = ""
    since: str = ""
    next: str = ""


@dataclass(slots=True)
class Taken:
    """What came of taking objects in."""

    new: int = 0
    known: int = 0
    refused: int = 0
    odd: int = 0

    def __add__(self, other: Taken) -> Taken:
        """Give both together."""
        return Taken(self.new + other.new, self.known + other.known, self.refused + other.refused, self.odd + other.odd)


@dataclass(slots=True)
class _Batch:
    """What is known and what is new while objects are taken in.

    Attributes:
        source: they came from.
        now: in microseconds since 1970.
        meanings: of markings.
        held: digests by id and version.
        rows: new ones, by id and version.

    """

    source: str
    now: int
    meanings: dict[str, Tlp | None]
    held: dict[str, dict[int, str]]
    rows: dict[tuple[str, int], list[Value]] = field(default_factory=dict)


class IntelStore:
    """What was received; for one thread. Close it, or use it in a `with`.

    Args:
        place: a path (SQLite) or a URL (`postgresql://...`).
        create: make it where there is none.
        clock: microseconds since 1970.

    Raises:
        IntelError: there is none, it cannot be reached, or it is of a version that cannot be read.
        UsageError: the URL is of no kind known here, or what it needs is not installed.

    """

    def __init__(self, place: str | Path, *, create: bool = False, clock: Callable[[], int] = now_micros) -> None:
        self._database: Database = open_database(
            place, create=create, what="store of received intelligence", lock=_LOCK
        )
        self._clock = clock
        try:
            if create and not self._database.has(_MARK):
                with self._database.writing():
                    if not self._database.has(_MARK):
                        self._database.make_tables(_TABLES)
                        self._database.rows(f"INSERT INTO {_MARK} VALUES (?)", (SCHEMA,))  # noqa: S608
            self._require_version()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def place(self) -> str:
        """Where it is, to be shown."""
        return self._database.place

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    # ---- taking in

    def take(self, source: str, items: Sequence[Item | Fault], cursor: Cursor | None = None) -> Taken:
        """Take objects in, and note how far their source has been read: both or neither."""
        good = [each for each in items if not isinstance(each, Fault)]
        taken = Taken(refused=len(items) - len(good))
        with self._database.writing():
            held = self._held(source, sorted({each.shape.id for each in good}))
            batch = _Batch(source, self._clock(), self._definitions(source, good), held)
            for item in good:
                taken += self._take(batch, item)
            self._database.append(_INSERT, list(batch.rows.values()))
            if cursor is not None:
                self._database.rows(_SET_CURSOR, (source, cursor.upto, cursor.since, cursor.next))
        return taken

    def cursor(self, source: str) -> Cursor:
        """Give how far a source has been read."""
        rows = self._database.rows(_CURSOR, (source,))
        return Cursor(*map(str, rows[0])) if rows else Cursor()

    # ---- reading

    def standing(self, *, now: int | None = None) -> Iterator[Received]:
        """Yield the last version of every object of every source that is neither revoked nor over."""
        moment = self._clock() if now is None else now
        source = name = ""
        while True:
            rows = self._database.rows(_STANDING, (source, source, name, _PAGE))
            for each in map(_received, rows):
                if not each.revoked and (each.valid_until is None or each.valid_until > moment):
                    yield each
            if len(rows) < _PAGE:
                return
            source, name = str(rows[-1][0]), str(rows[-1][1])

    def versions(self, identifier: str) -> list[Received]:
        """Give all that was received under an id, by source and version."""
        return [_received(row) for row in self._database.rows(_OF, (identifier,))]

    def from_others(self, ids: Collection[str]) -> dict[str, Tlp | None]:
        """Give those ids under which something was received that is not ours, and what it binds us to.

        That is the strictest of the markings under which it ever came from anybody; None if it once came with none.
        """
        return {
            str(name): None if int(least) < 0 else Tlp(int(most))
            for some in _some(sorted(ids))
            for name, least, most in self._database.rows(_fill(_FROM_OTHERS, some), some)
        }

    def note_ours(self, ids: Collection[str]) -> None:
        """Note what we publish ourselves, so that it is known for ours when it comes back; others' stays others'."""
        with self._database.writing():
            fresh = sorted(set(ids) - self.from_others(ids).keys())
            self._database.append(_OURS, [(each,) for each in fresh])

    # ---- within

    def _take(self, batch: _Batch, item: Item) -> Taken:
        shape = item.shape
        version = shape.version or 0
        digest = hashlib.sha256(item.canonical).hexdigest()
        of_id = batch.held.setdefault(shape.id, {})
        if version in of_id:
            altered = of_id[version] != digest
            if altered:
                self._flag(batch, shape.id, version)
            return Taken(known=1, odd=int(altered))
        newest = max(of_id, default=None)
        odd = _odd(item, newest, batch.now)
        last = newest is None or version > newest
        if last and newest is not None:
            self._supersede(batch, shape.id, newest)
        of_id[version] = digest
        marking = marking_of(item.value, batch.meanings)
        batch.rows[shape.id, version] = [
            batch.source, shape.id, version, shape.type, int(last), batch.now, shape.creator, _or(marking, -1),
            _or(shape.confidence, -1), _or(shape.valid_until, -1), int(shape.revoked), _written(odd), digest,
            item.content,
        ]  # fmt: skip
        return Taken(new=1, odd=int(bool(odd)))

    def _supersede(self, batch: _Batch, name: str, newest: int) -> None:
        """Note that a version is the last one no longer."""
        if (name, newest) in batch.rows:
            batch.rows[name, newest][4] = 0
        else:
            self._database.rows(_UNLAST, (batch.source, name, newest))

    def _flag(self, batch: _Batch, name: str, version: int) -> None:
        """Note that a source sent another content of a version that is held."""
        row = batch.rows.get((name, version))
        if row is not None:
            row[11] = _written(_read(str(row[11])) | {Odd.ALTERED})
            return
        ((flags,),) = self._database.rows(_FLAGS, (batch.source, name, version))
        self._database.rows(_REFLAG, (_written(_read(str(flags)) | {Odd.ALTERED}), batch.source, name, version))

    def _held(self, source: str, ids: Sequence[str]) -> dict[str, dict[int, str]]:
        held: dict[str, dict[int, str]] = {}
        for some in _some(ids):
            for name, version, digest in self._database.rows(_fill(_HELD, some), (source, *some)):
                held.setdefault(str(name), {})[int(version)] = str(digest)
        return held

    def _definitions(self, source: str, items: Iterable[Item]) -> dict[str, Tlp | None]:
        """Give what markings mean, by the definitions that come along and those that came before from this source."""
        import msgspec  # noqa: PLC0415  only here

        items = list(items)
        wanted = {
            each
            for item in items
            for each in item.value.get("object_marking_refs", ())
            if each.startswith("marking-definition--")
        }
        earlier = [
            msgspec.json.decode(str(row[-1]))
            for some in _some(sorted(wanted))
            for row in self._database.rows(_fill(_DEFINITIONS, some), (source, *some))
        ]
        return {**definitions(item.value for item in items), **definitions(earlier)}  # what came first stands

    def _require_version(self) -> None:
        if not self._database.has(_MARK):
            raise IntelError(f"{self.place}: there is no store of received intelligence here")
        version = self._database.rows(f"SELECT version FROM {_MARK}")[0][0]  # noqa: S608
        if version != SCHEMA:
            raise IntelError(f"{self.place}: a store of version {version}; this is for version {SCHEMA}")


def _odd(item: Item, newest: int | None, now: int) -> frozenset[Odd]:
    shape = item.shape
    version = shape.version or 0
    told = {
        Odd.FUTURE: version > now + _AHEAD,
        Odd.BACK_DATED: newest is not None and version < newest,
        Odd.EXPIRED: shape.valid_until is not None and shape.valid_until <= now,
    }
    return frozenset(each for each, true in told.items() if true)


def _received(row: tuple[Value, ...]) -> Received:
    source, name, version, kind, received, creator, marking, confidence, until, revoked, flags, content = row
    return Received(
        str(source),
        str(name),
        int(version),
        str(kind),
        int(received),
        str(creator),
        None if int(marking) < 0 else Tlp(int(marking)),
        None if int(confidence) < 0 else int(confidence),
        None if int(until) < 0 else int(until),
        bool(revoked),
        _read(str(flags)),
        str(content),
    )


def _written(odd: Iterable[Odd]) -> str:
    return ",".join(sorted(odd))


def _read(text: str) -> frozenset[Odd]:
    return frozenset(map(Odd, filter(None, text.split(","))))


def _or(value: int | None, none: int) -> int:
    return none if value is None else int(value)


def _some(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def _fill(statement: str, some: Sequence[str]) -> str:
    return statement.format(", ".join("?" for _ in some))
