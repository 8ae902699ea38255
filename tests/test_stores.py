from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.object_store import object_store
from tests.test_cli import stillwatch

from stillwatch.errors import InputError, LogError
from stillwatch.exchanges.read import LogReader, ReadReport
from stillwatch.exchanges.source import LogSource
from stillwatch.exchanges.url import local_path, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _rows(first: int, count: int) -> list[dict[str, object]]:
    return [
        {"request_id": f"r-{n}", "time": f"2026-03-02T09:00:{n:02d}Z", "account": f"a-{n % 3}", "prompt": "x" * 50}
        for n in range(first, first + count)
    ]


def _lines(rows: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _parquet(rows: list[dict[str, object]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


OBJECTS = {
    "logs/2026-03/a.jsonl": _lines(_rows(0, 10)),
    "logs/2026-03/deep/b.jsonl.gz": gzip.compress(_lines(_rows(10, 10))),
    "logs/2026-03/deep/c.parquet": _parquet(_rows(20, 10)),
    "logs/2026-03/_SUCCESS": b"",
    "logs/2026-04/d e.csv": b"time,account\n2026-04-01T00:00:00Z,a-9\n",
    "logs/broken.jsonl": b'{"time": "2026-03-02T09:00:00Z", "account": "a"}\n{"time": "never", "account": "a"}\n',
    "logs/whole/huge.jsonl": _lines([{**row, "prompt": "y" * 20_000} for row in _rows(0, 60)] * 20),
}


@pytest.fixture(scope="module")
def options() -> Iterator[str]:
    with object_store(OBJECTS) as found:
        yield found


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def _read(*logs: str | Path) -> tuple[list[str], ReadReport]:
    reader = LogReader(LogSource(logs))
    found = [name for batch in reader.batches() for name in batch.column("request_id").to_pylist()]
    assert reader.bytes_read == reader.bytes_total
    return sorted(found), reader.report()


def _names(first: int, count: int) -> list[str]:
    return sorted(str(row["request_id"]) for row in _rows(first, count))


@pytest.mark.parametrize(
    ("path", "first", "count"),
    [
        ("2026-03/a.jsonl", 0, 10),
        ("2026-03/deep/b.jsonl.gz", 10, 10),
        ("2026-03/deep/c.parquet", 20, 10),
        ("2026-03/deep", 10, 20),
        ("2026-03/", 0, 30),
        ("2026-03/*.jsonl", 0, 10),
        ("2026-03/*/[bc].*", 10, 20),
        ("2026-*/deep", 10, 20),
        ("**/*.parquet", 20, 10),
        ("2026-03/**", 0, 30),
    ],
)
def test_files_folders_and_patterns_of_a_store_are_read(options: str, path: str, first: int, count: int) -> None:
    found, report = _read(f"s3://logs/{path}?{options}")
    assert found == _names(first, count)
    assert report.rejected == 0
    assert all(name.startswith("s3://logs/2026-03/") and "?" not in name for name in report.files)


def test_an_object_that_is_larger_than_one_request_is_read_whole(options: str) -> None:
    _, report = _read(f"s3://logs/whole/huge.jsonl?{options}")
    assert report.rows == 60
    assert report.bytes_total == len(OBJECTS["logs/whole/huge.jsonl"]) > 16 << 20


def test_names_with_blanks_are_written_as_urls_write_them(options: str) -> None:
    assert _read(f"s3://logs/2026-04/d%20e.csv?{options}")[1].rows == 1
    assert _read(f"s3://logs/2026-04/*.csv?{options}")[1].files == ("s3://logs/2026-04/d e.csv",)


def test_stores_and_folders_are_read_together_and_each_object_once(options: str, tmp_path: Path) -> None:
    (tmp_path / "here.jsonl").write_bytes(_lines(_rows(30, 5)))
    once = f"s3://logs/2026-03/a.jsonl?{options}"
    found, report = _read(once, once, f"s3://logs/2026-03?{options}", tmp_path)
    assert found == _names(0, 35)
    assert len(report.files) == 4


def test_where_a_row_stands_is_told_by_its_url(options: str) -> None:
    reader = LogReader(LogSource([f"s3://logs/broken.jsonl?{options}"], strict=True))
    with pytest.raises(LogError) as raised:
        list(reader.batches())
    assert (raised.value.path, raised.value.line) == ("s3://logs/broken.jsonl", 2)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("logs/none.jsonl", "no such file or folder"),
        ("logs/2026-03/*.csv", "no file matches"),
        ("nowhere/x", "(?i)no such|not exist|not found"),
        ("logs/x y", "(?i)cannot parse"),
    ],
)
def test_what_is_not_there_is_said_with_its_url(options: str, path: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as raised:
        LogReader(LogSource([f"s3://{path}?{options}"]))
    assert str(raised.value).startswith(f"s3://{path}: ")
    assert "endpoint_override" not in str(raised.value)


def test_a_store_that_cannot_be_reached_is_said_to_be() -> None:
    with pytest.raises(InputError, match=r"^s3://logs/x: .*(?i:connect|network)"):
        LogReader(LogSource(["s3://logs/x?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1"]))


def test_a_store_that_refuses_says_so(options: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"^s3://logs/2026-03: .*(?i:access_denied)"):
        LogReader(LogSource([f"s3://logs/2026-03?{options}"]))


def test_a_scheme_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InputError, match=r"ftp://host/log: no store that can be read; there are file, s3"):
        LogReader(LogSource(["ftp://host/log"]))


@pytest.mark.parametrize("form", ["file://{}", "file://localhost{}"])
def test_a_file_url_is_the_file(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "with blank"
    folder.mkdir()
    (folder / "log.jsonl").write_bytes(_lines(_rows(0, 5)))
    url = form.format(str(folder).replace(" ", "%20"))
    assert local_path(f"{url}/log.jsonl") == folder / "log.jsonl"
    for some in (url, f"{url}/log.jsonl", f"{url}/*.jsonl"):
        found, report = _read(some)
        assert found == _names(0, 5)
        assert report.files == (str((folder / "log.jsonl").resolve()),)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://KEY:secret@bucket/a?region=x", "s3://KEY@bucket/a"),
        (
            "abfs://logs:secret@account.dfs.core.windows.net/a?client_secret=y",
            "abfs://logs@account.dfs.core.windows.net/a",
        ),
        ("hdfs://host:9000/a", "hdfs://host:9000/a"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
    ],
)
def test_secrets_of_a_url_are_never_shown(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_a_scan_reads_from_a_store_and_stores_no_secret(options: str, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    url = f"s3://reader:hidden-secret@logs/2026-03?{options}"
    done = stillwatch("scan", url, "--key-file", tmp_path / "key", "-o", out, "--rejects", tmp_path / "rejects.jsonl")
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_bytes())["scan"]["exchanges"] == 30
    written = done.stdout + done.stderr + b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"hidden-secret" not in written


def test_a_log_named_by_a_file_url_is_never_written_to(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(_lines(_rows(0, 5)))
    done = stillwatch("scan", f"file://{log}", "-o", log)
    assert done.returncode == 2
    assert b"is read and would be written to as well" in done.stderr
