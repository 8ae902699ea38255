"""Editing: a request's body after what a ruling says, and what the engine is told. Pure.

What is not edited goes on byte for byte; where nothing is to be changed, the whole body does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from stillwatch.guard.wire.body import with_changes
from stillwatch.guard.wire.fields import (
    ALTERNATIVES,
    BIAS_CODE,
    ENGINE_SETTINGS,
    LISTED_LOGPROBS,
    MORE_HEADERS,
    OFFERED,
    ONLY_TOKENS,
    REASONING_SHOWN,
    SHOWS,
    TOKEN_BOUNDS,
    Body,
    alternatives,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stillwatch.decisions.ruling import Edit, Instructions
    from stillwatch.guard.wire.asked import Asked

Engine = Literal["headers", "vllm"]

_OURS = "stillwatch"
_LOGPROBS_INCLUDED = "message.output_text.logprobs"
_USUAL_COMPLETION = 16  # tokens of a completion where the client sets no bound, in both OpenAI's API and vLLM's
_LEAST_THINKING = 1024  # tokens, as Anthropic's API has it
_HARD_BIAS = 100.0
_TOKEN_BOUND = {
    "chat/completions": "max_completion_tokens",
    "completions": "max_tokens",
    "responses": "max_output_tokens",
    "messages": "max_tokens",
}


class _Absent:
    """Stands for a member that is left out."""


_ABSENT = _Absent()


class _Draft:
    """A body, and what is to be changed of it."""

    def __init__(self, body: Body, shape: str) -> None:
        self._body, self.shape = body, shape
        self.changes: dict[str, object] = {}

    def __contains__(self, name: str) -> bool:
        return self.changes[name] is not _ABSENT if name in self.changes else name in self._body

    def get(self, name: str) -> Any:  # noqa: ANN401 - whatever the client wrote
        value = self.changes.get(name, self._body.get(name))
        return None if value is _ABSENT else value

    def set(self, name: str, value: object) -> None:
        self.changes[name] = value

    def drop(self, *names: str) -> None:
        for name in names:
            if name in self:
                self.changes[name] = _ABSENT

    def names(self) -> list[str]:
        return [name for name in self._body if name in self]

    def applied(self) -> Body:
        kept = {**self._body, **self.changes}
        return {name: value for name, value in kept.items() if value is not _ABSENT}


def edited(asked: Asked, edits: Sequence[Edit], instructions: Instructions, *, engine: Engine) -> bytes | None:
    """Write the body that is sent on.

    Args:
        asked: the request.
        edits: all of the ruling; those on the answer are made by `AnswerReader`, but a client that asks for reasoning
            to be written into the answer's text is no longer heard.
        instructions: what the engine is told.
        engine: `vllm` takes instructions from the body's `vllm_xargs`; `headers` from headers alone.

    Returns:
        The new body; None where nothing changes.

    """
    if asked.body is None:
        return None
    if asked.shape == "messages/batches":
        return _edited_batch(asked, edits)
    draft = _Draft(asked.body, asked.shape)
    _apply(draft, edits)
    if engine == "vllm" and asked.operation in ("chat", "completion"):
        _instruct(draft, instructions)
    return with_changes(asked.raw, draft.changes, absent=_ABSENT) if draft.changes else None


def _edited_batch(asked: Asked, edits: Sequence[Edit]) -> bytes | None:
    drafts = [_Draft(part, "messages") for part in asked.parts]
    for draft in drafts:
        _apply(draft, edits)
    if not any(draft.changes for draft in drafts):
        return None
    requests = (asked.body or {})["requests"]
    together = [{**request, "params": draft.applied()} for request, draft in zip(requests, drafts, strict=True)]
    return with_changes(asked.raw, {"requests": together}, absent=_ABSENT)


def _apply(draft: _Draft, edits: Sequence[Edit]) -> None:
    for edit in edits:
        if edit.on == "answer":
            if edit.field == "reasoning":
                draft.drop(*REASONING_SHOWN)
        elif edit.action == "strip":
            _STRIPS[edit.field](draft)
        elif edit.bound is not None:
            _CLAMPS[edit.field](draft, edit.bound)


# ---------------------------------------------------------------- taking out


def _strip_logprobs(draft: _Draft) -> None:
    draft.drop("logprobs", *ALTERNATIVES, *LISTED_LOGPROBS, *SHOWS)
    included = draft.get("include")
    if included and _LOGPROBS_INCLUDED in included:
        draft.set("include", [name for name in included if name != _LOGPROBS_INCLUDED])


def _strip_top_logprobs(draft: _Draft) -> None:
    draft.drop(*ALTERNATIVES, *LISTED_LOGPROBS, *SHOWS)
    if draft.shape == "completions" and draft.get("logprobs"):
        draft.set("logprobs", 0)  # those of the tokens chosen are left


def _strip_logit_bias(draft: _Draft) -> None:
    draft.drop("logit_bias", *ONLY_TOKENS, *BIAS_CODE)


def _strip_tools(draft: _Draft) -> None:
    draft.drop(*OFFERED, "tool_choice", "function_call", "parallel_tool_calls")


def _strip_instructions(draft: _Draft) -> None:
    draft.drop(*BIAS_CODE, *REASONING_SHOWN, *(name for name in draft.names() if _is_ours(name)))
    for name in ENGINE_SETTINGS:
        _strip_inside(draft, name, _is_ours)
    for name in MORE_HEADERS:
        _strip_inside(draft, name, _is_our_header)


def _strip_inside(draft: _Draft, name: str, ours: Callable[[str], bool]) -> None:
    settings = draft.get(name)
    if settings and any(map(ours, settings)):
        kept = {key: value for key, value in settings.items() if not ours(key)}
        draft.set(name, kept or _ABSENT)


def _is_ours(name: str) -> bool:
    return name.casefold().startswith(_OURS)


def _is_our_header(name: str) -> bool:
    return client_steering(name.encode("utf-8", "replace"))


_STRIPS: Mapping[str, Callable[[_Draft], None]] = {
    "logprobs": _strip_logprobs,
    "top_logprobs": _strip_top_logprobs,
    "n": lambda draft: draft.drop("n", "best_of"),
    "logit_bias": _strip_logit_bias,
    "logit_bias_magnitude": _strip_logit_bias,
    "seed": lambda draft: draft.drop("seed"),
    "max_tokens": lambda draft: draft.drop(*TOKEN_BOUNDS),
    "tools": _strip_tools,
    "reasoning": lambda draft: draft.drop(*REASONING_SHOWN),
    "instructions": _strip_instructions,
}


# ---------------------------------------------------------------- bringing down


def _at_most(draft: _Draft, name: str, most: int) -> None:
    if draft.get(name) is not None and whole(draft.get(name)) > most:
        draft.set(name, most)


def _clamp_top_logprobs(draft: _Draft, bound: float) -> None:
    most = math.floor(bound)
    names = (*ALTERNATIVES, "logprobs") if draft.shape == "completions" else ALTERNATIVES
    for name in names:
        if draft.get(name) is not None and alternatives(draft.get(name)) > most:
            draft.set(name, most)
    for name in LISTED_LOGPROBS:
        if len(draft.get(name) or ()) > most:
            draft.drop(name)  # tokens that were chosen by the client cannot be chosen among for it
    draft.drop(*SHOWS)


def _clamp_n(draft: _Draft, bound: float) -> None:
    for name in ("n", "best_of"):
        _at_most(draft, name, math.floor(bound))


def _clamp_logit_bias(draft: _Draft, bound: float) -> None:
    most = math.floor(bound)
    bias = draft.get("logit_bias")
    if bias:  # written anew even where it fits: a token could stand in it twice
        draft.set("logit_bias", dict(list(bias.items())[:most]))
    for name in ONLY_TOKENS:
        if len(bias or ()) + len(draft.get(name) or ()) > most:
            draft.drop(name)
    draft.drop(*BIAS_CODE)


def _clamp_logit_bias_magnitude(draft: _Draft, bound: float) -> None:
    bias = draft.get("logit_bias")
    if bias:
        draft.set("logit_bias", {key: max(-bound, min(value, bound)) for key, value in bias.items()})
    draft.drop(*BIAS_CODE)
    if bound < _HARD_BIAS:
        draft.drop(*ONLY_TOKENS)


def _clamp_max_tokens(draft: _Draft, bound: float) -> None:
    most = math.floor(bound)
    given = [name for name in TOKEN_BOUNDS if draft.get(name) is not None]
    for name in given:
        if not 0 <= whole(draft.get(name)) <= most:  # below 0 there is no bound, for some engines
            draft.set(name, most)
    own = _TOKEN_BOUND.get(draft.shape)
    if own is not None and not given:
        draft.set(own, min(most, _USUAL_COMPLETION) if draft.shape == "completions" else most)
    _at_most(draft, "min_tokens", most)
    thinking = draft.get("thinking")
    budget = thinking.get("budget_tokens") if thinking else None
    if isinstance(budget, int | float) and budget >= most:  # it must be below `max_tokens`
        enough = most > _LEAST_THINKING
        draft.set("thinking", {**thinking, "budget_tokens": most - 1} if enough else {"type": "disabled"})


def _clamp_tools(draft: _Draft, bound: float) -> None:
    most = math.floor(bound)
    if most == 0:
        _strip_tools(draft)
        return
    left = most
    for name in OFFERED:
        offered = draft.get(name) or ()
        if len(offered) > left:
            draft.set(name, offered[:left] if left else _ABSENT)
            for choice in ("tool_choice", "function_call"):
                if isinstance(draft.get(choice), dict):  # it may name one that is gone
                    draft.drop(choice)
        left = max(left - len(offered), 0)


_CLAMPS: Mapping[str, Callable[[_Draft, float], None]] = {
    "top_logprobs": _clamp_top_logprobs,
    "n": _clamp_n,
    "logit_bias": _clamp_logit_bias,
    "logit_bias_magnitude": _clamp_logit_bias_magnitude,
    "max_tokens": _clamp_max_tokens,
    "tools": _clamp_tools,
}


# ---------------------------------------------------------------- telling the engine


def _instruct(draft: _Draft, instructions: Instructions) -> None:
    told = {
        "stillwatch_dye": instructions.dye,
        "stillwatch_watermark": instructions.watermark or None,
        "stillwatch_reasoning": instructions.reasoning,
    }
    given = {name: value for name, value in told.items() if value is not None}
    if given:
        draft.set("vllm_xargs", {**(draft.get("vllm_xargs") or {}), **given})


def instruction_headers(instructions: Instructions) -> list[tuple[bytes, bytes]]:
    """Give what the engine is told, as headers."""
    headers: list[tuple[bytes, bytes]] = []
    if instructions.dye is not None:
        headers.append((b"x-stillwatch-dye", instructions.dye.encode()))
    if instructions.watermark:
        headers.append((b"x-stillwatch-watermark", b"on"))
    if instructions.reasoning is not None:
        headers.append((b"x-stillwatch-reasoning", instructions.reasoning.encode()))
    return headers


def client_steering(name: bytes) -> bool:
    """Say whether clients may not bring a header of this name; CGI and WSGI take `_` for `-`."""
    return name.lower().replace(b"_", b"-").startswith(b"x-stillwatch-")
