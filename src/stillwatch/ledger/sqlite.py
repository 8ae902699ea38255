"""A ledger in a SQLite file. Touches that file, and the two beside it that SQLite keeps while it is open.

Write-ahead log, so that readers never wait; every transaction is on the disk before it counts (`synchronous=FULL`).
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from stillwatch.errors import LedgerError, NoLedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stillwatch.ledger.store import Value

PATIENCE: Final = 30.0  # seconds that a writer waits for others
_AGAIN: Final = 0.05  # seconds between attempts where SQLite itself does not wait


class SqliteStore:
    """A SQLite database at a path, or one in memory.

    Args:
        path: of the file; None for memory.
        create: whether to make it where there is none.

    Raises:
        NoLedgerError: there is none.
        LedgerError: it cannot be opened, or it is no such database.

    """

    def __init__(self, path: Path | None, *, create: bool) -> None:
        self.place = "none here yet" if path is None else str(path)
        if path is not None and not create and not path.exists():
            raise NoLedgerError(f"{path}: there is no ledger here; `stillwatch decide` makes one")
        uri = "file::memory:" if path is None else f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        with self._told():
            self._connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
        try:
            with self._told():
                self._connection.execute("PRAGMA synchronous=FULL")
                self._keep_a_log()
        except LedgerError:
            self._connection.close()
            raise

    append_only: Final = (
        """CREATE TRIGGER stillwatch_audit_update BEFORE UPDATE ON stillwatch_audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
        """CREATE TRIGGER stillwatch_audit_delete BEFORE DELETE ON stillwatch_audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
        """CREATE TRIGGER stillwatch_audit_insert BEFORE INSERT ON stillwatch_audit
        WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM stillwatch_audit) OR NEW.previous IS NOT
            coalesce((SELECT hash FROM stillwatch_audit ORDER BY number DESC LIMIT 1), hex(zeroblob(32)))
        BEGIN SELECT RAISE(ABORT, 'an entry must follow the last one'); END""",
    )

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Run a statement and give its rows."""
        with self._told():
            return self._connection.execute(sql, values).fetchall()

    def append(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
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

    def has_tables(self) -> bool:
        """Whether the ledger's tables are there."""
        return bool(self.rows("SELECT 1 FROM sqlite_master WHERE name = 'stillwatch_ledger'"))

    def make_tables(self, statements: Sequence[str]) -> None:
        """Make the tables."""
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
            raise LedgerError(f"{self.place}: {error}") from error
