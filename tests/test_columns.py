from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.exchanges.columns import MICROSECONDS, NO_FLAG, NO_NUMBER, NO_TEXT, NO_TIME, NO_WHOLE, time_of, typed

NOON = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
MICROS = 1_772_452_800_250_000

WAYS_TO_SAY_NOON = [
    "2026-03-02T12:00:00.250Z",
    "2026-03-02t12:00:00.25z",
    "2026-03-02 12:00:00.250",
    "2026-03-02T13:00:00.250+01:00",
    "2026-03-02T17:30:00.250000999+05:30",
    "2026-03-02 12:00:00.250 UTC",
    " 2026-03-02T12:00:00.250-00:00 ",
    MICROS,
    MICROS / 1e6,
    MICROS // 1000,
    MICROS * 1000,
    str(MICROS),
    str(MICROS // 1000),
    "1772452800.25",
    Decimal("1772452800.25"),
    NOON,
    NOON.replace(tzinfo=None),
    NOON.astimezone(timezone(timedelta(hours=-8))),
    b"2026-03-02T12:00:00.250Z",
]


@pytest.mark.parametrize("said", WAYS_TO_SAY_NOON)
def test_a_time_is_read_however_it_is_said(said: object) -> None:
    assert time_of(said) == MICROS
    assert typed([said], MICROSECONDS).values.to_pylist() == [NOON]


def test_one_column_may_mix_zones_and_units() -> None:
    read = typed(WAYS_TO_SAY_NOON, MICROSECONDS)
    assert not read.unreadable
    assert set(read.values.to_pylist()) == {NOON}


@pytest.mark.parametrize(
    "said",
    [
        "",
        "yesterday",
        "2026-02-30T00:00:00Z",
        "2026-13-01",
        0,
        -5,
        True,
        float("inf"),
        [],
        {},
        "0",
        10**22,
        1e22,
        "1e400",
    ],
)
def test_what_is_no_time_is_named(said: object) -> None:
    read = typed([said], MICROSECONDS)
    assert read.values.null_count == 1
    assert dict(read.unreadable) == ({0: NO_TIME} if said != "" else {})


@settings(deadline=None)  # machines are busy
@given(
    st.lists(st.datetimes(min_value=datetime(1974, 1, 1), max_value=datetime(2200, 1, 1)), min_size=1),  # noqa: DTZ001 - hypothesis wants none
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d", "epoch"]),
)
def test_texts_that_are_written_alike_are_read_as_each_by_itself(moments: list[datetime], form: str) -> None:
    said = [str(int(m.replace(tzinfo=UTC).timestamp())) if form == "epoch" else m.strftime(form) for m in moments]
    read = typed(pa.array([*said, None]), MICROSECONDS)
    assert not read.unreadable
    assert read.values.cast(pa.int64()).to_pylist() == [*(time_of(text) for text in said), None]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_arrow_timestamps_of_every_unit_and_zone_are_cast(unit: str, zone: str | None) -> None:
    moment = NOON.replace(microsecond=0)
    stored = moment.replace(tzinfo=None) if zone is None else moment
    read = typed(pa.array([stored, None], pa.timestamp(unit, tz=zone)), MICROSECONDS)
    assert read.values.to_pylist() == [moment, None]
    assert read.values.type == MICROSECONDS


def test_arrow_timestamps_past_the_calendar_are_refused_not_wrapped() -> None:
    read = typed(pa.array([2**62, 1_772_452_800], pa.timestamp("s")), MICROSECONDS)
    assert dict(read.unreadable) == {0: NO_TIME}
    assert read.values[1].as_py() == NOON.replace(microsecond=0)


def test_a_date_is_its_midnight() -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    assert typed(pa.array([date(2026, 3, 2)]), MICROSECONDS).values[0].as_py() == midnight
    assert typed([date(2026, 3, 2)], MICROSECONDS).values[0].as_py() == midnight


def test_a_leap_second_is_the_next_second() -> None:
    assert time_of("2016-12-31T23:59:60Z") == time_of("2017-01-01T00:00:00Z")


@settings(deadline=None)  # machines are busy, kernels compile
@given(st.datetimes(min_value=datetime(1974, 1, 1), max_value=datetime(5000, 1, 1)))  # noqa: DTZ001 - hypothesis wants none
def test_every_unit_of_an_epoch_gives_the_same_second(moment: datetime) -> None:
    second = int(moment.replace(tzinfo=UTC).timestamp())
    scales = [1, 1_000, 1_000_000, *([1_000_000_000] if second < 2**63 // 10**9 else [])]
    for scale in scales:
        assert typed(pa.array([second * scale]), MICROSECONDS).values.cast(pa.int64()).to_pylist() == [second * 10**6]
        assert time_of(second * scale) == second * 10**6


@settings(deadline=None)  # machines are busy, kernels compile
@given(st.lists(st.one_of(st.none(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=6), st.booleans())))
@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.float64(), pa.bool_(), MICROSECONDS])
def test_whatever_comes_the_column_has_the_type_and_each_row_is_read_or_named(
    kind: pa.DataType, values: list[object]
) -> None:
    read = typed(values, kind)
    assert read.values.type == kind
    assert len(read.values) == len(values)
    for row in read.unreadable:
        assert values[row] is not None
        assert read.values[row].as_py() is None


@settings(deadline=None)  # machines are busy, kernels compile
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 9).map(str))))
def test_a_whole_column_and_its_values_one_by_one_read_alike(values: list[object]) -> None:
    together = typed(values, pa.int64())
    assert together.values.to_pylist() == [typed([v], pa.int64()).values[0].as_py() for v in values]


@pytest.mark.parametrize(
    ("said", "kind", "read"),
    [
        ("12", pa.int64(), 12),
        (12.0, pa.int64(), 12),
        (" 12 ", pa.int64(), 12),
        ("1e3", pa.int64(), 1000),
        (Decimal(12), pa.int64(), 12),
        ("0.5", pa.float64(), 0.5),
        (1, pa.float64(), 1.0),
        (".5", pa.float64(), 0.5),
        ("True", pa.bool_(), True),
        ("0", pa.bool_(), False),
        (1, pa.bool_(), True),
        (4711, pa.string(), "4711"),
        (4711.0, pa.string(), "4711"),
        (b"caf\xc3\xa9", pa.string(), "café"),
        (b"caf\xc3", pa.string(), "caf\ufffd"),
        ("half \ud83d", pa.string(), "half \ufffd"),
        ("", pa.string(), None),
        ("", pa.int64(), None),
        ("  ", pa.float64(), None),
        ("", pa.bool_(), None),
        (float("nan"), pa.float64(), None),
        (float("nan"), pa.int64(), None),
        ("nan", pa.float64(), None),
    ],
)
def test_values_are_read_as_meant(said: object, kind: pa.DataType, read: object) -> None:
    found = typed([said], kind)
    assert found.values.to_pylist() == [read]
    assert not found.unreadable


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        (1.5, pa.int64(), NO_WHOLE),
        ("1.5", pa.int64(), NO_WHOLE),
        (2**64, pa.int64(), NO_WHOLE),
        (True, pa.int64(), NO_WHOLE),
        ("many", pa.int64(), NO_WHOLE),
        ({"a": None}, pa.int64(), NO_WHOLE),
        ("warm", pa.float64(), NO_NUMBER),
        (float("inf"), pa.float64(), NO_NUMBER),
        ("1e999", pa.float64(), NO_NUMBER),
        (True, pa.float64(), NO_NUMBER),
        ("maybe", pa.bool_(), NO_FLAG),
        (2, pa.bool_(), NO_FLAG),
        ([["x"]], pa.string(), NO_TEXT),
        (True, pa.string(), NO_TEXT),
        (1.5, pa.string(), NO_TEXT),
    ],
)
def test_what_is_of_another_type_is_named(said: object, kind: pa.DataType, reason: str) -> None:
    found = typed([said], kind)
    assert found.values.to_pylist() == [None]
    assert dict(found.unreadable) == {0: reason}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "", None, "dé"]),
        pa.array(["a", "", None, "dé"], pa.large_string()),
        pa.array(["a", "", None, "dé"], pa.string_view()),
        pa.array(["a", "", None, "dé"]).dictionary_encode(),
        pa.array([b"a", b"", None, "dé".encode()]),
        pa.chunked_array([["a", ""], [None, "dé"]]),
        pa.array(["x", "a", "", None, "dé"]).slice(1),
    ],
    ids=str,
)
def test_text_of_every_arrow_type_reads_alike(column: pa.Array) -> None:
    assert typed(column, pa.string()).values.to_pylist() == ["a", None, None, "dé"]


def test_text_that_a_file_wrongly_says_is_utf8_is_mended() -> None:
    wrong = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.array([0, 2, 5], pa.int32()).buffers()[1], pa.py_buffer(b"ok\xff\xfe!")]
    )
    read = typed(wrong, pa.string()).values
    read.validate(full=True)
    assert read.to_pylist() == ["ok", "\ufffd\ufffd!"]


def test_numbers_of_every_arrow_type_are_cast() -> None:
    for kind in (pa.int8(), pa.uint64(), pa.float32(), pa.decimal128(25, 0), pa.string()):
        assert typed(pa.array([7, None]).cast(kind), pa.int64()).values.to_pylist() == [7, None]
        assert typed(pa.array([7, None]).cast(kind), pa.float64()).values.to_pylist() == [7.0, None]
    assert dict(typed(pa.array([2**64 - 1, 3], pa.uint64()), pa.int64()).unreadable) == {0: NO_WHOLE}
    assert typed(pa.array([1, 0, None]), pa.bool_()).values.to_pylist() == [True, False, None]
