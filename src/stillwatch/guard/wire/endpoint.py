"""Endpoints: which API and which operation a path means. Pure.

A path is matched by how it ends, since gateways put prefixes before it (`/openai/v1/...`, Azure's
`/openai/deployments/MODEL/...`). Case, doubled and trailing slashes, `%2F` and dot segments make no difference: some
upstream may read past them (RFC 3986 section 6.2.2), and none must be reached by a spelling that is not read here.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple
from urllib.parse import unquote

Api = Literal["openai", "anthropic"]

_NO_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
_REMEMBERED = 512
_NAMING = ("deployments", "engines")  # what stands before a model's name in a path


class Endpoint(NamedTuple):
    """One endpoint.

    Attributes:
        api: whose form requests, answers and errors have.
        operation: as the fact `request.operation` has it; `other` where nothing is asked of a model.
        shape: how the path ends, where bodies of its kind are known; `by body` where only the body tells.
        model: that the path names.
        read: whether requests bring a body that is read.
    """

    api: Api
    operation: str
    shape: str
    model: str
    read: bool


_BY_END: dict[tuple[str, ...], tuple[Api, str]] = {
    ("chat", "completions"): ("openai", "chat"),
    ("fine_tuning", "jobs"): ("openai", "fine-tune"),
    ("messages", "count_tokens"): ("anthropic", "other"),
    ("messages", "batches"): ("anthropic", "batch"),
    ("completions",): ("openai", "completion"),
    ("responses",): ("openai", "chat"),
    ("embeddings",): ("openai", "embeddings"),
    ("fine-tunes",): ("openai", "fine-tune"),
    ("batches",): ("openai", "batch"),
    ("invocations",): ("openai", "by body"),
}


@functools.lru_cache(maxsize=_REMEMBERED)
def endpoint(method: str, path: str) -> Endpoint:
    """Say what a path means, asked by this method."""
    spelled = _segments(path)
    parts = tuple(part.lower() for part in spelled)
    api: Api = "anthropic" if "anthropic" in parts or _is_messages(parts) else "openai"
    if method.upper() in _NO_BODY:
        return Endpoint(api, "other", "", "", read=False)
    model = next((spelled[at + 1] for at, part in enumerate(parts[:-2]) if part in _NAMING), "")
    for length in (2, 1):
        found = _BY_END.get(parts[-length:])
        if found is not None:
            return Endpoint(*found, "/".join(parts[-length:]), model, read=True)
    if _is_messages(parts) and parts[-1] == "messages":
        return Endpoint("anthropic", "chat", "messages", model, read=True)
    return Endpoint(api, "other", "", "", read=False)


def _segments(path: str) -> list[str]:
    segments: list[str] = []
    for part in unquote(path.partition("?")[0]).split("/"):
        if part == "..":
            del segments[-1:]
        elif part not in ("", "."):
            segments.append(part)
    return segments


def _is_messages(parts: tuple[str, ...]) -> bool:
    """Whether it is of Anthropic's messages, not of the messages that OpenAI's threads have."""
    if "messages" not in parts:
        return False
    at = parts.index("messages")
    return at == 0 or parts[at - 1] in ("v1", "anthropic")
