"""The store of a sharing server: its tables, and opening it. Touches its database.

Objects never change. Each addition gets a time of its own that is later than all before it in its collection, even if
the clock goes back, and becomes visible before a later one does: whoever asks for what came after the last that he got
misses nothing and gets nothing twice.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stillwatch.database.sqlite import SqliteDatabase
from stillwatch.errors import IntelError, UsageError
from stillwatch.exchanges.url import is_url, local_path, without_secrets

if TYPE_CHECKING:
    from stillwatch.database.store import Database

SCHEMA: Final = 1  # of the tables
_LOCK: Final = 0x5717_7A11  # an advisory lock of our own in PostgreSQL
COLLECTIONS: Final = {
    "industry": ("Industry", "What providers of models share with each other."),
    "government": ("Government", "What providers share with agencies, and agencies with them."),
    "own": ("Own", "What one organization keeps for itself."),
}
"""Alias: title and description."""

_MARK: Final = "stillwatch_taxii"
_TABLES: Final = (
    f"CREATE TABLE {_MARK} (version INTEGER NOT NULL)",
    f"""CREATE TABLE {_MARK}_collections (
        number INTEGER NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE, alias TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL, description TEXT NOT NULL, last_added BIGINT NOT NULL
    )""",
    f"""CREATE TABLE {_MARK}_objects (
        collection INTEGER NOT NULL, added BIGINT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,
        version BIGINT NOT NULL, is_first INTEGER NOT NULL, is_last INTEGER NOT NULL, gone INTEGER NOT NULL,
        member TEXT NOT NULL, digest TEXT NOT NULL, content TEXT NOT NULL,
        PRIMARY KEY (collection, added), UNIQUE (collection, id, version)
    )""",
    f"CREATE INDEX {_MARK}_last ON {_MARK}_objects (collection, added) WHERE is_last = 1",
    f"CREATE INDEX {_MARK}_first ON {_MARK}_objects (collection, added) WHERE is_first = 1",
    f"CREATE INDEX {_MARK}_type ON {_MARK}_objects (collection, type, added)",
    f"CREATE INDEX {_MARK}_version ON {_MARK}_objects (collection, version, added)",
    f"""CREATE TABLE {_MARK}_members (
        name TEXT NOT NULL PRIMARY KEY, token TEXT NOT NULL UNIQUE, salt TEXT NOT NULL, hash TEXT NOT NULL,
        made BIGINT NOT NULL, revoked BIGINT NOT NULL
    )""",
    f"""CREATE TABLE {_MARK}_rights (
        member TEXT NOT NULL, collection TEXT NOT NULL, can_read INTEGER NOT NULL, can_write INTEGER NOT NULL,
        PRIMARY KEY (member, collection)
    )""",
    f"""CREATE TABLE {_MARK}_statuses (
        id TEXT NOT NULL PRIMARY KEY, member TEXT NOT NULL, made BIGINT NOT NULL, content TEXT NOT NULL
    )""",
    f"CREATE INDEX {_MARK}_status_made ON {_MARK}_statuses (made)",
)
_COLLECTION: Final = f"INSERT INTO {_MARK}_collections VALUES (?, ?, ?, ?, ?, 0)"  # noqa: S608  a name of our own


def open_database(
    place: str | Path, *, create: bool = False, what: str = "sharing store", lock: int = _LOCK
) -> Database:
    """Open a database at a path (SQLite) or a URL (`postgresql://...`), for several threads, one at a time.

    Raises:
        IntelError: there is none, or it cannot be reached.
        UsageError: the URL is of no kind known here, or what it needs is not installed.

    """
    scheme = str(place).partition("://")[0].lower() if is_url(str(place)) else ""
    if scheme in {"postgresql", "postgres"}:
        from stillwatch.database.postgres import PostgresDatabase  # noqa: PLC0415  needs what is installed by wish only

        return PostgresDatabase(str(place), lock=lock, error=IntelError)
    path = local_path(place)
    if path is None:
        raise UsageError(f"{without_secrets(str(place))}: a {what} is a file (SQLite) or a postgresql:// URL")
    if not create and not path.exists():
        raise IntelError(f"{path}: there is no {what} here")
    return SqliteDatabase(Path(path), create=create, error=IntelError, shared=True)


def open_store(place: str | Path, *, create: bool = False) -> Database:
    """Open the store of a sharing server.

    Args:
        place: a path (SQLite) or a URL (`postgresql://...`).
        create: make it where there is none, with the collections that there are.

    Raises:
        IntelError: there is none, it cannot be reached, or it is of a version that cannot be read.
        UsageError: the URL is of no kind known here, or what it needs is not installed.

    """
    database = open_database(place, create=create)
    try:
        if create and not database.has(_MARK):
            with database.writing():
                if not database.has(_MARK):  # another process may have made them while this one waited
                    _make(database)
        _require_version(database)
    except BaseException:
        database.close()
        raise
    return database


def _make(database: Database) -> None:
    database.make_tables(_TABLES)
    database.rows(f"INSERT INTO {_MARK} VALUES (?)", (SCHEMA,))  # noqa: S608  a name of our own
    database.append(
        _COLLECTION,  # TAXII 2.1, 2: an identifier is a UUID of version 4
        [(number, str(uuid.uuid4()), alias, *words) for number, (alias, words) in enumerate(COLLECTIONS.items(), 1)],
    )


def _require_version(database: Database) -> None:
    if not database.has(_MARK):
        raise IntelError(f"{database.place}: there is no sharing store here")
    version = database.rows(f"SELECT version FROM {_MARK}")[0][0]  # noqa: S608  a name of our own
    if version != SCHEMA:
        raise IntelError(f"{database.place}: a sharing store of version {version}; this is for version {SCHEMA}")
