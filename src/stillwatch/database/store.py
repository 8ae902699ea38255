"""What is asked of a database, and the little in which databases differ. Touches nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

Value: TypeAlias = int | str


class Database(Protocol):
    """A database. SQL is the same for all, with `?` for values.

    What a database cannot do raises the error that its user chose when opening it; the text names the place.
    """

    @property
    def place(self) -> str:
        """Path or URL, to be shown; bears no password."""

    def rows(self, sql: str, values: Sequence[Value | None] = ()) -> list[tuple[Value, ...]]:
        """Run a statement and give its rows."""

    def append(self, sql: str, rows: Sequence[Sequence[Value | None]]) -> None:
        """Run a statement for each of some rows; to be called while writing."""

    def writing(self) -> AbstractContextManager[None]:
        """One transaction of the only writer: others wait until it ends; if it raises, nothing is written."""

    def has(self, table: str) -> bool:
        """Whether there is a table of this name."""

    def make_tables(self, statements: Sequence[str]) -> None:
        """Make tables; to be called while writing."""

    def close(self) -> None:
        """Let go of the database."""
