"""A suspect's texts, as they are given: JSON lines, or plain text. Touches that file.

.jsonl, .ndjson   an object a line; its `text`, `response`, `answer` or `completion` is what the suspect said, and
                  its `prompt`, if any, what it was asked; or a string a line
anything else     plain text; a line of blanks, or none, stands between two texts
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from stillwatch.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SAID: Final = ("text", "response", "answer", "completion")
_JSON_LINES: Final = frozenset({".jsonl", ".ndjson"})


@dataclass(frozen=True, slots=True)
class Said:
    """One text of the suspect, and what it was asked, if that is known."""

    text: str
    prompt: str = ""


def read_prompts(path: Path) -> tuple[str, ...]:
    """Read prompts to ask: their lines' `prompt`, or as texts are.

    Raises:
        LineageError: as `read_texts`.

    """
    return tuple(each.text for each in read_texts(path, ("prompt", "text")))


def read_texts(path: Path, names: Sequence[str] = SAID) -> tuple[Said, ...]:
    """Read a suspect's texts, in the file's order.

    Args:
        path: the file.
        names: of what is read of an object, first found first.

    Raises:
        LineageError: the file cannot be read, is no UTF-8, or a line is no text; names the line.

    """
    try:
        whole = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LineageError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise LineageError(f"{path}: no UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from error
    if path.suffix.lower() in _JSON_LINES:
        lines = enumerate(whole.split("\n"), start=1)
        return tuple(_said(line, names, f"{path}:{number}") for number, line in lines if line.strip())
    return tuple(Said(text) for text in re.split(r"\n[ \t]*\n", whole) if text.strip())


def _said(line: str, names: Sequence[str], where: str) -> Said:
    try:
        row = msgspec.json.decode(line, type=str | dict[str, object])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise LineageError(f"{where}: {error}; is the file cut off?") from error
    if isinstance(row, str):
        return Said(row)
    text = next((row[name] for name in names if isinstance(row.get(name), str)), None)
    if not isinstance(text, str):
        raise LineageError(f"{where}: none of {', '.join(names)} is there as a string")
    prompt = row.get("prompt")
    return Said(text, prompt if isinstance(prompt, str) else "")
