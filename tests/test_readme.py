from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from tests.documents import INSTALL, ROOT, Shell, blocks

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "README.md"
BETWEEN = "[...]"


def test_the_two_commands_are_those_that_the_checks_run() -> None:
    commands = blocks(README, "sh")[0].splitlines()
    assert len(commands) == 2
    checks = (ROOT / ".ci" / "run").read_text()
    for command in commands:
        assert command in checks
        assert command.startswith(INSTALL)


def test_what_the_readme_shows_is_what_is_printed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    printed = shell.run("stillwatch demo")
    head, rest = printed.split("\n\nCampaign ", 1)
    truth = re.search(r"^Held against the truth.*?Falsely accused[^\n]*$", rest, _LINES)
    assert truth is not None
    shown = f"{head}\n\n{BETWEEN}\n\n{truth[0]}\n"
    if os.environ.get("WRITE_SNAPSHOTS"):
        page = README.read_text(encoding="utf-8")
        README.write_text(_SHOWN.sub(lambda block: f"{block[1]}{shown}```\n", page), encoding="utf-8")
    (held,) = blocks(README, "text")
    assert nameless(held) == nameless(shown)

    accused = json.loads((shell.folder / "stillwatch-demo" / "findings.json").read_bytes())["campaigns"][0]
    tour = blocks(README, "sh")[1].replace("ACCOUNT", accused["accounts"][0]["account"])
    assert accused["accounts"][0]["account"] in shell.run(tour)
    assert "Price paid by honest users" in shell.run(blocks(README, "sh")[2])
    for made in ("findings.json", "baseline.json", "drill"):
        assert (shell.folder / made).exists()


_LINES = re.DOTALL | re.MULTILINE
_SHOWN = re.compile(r"(^<!-- demo:[^\n]*\n```text\n).*?^```\n", _LINES)


def nameless(text: str) -> str:
    """Without the ids of campaigns, which the key makes, and it is made anew each time."""
    return re.sub(r"\bc-[0-9a-f]{10,}", "c-", text)
