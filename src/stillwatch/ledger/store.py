"""What the ledger asks of a database, and the little in which databases differ. Touches nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

Value: TypeAlias = int | str


class Store(Protocol):
    """A database that holds one ledger. SQL is the same for all, with `?` for values."""

    @property
    def place(self) -> str:
        """Path or URL, to be shown; bears no password."""

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Run a statement and give its rows.

        Raises:
            LedgerError: the database cannot do it; the text names the place.

        """

    def append(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement for each of some rows; to be called while writing.

        Raises:
            LedgerError: as `rows`.

        """

    def writing(self) -> AbstractContextManager[None]:
        """One transaction of the only writer: others wait until it ends; if it raises, nothing is written."""

    def has_tables(self) -> bool:
        """Whether the ledger's tables are there."""

    def make_tables(self, statements: Sequence[str]) -> None:
        """Make the tables; to be called while writing."""

    @property
    def append_only(self) -> tuple[str, ...]:
        """Statements that make the database itself refuse to change, delete or fork the audit trail."""

    def close(self) -> None:
        """Let go of the database."""
