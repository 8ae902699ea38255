"""The store of digests: what it gives back depends on the rows alone, not on how they came; and a full disk."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.engine.store import DigestStore
from stillwatch.errors import OutputError
from stillwatch.marks.digest import COLUMNS

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from numpy.typing import NDArray

    Digest = dict[str, NDArray[np.generic]]


def some_digest(seed: int, size: int, *, instants: int = 4, prompts: int = 2) -> Digest:
    """Rows of a few accounts at a few instants with a few prompts, so that many agree in all three."""
    rng = np.random.default_rng(seed)
    made: Digest = {}
    text = rng.integers(0, prompts, size)
    for name, (kind, width) in COLUMNS.items():
        shape = (size, width) if width else (size,)
        made[name] = rng.integers(0, 100, shape).astype(kind)
    made["account"] = rng.integers(0, 3, size).astype(np.int32)
    made["second"] = rng.integers(0, instants, size).astype(np.float64)
    made["prompt"] = text.astype(np.uint64)
    for name in ("opening", "closing", "shape", "phrases", "sketch", "wants"):  # the text decides these
        shape = made[name].shape
        made[name] = np.broadcast_to(text.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(made[name].dtype)
    return made


def cut(digest: Digest, places: list[int]) -> list[Digest]:
    ends = [0, *sorted(places), len(digest["second"])]
    return [{name: column[a:b] for name, column in digest.items()} for a, b in pairwise(ends)]


def stored(batches: list[Digest], limit_memory: int | None = None, folder: Path | None = None) -> Digest:
    store = DigestStore(limit_memory=limit_memory, folder=folder)
    try:
        for batch in batches:
            store.add(batch)
        return store.sorted(np.arange(3, dtype=np.int32))
    finally:
        store.close()


@given(
    st.integers(0, 10_000), st.integers(0, 60), st.lists(st.integers(0, 60), max_size=5),
    st.sampled_from([None, 0, 1, 4000]), st.randoms(use_true_random=False),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_order_and_grouping_of_batches_gives_equal_columns(
    seed: int, size: int, places: list[int], limit: int | None, shuffler: random.Random
) -> None:
    digest = some_digest(seed, size)
    whole = stored([digest])
    order = np.array(shuffler.sample(range(size), size), np.int64)
    shuffled = {name: column[order] for name, column in digest.items()}
    batches = cut(shuffled, [min(place, size) for place in places])
    shuffler.shuffle(batches)
    again = stored(batches, limit)
    assert set(again) == set(COLUMNS)
    for name, (kind, _) in COLUMNS.items():
        assert again[name].dtype == kind
        np.testing.assert_array_equal(again[name], whole[name], err_msg=name)


def test_rows_are_sorted_by_account_time_and_prompt_after_renumbering() -> None:
    digest = some_digest(1, 200, instants=20, prompts=9)
    store = DigestStore()
    store.add(digest)
    columns = store.sorted(np.array([2, 0, 1], np.int32))
    keys = list(zip(columns["account"].tolist(), columns["second"].tolist(), columns["prompt"].tolist(), strict=True))
    assert keys == sorted(keys)
    new = np.array([2, 0, 1])[digest["account"].astype(int)]
    assert np.bincount(columns["account"].astype(int)).tolist() == np.bincount(new).tolist()


def test_an_empty_store_gives_empty_columns() -> None:
    columns = DigestStore().sorted(np.empty(0, np.int32))
    for name, (kind, width) in COLUMNS.items():
        assert columns[name].shape == ((0, width) if width else (0,))
        assert columns[name].dtype == kind


def test_spilled_columns_leave_no_file_behind(tmp_path: Path) -> None:
    columns = stored([some_digest(2, 500), some_digest(3, 500)], 1, tmp_path)
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(columns["sketch"], stored([some_digest(3, 500), some_digest(2, 500)])["sketch"])


def test_spilled_columns_can_be_written_to() -> None:  # flags are completed once the whole log is known
    columns = stored([some_digest(2, 50)], 1)
    columns["flags"][:] = 3
    assert (columns["flags"] == 3).all()


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="temporary files of the scan could not be written: No such file"):
        stored([some_digest(0, 10)], 1, tmp_path / "gone")


FULL_DISK = """
    import gc, resource, signal, sys, warnings
    import numpy as np
    from pathlib import Path
    from stillwatch.engine.store import DigestStore
    from stillwatch.errors import OutputError
    from stillwatch.marks.digest import COLUMNS

    warnings.simplefilter("error")
    sys.unraisablehook = lambda raised: print("unraisable", raised.exc_value)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write past the limit fails, as on a full disk
    size, phase, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    store = DigestStore(limit_memory=1 if phase == "add" else 10**9, folder=folder)
    digest = {
        name: np.ones((size, width) if width else size, kind) for name, (kind, width) in COLUMNS.items()
    }
    digest["account"] -= 1
    try:
        if phase == "add":
            limit = resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
            store.add(digest)
        else:
            store.add(digest)
            resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
            store.sorted(np.zeros(1, np.int32))
    except OutputError as error:
        print("OutputError:", error)
    finally:
        store.close()
    del store
    gc.collect()
"""


@pytest.mark.parametrize(("phase", "rows"), [("add", 1000), ("add", 40), ("add", 100_000), ("sorted", 1000)])
def test_a_full_disk_is_an_output_error_and_nothing_else(tmp_path: Path, phase: str, rows: int) -> None:
    # 40 rows fit below the limit in every column; 1000 pass it inside the buffer of a file, 100,000 beyond it
    done = subprocess.run(  # noqa: S603  # our own interpreter and script
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(rows), phase, str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    message = "OutputError: the temporary files of the scan could not be written: File too large\n"
    assert done.stdout == ("" if rows == 40 else message)
    assert list(tmp_path.iterdir()) == []
