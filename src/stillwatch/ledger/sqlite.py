"""A ledger in a SQLite file. Touches that file, and the two beside it that SQLite keeps while it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.database.sqlite import SqliteDatabase
from stillwatch.errors import LedgerError, NoLedgerError

if TYPE_CHECKING:
    from pathlib import Path


class SqliteStore(SqliteDatabase):
    """A ledger's database at a path, or one in memory.

    Args:
        path: of the file; None for memory.
        create: whether to make it where there is none.

    Raises:
        NoLedgerError: there is none.
        LedgerError: it cannot be opened, or it is no such database.

    """

    def __init__(self, path: Path | None, *, create: bool) -> None:
        if path is not None and not create and not path.exists():
            raise NoLedgerError(f"{path}: there is no ledger here; `stillwatch decide` makes one")
        super().__init__(path, create=create, error=LedgerError)

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

    def has_tables(self) -> bool:
        """Whether the ledger's tables are there."""
        return self.has("stillwatch_ledger")
