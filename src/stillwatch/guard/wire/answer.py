"""Answers: placeholder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stillwatch.decisions.ruling import Edit
    from stillwatch.guard.wire.asked import Asked


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer said."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    response: str | None = None
    answer: str | None = None


class AnswerReader:
    """One answer."""

    def __init__(self, asked: Asked, edits: Sequence[Edit], *, content_type: str, keep_text: bool = False) -> None:
        self.changes = False

    def feed(self, chunk: bytes) -> bytes:
        """Read on."""
        return chunk

    def end(self) -> bytes:
        """Give what is left."""
        return b""

    def said(self) -> Said:
        """Say it."""
        return Said()
