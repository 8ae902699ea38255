"""A database in a SQLite file. Touches that file, and the two beside it that SQLite keeps while it is open.

Write-ahead log, so that readers never wait; every transaction is on the disk before it counts (`synchronous=FULL`).
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stillwatch.database.store import Value
    from stillwatch.errors import InputError

PATIENCE: Final = 30.0  # seconds that a writer waits for others
_AGAIN: Final = 0.05  # seconds between attempts where SQLite itself does not wait


class SqliteDatabase:
    """A SQLite database at a path, or one in memory.

    Args:
        path: of the file; None for memory.
        create: whether to make it where there is none.
        error: what is raised where it cannot be opened, read or written, or is no such database.
        shared: whether several threads use it, one at a time.

    """

    def __init__(self, path: Path | None, *, create: bool, error: type[InputError], shared: bool = False) -> None:
        self.place = "none here yet" if path is None else str(path)
        self._error = error
        uri = "file::memory:" if path is None else f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        with self._told():
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=not shared
            )
        try:
            with self._told():
                self._connection.execute("PRAGMA synchronous=FULL")
                self._keep_a_log()
        except error:
            self._connection.close()
            raise

    def rows(self, sql: str, values: Sequence[Value | None] = ()) -> list[tuple[Value, ...]]:
        """Run a statement and give its rows."""
        with self._told():
            return self._connection.execute(sql, values).fetchall()

    def append(self, sql: str, rows: Sequence[Sequence[Value | None]]) -> None:
        """Run a statement for each of some rows."""
        with self._told():
            self._connection.executemany(sql, rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction of the only writer."""
        self.rows("BEGIN IMMEDIATE")
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def has(self, table: str) -> bool:
        """Whether there is a table of this name."""
        return bool(self.rows("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)))

    def make_tables(self, statements: Sequence[str]) -> None:
        """Make tables."""
        for statement in statements:
            self.rows(statement)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _keep_a_log(self) -> None:
        """Turn the write-ahead log on; SQLite refuses while another process does the same, and is asked again."""
        until = time.monotonic() + PATIENCE
        while self._connection.execute("PRAGMA journal_mode").fetchone()[0] not in {"wal", "memory"}:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._error(f"{self.place}: {error}") from error
