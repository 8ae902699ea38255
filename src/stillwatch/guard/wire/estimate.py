"""Estimates: how many tokens a text has, from its length. Pure.

A quarter of a token for each character, and 0.375 more for each byte that a character takes beyond its first in
UTF-8. So English has 4 characters a token, Chinese, Japanese and Korean 1, Cyrillic and Greek 1.6: near to what
tokenizers give, and rather too many than too few. Media count as `MEDIA_TOKENS` each, whatever their size.
"""

from __future__ import annotations

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
    eighths, stack = 0, [content]
    while stack:  # no recursion: clients decide how deep it is
        value = stack.pop()
        kind = value.__class__
        if kind is str:
            eighths += _eighths(value)  # type: ignore[arg-type]
        elif kind is dict:
            eighths += _part(value, stack)  # type: ignore[arg-type]
        elif kind is list:
            if value and value[0].__class__ is int:  # type: ignore[index]
                eighths += _PARTS * len(value)  # type: ignore[arg-type]
            else:
                stack.extend(value)  # type: ignore[arg-type]
    return (eighths + _PARTS - 1) // _PARTS


def _eighths(text: str) -> int:
    if text.isascii():  # known without looking
        return MEDIA_TOKENS * _PARTS if text[:5] == "data:" and ";base64," in text[:100] else 2 * len(text)
    return 3 * len(text.encode("utf-8", "replace")) - len(text)


def _part(part: dict[str, object], stack: list[object]) -> int:
    kind = part.get("type")
    if kind.__class__ is str:
        if kind in _MEDIA:
            source = part.get("source")
            if source.__class__ is dict and source.get("type") in _WRITTEN:
                stack.append(source)
                return 0
            return MEDIA_TOKENS * _PARTS
        if kind in _SEALED:
            return 0
    stack.extend(part.values())
    return 0
