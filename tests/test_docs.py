from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.documents import ROOT, Shell, blocks, broken_links

import stillwatch

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_reached_from_the_readme(page: Path) -> None:
    reached = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page.parent.name == "decisions" or page.name == "README.md" or f"](docs/{page.name})" in reached


def test_the_quick_start_runs_as_it_stands(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    install, *steps = blocks(DOCS / "quickstart.md", "sh")
    shell.run(install)
    found = json.loads((shell.folder / "stillwatch-demo" / "findings.json").read_bytes())
    account = found["campaigns"][0]["accounts"][0]["account"]
    printed = [shell.run(step.replace("ACCOUNT", account)) for step in steps]
    assert any(f"Why {account} is in" in page for page in printed)
    assert any("exit code 1" in page for page in printed)


def test_the_library_page_runs_as_it_stands(tmp_path: Path) -> None:
    code = "\n".join(blocks(DOCS / "library.md", "python"))
    done = subprocess.run(  # noqa: S603  code of our own page
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(stillwatch.__file__).parent.parent), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "broken.jsonl 1 time"


def test_the_library_page_names_every_public_verb() -> None:
    page = (DOCS / "library.md").read_text(encoding="utf-8")
    for name in stillwatch.__all__:
        if name not in {"Baseline", "Findings"}:
            assert f"stillwatch.{name}" in page
