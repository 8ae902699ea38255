from __future__ import annotations

import gzip
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from hashlib import sha512
from itertools import pairwise, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import DialectError, InputError, LogError, OutputError, UsageError
from stillwatch.exchanges.digest import digest
from stillwatch.exchanges.read import LogReader, ReadReport, conform
from stillwatch.exchanges.schema import EXCHANGE
from stillwatch.exchanges.source import LogSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START = datetime(2026, 3, 2, 9, 0, 0, 500_000, tzinfo=UTC)


def _row(number: int, **more: object) -> dict[str, object]:
    row: dict[str, object] = {
        "request_id": f"req-{number}",
        "time": (START + timedelta(seconds=number)).isoformat(),
        "account": f"acct-{number % 7}",
        "model": "orion-4",
        "prompt": f"Question {number}?",
        "temperature": 0.5,
        "stream": number % 2 == 0,
        "input_tokens": number,
    }
    return row | more


def _noise(number: int) -> str:
    """Return text that does not compress, so that half of a file's bytes are about half of its rows."""
    return sha512(str(number).encode()).hexdigest()


def _jsonl(rows: Sequence[Mapping[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write rows in the form that the file's name says."""
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".parquet"):
        names = list({key: None for row in rows for key in row})
        table = pa.table({key: [row.get(key) for row in rows] for key in names})
        pq.write_table(table, path, row_group_size=max(1, len(rows) // 3))
        return path
    if name.endswith(".csv"):
        header = list({key: None for row in rows for key in row})
        lines = [",".join(header)]
        for row in rows:
            cells = ["" if row.get(key) is None else str(row[key]).replace('"', '""') for key in header]
            lines.append(",".join(f'"{cell}"' for cell in cells))
        data = "\r\n".join(lines).encode() + b"\r\n"
    elif name.endswith(".json"):
        data = json.dumps(list(rows)).encode()
    else:
        data = _jsonl(rows)
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)
    return path


def _table(
    *logs: str | Path,
    columns: list[str] | None = None,
    now: datetime | None = None,
    **how: Any,  # noqa: ANN401 - fields of LogSource
) -> tuple[pa.Table, ReadReport]:
    reader = LogReader(LogSource(logs, **how), columns=columns, now=now)
    batches = list(reader.batches())
    for batch in batches:
        batch.validate(full=True)
        assert batch.num_rows <= 65_536
    assert reader.bytes_read == reader.bytes_total
    schema = pa.schema([f for f in EXCHANGE if columns is None or f.name in columns])
    return pa.Table.from_batches(batches, schema=schema), reader.report()


def _ids(table: pa.Table) -> list[str]:
    return sorted(table["request_id"].to_pylist())


def _rejects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# ---- forms ------------------------------------------------------------------------------------------------------

FORMS = [
    "log.parquet",
    "log.jsonl",
    "log.jsonl.gz",
    "log.jsonl.zst",
    "log.json",
    "log.csv",
    "log.csv.gz",
    "log.csv.zst",
]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_file_gives_the_same_exchanges(tmp_path: Path, name: str) -> None:
    rows = [_row(i) for i in range(100)]
    table, report = _table(_write(tmp_path / name, rows))
    expected = conform(pa.Table.from_pylist(rows))
    assert table.equals(expected)
    assert report == ReadReport(
        rows=100,
        rejected=0,
        reasons={},
        notes=(),
        columns_seen=frozenset(rows[0]),
        files=(str(tmp_path / name),),
        dialects={str(tmp_path / name): "exchange/1"},
        bytes_total=(tmp_path / name).stat().st_size,
    )


@pytest.mark.parametrize("name", FORMS)
def test_one_row_is_a_log(tmp_path: Path, name: str) -> None:
    table, _ = _table(_write(tmp_path / name, [_row(1)]))
    assert _ids(table) == ["req-1"]


@pytest.mark.parametrize("name", ["log.jsonl", "log.json", "log.csv", "log.parquet"])
def test_only_time_and_account_are_required(tmp_path: Path, name: str) -> None:
    table, report = _table(_write(tmp_path / name, [{"time": "2026-03-02T09:00:00.1Z", "account": "a", "note": "x"}]))
    assert table.schema.equals(EXCHANGE)
    assert report.columns_seen == {"time", "account", "request_id"}


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.parquet"])
def test_only_the_columns_asked_for_are_given(tmp_path: Path, name: str) -> None:
    table, report = _table(_write(tmp_path / name, [_row(i) for i in range(9)]), columns=["prompt", "asn"])
    assert table.schema.names == ["asn", "prompt"]
    assert table["prompt"][8].as_py() == "Question 8?"
    assert report.columns_seen == {"prompt"}


def test_batches_hold_as_many_rows_as_asked_for(tmp_path: Path) -> None:
    rows = [_row(i) for i in range(1000)]
    for name in ("log.parquet", "log.jsonl"):
        reader = LogReader(LogSource([_write(tmp_path / name, rows)]), batch_rows=64)
        assert all(batch.num_rows <= 64 for batch in reader.batches())
        assert reader.report().rows == 1000


def test_small_files_share_a_batch(tmp_path: Path) -> None:
    for i in range(20):
        _write(tmp_path / f"part-{i}.jsonl", [_row(i)])
    assert [batch.num_rows for batch in LogReader(LogSource([tmp_path])).batches()] == [20]


def test_a_reader_reads_again_from_the_start(tmp_path: Path) -> None:
    reader = LogReader(LogSource([_write(tmp_path / "log.jsonl", [_row(1), {"account": "x"}])]))
    first = (list(reader.batches()), reader.report())
    assert (list(reader.batches()), reader.report()) == first


# ---- files ------------------------------------------------------------------------------------------------------


def test_files_folders_and_patterns_in_any_order_are_one_log(tmp_path: Path) -> None:
    (tmp_path / "day=1" / "hour=3").mkdir(parents=True)
    rows = [_row(i) for i in range(90)]
    _write(tmp_path / "day=1" / "hour=3" / "a.jsonl.gz", rows[:30])
    _write(tmp_path / "day=1" / "b.parquet", rows[30:60])
    _write(tmp_path / "c.csv", rows[60:])
    whole, _ = _table(tmp_path)
    names: list[str | Path] = [tmp_path / "c.csv", f"{tmp_path}/day=*/**/*.gz", str(tmp_path / "day=1" / "b.parquet")]
    for some in permutations(names):
        table, report = _table(*some)
        assert table.equals(whole)
        assert report.notes == ()
    assert _ids(whole) == _ids(pa.Table.from_pylist(rows))


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    log = _write(tmp_path / "log.jsonl", [_row(1), _row(2)])
    (tmp_path / "link.jsonl").symlink_to(log)
    table, report = _table(log, str(log), tmp_path, f"{tmp_path}/*.jsonl", tmp_path / "link.jsonl")
    assert table.num_rows == 2
    assert report.notes == ()


def test_foreign_files_of_a_folder_are_skipped_and_named(tmp_path: Path) -> None:
    _write(tmp_path / "part-0.parquet", [_row(1)])
    (tmp_path / "README.md").write_text("# Logs\n{not json}")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part-0.parquet.crc").write_bytes(b"crc\x00\x01")
    (tmp_path / "chart.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (tmp_path / "package.json").write_text('{"name": "shop"}')
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "notes.txt").write_text("call back")
    table, report = _table(tmp_path)
    assert table.num_rows == 1
    assert report.rejected == 0
    skipped = {
        Path(path).name: note.split(": ")[0] for note in report.notes for path in note.split(": ")[1].split(", ")
    }
    assert skipped == {
        "README.md": "skipped, no log by its name",
        "_SUCCESS": "skipped, no log by its name",
        ".part-0.parquet.crc": "skipped, no log by its name",
        "chart.png": "skipped, neither Parquet, JSON, CSV nor a server log",
        "notes.txt": "skipped, neither Parquet, JSON, CSV nor a server log",
        "empty.jsonl": "skipped, empty",
        "package.json": "skipped, in no dialect known; name one",
    }


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["log.jsonl", "log.csv"])
def test_an_empty_file_is_an_empty_log(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    table, report = _table(tmp_path / name)
    assert table.num_rows == 0
    assert len(report.notes) == 1
    assert "empty" in report.notes[0]


def test_files_with_a_header_or_a_schema_only_are_empty_logs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,account\n")
    pq.write_table(EXCHANGE.empty_table(), tmp_path / "b.parquet")
    (tmp_path / "c.json").write_text("[]")
    table, report = _table(tmp_path / "a.csv", tmp_path / "b.parquet")
    assert (table.num_rows, report.rejected) == (0, 0)


@pytest.mark.parametrize("log", ["nowhere.jsonl", "no-*.jsonl", "folder"])
def test_nothing_to_read_is_said_at_once(tmp_path: Path, log: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=log.replace("*", r"\*")):
        LogReader(LogSource([tmp_path / log]))


def test_a_folder_of_foreign_files_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("hello")
    with pytest.raises(InputError, match=r"README\.md"):
        LogReader(LogSource([tmp_path]))
    (tmp_path / "package.json").write_text('{"name": "shop"}')
    with pytest.raises(DialectError):
        list(LogReader(LogSource([tmp_path])).batches())


def test_usage_errors_name_what_is_wrong(tmp_path: Path) -> None:
    log = _write(tmp_path / "log.jsonl", [_row(1)])
    with pytest.raises(UsageError, match="at least one log"):
        LogReader(LogSource([]))
    with pytest.raises(UsageError, match="colour"):
        LogReader(LogSource([log]), columns=["colour"])
    with pytest.raises(UsageError, match="at least one row"):
        LogReader(LogSource([log]), batch_rows=0)


# ---- rows that cannot be read -----------------------------------------------------------------------------------

BAD = [
    ({"time": None}, "time", "missing"),
    ({"time": "soon"}, "time", "not a time"),
    ({"account": None}, "account", "missing"),
    ({"account": ""}, "account", "missing"),
    ({"account": "caf\ufffd"}, "account", "bytes that are no UTF-8"),
    ({"input_tokens": "many"}, "input_tokens", "not a whole number"),
    ({"temperature": "warm"}, "temperature", "not a number"),
    ({"stream": "perhaps"}, "stream", "neither true nor false"),
]


@pytest.mark.parametrize("name", ["log.jsonl", "log.json", "log.csv", "log.parquet"])
@pytest.mark.parametrize(("change", "field", "reason"), BAD)
def test_a_bad_row_is_kept_aside_and_the_others_are_read(
    tmp_path: Path, name: str, change: dict[str, object], field: str, reason: str
) -> None:
    rows = [_row(i) for i in range(30)]
    if name == "log.parquet":  # a column has one type there
        rows = [{k: None if v is None else str(v) for k, v in row.items()} for row in rows]
    rows[17] |= change
    log = _write(tmp_path / name, rows)
    table, report = _table(log, rejects=tmp_path / "rejects.jsonl")
    assert _ids(table) == sorted(f"req-{i}" for i in range(30) if i != 17)
    assert report.reasons == {f"{field}: {reason}": 1}
    (reject,) = _rejects(tmp_path / "rejects.jsonl")
    line = {"log.jsonl": 18, "log.json": 1, "log.csv": 19, "log.parquet": 18}[name]
    assert (reject["path"], reject["line"], reject["field"], reject["reason"]) == (str(log), line, field, reason)
    assert (reject["schema"], reject["rows"]) == ("stillwatch.rejects/1", 1)
    assert "req-17" in reject["raw"]
    with pytest.raises(LogError) as caught:
        list(LogReader(LogSource([log], strict=True)).batches())
    assert (caught.value.path, caught.value.line, caught.value.field) == (str(log), line, field)


@pytest.mark.parametrize(
    "line", [b"[1, 2]", b"7", b'"text"', b"null", b"nonsense", b'{"a": ', b"{'a': 1}", b"\xff\xfe", b'{"a":' * 20_000]
)
def test_lines_that_are_no_objects_are_rejected(tmp_path: Path, line: bytes) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(_jsonl([_row(1)]) + line + b"\n" + _jsonl([_row(2)]))
    table, report = _table(log, rejects=tmp_path / "rejects.jsonl")
    assert _ids(table) == ["req-1", "req-2"]
    assert report.rejected == 1
    assert _rejects(tmp_path / "rejects.jsonl")[0]["line"] == 2


def test_a_first_line_that_is_broken_costs_only_itself(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"time": "2026-03-02T09\n' + _jsonl([_row(1), _row(2)]))
    table, report = _table(log)
    assert (table.num_rows, report.reasons) == (2, {"not JSON": 1})


def test_columns_that_a_file_lacks_reject_its_rows_in_one(tmp_path: Path) -> None:
    rows = [{"time": START.isoformat(), "prompt": "x", "model": "m"}] * 5
    for name in ("log.parquet", "log.jsonl", "log.csv"):
        table, report = _table(_write(tmp_path / name, rows), rejects=tmp_path / "rejects.jsonl")
        assert table.num_rows == 0
        assert report.reasons == {"account: missing": 5}
        assert sum(reject["rows"] for reject in _rejects(tmp_path / "rejects.jsonl")) == 5


def test_a_raw_row_is_cut_and_the_rejects_file_is_private(tmp_path: Path) -> None:
    log = _write(tmp_path / "log.jsonl", [_row(1, account=None, prompt="é" * 10_000)])
    _table(log, rejects=tmp_path / "rejects.jsonl")
    assert len(_rejects(tmp_path / "rejects.jsonl")[0]["raw"].encode()) <= 2_003
    assert stat.S_IMODE((tmp_path / "rejects.jsonl").stat().st_mode) == 0o600


def test_a_rejects_file_that_cannot_be_written_is_said_to_be(tmp_path: Path) -> None:
    log = _write(tmp_path / "log.jsonl", [_row(1)])
    with pytest.raises(OutputError, match="nowhere"):
        list(LogReader(LogSource([log], rejects=tmp_path / "nowhere" / "rejects.jsonl")).batches())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_to_be(tmp_path: Path) -> None:
    log = _write(tmp_path / "log.jsonl", [_row(i, account=None) for i in range(5_000)])
    with pytest.raises(OutputError, match="no space left"):
        list(LogReader(LogSource([log], rejects=Path("/dev/full"))).batches())


def test_an_earlier_rejects_file_stays_until_all_is_read(tmp_path: Path) -> None:
    kept = tmp_path / "rejects.jsonl"
    kept.write_text("earlier\n")
    log = _write(tmp_path / "log.jsonl", [_row(i, account=None if i % 2 else "a") for i in range(10)])
    batches = LogReader(LogSource([log], rejects=kept)).batches()
    next(batches)
    batches.close()  # broken off
    assert kept.read_text() == "earlier\n"
    assert sorted(tmp_path.iterdir()) == [log, kept]
    _table(log, rejects=kept)
    assert len(_rejects(kept)) == 5
    assert sorted(tmp_path.iterdir()) == [log, kept]


def test_nulls_inside_and_keys_twice_are_read(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    row = '{"time": "2026-03-02T09:00:00.5Z", "account": "a", "account": "b", "prompt": null, "extra": {"x": [null]}}'
    log.write_text(row + "\n" + row.replace('"prompt": null', '"prompt": {"deep": null}') + "\n")
    table, report = _table(log)
    assert table["account"].to_pylist() == ["b"]
    assert report.reasons == {"prompt: not text": 1}


# ---- bytes ------------------------------------------------------------------------------------------------------


def test_bytes_that_are_no_utf8_become_replacement_characters(tmp_path: Path) -> None:
    good, bad = _jsonl([_row(1, prompt="caf!")]), _jsonl([_row(2, account="caf!")])
    for name, header in (("log.jsonl", b""), ("log.csv", b"")):
        log = tmp_path / name
        data = good + bad
        if name == "log.csv":
            _write(log, [_row(1, prompt="caf!"), _row(2, account="caf!")])
            data = log.read_bytes()
        log.write_bytes(header + data.replace(b"caf!", b"caf\xe9"))
        table, report = _table(log)
        assert table["prompt"].to_pylist() == ["caf\ufffd"]
        assert report.reasons == {"account: bytes that are no UTF-8": 1}


def test_lone_surrogates_nan_and_infinity_in_json_are_read_or_rejected(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [
        _jsonl([_row(1)]).replace(b"Question 1?", b"half \\ud83d"),
        _jsonl([_row(2)]).replace(b"0.5", b"NaN"),
        _jsonl([_row(3)]).replace(b"0.5", b"Infinity"),
        _jsonl([_row(4)]).replace(b'"input_tokens": 4', b'"input_tokens": 123456789012345678901234567890'),
    ]
    log.write_bytes(b"".join(lines))
    table, report = _table(log)
    assert _ids(table) == ["req-1", "req-2"]
    assert table["prompt"][0].as_py() == "half \ufffd"
    assert table["temperature"][1].as_py() is None
    assert report.reasons == {"temperature: not a number": 1, "input_tokens: not a whole number": 1}


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_log(tmp_path: Path) -> None:
    rows = [_row(1), _row(2)]
    for name in ("log.jsonl", "log.csv"):
        log = _write(tmp_path / name, rows)
        data = log.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        log.write_bytes(b"\xef\xbb\xbf" + data)
        table, report = _table(log)
        assert table.equals(conform(pa.Table.from_pylist(rows)))
        assert report.rejected == 0


def test_prompts_of_five_megabytes_are_read(tmp_path: Path) -> None:
    long = "wörd " * 1_000_000
    rows = [_row(1, prompt=long), _row(2), _row(3, prompt=long + "end")]
    for name in ("log.jsonl", "log.csv", "log.parquet", "log.jsonl.gz"):
        table, _ = _table(_write(tmp_path / name, rows))
        assert pc.utf8_length(table["prompt"]).to_pylist() == [5_000_000, 11, 5_000_003]


def test_a_table_may_hold_line_breaks_quotes_and_other_delimiters(tmp_path: Path) -> None:
    prompt = 'one\r\ntwo, "three"; \u2028 four\tfive'
    log = _write(tmp_path / "log.csv", [_row(1, prompt=prompt), _row(2, account="")])
    table, _ = _table(log, rejects=tmp_path / "rejects.jsonl")
    assert table["prompt"].to_pylist() == [prompt]
    assert _rejects(tmp_path / "rejects.jsonl")[0]["line"] == 4
    for mark in (";", "\t"):
        log.write_text(f"time{mark}account\n2026-03-02T09:00:00.5Z{mark}a\n")
        assert _table(log)[0]["account"].to_pylist() == ["a"]


def test_table_rows_with_too_many_or_too_few_fields_are_rejected(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("time,account\n1772442000.5,a,b\n1772442000.5\n\n1772442001.5,c\n1772442002.5,d\n")
    table, report = _table(log)
    assert table["account"].to_pylist() == ["c", "d"]
    assert report.reasons == {"not as many fields as the header": 2}


def test_a_quote_that_is_never_closed_costs_what_follows_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text('time,account,prompt\n1772442000.5,a,x\n1772442001.5,b,"open\n' + "1772442002.5,c,y\n" * 8)
    table, report = _table(log)
    assert table["account"].to_pylist() == ["a"]
    assert report.rejected == 9


# ---- broken and growing files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log.jsonl.gz", "log.jsonl.zst", "log.csv.gz", "log.json.gz"])
def test_a_compressed_file_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    log = _write(tmp_path / name, [_row(i, prompt=_noise(i)) for i in range(6000)])
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2])
    table, report = _table(log, rejects=tmp_path / "rejects.jsonl")
    assert 1500 < table.num_rows < 4500
    assert table["request_id"].to_pylist() == [f"req-{i}" for i in range(table.num_rows)]
    broken = [reject for reject in _rejects(tmp_path / "rejects.jsonl") if "broken" in reject["reason"]]
    assert [(reject["path"], reject["line"]) for reject in broken] == [(str(log), None)]
    assert report.rejected <= 2  # an array's last object is rejected besides
    with pytest.raises(LogError):
        list(LogReader(LogSource([log], strict=True)).batches())


def test_the_last_rows_before_a_break_are_not_lost(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl.gz"
    log.write_bytes(gzip.compress(_jsonl([_row(i) for i in range(50)]))[:-8])  # the check sum is missing, no row is
    table, report = _table(log)
    assert table.num_rows == 50
    assert report.rejected == 1


def test_damaged_compressed_data_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log = _write(tmp_path / "log.jsonl.gz", [_row(i, prompt=_noise(i)) for i in range(6000)])
    data = bytearray(log.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    log.write_bytes(bytes(data))
    table, report = _table(log)
    assert table.num_rows > 1000
    assert table["request_id"].to_pylist()[:1000] == [f"req-{i}" for i in range(1000)]
    assert report.rejected >= 1


def test_a_truncated_parquet_file_is_rejected_and_the_others_are_read(tmp_path: Path) -> None:
    whole = _write(tmp_path / "a.parquet", [_row(i) for i in range(100)])
    cut = _write(tmp_path / "b.parquet", [_row(i) for i in range(100, 200)])
    cut.write_bytes(cut.read_bytes()[:-200])
    table, report = _table(whole, cut, rejects=tmp_path / "rejects.jsonl")
    assert table.num_rows == 100
    (reject,) = _rejects(tmp_path / "rejects.jsonl")
    assert reject["path"] == str(cut)
    assert reject["reason"].startswith("broken Parquet")
    assert report.rejected == 1
    with pytest.raises(LogError, match="broken Parquet"):
        list(LogReader(LogSource([cut], strict=True)).batches())


def test_a_damaged_row_group_costs_its_rows_only(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    rows = [_row(i, prompt=f"{i} " * 50) for i in range(300)]
    pq.write_table(pa.Table.from_pylist(rows), log, row_group_size=100, use_dictionary=False, compression="zstd")
    group = pq.ParquetFile(log).metadata.row_group(1)
    prompt = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "prompt")
    data = bytearray(log.read_bytes())
    data[prompt.data_page_offset : prompt.data_page_offset + prompt.total_compressed_size] = bytes(
        prompt.total_compressed_size
    )
    log.write_bytes(bytes(data))
    table, report = _table(log, rejects=tmp_path / "rejects.jsonl")
    assert _ids(table) == _ids(pa.Table.from_pylist(rows[:100] + rows[200:]))
    (reject,) = _rejects(tmp_path / "rejects.jsonl")
    assert (reject["line"], reject["rows"], report.rejected) == (101, 100, 100)


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv"])
def test_a_log_that_grows_is_read_up_to_its_size_at_the_start(tmp_path: Path, name: str) -> None:
    log = _write(tmp_path / name, [_row(i) for i in range(10)])
    whole = log.read_bytes()
    half = whole.splitlines(keepends=True)[-1]
    log.write_bytes(whole + half.replace(b"req-9", b"req-x")[:-3])
    reader = LogReader(LogSource([log], strict=True))
    with log.open("ab") as writer:
        writer.write(half[-3:] + half.replace(b"req-9", b"req-y"))
    table = pa.Table.from_batches(reader.batches())
    assert _ids(table) == sorted(f"req-{i}" for i in range(10))
    assert ["half a line" in note for note in reader.report().notes] == [True]


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv"])
def test_a_last_line_without_its_end_counts_if_it_is_whole(tmp_path: Path, name: str) -> None:
    log = _write(tmp_path / name, [_row(i) for i in range(10)])
    log.write_bytes(log.read_bytes().rstrip())
    table, report = _table(log)
    assert (table.num_rows, report.notes) == (10, ())
    log.write_bytes(log.read_bytes()[:-40])
    table, report = _table(log)
    assert table.num_rows == 9
    assert len(report.notes) + report.rejected == 1
    with pytest.raises(LogError):
        list(LogReader(LogSource([log], strict=True)).batches())


# ---- times ------------------------------------------------------------------------------------------------------


def test_times_out_of_order_in_mixed_zones_and_units_are_read(tmp_path: Path) -> None:
    moment = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
    micros = 1_772_452_800_250_000
    said = [
        micros,
        "2026-03-02T21:00:00.25+09:00",
        micros // 1000,
        str(micros * 1000),
        micros / 1e6,
        "2026-03-02 12:00:00.25",
    ]
    log = _write(tmp_path / "log.jsonl", [_row(99 - i, time=time) for i, time in enumerate(said)])
    table, _ = _table(log)
    assert table["time"].to_pylist() == [moment] * len(said)


def test_the_window_takes_in_its_start_and_leaves_out_its_end(tmp_path: Path) -> None:
    rows = [_row(i) for i in range(10)]
    for name in ("log.jsonl", "log.parquet"):
        since, until = START + timedelta(seconds=2), START + timedelta(seconds=5)
        table, report = _table(_write(tmp_path / name, rows), since=since, until=until.replace(tzinfo=None))
        assert _ids(table) == ["req-2", "req-3", "req-4"]
        assert report.rows == 3
        assert report.notes == ("rows passed over as outside the time window: 7",)


def test_times_in_the_future_are_kept_and_counted(tmp_path: Path) -> None:
    rows = [_row(1), _row(2, time=(START + timedelta(days=2)).isoformat())]
    table, report = _table(_write(tmp_path / "log.jsonl", rows), now=START)
    assert table.num_rows == 2
    assert report.notes == ("rows kept that lie more than a day in the future: 1",)
    assert _table(tmp_path / "log.jsonl")[1].notes == ()


# ---- repeated rows, ids and answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.parquet"])
def test_repeated_rows_are_dropped_and_counted(tmp_path: Path, name: str) -> None:
    rows = [_row(i) for i in range(50)]
    _write(tmp_path / f"a-{name}", rows + rows[10:20])
    _write(tmp_path / f"b-{name}", rows[:5])
    table, report = _table(tmp_path)
    assert _ids(table) == sorted(f"req-{i}" for i in range(50))
    assert report.notes == ("repeated rows dropped (same request id, time, account and outcome): 15",)


def test_rows_that_share_an_id_and_differ_are_kept_and_counted(tmp_path: Path) -> None:
    rows = [_row(1), _row(1, account="acct-9"), _row(1, input_tokens=5), _row(1)]
    table, report = _table(_write(tmp_path / "log.jsonl", rows))
    assert table.num_rows == 3
    assert report.notes == (
        "repeated rows dropped (same request id, time, account and outcome): 1",
        "rows kept that bear the request id of another row and differ from it: 2",
    )


def test_an_id_is_made_from_the_row_and_from_nothing_else(tmp_path: Path) -> None:
    rows = [{k: v for k, v in _row(i).items() if k != "request_id"} for i in range(40)]
    _write(tmp_path / "a.jsonl", rows)
    first, _ = _table(tmp_path / "a.jsonl")
    assert len(set(_ids(first))) == 40
    for name, some in (("b.parquet", rows), ("c.csv", rows[::-1])):
        assert _ids(_table(_write(tmp_path / name, some))[0]) == _ids(first)
    partly = [row | {"request_id": "mine" if i == 3 else None} for i, row in enumerate(rows)]
    assert set(_ids(_table(_write(tmp_path / "d.jsonl", partly))[0])) - set(_ids(first)) == {"mine"}


def test_without_ids_only_a_fine_clock_tells_repetitions(tmp_path: Path) -> None:
    fine = {"time": "2026-03-02T09:00:00.123456Z", "account": "a", "prompt": "x"}
    coarse = fine | {"time": "2026-03-02T09:00:00Z"}
    table, report = _table(_write(tmp_path / "log.jsonl", [fine, fine, coarse, coarse]))
    assert table.num_rows == 3
    assert report.notes[0].endswith("outcome): 1")


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.parquet"])
def test_an_answer_is_made_from_the_response_where_there_is_none(tmp_path: Path, name: str) -> None:
    rows = [_row(1, response="Yes.\n"), _row(2, response="No.", answer="given"), _row(3)]
    table, _ = _table(_write(tmp_path / name, rows), columns=["answer"])
    assert table["answer"].to_pylist() == [digest("Yes."), "given", None]
    bare = [_row(4, response="Yes.")]
    assert _table(_write(tmp_path / name, bare))[0]["answer"].to_pylist() == [digest("Yes.")]


# ---- laws -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)  # machines are busy, files are written
@given(
    st.permutations(range(12)), st.lists(st.integers(0, 12), max_size=3), st.sampled_from(["jsonl", "parquet", "csv"])
)
def test_splitting_and_reordering_a_log_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cuts: list[int], form: str
) -> None:
    folder = tmp_path_factory.mktemp("split")
    rows = [_row(i // 2 if i < 4 else i) for i in order]
    edges = [0, *sorted(cuts), len(rows)]
    for part, (begin, end) in enumerate(pairwise(edges)):
        if begin < end:
            _write(folder / f"{part}.{form}", rows[begin:end])
    table, report = _table(folder)
    whole, _ = _table(_write(folder / "whole.jsonl", rows))
    assert table.sort_by("request_id").equals(whole.sort_by("request_id"))
    assert report.notes == ("repeated rows dropped (same request id, time, account and outcome): 2",)


@settings(deadline=None, max_examples=60)  # machines are busy, files are written
@given(st.lists(st.one_of(st.binary(max_size=40), st.just(_jsonl([_row(1)])[:-1]), st.just(b"{}")), max_size=8))
def test_no_bytes_break_the_reader_and_every_line_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    log = tmp_path_factory.mktemp("junk") / "log.jsonl"
    lines = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in lines]
    log.write_bytes(_jsonl([_row(0)]) + b"".join(line + b"\n" for line in lines))
    reader = LogReader(LogSource([log], dialect="exchange/1"))
    rows = sum(batch.num_rows for batch in reader.batches())
    report = reader.report()
    repeated = sum(line == _jsonl([_row(1)])[:-1] for line in lines)
    assert rows == 1 + min(1, repeated)
    filled = [line for line in lines if line.strip()]
    assert report.rejected == len(filled) - repeated


# ---- tables in memory -------------------------------------------------------------------------------------------


def test_a_table_in_memory_is_made_into_exchanges() -> None:
    table = pa.table({"account": [7, 8], "time": [1772442000, 1772442001], "response": ["x", ""], "mine": [1, 2]})
    made = conform(table)
    assert made.schema.equals(EXCHANGE)
    assert made["account"].to_pylist() == ["7", "8"]
    assert made["answer"].to_pylist() == [digest("x"), None]
    assert made["request_id"].null_count == 0
    assert conform(made).equals(made)
    assert conform(table.to_batches()[0]).equals(made)
    assert conform(table.slice(0, 0)).num_rows == 0


@pytest.mark.parametrize(
    ("columns", "field", "line"),
    [
        ({"account": ["a"]}, "time", None),
        ({"time": [1772442000]}, "account", None),
        ({"time": [1772442000, None], "account": ["a", "b"]}, "time", 2),
        ({"time": [1772442000], "account": ["a"], "turns": ["two"]}, "turns", 1),
    ],
)
def test_a_table_that_is_no_log_is_refused_by_field(columns: dict[str, object], field: str, line: int | None) -> None:
    with pytest.raises(LogError) as caught:
        conform(pa.table(columns))
    assert (caught.value.field, caught.value.line) == (field, line)


def test_a_file_that_may_not_be_read_is_said_to_be(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    log = _write(tmp_path / "log.jsonl", [_row(1)])
    log.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        LogReader(LogSource([log]))
