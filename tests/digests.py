"""Digests and populations by hand: what a test does not name is absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stillwatch.cohorts.population import Accounts, Population, populate
from stillwatch.marks.digest import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Column = NDArray[np.generic]

START = 1_767_225_600.0  # 2026-01-01, a midnight
DAY = 86_400.0


def columns_of(account: ArrayLike, second: ArrayLike, **given: ArrayLike) -> dict[str, Column]:
    """Columns of a digest, as the store gives them: sorted by account, time and prompt."""
    size = len(np.asarray(account))
    columns: dict[str, Column] = {}
    for name, (kind, width) in COLUMNS.items():
        value = {"account": account, "second": second}.get(name, given.get(name, 0))
        shape = (size, width) if width else (size,)
        columns[name] = np.ascontiguousarray(np.broadcast_to(np.asarray(value), shape)).astype(kind)
    order = np.lexsort((columns["prompt"], columns["second"], columns["account"]))
    return {name: column[order] for name, column in columns.items()}


def accounts_of(count: int, **given: ArrayLike) -> Accounts:
    """What is known of `count` accounts, named so that the order of names is that of their numbers."""

    def told(name: str, nothing: float, kind: type[np.generic]) -> Column:
        return np.ascontiguousarray(np.broadcast_to(np.asarray(given.get(name, nothing)), count)).astype(kind)

    hashes = {name: told(name, 0, np.uint64).astype(np.uint64) for name in ("card", "mail", "organization", "tier")}
    return Accounts(
        name=np.array([f"account-{number:07}" for number in range(count)], dtype=object),
        created=told("created", np.nan, np.float64).astype(np.float64),
        card=hashes["card"],
        mail=hashes["mail"],
        organization=hashes["organization"],
        disposable=told("disposable", False, np.bool_).astype(np.bool_),
        tier=hashes["tier"],
        verified=told("verified", False, np.bool_).astype(np.bool_),
    )


def population_of(columns: dict[str, Column], accounts: Accounts | None = None) -> Population:
    """Make a population of sorted columns; every account number up to the highest has exchanges."""
    count = int(columns["account"].max()) + 1 if len(columns["account"]) else 0
    return populate(dict(columns), accounts_of(count) if accounts is None else accounts)
