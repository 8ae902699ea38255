"""The whole log as later stages see it: digests of all exchanges, by account and time, and what is known of accounts.

Pure; touches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.cohorts.habits import habits
from stillwatch.cohorts.relays import find_relays
from stillwatch.marks.digest import NEW_MODEL, RELAYED
from stillwatch.marks.families import ACCOUNT_MARKS
from stillwatch.marks.hashing import combine, distinct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Column = NDArray[np.generic]

DAY = 86_400.0
_SPENT = ("answer", "previous", "handle", "conversation", "model")  # columns that nothing after this asks for
RELEASE_SHARE = 0.005  # a model counts as released once it has this share of all exchanges


@dataclass(frozen=True, slots=True)
class Accounts:
    """What sign-up and billing know, one value an account; hashes are 0, times NaN, where they do not.

    Attributes:
        name: as in the log.
        created: s since 1970.
        card: hash of the means of payment.
        mail: of the mail domain.
        organization: of the organization, as claimed.
        disposable: whether the mail domain is known to serve throw-away addresses.
        tier: of the tier.
        verified: whether the provider has verified who they are.
    """

    name: NDArray[np.object_]
    created: NDArray[np.float64]
    card: NDArray[np.uint64]
    mail: NDArray[np.uint64]
    organization: NDArray[np.uint64]
    disposable: NDArray[np.bool_]
    tier: NDArray[np.uint64]
    verified: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Population:
    """All exchanges of a log, sorted by account, then time.

    Attributes:
        columns: the digest's columns (`marks.digest.COLUMNS`) but for those that are spent, one value or line an
            exchange; and `harness`, the hash of client and parameters, 0 where one of them is not told.
        edges: int64 [accounts + 1]; account a has rows edges[a] to edges[a + 1].
        accounts: what is known of them.
        born: uint64 [accounts], the hour in which it was opened, or 0.
        relay: uint64 an account: its group among accounts over which conversations are dealt, or 0.
        habits: uint64 [accounts, 2]: its habits in two overlapping grids, or 0 where it has too few exchanges.
        start: first second of the log.
        end: last second of the log.
        release: second at which the newest model appeared, NaN where none did inside the log.
    """

    columns: Mapping[str, Column]
    edges: NDArray[np.int64]
    accounts: Accounts
    born: NDArray[np.uint64]
    relay: NDArray[np.uint64]
    habits: NDArray[np.uint64]
    start: float
    end: float
    release: float

    @property
    def exchanges(self) -> int:
        """Number of exchanges."""
        return len(self.columns["second"])

    def mark(self, family: str) -> Column:
        """Marks of a family: uint64, one an exchange (or a line of several for `phrase`); 0 bears none."""
        return self.columns["phrases" if family == "phrase" else family]

    def account_mark(self, family: str) -> NDArray[np.uint64]:
        """Marks of a family that belong to the account as a whole: uint64 [accounts] or [accounts, k]."""
        accounts = self.accounts
        return {
            "born": self.born,
            "relay": self.relay,
            "behaviour": self.habits,
            "card": accounts.card,
            "mail": accounts.mail,
            "organization": accounts.organization,
        }[family]

    def layers(self, family: str, rows: NDArray[np.int64] | None = None) -> list[NDArray[np.uint64]]:
        """Marks that exchanges bear, each its own or its account's: uint64 [exchanges], as many as the family has.

        Args:
            family: of the marks.
            rows: the exchanges; all of them if None.
        """
        every = slice(None) if rows is None else rows
        if family in ACCOUNT_MARKS:
            own = self.account_mark(family)
            account = self.columns["account"].astype(np.int32, copy=False)[every]
            return [layer[account] for layer in np.atleast_2d(own.T)]
        return [layer[every] for layer in np.atleast_2d(self.mark(family).astype(np.uint64, copy=False).T)]


def populate(columns: dict[str, Column], accounts: Accounts) -> Population:
    """Make a population of sorted columns; `columns` is completed with what only the whole log shows."""
    account, second = columns["account"], columns["second"].astype(np.float64, copy=False)
    edges = np.searchsorted(account, np.arange(len(accounts.name) + 1)).astype(np.int64)
    start, end = (float(second.min()), float(second.max())) if len(second) else (0.0, 0.0)
    relayed, relay = find_relays(columns, len(accounts.name))
    newest, release = _newest_model(columns["model"], second, start)
    flags = columns["flags"].astype(np.uint8)
    flags |= (relayed * RELAYED).astype(np.uint8)
    if newest:
        flags |= ((columns["model"] == newest) * NEW_MODEL).astype(np.uint8)
    columns["flags"] = flags
    for name in _SPENT:
        del columns[name]
    client, parameters = columns["client"], columns["parameters"]
    columns["harness"] = np.where((client != 0) & (parameters != 0), combine(client, parameters), np.uint64(0))
    return Population(
        columns, edges, accounts, _born(accounts.created), relay, habits(columns, edges), start, end, release
    )


def _born(created: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Hash of the hour in which each account was opened; 0 where it is not told."""
    hour = np.nan_to_num(created, nan=-1.0) // 3600.0
    return np.where(hour >= 0, combine(hour.astype(np.int64)), np.uint64(0))


def _newest_model(model: Column, second: NDArray[np.float64], start: float) -> tuple[int, float]:
    """Hash of the model that appeared last, over a day after the log began, and when; (0, NaN) if none did."""
    names, which = distinct(model)
    counts = np.bincount(which, minlength=len(names))
    first = np.full(len(names), np.inf)
    np.minimum.at(first, which, second)
    known = (names != 0) & (counts >= RELEASE_SHARE * len(model)) & (first > start + DAY)
    if not known.any():
        return 0, float("nan")
    latest = int(np.argmax(np.where(known, first, -np.inf)))
    return int(names[latest]), float(first[latest])
