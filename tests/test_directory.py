from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from stillwatch.errors import InputError, LogError
from stillwatch.guard.directory import UNKNOWN, read_directory

if TYPE_CHECKING:
    from pathlib import Path

SHA = hashlib.sha256(b"sk-1").hexdigest()


def test_accounts_become_facts(tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text(
        "account,created_at,country,tier,verified,owner_country,ownership_share,organization\n"
        "a,2026-01-02T00:00:00Z,UA-43,free,true,CN,0.6,o\n"
        "b,,DE,,,RU,,\n"
    )
    directory = read_directory(path, None)
    first, second = directory.account("a"), directory.account("b")
    assert first.facts == {
        "account.organization": "o",
        "account.tier": "free",
        "account.verified": True,
        "account.country": "UA",
        "account.region": "UA-43",
        "owner.shares": {"CN": 0.6},
    }
    assert first.created is not None
    assert first.created.year == 2026
    assert second.facts == {"account.country": "DE", "owner.shares": {"RU": 1.0}}
    assert directory.account("c") is UNKNOWN


def test_keys_are_given_by_their_sha256(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    path.write_text(f"key_sha256,account\n{SHA.upper()},a\n")
    assert read_directory(None, path).keys == {SHA: "a"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("key,account\nx,a\n", "keys.csv:1: key_sha256: this column is missing"),
        ("key_sha256,account\nsk-1,a\n", "keys.csv:2: key_sha256: no SHA-256 in hexadecimal"),
        (f"key_sha256,account\n{SHA},\n", "keys.csv:2: account: is missing"),
        (f"key_sha256,account\n{SHA}\n", "keys.csv:2: account: is missing"),
    ],
)
def test_bad_keys_name_line_and_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys.csv"
    path.write_text(text)
    with pytest.raises(LogError) as caught:
        read_directory(None, path)
    assert str(caught.value).endswith(says)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_directory(tmp_path / "accounts.csv", None)
    with pytest.raises(LogError, match="cannot be read"):
        read_directory(None, tmp_path / "keys.csv")
