"""A database in PostgreSQL, through psycopg 3 (`pip install 'stillwatch[postgres]'`). Touches that database.

Tables are made where the connection's search path begins, so that the URL's options can choose a schema.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from stillwatch.errors import UsageError
from stillwatch.exchanges.url import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stillwatch.database.store import Value
    from stillwatch.errors import InputError

try:
    import psycopg
except ImportError as missing:
    raise UsageError("PostgreSQL needs psycopg: pip install 'stillwatch[postgres]'") from missing

PATIENCE: Final = 10  # seconds until a server that does not answer counts as gone

_THERE: Final = """SELECT EXISTS (
    SELECT FROM pg_catalog.pg_tables WHERE tablename = ? AND schemaname = ANY (current_schemas(false))
)"""


class PostgresDatabase:
    """A PostgreSQL database at a URL.

    Args:
        url: where it is.
        lock: number of the advisory lock that its only writer holds; one for each kind of thing that is kept.
        error: what is raised where it cannot be reached or does not do what it is asked for.

    """

    def __init__(self, url: str, *, lock: int, error: type[InputError]) -> None:
        self.place = without_secrets(url)
        self._lock, self._error = lock, error
        with self._told():
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=PATIENCE)

    def rows(self, sql: str, values: Sequence[Value | None] = ()) -> list[tuple[Value, ...]]:
        """Run a statement and give its rows."""
        with self._told():
            # without values nothing is replaced in the statement, so that a function's body stays as it is
            cursor = self._connection.execute(sql.replace("?", "%s").encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def append(self, sql: str, rows: Sequence[Sequence[Value | None]]) -> None:
        """Run a statement for each of some rows, without waiting for each."""
        with self._told(), self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s").encode(), rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction of the only writer; readers go on."""
        self.rows("BEGIN ISOLATION LEVEL READ COMMITTED")  # what is read after the lock is what others have committed
        try:
            self.rows(f"SELECT pg_advisory_xact_lock({self._lock})")
            self._take_turns()
            yield
            self.rows("COMMIT")
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise

    def has(self, table: str) -> bool:
        """Whether there is a table of this name."""
        # asked of the catalog as a table: `to_regclass` would answer from memory what was so before a wait for the lock
        return self.rows(_THERE, (table,))[0][0] is True

    def make_tables(self, statements: Sequence[str]) -> None:
        """Make tables."""
        for statement in statements:
            self.rows(statement)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def _take_turns(self) -> None:
        """Keep out other writers, if there are any that do not know the advisory lock."""

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise self._error(f"{self.place}: {said}") from error
