"""What an answer said: tokens, why it ended, its text. Pure.

Without the text nothing of an answer is read but its two ends, and those only when it is over.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stillwatch.exchanges.digest import digest
from stillwatch.guard.wire.body import decode
from stillwatch.guard.wire.events import data_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD, _TAIL = 4096, 8192  # bytes of an answer that are kept
_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")
_FINISHES = (b'"finish_reason"', b'"stop_reason"')
_TRIED = 16  # places at which something is looked for, from the end
_COMPLETED = (b'"status":"completed"', b'"status": "completed"')
_ENDED = {b"response.completed": "completed", b"response.incomplete": "incomplete", b"response.failed": "failed"}


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer said.

    Attributes:
        input_tokens: as the API counted them, those from and to its cache too.
        output_tokens: the same; where a stream ended without telling, the number of its events, which is no more
            than a lower bound.
        finish_reason: why it ended.
        response: its text; only where it was kept.
        answer: the text's digest, as in `exchange/1`; only where it was kept.
        estimated: the API did not tell how many tokens it answered with.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    response: str | None = None
    answer: str | None = None
    estimated: bool = False


class Ends:
    """The beginning and the end of an answer, as it passes."""

    def __init__(self) -> None:
        self._head = b""
        self._tail: deque[bytes] = deque()
        self._length = 0
        self.events = 0

    def feed(self, chunk: bytes) -> None:
        """Take a piece in."""
        if len(self._head) < _HEAD:
            self._head += chunk[: _HEAD - len(self._head)]
        tail = self._tail
        tail.append(chunk)
        self._length += len(chunk)
        self.events += chunk.count(b"data:")
        while self._length - len(tail[0]) >= _TAIL:
            self._length -= len(tail.popleft())

    def said(self, *, stream: bool, text: str | None) -> Said:
        """Say what they tell."""
        tail = b"".join(self._tail)
        found = _usage(tail)
        first = _usage(self._head, forward=True) if stream else {}
        read = first.get("input") if found.get("input") is None else found.get("input")
        said, estimated = found.get("output"), False
        if stream and (said is None or _only_began(tail)):
            said, estimated = max(self.events, said or 0) or None, True
        return Said(read, said, _finish(tail), text or None, digest(text), estimated)


def _only_began(tail: bytes) -> bool:
    """Whether Anthropic's stream was cut off: its first event counts tokens too, those so far."""
    return b"message_start" in tail and b"message_delta" not in tail


def _usage(content: bytes, *, forward: bool = False) -> dict[str, int]:
    if b'"usage"' not in content:  # to look from the front is many times as fast
        return {}
    at = -1 if forward else len(content)
    for _ in range(_TRIED):
        at = content.find(b'"usage"', at + 1) if forward else content.rfind(b'"usage"', 0, at)
        if at < 0:
            break
        counts = _counts(_object_after(content, at + 7))
        if counts:
            return counts
    return {}


def _counts(usage: object) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    found: dict[str, int] = {}
    for name, among in (("input", _INPUT), ("output", _OUTPUT)):
        told = [usage[key] for key in among if _is_count(usage.get(key))]
        if told:
            found[name] = told[0]
    if "input" in found and "prompt_tokens" not in usage:
        found["input"] += sum(usage[key] for key in _CACHED if _is_count(usage.get(key)))
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _object_after(content: bytes, at: int) -> object:
    """Read the object that stands after a colon; None where there is none, or not the whole of it."""
    begin = content.find(b"{", at, at + 16)
    if begin < 0 or content[at:begin].strip() != b":":
        return None
    end = begin
    for _ in range(_TRIED):
        end = content.find(b"}", end) + 1
        if end == 0:
            return None
        inside = content[begin:end]
        if inside.count(b"{") == inside.count(b"}"):
            try:
                return decode(inside)
            except ValueError:
                return None
    return None


def _finish(tail: bytes) -> str | None:
    for name in _FINISHES:
        at = len(tail) if name in tail else 0  # to look from the front is many times as fast
        for _ in range(_TRIED):
            at = tail.rfind(name, 0, at)
            if at < 0:
                break
            value = tail[at + len(name) :][:80].lstrip(b" :")
            if value.startswith(b'"'):
                return value[1:].partition(b'"')[0].decode("utf-8", "replace")
    at = tail.find(b'"incomplete_details"')
    reason = _object_after(tail, at + 20) if at >= 0 else None
    if isinstance(reason, dict) and isinstance(reason.get("reason"), str):
        return str(reason["reason"])
    for name, ended in _ENDED.items():
        if name in tail:
            return ended
    return "completed" if any(name in tail for name in _COMPLETED) else None


# ---------------------------------------------------------------- text


class Text:
    """An answer's text, put together from what passes: the first choice's, as the logs of these APIs are read."""

    def __init__(self) -> None:
        self._parts: dict[object, list[str]] = {}

    def events(self, events: Iterable[bytes]) -> None:
        """Take events in."""
        for event in events:
            data = data_of(event)
            if data[:1] != b"{":
                continue
            try:
                said = decode(data)
            except ValueError:
                continue
            for part, text in _deltas(said):
                self._parts.setdefault(part, []).append(text)

    def whole(self, content: bytes) -> None:
        """Take a whole answer in."""
        try:
            answer = decode(content)
        except ValueError:
            return
        for number, text in enumerate(_texts(answer)):
            self._parts[number] = [text]

    def __str__(self) -> str:
        return "\n".join("".join(pieces) for pieces in self._parts.values())


def _deltas(event: dict[str, Any]) -> Iterable[tuple[object, str]]:
    kind, delta = event.get("type"), event.get("delta")
    if kind == "response.output_text.delta" and isinstance(delta, str):
        yield f"{event.get('output_index')}.{event.get('content_index')}", delta
    elif kind == "content_block_delta" and isinstance(delta, dict) and isinstance(delta.get("text"), str):
        yield str(event.get("index")), delta["text"]
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index", 0) == 0:
            piece = choice["delta"].get("content") if isinstance(choice.get("delta"), dict) else choice.get("text")
            if isinstance(piece, str):
                yield "", piece


def _texts(answer: object) -> Iterable[str]:
    if not isinstance(answer, dict):
        return
    choices, output = answer.get("choices"), answer.get("output")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        message = choices[0].get("message")
        yield from _content(message.get("content") if isinstance(message, dict) else choices[0].get("text"))
    for item in output if isinstance(output, list) else ():
        if isinstance(item, dict) and item.get("type", "message") == "message":
            yield from _content(item.get("content"))
    if answer.get("type") == "message":
        yield from _content(answer.get("content"))


def _content(content: object) -> Iterable[str]:
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") in ("text", "output_text") and isinstance(part.get("text"), str):
            yield part["text"]
