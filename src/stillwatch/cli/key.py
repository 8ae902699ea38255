"""The key that a command names marks with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path


def key_in(key_file: Path | None) -> bytes:
    """Give the key in the file, or in its usual place; made on first use, which is said."""
    from stillwatch.report.key_file import FIRST_USE, default_key_path, load_or_make_key

    path = default_key_path() if key_file is None else key_file
    first_use = not path.exists()
    key = load_or_make_key(path)
    if first_use:
        say(FIRST_USE.format(path=path))
    return key
