"""What a list of messages says: system prompt, last prompt, turns, what the client sent back. Pure.

Reads the shapes of OpenAI chat completions and responses, Anthropic messages and OpenTelemetry's `parts` alike, since
gateways mix them. Text is what a person would read: pictures, tool calls and reasoning are not text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stillwatch.exchanges.dialects.dialect import Row, mapping, sequence
from stillwatch.exchanges.digest import digest

_SYSTEM: Final = ("system", "developer")
_TEXT_PARTS: Final = ("text", "input_text", "output_text")  # no sets: what is looked up may be anything
_HANDLED: Final = ("type", "thinking_blocks", "reasoning_details")
REDACTED: Final = frozenset({"redacted-by-litellm", "[redacted]", "REDACTED"})


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a request's messages say.

    Attributes:
        system: text of the system and developer messages.
        prompt: text of the last user message that has any.
        turns: messages, system and developer messages not counted, so that formats that keep those apart agree.
        previous: digest of the last assistant turn with text that the client sent back.
        reasoning_handle: the last reasoning block or signature that the client sent back.

    """

    system: str | None
    prompt: str | None
    turns: int
    previous: str | None
    reasoning_handle: str | None

    def columns(self) -> list[tuple[str, object]]:
        """Return the same as columns of `exchange/1`."""
        return [
            ("system", self.system),
            ("prompt", self.prompt),
            ("turns", self.turns or None),
            ("previous", self.previous),
            ("reasoning_handle", self.reasoning_handle),
        ]


def conversation(messages: object, system: object = None) -> Conversation:
    """Read a request's messages.

    Args:
        messages: a list of messages, a single text (one user message), or JSON text of either.
        system: a system prompt kept apart from the messages.

    """
    if isinstance(messages, str) and not sequence(messages):
        messages = [{"role": "user", "content": messages}]
    systems = [text] if (text := content_text(system)) else []
    prompt = reply = handle = None
    turns = 0
    for item in sequence(messages):
        message = mapping(item) if not isinstance(item, str) else {"role": "user", "content": item}
        role = message.get("role")
        handle = _handle(message) or handle
        if not isinstance(role, str):
            continue
        content = message.get("content", message.get("parts"))
        if isinstance(content, str) and content in REDACTED:
            continue  # redaction leaves one message, whatever there was
        text = content_text(content)
        if role in _SYSTEM:
            systems += [text] if text else []
            continue
        turns += 1
        if role == "user":
            prompt = text or prompt
        elif role in ("assistant", "model"):
            reply = text or reply
    return Conversation("\n".join(systems) or None, prompt, turns, digest(reply), handle)


def content_text(content: object) -> str | None:
    """Return the text of a message's content: a text, or the text parts of a list of parts, a line each."""
    if isinstance(content, str) and not (content[:1] == "[" and sequence(content)):
        return None if content in REDACTED else content or None
    texts = []
    for part in sequence(content) if not isinstance(content, dict) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS:
            text = part.get("text", part.get("content"))
            texts += [text] if isinstance(text, str) else []
    return "\n".join(texts) or None


def _handle(message: Row) -> str | None:
    """Return a reasoning block that only the provider can read, sent back by the client."""
    content = message.get("content", message.get("parts"))
    if not isinstance(content, list) and not any(name in message for name in _HANDLED):
        return None  # as nearly always
    blocks = [message, *sequence(message.get("thinking_blocks")), *sequence(message.get("reasoning_details"))]
    blocks += content if isinstance(content, list) else []
    found = None
    for block in blocks:
        if not isinstance(block, dict):
            continue
        kind = block.get("type")
        if kind == "thinking":
            found = block.get("signature") or found
        elif kind == "redacted_thinking":
            found = block.get("data") or found
        elif kind in ("reasoning", "reasoning.encrypted"):
            found = block.get("encrypted_content") or block.get("signature") or block.get("data") or found
    return found if isinstance(found, str) else None
