"""Exchanges put in order: what comes out depends on the rows alone, not on how they came, nor on where they waited."""

from __future__ import annotations

import itertools
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.engine.in_order import InOrder
from stillwatch.errors import OutputError
from stillwatch.exchanges.schema import EXCHANGE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

COLUMNS = ("time", "account", "prompt", "n", "temperature", "seed", "input_tokens", "output_tokens", "status")
BEGIN = datetime(2026, 9, 1, tzinfo=UTC)


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=EXCHANGE)


def row(number: int, second: int) -> dict[str, Any]:
    return {
        "request_id": f"r-{number}",
        "time": BEGIN + timedelta(seconds=second),
        "account": f"a-{number % 3}",
        "prompt": f"p-{number}",
        "output_tokens": number,
        "seed": 7 if number % 2 else None,
    }


def ordered(batches: list[pa.RecordBatch], limit_memory: int | None = None) -> tuple[list[int], list[str]]:
    with closing(InOrder(COLUMNS, limit_memory=limit_memory)) as rows:
        for each in batches:
            rows.add(each)
        found: list[NDArray[np.void]] = list(rows.chunks())
        names = rows.names["account"]
    together = np.concatenate([np.empty(0, found[0].dtype), *found]) if found else None
    if together is None:
        return [], []
    assert (np.diff(together["time"]) >= 0).all()
    return together["output_tokens"].tolist(), [names[code] for code in together["account"].tolist()]


@settings(max_examples=40)
@given(
    seconds=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    chance=st.randoms(use_true_random=False),
)
def test_order_of_reading_and_the_disk_leave_no_trace(seconds: list[int], cuts: list[int], chance: Any) -> None:  # noqa: ANN401  hypothesis gives no type
    rows = [row(number, second) for number, second in enumerate(seconds)]
    whole = ordered([batch(rows)])
    chance.shuffle(rows)
    ends = [0, *sorted(min(each, len(rows)) for each in cuts), len(rows)]
    parts = [batch(rows[begin:end]) for begin, end in itertools.pairwise(ends) if begin < end]
    assert ordered(parts) == whole
    assert ordered(parts, limit_memory=1) == whole
    assert sorted(whole[0]) == list(range(len(rows)))


def test_long_runs_are_merged_block_by_block() -> None:
    rng = np.random.default_rng(1)
    size = 200_000
    table = pa.table(
        {
            "request_id": [f"r-{number}" for number in range(size)],
            "time": pa.array(rng.integers(0, 1000, size) * 1_000_000, pa.timestamp("us", tz="UTC")),
            "account": ["a"] * size,
            "output_tokens": np.arange(size),
        }
    )
    nulls = [pa.nulls(size, field.type) for field in EXCHANGE if field.name not in table.column_names]
    names = [field.name for field in EXCHANGE if field.name not in table.column_names]
    for name, column in zip(names, nulls, strict=True):
        table = table.append_column(name, column)
    batches = table.select(EXCHANGE.names).to_batches(max_chunksize=90_000)
    assert ordered(batches, limit_memory=1) == ordered(batches)


def test_what_is_not_there_is_told_from_nothing() -> None:
    with closing(InOrder(COLUMNS)) as rows:
        rows.add(batch([row(2, 0)]))
        (found,) = rows.chunks()
    assert (found["n"][0], found["seed"][0], found["status"][0]) == (-1, False, -1)
    assert np.isnan(found["temperature"][0])


def test_no_room_on_disk_is_said(tmp_path: Path) -> None:
    with closing(InOrder(COLUMNS, limit_memory=1, folder=tmp_path / "none")) as rows, pytest.raises(OutputError):
        rows.add(batch([row(0, 0)]))
