from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from typing import TYPE_CHECKING

from stillwatch.compiled import compiled, inlined

if TYPE_CHECKING:
    from pathlib import Path

CALLEE = "from stillwatch.compiled import inlined\n\n\n@inlined\ndef step(value: int) -> int:\n    return value + {}\n"
CALLER = """from made_callee import step
from stillwatch.compiled import compiled


@compiled
def run(value: int) -> int:
    return step(value) * 10


print(run(1), sum(run.stats.cache_hits.values()))  # what it returns, and whether it was compiled before
"""


@inlined
def halved(value: int) -> int:
    return value // 2


@compiled
def quartered(value: int) -> int:
    return halved(halved(value))


def run(folder: Path) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(files("stillwatch").joinpath(".."))}
    command = [sys.executable, "made_caller.py"]
    done = subprocess.run(  # noqa: S603  # our own interpreter on a file that this test wrote
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def test_is_called_as_before() -> None:
    assert quartered(21) == halved(10) == 5


def test_kept_between_processes_until_a_callee_in_another_file_changes(tmp_path: Path) -> None:
    (tmp_path / "made_callee.py").write_text(CALLEE.format(1))
    (tmp_path / "made_caller.py").write_text(CALLER)
    assert run(tmp_path) == ["20", "0"]
    assert run(tmp_path) == ["20", "1"]
    (tmp_path / "made_callee.py").write_text(CALLEE.format(50))
    assert run(tmp_path) == ["510", "0"]
