"""The pages that people read: their code blocks, run as a reader would, and their links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import stillwatch

ROOT = Path(__file__).parent.parent
INSTALL = "python3 -m pip install"


def blocks(page: Path, language: str) -> list[str]:
    """Contents of a page's fenced blocks in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def documented_fields(page: Path) -> dict[str, dict[str, str]]:
    """Read from a page's tables: for each part its fields, and for each field its default."""
    parts: dict[str, dict[str, str]] = {}
    part = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"### `(.+)`", line):
            part = heading[1]
            parts[part] = {}
        elif line.startswith("## "):
            part = ""
        elif part and (row := re.match(r"\| `(\w+)` \| (.*?) \|", line)):
            parts[part][row[1]] = row[2]
    return parts


class Shell:
    """A reader's shell: a folder, a home of its own, and `stillwatch` among the commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        commands = folder / "commands"
        for made in (self.folder, commands, folder / "home"):
            made.mkdir()
        for name, command in (("stillwatch", f"{sys.executable} -m stillwatch"), ("python3", sys.executable)):
            (commands / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (commands / name).chmod(0o755)
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"},
            "PATH": f"{commands}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "COLUMNS": "80",
            "PYTHONPATH": str(Path(stillwatch.__file__).parent.parent),
        }

    def run(self, block: str) -> str:
        """Run a block, but for what installs; every line must succeed. Gives what it printed."""
        lines = [line for line in block.splitlines() if not line.startswith(INSTALL)]
        done = subprocess.run(  # noqa: S603  commands of our own pages
            ["/bin/bash", "-euo", "pipefail", "-c", "\n".join(lines)],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def broken_links(page: Path) -> list[str]:
    """Links of a page that lead to no file, or to no heading of one."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [link for link in found if "://" not in link and not _leads(page, link)]


def _leads(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name) if name else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """Anchors of headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
