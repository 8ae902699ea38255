"""What the ledger asks of a database besides what all do. Touches nothing itself."""

from __future__ import annotations

from typing import Protocol

from stillwatch.database.store import Database, Value

__all__ = ["Store", "Value"]


class Store(Database, Protocol):
    """A database that holds one ledger; what it cannot do raises LedgerError."""

    def has_tables(self) -> bool:
        """Whether the ledger's tables are there."""

    @property
    def append_only(self) -> tuple[str, ...]:
        """Statements that make the database itself refuse to change, delete or fork the audit trail."""
