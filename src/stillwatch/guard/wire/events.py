"""Server-sent events: cut out of a stream that may be split anywhere. Pure.

HTML Living Standard, section 9.2.6: lines end with CRLF, LF or CR, an event with an empty line; a line that begins with
a colon is a comment; several `data` lines are one text. An event is kept as the bytes that it came in, so that one
that is not edited goes on unchanged.
"""

from __future__ import annotations

import re

_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")  # atomic: a CRLF is one end of a line, never two
_BOM = b"\xef\xbb\xbf"
_LONGEST_END = 4
NOTHING_SAID = b":\n\n"  # a comment, in place of an event that is left out: the stream is seen to be alive


class EventSplitter:
    """Cuts a stream into events; holds no more than the one that is not complete."""

    def __init__(self) -> None:
        self._held = b""
        self._looked_at = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Give the events that are complete, each with the empty line after it."""
        held = self._held + chunk if self._held else chunk
        events, start = list[bytes](), 0
        at = max(self._looked_at - _LONGEST_END, 0)
        lines_end_with_lf = b"\r" not in held
        while True:
            if lines_end_with_lf:
                found = held.find(b"\n\n", at)
                end = found + 2 if found >= 0 else -1
            else:
                match = _END.search(held, at)
                end = match.end() if match else -1
                if end == len(held) and held.endswith(b"\r"):
                    break  # the end of this line may be half of a CRLF
            if end < 0:
                break
            events.append(held[start:end])
            start = at = end
        self._held = held[start:]
        self._looked_at = len(self._held)
        return events

    def rest(self) -> bytes:
        """Give what is left of a stream that ended within an event."""
        held, self._held = self._held, b""
        return held


def data_of(event: bytes) -> bytes:
    """Give an event's data; empty where it has none."""
    if event.startswith(b"data:") and event.find(b"\n") >= len(event) - 2 and b"\r" not in event:
        return event[5:].strip(b" \n")  # as nearly always: one line
    texts = [line[5:].removeprefix(b" ") for line in _lines(event) if line.startswith(b"data:")]
    return b"\n".join(texts)


def with_data(event: bytes, data: bytes) -> bytes:
    """Give an event with other data, which is one line; its name and id stay."""
    end = b"\r\n" if b"\r\n" in event else b"\n" if b"\n" in event else b"\r"
    others = [line for line in _lines(event) if line and not line.startswith((b"data:", b"data"))]
    return end.join([*others, b"data: " + data, b"", b""])


def _lines(event: bytes) -> list[bytes]:
    return event.removeprefix(_BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
