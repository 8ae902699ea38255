"""Closing: probabilities and raw reasoning taken out of answers, whole ones and events of streams. Pure.

Whatever stands under a name that probabilities or reasoning have is closed, wherever it stands, so that forms that are
not known here are closed too; but what a model hands to a tool, and what the client's own settings are, is not looked
into. What clients must send back for the conversation to go on stays: signatures of thinking, sealed thinking, and
`encrypted_content`. A thinking block without its text is what Anthropic's own `display: omitted` gives.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from stillwatch.guard.wire.body import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stillwatch.decisions.ruling import Edit

Verdict = Literal["same", "changed", "dropped"]
Object = dict[str, Any]

_PROBABILITIES = frozenset({
    "logprobs", "prompt_logprobs", "token_logprobs", "top_logprobs", "output_token_logprobs", "input_token_logprobs",
    "output_top_logprobs", "input_top_logprobs", "output_token_ids_logprobs", "input_token_ids_logprobs",
    "hidden_states",
})  # fmt: skip
_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_text")  # as text: in messages and deltas
_NOT_OURS = frozenset({
    "input", "arguments", "metadata", "tools", "parameters", "schema", "json_schema", "tool_choice", "instructions",
})  # fmt: skip
_REASONED = ("reasoning_text", "summary_text", "reasoning", "thinking")  # kinds of parts whose `text` is reasoning
_SUBSTANCE = (
    "content", "tool_calls", "function_call", "refusal", "audio", "role", "reasoning_details", "thinking_blocks",
    "provider_specific_fields",
)  # fmt: skip
_LOGPROB = b"logprob"
_NO_LOGPROBS = (b'"logprobs":null', b'"logprobs": null')  # which most events of streams say
_SPELT = ("logprobs", "token_ids")  # of a choice: they spell its reasoning out too
_AFTER = ("content", "tool_calls", "function_call", "refusal", "text")  # what comes once reasoning has ended


class Words:
    """Counts words of a text that comes in pieces."""

    __slots__ = ("count", "inside", "name")

    def __init__(self) -> None:
        self.count, self.inside, self.name = 0, False, ""

    def take(self, text: str) -> None:
        """Read on."""
        if text:
            self.count += len(text.split()) - (self.inside and not text[0].isspace())
            self.inside = not text[-1].isspace()


class Closer:
    """Closes one answer, as the edits on answers say; it remembers how much reasoning a stream has had."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._no_logprobs = False
        self._alternatives: int | None = None
        self._no_reasoning = False
        self._summary: str | None = None
        for edit in edits:
            if edit.on == "answer":
                self._take(edit)
        shows = self._no_logprobs or self._alternatives is not None
        self._marks = ((_LOGPROB, b"hidden_states") if shows else ()) + (
            (b"reasoning", b"thinking") if self._no_reasoning else ()
        )
        self._said: dict[object, Words] = {}
        self._quiet = False  # within a stream a summary is put where reasoning ends, not into each of its pieces

    def _take(self, edit: Edit) -> None:
        if edit.field == "reasoning":
            self._no_reasoning = True
            self._summary = edit.text if edit.action == "summarise" else None
        elif edit.field == "logprobs":
            self._no_logprobs = True
        elif edit.field == "top_logprobs":
            self._alternatives = math.floor(edit.bound or 0) if edit.action == "clamp" else 0

    @property
    def closes(self) -> bool:
        """Whether there is anything to close."""
        return bool(self._marks)

    def concerns(self, content: bytes) -> bool:
        """Whether there may be something to close in this; where not, it need not be read."""
        if self._said:
            return True
        for mark in self._marks:
            found = content.count(mark)
            if found and (mark != _LOGPROB or found != sum(map(content.count, _NO_LOGPROBS))):
                return True
        return False

    def whole(self, answer: object) -> bool:
        """Close a whole answer in place; say whether it was changed."""
        self._quiet = False
        changed = False
        choices = answer.get("choices") if isinstance(answer, dict) and self._no_reasoning else None
        for choice in choices if isinstance(choices, list) else ():
            message = choice.get("message") if isinstance(choice, dict) else None
            if isinstance(message, dict) and any(isinstance(message.get(name), str) for name in _REASONING):
                changed |= _unspelt(choice)
        return self._walk(answer) or changed

    # ------------------------------------------------------------ streams

    def event(self, event: object) -> tuple[Verdict, list[Object]]:
        """Close an event of a stream in place.

        Returns:
            What became of it, and events that go before it.

        """
        if not isinstance(event, dict):
            return ("changed" if self._walk(event) else "same"), []
        kind, before = event.get("type"), list[Object]()
        self._quiet = not (isinstance(kind, str) and kind.startswith("response."))
        if self._no_reasoning:
            if isinstance(kind, str):
                if self._drops(kind, event):
                    return "dropped", []
                before = self._ended(kind, event)
            elif isinstance(event.get("choices"), list):
                return self._chat(event), []
        return ("changed" if self._walk(event) else "same"), before

    def _drops(self, kind: str, event: Object) -> bool:
        """Take in an event that is nothing but reasoning."""
        if kind.startswith("response.reasoning"):
            return True
        if kind.startswith("response.content_part."):
            return _kind(event.get("part")) == "reasoning_text"
        if kind == "content_block_delta" and _kind(event.get("delta")) == "thinking_delta":
            self._words(event.get("index")).take(_string(event["delta"].get("thinking")))
            return True
        return False

    def _ended(self, kind: str, event: Object) -> list[Object]:
        """Give the summary where Anthropic's thinking ends: with its signature, or without one."""
        index = event.get("index")
        ends = kind == "content_block_stop" or _kind(event.get("delta")) == "signature_delta"
        words = self._said.pop(_key(index), None) if ends else None
        if words is None or self._summary is None:
            return []
        delta = {"type": "thinking_delta", "thinking": self._summary_of(words.count)}
        return [{"type": "content_block_delta", "index": index, "delta": delta}]

    def _chat(self, event: Object) -> Verdict:
        choices = [choice for choice in event["choices"] if isinstance(choice, dict)]
        took_all, changed = bool(choices), False
        for choice in choices:
            delta = choice.get("delta")
            took = isinstance(delta, dict) and self._take_reasoning(choice, delta)
            changed |= took or (isinstance(delta, dict) and self._put_summary(choice, delta))
            took_all &= took
        changed |= self._walk(event)
        if took_all and not event.get("usage") and not any(map(_says, choices)):
            return "dropped"
        return "changed" if changed else "same"

    def _take_reasoning(self, choice: Object, delta: Object) -> bool:
        took = False
        for name in _REASONING:
            text = delta.get(name)
            if isinstance(text, str):
                del delta[name]
                if text and not took:  # some servers say it under two names
                    words = self._words(choice.get("index"))
                    words.take(text)
                    words.name = name
                took = True
        if took:
            _unspelt(choice)
        return took

    def _put_summary(self, choice: Object, delta: Object) -> bool:
        words = self._said.get(_key(choice.get("index")))
        if words is None:
            return False
        if choice.get("finish_reason") is None and not any(delta.get(name) for name in _AFTER):
            return False
        del self._said[_key(choice.get("index"))]
        if self._summary is None or not words.count:
            return False
        delta[words.name] = self._summary_of(words.count)
        return True

    def _words(self, index: object) -> Words:
        return self._said.setdefault(_key(index), Words())

    def _summary_of(self, words: int) -> str:
        return (self._summary or "").replace("{words}", str(words))

    # ------------------------------------------------------------ anything

    def _walk(self, answer: object) -> bool:
        changed, stack = False, [answer]
        while stack:
            value = stack.pop()
            if isinstance(value, list):
                stack.extend(item for item in value if isinstance(item, dict | list))
            elif isinstance(value, dict):
                changed |= self._close(value)
                stack.extend(
                    item for name, item in value.items() if isinstance(item, dict | list) and name not in _NOT_OURS
                )
        return changed

    def _close(self, part: Object) -> bool:
        changed = False
        if self._no_logprobs:
            for name in part.keys() & _PROBABILITIES:
                changed |= _emptied(part, name)
        elif self._alternatives is not None:
            for name in part.keys() & _PROBABILITIES:
                changed |= _fewer(part, name, self._alternatives)
        return (self._close_reasoning(part) or changed) if self._no_reasoning else changed

    def _close_reasoning(self, part: Object) -> bool:
        kind = part.get("type")
        if kind == "reasoning" and ("summary" in part or "content" in part):
            return self._close_item(part)
        changed = False
        for name in (*_REASONING, "text") if kind in _REASONED else _REASONING:
            text = part.get(name)
            if text and isinstance(text, str | list):
                changed |= self._close_text(part, name, text)
        details = part.get("reasoning_details")
        if isinstance(details, list) and details:
            part["reasoning_details"] = [item for item in details if _kind(item) == "reasoning.encrypted"]
            changed |= part["reasoning_details"] != details
        return changed

    def _close_text(self, part: Object, name: str, text: str | list[Any]) -> bool:
        summarise = self._summary is not None and not self._quiet
        if isinstance(text, list):  # Mistral's thinking is a list of texts
            words = sum(len(_string(item.get("text")).split()) for item in text if isinstance(item, dict))
            put: object = [{"type": "text", "text": self._summary_of(words)}] if summarise else []
        elif self._summary is not None and self._is_summary(text):
            put = text
        elif summarise:
            put = self._summary_of(len(text.split()))
        else:
            put = "" if part.get("type") in (*_REASONED, "thinking_delta") else None
        part[name] = put
        return bool(put != text)

    def _is_summary(self, text: str) -> bool:
        """Whether it is a summary that was put there already."""
        begin, _, end = (self._summary or "").partition("{words}")
        middle = text[len(begin) : len(text) - len(end)]
        return text.startswith(begin) and text.endswith(end) and (middle.isdecimal() or text == self._summary)

    def _close_item(self, item: Object) -> bool:
        """Close a reasoning item of the responses API; what it is known by, and its sealed content, stay."""
        texts = [part for name in ("content", "summary") if isinstance(item.get(name), list) for part in item[name]]
        written = [_string(part.get("text")) for part in texts if isinstance(part, dict)]
        changed = bool(texts) or bool(item.get("content"))
        item.pop("content", None)
        item["summary"] = []
        if self._summary is not None and any(written):
            words = sum(len(text.split()) for text in written)
            item["summary"] = [{"type": "summary_text", "text": self._summary_of(words)}]
        return changed


def written(event: Object) -> bytes:
    """Write an event that is Anthropic's own: those bear their type as their name."""
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + encode(event) + b"\n\n"


def _says(choice: Object) -> bool:
    """Whether a choice of a stream says anything besides."""
    delta = choice.get("delta")
    return choice.get("finish_reason") is not None or not isinstance(delta, dict) or any(map(delta.get, _SUBSTANCE))


def _unspelt(choice: Object) -> bool:
    spelt = [name for name in _SPELT if choice.get(name) is not None]
    for name in spelt:
        choice[name] = None
    return bool(spelt)


def _emptied(part: Object, name: str) -> bool:
    value = part[name]
    if isinstance(value, list):
        part[name] = []
        return bool(value)
    if isinstance(value, int) and not isinstance(value, bool):
        part[name] = 0  # how many were asked for, said again
        return value != 0
    part[name] = None
    return value is not None


def _fewer(part: Object, name: str, most: int) -> bool:
    value = part[name]
    if name in ("logprobs", "token_logprobs"):
        return False  # what was chosen is shown; alternatives are within it
    if isinstance(value, int) and not isinstance(value, bool) and name == "top_logprobs":
        part[name] = min(value, most)
        return value > most
    if isinstance(value, dict):  # one token's, in an event
        part[name] = _likeliest(value, most, None)
    elif not isinstance(value, list) or name not in ("top_logprobs", "prompt_logprobs"):
        return _emptied(part, name)  # forms in which what was chosen cannot be told from alternatives
    elif any(isinstance(item, dict) and "logprob" not in item for item in value):  # a mapping for each token
        chosen = part.get("tokens")
        names = chosen if isinstance(chosen, list) and len(chosen) == len(value) else [None] * len(value)
        part[name] = [
            _likeliest(item, most, token) if isinstance(item, dict) else item
            for item, token in zip(value, names, strict=True)
        ]
    else:  # one token's, the likeliest first
        part[name] = value[:most]
    return bool(part[name] != value)


def _likeliest(probabilities: Object, most: int, chosen: object) -> Object:
    """Keep the likeliest alternatives, and the token that was chosen; it is the first where its name is not known."""
    names = list(probabilities)
    kept = set(sorted(names, key=lambda name: -_probability(probabilities[name]))[:most])
    kept.add(chosen if isinstance(chosen, str) and chosen in probabilities else next(iter(names), ""))
    return {name: value for name, value in probabilities.items() if name in kept}


def _probability(value: object) -> float:
    if isinstance(value, dict):
        value = value.get("logprob")
    return value if isinstance(value, int | float) else -math.inf


def _kind(part: object) -> object:
    return part.get("type") if isinstance(part, dict) else None


def _key(index: object) -> object:
    return index if isinstance(index, int | str) else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
