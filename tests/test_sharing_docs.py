from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.documents import ROOT, Shell, blocks

from stillwatch.intel.shareable import LEAST_ACCOUNTS, LEAVE
from stillwatch.intel.techniques import TECHNIQUES
from stillwatch.verdicts.hearsay import IN_ALL, PER_SOURCE

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "sharing.md"


def brought_up_to_date(path: Path) -> None:
    """The demo's log is of one fixed week, and its marks have an end: let them be of these days."""
    bundle = json.loads(path.read_bytes())
    today = datetime.now(UTC)
    for each in bundle["objects"]:
        if each["type"] == "indicator":
            each["created"] = each["modified"] = each["valid_from"] = today.isoformat()
            each["valid_until"] = (today + timedelta(days=9)).isoformat()
    path.write_text(json.dumps(bundle))


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    keys, dry, export, *rest = blocks(PAGE, "sh")
    shell.run(keys)
    assert "why it may leave" in shell.run(dry)
    shell.run(export)
    brought_up_to_date(shell.folder / "bundle.json")
    for block in rest:
        shell.run(block)
    told = json.loads((shell.folder / "told.json").read_bytes())
    assert told["campaigns"][0]["told"][0]["source"] == "Example Models"
    seen = json.loads((shell.folder / "seen.json").read_bytes())
    assert any(each["type"] == "sighting" for each in seen["objects"])
    assert (shell.folder / "report.html").read_bytes().startswith(b"<!doctype html>")


def test_the_page_tells_the_figures_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"One source moves {PER_SOURCE:.0f} bits at most, all together {IN_ALL:.0f}" in text
    assert f"Marks of these families: {', '.join(LEAVE)}, if " in text
    assert LEAST_ACCOUNTS == 3
    assert all(each.id.removeprefix("AML.") in text for each in TECHNIQUES)
