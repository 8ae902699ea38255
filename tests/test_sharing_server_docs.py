"""docs/sharing-server.md against what is really there: its commands run as they stand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.documents import ROOT, Shell, blocks
from tests.sharing import GREEN, bundle, free_port, indicator
from tests.test_share_commands import served

from stillwatch.intel import document as reading
from stillwatch.intel import shape
from stillwatch.intel.received import Odd
from stillwatch.intel.taxii import filters
from stillwatch.intel.tlp import Tlp, may_go

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "sharing-server.md").read_text(encoding="utf-8")


def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    _, letting_in, _, revoking, polling, publishing = blocks(ROOT / "docs" / "sharing-server.md", "sh")
    assert "acme" in shell.run(letting_in)
    (shell.folder / "bundle.json").write_text(json.dumps(bundle(indicator(1, object_marking_refs=[GREEN]))))
    port = free_port()
    with served(shell.folder, port):
        for each in (publishing, polling, polling):
            shell.run(each.replace("8443", str(port)))
        shell.run(revoking)
    assert (shell.folder / "stillwatch-intel.sqlite").exists()


def test_the_flags_and_limits_are_those_that_there_are() -> None:
    assert all(f"| `{each}` |" in PAGE for each in Odd)
    assert f"A bundle: {reading.LARGEST // 10**6} MB. An object: {reading.LARGEST_OBJECT >> 20} MiB" in PAGE
    assert f"{shape.DEEPEST} levels deep, {shape.LONGEST_TEXT >> 10} Ki characters" in PAGE
    assert f"A page: {filters.PAGE:,} objects" in PAGE


def test_the_table_of_markings_is_what_is_done() -> None:
    rows = [line.split("|")[1:4] for line in PAGE.splitlines() if line.startswith("| TLP:")]
    for labels, abroad, own in ([cell.strip() for cell in row] for row in rows):
        for label in labels.replace("or one that is not known", "unknown").split(", "):
            tlp = None if label == "none" else Tlp.parsed(label)
            assert may_go(tlp, "industry") is may_go(tlp, "government") is (abroad != "no")
            assert may_go(tlp, "industry", received=True) is (abroad == "yes")
            assert may_go(tlp, "own") is (own == "yes")
