"""Estimates: how many tokens a text has, from its length. Pure.

A quarter of a token for each character, and 0.375 more for each byte that a character takes beyond its first in
UTF-8. So English has 4 characters a token, Chinese, Japanese and Korean 1, Cyrillic and Greek 1.6: near to what
tokenizers give, and rather too many than too few. Media count as `MEDIA_TOKENS` each, whatever their size.
"""

from __future__ import annotations

from typing import Any

MEDIA_TOKENS = 1000
_PARTS = 8  # estimates are added up in eighths of a token
_MEDIA = frozenset({
    "image", "image_url", "input_image", "audio", "audio_url", "input_audio", "video", "video_url", "file",
    "input_file", "document",
})  # fmt: skip
_SEALED = frozenset({"redacted_thinking", "reasoning.encrypted"})  # what only the provider can read
_WRITTEN = ("text", "content")  # kinds of an Anthropic document that are text


def tokens(content: object) -> int:
    """Estimate the tokens of whatever stands in a body: texts, messages, tools, token ids."""
    ascii_texts, eighths, stack = 0, 0, [content]
    while stack:  # no recursion: clients decide how deep it is
        value: Any = stack.pop()
        kind = value.__class__
        if kind is str:
            if value.isascii() and value[:5] != "data:":  # known without looking at it
                ascii_texts += len(value)
            else:
                eighths += _eighths(value)
        elif kind is dict:
            if value.get("type") is None:  # as nearly all messages
                stack += value.values()
            else:
                eighths += _part(value, stack)
        elif kind is list:
            if value and value[0].__class__ is int:
                eighths += _PARTS * len(value)
            else:
                stack += value
    return (2 * ascii_texts + eighths + _PARTS - 1) // _PARTS


def _eighths(text: str) -> int:
    if text.startswith("data:") and ";base64," in text[:100]:
        return MEDIA_TOKENS * _PARTS
    return 3 * len(text.encode("utf-8", "replace")) - len(text)


def _part(part: dict[str, Any], stack: list[object]) -> int:
    kind = part["type"]
    if kind.__class__ is str:
        if kind in _MEDIA:
            source = part.get("source")
            if source.__class__ is dict and source.get("type") in _WRITTEN:
                stack.append(source)
                return 0
            return MEDIA_TOKENS * _PARTS
        if kind in _SEALED:
            return 0
    stack += part.values()
    return 0
