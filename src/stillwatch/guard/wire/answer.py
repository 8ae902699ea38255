"""Answers: read as they pass, and closed where a ruling says so. Pure.

An answer that is not edited passes as the bytes that it came in. An edited stream is edited event by event, and no
more is held back than the event that is not complete; an edited JSON answer is held until it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stillwatch.guard.wire.body import decode, encode
from stillwatch.guard.wire.closing import Closer, written
from stillwatch.guard.wire.events import NOTHING_SAID, EventSplitter, data_of, with_data
from stillwatch.guard.wire.refused import error_body
from stillwatch.guard.wire.said import Ends, Said, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stillwatch.decisions.ruling import Edit
    from stillwatch.guard.wire.asked import Asked

Form = Literal["json", "lines", "events", "other", "unknown"]

_LINES = ("jsonl", "ndjson", "json-lines", "json-seq")
_BINARY = ("audio/", "image/", "video/", "font/", "multipart/")
_SPACE = b" \t\r\n"
_NOT_JSON = (b"[DONE]", b"")
_UNREADABLE = "The answer could not be read, and is not shown as it may say what this account may not see"

__all__ = ["AnswerReader", "Said"]


class AnswerReader:
    """One answer.

    Attributes:
        changes: whether the answer may be altered, so that its length is not known beforehand.
    """

    def __init__(self, asked: Asked, edits: Sequence[Edit], *, content_type: str, keep_text: bool = False) -> None:
        """Begin an answer.

        Args:
            asked: what it answers.
            edits: all of the ruling; those on the request are left aside.
            content_type: as the answer's header has it; where it tells nothing, the first byte does.
            keep_text: whether `said` tells the text too.

        """
        self._api = asked.api
        self._closer = Closer(edits)
        self.changes = self._closer.closes
        self._form = _form(content_type)
        self._ends = Ends()
        self._text = Text() if keep_text else None
        self._splitter = EventSplitter()
        self._held: list[bytes] = []
        self._reads = self.changes or keep_text

    def feed(self, chunk: bytes) -> bytes:
        """Take in a piece of the answer.

        Returns:
            What may go on to the client.

        """
        self._ends.feed(chunk)
        if not self._reads:
            return chunk
        if self._form == "unknown":
            self._form = _form_by_first_byte(chunk)
        if self._form == "events":
            return self._events(chunk)
        if self._form == "lines":
            return self._lines(chunk)
        if self._form in ("json", "unknown"):
            self._held.append(chunk)
            return b"" if self.changes else chunk
        return chunk

    def end(self) -> bytes:
        """Say that the answer is over, or was broken off.

        Returns:
            What is left for the client.

        """
        if self._form == "events":
            rest = self._splitter.rest()
            return self._event(rest, complete=False) if self.changes and rest else b""
        content = b"".join(self._held)
        self._held.clear()
        if self._text is not None and self._form == "json":
            self._text.whole(content)
        if not self.changes:
            return b""
        return self._closed(content)

    def said(self) -> Said:
        """Say what the answer said, as far as it came."""
        text = None if self._text is None else str(self._text)
        return self._ends.said(stream=self._form == "events", text=text)

    def _events(self, chunk: bytes) -> bytes:
        events = self._splitter.feed(chunk)
        if self._text is not None:
            self._text.events(events)
        return b"".join(map(self._event, events)) if self.changes else chunk

    def _event(self, event: bytes, *, complete: bool = True) -> bytes:
        if not self._closer.concerns(event):
            return event
        data = data_of(event)
        if data in _NOT_JSON:
            return event
        try:
            said = decode(data)
        except ValueError:  # what it shows cannot be told
            return NOTHING_SAID if complete else b""
        verdict, before = self._closer.event(said)
        ahead = b"".join(map(written, before))
        if verdict == "dropped":
            return ahead + NOTHING_SAID
        return ahead + (event if verdict == "same" else with_data(event, encode(said)))

    def _lines(self, chunk: bytes) -> bytes:
        """Close JSON objects that stand on a line each, as the results of a batch do."""
        if not self.changes:
            return chunk
        before, end, after = (b"".join(self._held) + chunk).rpartition(b"\n")
        self._held = [after]
        return b"\n".join(map(self._closed, before.split(b"\n"))) + end

    def _closed(self, content: bytes) -> bytes:
        if not self._closer.concerns(content):
            return content
        try:
            answer = decode(content)
        except ValueError:
            return error_body(self._api, 502, _UNREADABLE, id="", code="unreadable_answer")
        return encode(answer) if self._closer.whole(answer) else content


def _form(content_type: str) -> Form:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return "events"
    if any(name in kind for name in _LINES):
        return "lines"
    if "json" in kind:
        return "json"
    return "other" if kind.startswith(_BINARY) else "unknown"


def _form_by_first_byte(chunk: bytes) -> Form:
    begins = chunk.lstrip(_SPACE)[:1]
    if not begins:
        return "unknown"
    if begins in b"{[":
        return "json"
    return "events" if begins in b"dei:r\xef" else "other"
