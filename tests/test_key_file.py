from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stillwatch.errors import KeyFileError
from stillwatch.report.key_file import KEY_BYTES, default_key_path, load_or_make_key

if TYPE_CHECKING:
    from pathlib import Path


def test_the_key_is_made_on_first_use_and_read_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "key"
    made = load_or_make_key(path)
    assert len(made) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0
    assert load_or_make_key(path) == made
    assert path.read_text() == made.hex() + "\n"
    assert list(path.parent.iterdir()) == [path]  # nothing else is left lying about


def test_two_keys_differ(tmp_path: Path) -> None:
    assert load_or_make_key(tmp_path / "one") != load_or_make_key(tmp_path / "two")


def test_two_scans_that_start_together_take_the_same_key(tmp_path: Path) -> None:
    command = "import sys; from stillwatch.report.key_file import *; print(load_or_make_key(Path(sys.argv[1])).hex())"
    started = [
        subprocess.Popen([sys.executable, "-c", command, str(tmp_path / "key")], stdout=subprocess.PIPE)  # noqa: S603  our own command
        for _ in range(4)
    ]
    keys = {process.communicate()[0] for process in started}
    assert len(keys) == 1
    assert len(keys.pop().strip()) == 2 * KEY_BYTES


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    load_or_make_key(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600 {path}"):
        load_or_make_key(path)
    path.chmod(0o400)
    assert len(load_or_make_key(path)) == KEY_BYTES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too short: 0 bytes, needed are 32"),
        (b"00ff\n", "too short: 2 bytes"),
        (b"x" * 64, "64 hexadecimal digits"),
        (b"\xff" * 64, "64 hexadecimal digits"),
        (b"a" * 63, "64 hexadecimal digits"),
    ],
)
def test_what_is_no_key_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=message):
        load_or_make_key(path)
    assert path.read_bytes() == content


def test_a_longer_key_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("ab" * 64)
    path.chmod(0o600)
    assert load_or_make_key(path) == b"\xab" * 64


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(KeyFileError, match="must be an ordinary file"):
            load_or_make_key(path)


def test_a_place_where_nothing_can_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match=r"file/key: the key cannot be read: not a directory"):
        load_or_make_key(tmp_path / "file" / "key")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match="no such file"):
        load_or_make_key(tmp_path / "link")


def test_the_default_place_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert default_key_path() == tmp_path / ".config" / "stillwatch" / "key"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configured"))
    assert default_key_path() == tmp_path / "configured" / "stillwatch" / "key"
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    assert default_key_path() == tmp_path / ".config" / "stillwatch" / "key"
