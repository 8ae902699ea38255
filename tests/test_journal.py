from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.guard.journal import Journal, abandoned

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("request_id", "text")
ROWS = [[[f"{frame}-{row}", "x" * 20 * row] for row in range(frame + 1)] for frame in range(6)]


def encoded(frames: list[list[list[str]]]) -> list[list[bytes]]:
    return [[msgspec.msgpack.encode(row) for row in rows] for rows in frames]


def left_behind(folder: Path, name: str = ".some.journal") -> Path:
    """A journal whose process is gone."""
    journal = Journal.create(folder / name, COLUMNS)
    journal.append(encoded(ROWS[:2]))
    journal.append(encoded(ROWS[2:]))
    journal.close()
    return journal.path


def found(folder: Path) -> list[object]:
    rows: list[object] = []
    for journal, _, _ in abandoned(folder):
        if journal is not None:
            rows += [row for frame in journal.read() for row in frame]
            journal.close()
    return rows


def test_what_was_appended_is_read_by_the_process_and_by_the_next(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / ".some.journal", COLUMNS)
    journal.append(encoded(ROWS))
    assert list(journal.read()) == ROWS
    assert journal.rows == sum(map(len, ROWS))
    assert found(tmp_path) == []  # its process lives
    journal.close()
    assert found(tmp_path) == [row for frame in ROWS for row in frame]


@given(
    share=st.floats(0, 1),
    tail=st.one_of(
        st.binary(max_size=80),
        st.integers(1, 5_000).map(bytes),  # zeros, as some file systems leave after a power cut
        st.none(),  # what another journal wrote there before
    ),
)
def test_whatever_a_write_left_behind_whole_frames_are_read_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, share: float, tail: bytes | None
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    path = left_behind(folder)
    whole = path.read_bytes()
    other = left_behind(tmp_path_factory.mktemp("other")).read_bytes()
    at = round(share * len(whole))
    torn = whole[:at] + (other[at:] if tail is None else tail)
    path.write_bytes(torn)
    rows = found(folder)
    boundaries = [[row for frame in ROWS[:frames] for row in frame] for frames in range(len(ROWS) + 1)]
    assert rows in boundaries
    if at == len(whole):
        assert rows == boundaries[-1]
    assert not path.exists() or found(folder) == rows  # cut once, it is whole


def test_a_frame_that_changed_ends_what_is_read(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    ((journal, where, cut),) = abandoned(tmp_path)
    assert journal is not None
    assert where == path
    assert cut > 0
    assert list(journal.read()) == ROWS[:-1]
    journal.close()


def test_a_journal_without_a_whole_head_never_had_a_row(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    path.write_bytes(path.read_bytes()[:20])
    assert [(journal, cut) for journal, _, cut in abandoned(tmp_path)] == [(None, 20)]
    assert list(tmp_path.iterdir()) == []


def test_a_journal_of_another_version_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("stillwatch.guard.journal.SCHEMA", "stillwatch.journal/2")
        path = left_behind(tmp_path)
    before = path.read_bytes()
    assert found(tmp_path) == []
    assert path.read_bytes() == before


def test_a_journal_that_was_taken_for_an_abandoned_one_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, path = fcntl.flock, tmp_path / ".some.journal"
    stolen = iter([True])

    def late(handle: int, how: int) -> None:
        if next(stolen, False):
            path.unlink()  # as whoever looks for abandoned journals does with an empty one
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    journal = Journal.create(path, COLUMNS)
    journal.append(encoded(ROWS))
    journal.close()
    assert len(found(tmp_path)) == sum(map(len, ROWS))


def test_a_journal_that_cannot_be_written_keeps_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(tmp_path / ".some.journal", COLUMNS)
    journal.append(encoded(ROWS[:2]))
    write = os.pwrite

    def half(handle: int, data: bytes, at: int) -> int:
        write(handle, data[: len(data) // 2], at)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="No space"):
            journal.append(encoded(ROWS[2:]))
    assert list(journal.read()) == ROWS[:2]
    journal.close()
    ((again, _, cut),) = abandoned(tmp_path)
    assert again is not None
    assert cut == 0
    again.close()


def test_nothing_is_left_of_a_journal_that_cannot_be_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        Journal.create(tmp_path / ".some.journal", COLUMNS)
    assert list(tmp_path.iterdir()) == []
