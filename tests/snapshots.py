"""Snapshots of what is printed: `WRITE_SNAPSHOTS=1 pytest` writes them anew; read the difference before a commit."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from rich.console import Console

RENDERED = Path(__file__).parent / "fixtures" / "rendered"


class Ascii(StringIO):
    """A stream whose encoding has no line-drawing characters."""

    encoding = "ascii"


def console(width: int = 80, *, ascii_only: bool = False, colour: bool = False) -> tuple[Console, StringIO]:
    """A console as in a pipe, or as on a terminal with colours, and what it writes to."""
    stream = Ascii() if ascii_only else StringIO()
    return Console(
        file=stream,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        _environ={},
    ), stream


def check(name: str, text: str) -> None:
    """Compare with the snapshot of this name."""
    path = RENDERED / name
    if os.environ.get("WRITE_SNAPSHOTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
