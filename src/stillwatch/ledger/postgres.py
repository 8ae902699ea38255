"""A ledger in PostgreSQL, through psycopg 3 (`pip install 'stillwatch[postgres]'`). Touches that database.

The tables are made where the connection's search path begins, so that the URL's options can choose a schema.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from stillwatch.errors import LedgerError, UsageError
from stillwatch.exchanges.url import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stillwatch.ledger.store import Value

try:
    import psycopg
except ImportError as missing:
    raise UsageError("a ledger in PostgreSQL needs psycopg: pip install 'stillwatch[postgres]'") from missing

PATIENCE: Final = 10  # seconds until a server that does not answer counts as gone
_MAKING: Final = 0x5717_1A7C  # an advisory lock of our own, for making tables: what is not there yet cannot be locked

_THERE: Final = """SELECT EXISTS (
    SELECT FROM pg_catalog.pg_tables WHERE tablename = 'stillwatch_ledger' AND schemaname = ANY (current_schemas(false))
)"""


class PostgresStore:
    """A PostgreSQL database at a URL.

    Raises:
        LedgerError: it cannot be reached.

    """

    def __init__(self, url: str) -> None:
        self.place = without_secrets(url)
        with self._told():
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=PATIENCE)

    append_only: Final = (
        """CREATE FUNCTION stillwatch_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$""",
        """CREATE TRIGGER stillwatch_audit_change BEFORE UPDATE OR DELETE OR TRUNCATE ON stillwatch_audit
        FOR EACH STATEMENT EXECUTE FUNCTION stillwatch_audit_refuse()""",
        """CREATE FUNCTION stillwatch_audit_follow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM stillwatch_audit) OR NEW.previous <>
                coalesce((SELECT hash FROM stillwatch_audit ORDER BY number DESC LIMIT 1), repeat('0', 64))
            THEN RAISE EXCEPTION 'an entry must follow the last one'; END IF;
            RETURN NEW;
        END $$""",
        """CREATE TRIGGER stillwatch_audit_insert BEFORE INSERT ON stillwatch_audit
        FOR EACH ROW EXECUTE FUNCTION stillwatch_audit_follow()""",
    )

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Run a statement and give its rows."""
        with self._told():
            # without values nothing is replaced in the statement, so that a function's body stays as it is
            cursor = self._connection.execute(sql.replace("?", "%s").encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def append(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement for each of some rows, without waiting for each."""
        with self._told(), self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s").encode(), rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction of the only writer; readers go on."""
        self.rows("BEGIN ISOLATION LEVEL READ COMMITTED")  # what is read after the lock is what others have committed
        try:
            self.rows(f"SELECT pg_advisory_xact_lock({_MAKING})")
            if self.has_tables():
                self.rows("LOCK TABLE stillwatch_audit IN SHARE ROW EXCLUSIVE MODE")
            yield
            self.rows("COMMIT")
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise

    def has_tables(self) -> bool:
        """Whether the ledger's tables are there."""
        # asked of the catalog as a table: `to_regclass` would answer from memory what was so before a wait for the lock
        return self.rows(_THERE)[0][0] is True

    def make_tables(self, statements: Sequence[str]) -> None:
        """Make the tables."""
        for statement in statements:
            self.rows(statement)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise LedgerError(f"{self.place}: {said}") from error
