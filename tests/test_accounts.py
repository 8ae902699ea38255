from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import InputError, LogError
from stillwatch.exchanges.accounts import NOTE, read_accounts
from stillwatch.exchanges.schema import ACCOUNT

if TYPE_CHECKING:
    from pathlib import Path

CSV = """account,created_at,country,verified,ownership_share,shoe_size
acct-1,2025-01-31T08:00:00+02:00,NL,true,0.25,44
acct-2,1738303200,,0,,
"""
ROWS = [
    {"account": "acct-1", "created_at": "2025-01-31T06:00:00Z", "country": "NL", "verified": True}
    | {"ownership_share": 0.25, "shoe_size": 44},
    {"account": "acct-2", "created_at": 1738303200, "verified": False},
]


def _written(folder: Path, form: str) -> Path:
    path = folder / f"accounts.{form}"
    if form == "csv":
        path.write_text(CSV)
    elif form == "jsonl.gz":
        lines = [str(row).replace("'", '"').replace("True", "true").replace("False", "false") for row in ROWS]
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
    else:
        moments = [datetime(2025, 1, 31, 6, tzinfo=UTC)] * 2
        pq.write_table(
            pa.table(
                {
                    "account": ["acct-1", "acct-2"],
                    "created_at": moments,
                    "country": ["NL", ""],
                    "verified": [True, False],
                    "ownership_share": [0.25, None],
                    "shoe_size": [44, None],
                }
            ),
            path,
        )
    return path


@pytest.mark.parametrize("form", ["csv", "jsonl.gz", "parquet"])
def test_every_form_gives_the_same_table(tmp_path: Path, form: str) -> None:
    table = read_accounts(_written(tmp_path, form))
    assert table.schema.equals(ACCOUNT)
    assert table.select(["account", "created_at", "country", "verified", "ownership_share"]).to_pylist() == [
        {
            "account": "acct-1",
            "created_at": datetime(2025, 1, 31, 6, tzinfo=UTC),
            "country": "NL",
            "verified": True,
            "ownership_share": 0.25,
        },
        {
            "account": "acct-2",
            "created_at": datetime(2025, 1, 31, 6, tzinfo=UTC),
            "country": None,
            "verified": False,
            "ownership_share": None,
        },
    ]
    assert table.schema.metadata == {NOTE: b"ignored: shoe_size"}


@pytest.mark.parametrize(
    ("text", "line", "field", "reason"),
    [
        ("account,tier\nacct-1,a\nacct-2,b\nacct-1,c\n", 4, "account", "'acct-1' was on line 2 already"),
        ("account,created_at\nacct-1,soon\n", 2, "created_at", "not a time"),
        ("account,tier\nacct-1,a\n,b\n", 3, "account", "missing"),
        ("account,ownership_share\nacct-1,25\n", 2, "ownership_share", "not a share from 0 to 1"),
        ("account,verified\nacct-1,perhaps\n", 2, "verified", "neither true nor false"),
        ("name,tier\nacct-1,a\n", 2, "account", "missing"),
        ("account,tier\nacct-1,a,b\n", 2, None, "not as many fields as the header"),
    ],
)
def test_the_first_fault_is_named(tmp_path: Path, text: str, line: int, field: str | None, reason: str) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text(text)
    with pytest.raises(LogError) as caught:
        read_accounts(path)
    assert (caught.value.line, caught.value.field, caught.value.reason) == (line, field, reason)
    assert str(path) in str(caught.value)


def test_a_truncated_file_is_an_error_and_not_half_the_accounts(tmp_path: Path) -> None:
    path = tmp_path / "accounts.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"account": "acct-%d"}\n' % i for i in range(5000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LogError):
        read_accounts(path)


def test_no_file_and_an_empty_file_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_accounts(tmp_path / "none.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InputError, match="empty"):
        read_accounts(tmp_path / "empty.csv")
