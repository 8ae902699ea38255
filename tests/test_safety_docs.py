"""docs/safety-audit.md against the code: its commands run, and print what the page shows."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from tests.documents import ROOT, Shell, blocks

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "safety-audit.md"
_SHOWN = re.compile(r"(^<!-- safety:[^\n]*\n```text\n).*?^```\n", re.DOTALL | re.MULTILINE)


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    prepare, asked, *more = blocks(PAGE, "sh")
    shell.run(prepare)
    printed = shell.run(asked)
    if os.environ.get("WRITE_SNAPSHOTS"):
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(_SHOWN.sub(lambda block: f"{block[1]}{printed}```\n", page), encoding="utf-8")
    (shown,) = blocks(PAGE, "text")
    assert shown == printed
    stances, deal, found, _, verdict, verified = (shell.run(each) for each in more)
    assert stances.startswith("Neutrality: leans")
    assert len(deal.splitlines()) == 2
    assert "c-1: " in found
    assert verdict.startswith("Verdict: distilled (campaigns: c-1)")
    assert verified.endswith("every figure is what the material gives\n")
