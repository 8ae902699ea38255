"""What a provider knows of its accounts and API keys, ready to be asked. Touches: the two files, reading.

Both files may be absent, and are read anew when they change. The accounts file is the one that `scan` reads. The file
of keys is CSV with the columns `key_sha256` (in hexadecimal) and `account`, so that it holds no key.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stillwatch.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from stillwatch.decisions.facts import FactValue

_SHA: Final = 64  # hexadecimal digits
_COLUMNS: Final = ("key_sha256", "account")


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of one account.

    Attributes:
        facts: `account.*` and `owner.*` that do not change by the hour.
        created: when it was made; None where it is not known.
        row: its row of the accounts file.
    """

    facts: Mapping[str, FactValue]
    created: datetime | None
    row: Mapping[str, Any]


UNKNOWN: Final = Account({}, None, {})


@dataclass(frozen=True, slots=True)
class Directory:
    """Accounts by name, and accounts of API keys by the key's SHA-256."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)

    def account(self, name: str) -> Account:
        """Give what is known of an account."""
        return self.accounts.get(name, UNKNOWN)


def read_directory(accounts: Path | None, keys: Path | None) -> Directory:
    """Read both files.

    Raises:
        InputError: there is no such file.
        LogError: a value cannot be read; it names line and field.

    """
    return Directory(
        {} if accounts is None else _accounts(accounts),
        {} if keys is None else _keys(keys),
    )


def _accounts(path: Path) -> dict[str, Account]:
    from stillwatch.exchanges.accounts import read_accounts  # noqa: PLC0415  slow to import, and often not needed

    return {row["account"]: _account(row) for row in read_accounts(path).to_pylist()}


def _account(row: dict[str, Any]) -> Account:
    country, _, region = (row["country"] or "").partition("-")
    facts: dict[str, FactValue] = {
        "account.organization": row["organization"] or "",
        "account.tier": row["tier"] or "",
        "account.verified": bool(row["verified"]),
        "account.country": country,
        "account.region": f"{country}-{region}" if region else "",
    }
    if row["owner_country"]:
        share = row["ownership_share"]
        facts["owner.shares"] = {row["owner_country"]: 1.0 if share is None else float(share)}
    kept = {name: value for name, value in row.items() if value is not None}
    return Account({name: value for name, value in facts.items() if value}, row["created_at"], kept)


def _keys(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise LogError("this column is missing", path=str(path), line=1, field=missing[0])
            for row in rows:
                sha, account = (row["key_sha256"] or "").strip().lower(), (row["account"] or "").strip()
                if len(sha) != _SHA or not set(sha) <= set("0123456789abcdef"):
                    raise LogError("no SHA-256 in hexadecimal", path=str(path), line=rows.line_num, field="key_sha256")
                if not account:
                    raise LogError("is missing", path=str(path), line=rows.line_num, field="account")
                found[sha] = account
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LogError(f"cannot be read: {error}", path=str(path)) from error
    return found
