"""A ledger in PostgreSQL, through psycopg 3 (`pip install 'stillwatch[postgres]'`). Touches that database."""

from __future__ import annotations

from typing import Final

from stillwatch.database.postgres import PostgresDatabase
from stillwatch.errors import LedgerError

_MAKING: Final = 0x5717_1A7C  # an advisory lock of our own, for making tables: what is not there yet cannot be locked


class PostgresStore(PostgresDatabase):
    """A ledger's database at a URL.

    Raises:
        LedgerError: it cannot be reached.

    """

    def __init__(self, url: str) -> None:
        super().__init__(url, lock=_MAKING, error=LedgerError)

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

    def has_tables(self) -> bool:
        """Whether the ledger's tables are there."""
        return self.has("stillwatch_ledger")

    def _take_turns(self) -> None:
        """Lock the trail too: a writer of another version may know no other lock."""
        if self.has_tables():
            self.rows("LOCK TABLE stillwatch_audit IN SHARE ROW EXCLUSIVE MODE")
