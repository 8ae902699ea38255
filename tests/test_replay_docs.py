"""docs/replay.md against the code: its commands run, and print what the page shows."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from tests.documents import ROOT, Shell, blocks
from tests.test_readme import nameless

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "replay.md"
_SHOWN = re.compile(r"(^<!-- replay:[^\n]*\n```text\n).*?^```\n", re.DOTALL | re.MULTILINE)


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    prepare, asked, more = blocks(PAGE, "sh")
    shell.run(prepare)
    printed = shell.run(asked)
    if os.environ.get("WRITE_SNAPSHOTS"):
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(_SHOWN.sub(lambda block: f"{block[1]}{printed}```\n", page), encoding="utf-8")
    (shown,) = blocks(PAGE, "text")
    assert nameless(shown) == nameless(printed)
    assert "→" in shell.run(more)
    assert json.loads((shell.folder / "replay.json").read_bytes())["schema"] == "stillwatch.replay/1"
    (code,) = blocks(PAGE, "python")
    assert " of 3669\n" in shell.run(f"python3 - <<'END'\n{code}END")
