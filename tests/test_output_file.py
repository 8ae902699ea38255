from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stillwatch.errors import OutputError
from stillwatch.report.output_file import write_whole


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_follows_the_umask_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    before = os.umask(0o027)
    try:
        write_whole(path, b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    write_whole(path, b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_private_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    write_whole(path, b"", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    write_whole(path, b"", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_when_there_is_no_room_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    write_whole(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (1000, hard)
    )  # the system then refuses to write more, as a full disk does
    try:
        with pytest.raises(OutputError, match=r"found\.json: cannot be written: file too large"):
            write_whole(path, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_device_is_said_to_be_full() -> None:
    with pytest.raises(OutputError, match="no space left on device"):
        write_whole(Path("/dev/full"), b"new")


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_pipe_is_written_to_as_it_is() -> None:
    command = (
        "from pathlib import Path; from stillwatch.report.output_file import write_whole;"
        "write_whole(Path('/dev/stdout'), b'through')"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)  # noqa: S603  our own command
    assert done.stdout == b"through"


@pytest.mark.parametrize(("name", "reason"), [("", "it is a folder"), ("none/found.json", "no such file or directory")])
def test_where_nothing_can_be_written_the_reason_is_said(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(OutputError, match=reason):
        write_whole(tmp_path / name, b"")
