from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.exchanges.seen import SeenRequests, hash_rows, shared_by_chance

SMALL = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), max_size=60)


def _admit(seen: SeenRequests, rows: list[tuple[int, int]]) -> tuple[list[bool], int]:
    ids = hash_rows([pa.array([i for i, _ in rows], pa.int64())], 1)
    contents = hash_rows([pa.array([c for _, c in rows], pa.int64())], 2)
    repeated, shared = seen.admit(ids, contents)
    return repeated.tolist(), shared


@settings(deadline=None)  # machines are busy, kernels compile
@given(SMALL, st.integers(0, 60))
def test_a_row_is_repeated_if_it_came_before_however_rows_are_cut_into_batches(
    rows: list[tuple[int, int]], cut: int
) -> None:
    seen = SeenRequests()
    first, shared_first = _admit(seen, rows[:cut])
    second, shared_second = _admit(seen, rows[cut:])
    met: set[tuple[int, int]] = set()
    expected = []
    for row in rows:
        expected.append(row in met)
        met.add(row)
    assert first + second == expected
    assert shared_first + shared_second == len(met) - len({i for i, _ in met})


def test_a_million_ids_are_told_apart_while_the_table_grows() -> None:
    seen = SeenRequests()
    for start in range(0, 1_000_000, 100_000):
        numbers = pa.array(np.arange(start, start + 100_000))
        repeated, shared = seen.admit(hash_rows([numbers], 3), hash_rows([numbers], 4))
        assert not repeated.any()
        assert shared <= 4 * shared_by_chance(1_000_000)
    numbers = pa.array(np.arange(0, 1_000_000, 7))
    repeated, _ = seen.admit(hash_rows([numbers], 3), hash_rows([numbers], 4))
    assert repeated.all()
    assert seen._table.nbytes <= 32 * 1_000_000


def test_an_id_that_every_row_bears_costs_no_row_and_no_time() -> None:
    count = 300_000
    ids = hash_rows([pa.array(["-"] * count)], 4)
    contents = hash_rows([pa.array(np.arange(count))], 5)
    repeated, shared = SeenRequests().admit(ids, contents)
    assert repeated.sum() <= 3  # 20 bits of the first content: one row in a million
    assert shared >= count - 4


@settings(deadline=None)  # machines are busy, kernels compile
@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), min_size=1, max_size=20), st.integers(0, 5))
def test_a_row_hashes_alike_wherever_it_stands(values: list[str | None], shift: int) -> None:
    alone = [hash_rows([pa.array([v], pa.string())], 9)[0] for v in values]
    together = hash_rows([pa.array([*["pad"] * shift, *values], pa.string()).slice(shift)], 9)
    assert together.tolist() == alone
    assert len(set(alone)) == len(set(values))


def test_text_is_not_confused_with_its_neighbours_in_the_row() -> None:
    left = hash_rows([pa.array(["ab"]), pa.array(["c"])], 0)
    right = hash_rows([pa.array(["a"]), pa.array(["bc"])], 0)
    assert left[0] != right[0]
    for other in (None, "", "\0", "\0\0"):
        assert hash_rows([pa.array(["x"]), pa.array([other], pa.string())], 0)[0] != left[0]
    assert len({int(hash_rows([pa.array([t], pa.string())], 0)[0]) for t in (None, "", "\0", "\0\0")}) == 4
