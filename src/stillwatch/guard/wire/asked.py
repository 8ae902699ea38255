"""What a request asks for: read once, its facts worked out one by one, as a policy wants them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from stillwatch.guard.wire.body import read_body
from stillwatch.guard.wire.endpoint import Api, endpoint
from stillwatch.guard.wire.estimate import tokens
from stillwatch.guard.wire.fields import (
    ALTERNATIVES,
    BIAS_CODE,
    LISTED_LOGPROBS,
    OFFERED,
    ONLY_TOKENS,
    SHOWS,
    TOKEN_BOUNDS,
    Body,
    alternatives,
    check_fields,
    token_name,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stillwatch.decisions.facts import FactValue

USUAL_ANSWER = 1024  # tokens that an answer is estimated at where the client sets no bound
_LOGPROBS_INCLUDED = "message.output_text.logprobs"
_HARD_BIAS = 100.0  # what OpenAI takes at most: it bans a token, or leaves nothing else
_WRITES = frozenset({"chat", "completion", "batch"})  # operations that have the model write
_TEXTS = ("messages", "input", "prompt", "system", "instructions", *OFFERED)
_BIASES = frozenset({"logit_bias", *ONLY_TOKENS, *BIAS_CODE})
_ALTERNATIVES_OF_COMPLETIONS = (*ALTERNATIVES, "logprobs")
_TEXT_PARTS = ("text", "input_text", "output_text")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it was read.

    Attributes:
        api: whose form it has.
        operation: `chat`, `completion`, `embeddings`, `fine-tune`, `batch`, or `other`.
        shape: how its path ends, where bodies of its kind are known: `chat/completions`, `completions`, `responses`,
            `embeddings`, `fine_tuning/jobs`, `fine-tunes`, `batches`, `messages`, `messages/count_tokens`,
            `messages/batches`; empty for others.
        body: what it says; None where bodies are not read.
        raw: the same as bytes, as it came.
        named: the model that its path names.
    """

    api: Api
    operation: str
    shape: str
    body: Body | None
    raw: bytes = field(default=b"", repr=False)
    named: str = ""

    @property
    def parts(self) -> tuple[Body, ...]:
        """The bodies that say what is asked: of a batch of messages each request's, else the one that there is."""
        if self.body is None:
            return ()
        if self.shape != "messages/batches":
            return (self.body,)
        return tuple(request["params"] for request in self.body.get("requests") or ())

    def fact(self, name: str) -> FactValue | None:
        """Work out a fact of `request`; None where the body does not tell it."""
        if name == "request.operation":
            return self.operation if self.operation != "other" else None
        read = _FACTS.get(name)
        if read is None or self.body is None:
            return None
        if self.shape != "messages/batches":
            return read(self, self.body)
        return _together(name, [value for part in self.parts if (value := read(self, part)) is not None])

    def prompt_text(self) -> str:
        """Give the last user message that has text, as the column `prompt` has it; empty where there is none."""
        return "\n".join(filter(None, (_prompt(self.shape, part) for part in self.parts)))

    def columns(self) -> dict[str, object]:
        """Give the columns of `exchange/1` that the body tells; slow beside the facts, and not for the request path."""
        from stillwatch.guard.wire.columns import columns  # noqa: PLC0415 - it needs pyarrow, which facts do not

        return columns(self)


def read_request(method: str, path: str, body: bytes) -> Asked:
    """Read a request.

    Args:
        method: HTTP's.
        path: without query; with any prefix.
        body: as it came.

    Raises:
        RequestError: the path's bodies are known, and this one is none, or could be read in two ways.

    """
    api, operation, shape, model, read = endpoint(method, path)
    if not read:
        return Asked(api, operation, shape, None, body, model)
    content = read_body(body)
    if operation == "by body":
        operation, shape = _by_body(content)
    check_fields(content, shape)
    return Asked(api, operation, shape, content, body, model)


def _by_body(body: Body) -> tuple[str, str]:
    """Tell what a body asks for that came to `/invocations` (vLLM on SageMaker), in the order in which vLLM tries."""
    if "messages" in body:
        return "chat", "chat/completions"
    if "prompt" in body:
        return "completion", "completions"
    return ("embeddings", "embeddings") if "input" in body else ("other", "")


# ---------------------------------------------------------------- facts


def _model(asked: Asked, body: Body) -> str | None:
    return asked.named or body.get("model")


def _input_tokens(_asked: Asked, body: Body) -> int:
    return tokens([body[name] for name in _TEXTS if name in body])


def _output_tokens(asked: Asked, body: Body) -> int | None:
    if asked.operation not in _WRITES:
        return None
    asked_for = _max_tokens(asked, body) or USUAL_ANSWER
    prompts = body.get("prompt")
    if prompts.__class__ is list and prompts and prompts[0].__class__ is not int:
        return asked_for * len(prompts)  # an answer to each
    return asked_for


def _max_tokens(_asked: Asked, body: Body) -> int:
    most = 0  # below 0 there is no bound, for some engines
    for name in TOKEN_BOUNDS:
        value = body.get(name)
        if value is not None and value > most:
            most = whole(value)
    return most


def _turns(_asked: Asked, body: Body) -> int | None:
    messages = body.get("messages")
    if messages is None:
        messages = body.get("input")
    if messages is None:
        return None
    return len(messages) if messages.__class__ is list else 1


def _tools(_asked: Asked, body: Body) -> int:
    return sum([len(body[name] or ()) for name in OFFERED if name in body])


def _stream(_asked: Asked, body: Body) -> bool:
    return bool(body.get("stream"))


def _n(_asked: Asked, body: Body) -> int:
    n, best_of = body.get("n"), body.get("best_of")
    if not best_of and (n is None or n == 1):
        return 1  # as nearly always
    return max(1, whole(n), whole(best_of))


def _logprobs(asked: Asked, body: Body) -> bool:
    asked_for = body.get("logprobs")
    if asked_for is not None and (asked_for is True or (asked_for is not False and asked.shape == "completions")):
        return True  # completions: 0 shows those of the tokens chosen
    return (
        bool(asked_for)
        or _LOGPROBS_INCLUDED in (body.get("include") or ())
        or _top_logprobs(asked, body) > 0
        or body.get("prompt_logprobs") is not None
        or any(body.get(name) for name in SHOWS)
    )


def _top_logprobs(asked: Asked, body: Body) -> int:
    most = 0
    for name in _ALTERNATIVES_OF_COMPLETIONS if asked.shape == "completions" else ALTERNATIVES:
        if name in body:
            most = max(most, alternatives(body[name]))
    for name in LISTED_LOGPROBS:
        if name in body:
            most = max(most, len(body[name] or ()))
    return most


def _bias_tokens(_asked: Asked, body: Body) -> tuple[str, ...]:
    if _BIASES.isdisjoint(body):
        return ()  # as nearly always
    named = [token_name(key) for key in body.get("logit_bias") or ()]
    named += [token_name(token) for name in ONLY_TOKENS for token in body.get(name) or ()]
    named += [name for name in BIAS_CODE if body.get(name)]
    return tuple(dict.fromkeys(named))


def _logit_bias(asked: Asked, body: Body) -> int:
    return len(_bias_tokens(asked, body))


def _logit_bias_magnitude(_asked: Asked, body: Body) -> float:
    if _BIASES.isdisjoint(body):
        return 0.0
    biases = [
        abs(float(whole(bias) if bias.__class__ is int else bias)) for bias in (body.get("logit_bias") or {}).values()
    ]
    if any(body.get(name) for name in (*ONLY_TOKENS, *BIAS_CODE)):
        biases.append(_HARD_BIAS)
    return max(biases, default=0.0)


def _seed(_asked: Asked, body: Body) -> bool:
    return body.get("seed") is not None


def _temperature(_asked: Asked, body: Body) -> float | None:
    temperature = body.get("temperature")
    return None if temperature is None else float(whole(temperature) if temperature.__class__ is int else temperature)


def _reasoning(_asked: Asked, body: Body) -> bool:
    """Whether reasoning is asked to be shown; that more of it is done (`reasoning_effort`) is not asking to see it."""
    thinking, reasoning = body.get("thinking") or {}, body.get("reasoning")
    if thinking.get("type") not in (None, "disabled") and thinking.get("display") != "omitted":
        return True
    if reasoning.__class__ is dict and any(reasoning.get(name) for name in ("summary", "generate_summary")):
        return True
    settings = body.get("chat_template_kwargs") or {}
    return bool(
        body.get("include_reasoning") or settings.get("enable_thinking") or settings.get("thinking")
    ) or "reasoning.encrypted_content" in (body.get("include") or ())


_FACTS: Mapping[str, Callable[[Asked, Body], FactValue | None]] = {
    "request.model": _model,
    "request.input_tokens": _input_tokens,
    "request.output_tokens": _output_tokens,
    "request.max_tokens": _max_tokens,
    "request.turns": _turns,
    "request.tools": _tools,
    "request.stream": _stream,
    "request.n": _n,
    "request.logprobs": _logprobs,
    "request.top_logprobs": _top_logprobs,
    "request.logit_bias": _logit_bias,
    "request.logit_bias_magnitude": _logit_bias_magnitude,
    "request.bias_tokens": _bias_tokens,
    "request.seed": _seed,
    "request.temperature": _temperature,
    "request.reasoning": _reasoning,
}
_ADDED_UP = frozenset({"request.input_tokens", "request.output_tokens"})


def _together(name: str, values: list[FactValue]) -> FactValue | None:
    """Put together what the requests of a batch say: tokens are added up, of the rest the most is told."""
    if not values:
        return None
    first = values[0]
    if isinstance(first, str):
        return first  # they all name one model
    if isinstance(first, tuple):
        return tuple(dict.fromkeys(item for value in values for item in cast("tuple[str, ...]", value)))
    numbers = cast("list[float]", values)
    return min(sum(numbers), 2**63 - 1) if name in _ADDED_UP else max(numbers)


# ---------------------------------------------------------------- the prompt


def _prompt(shape: str, body: Body) -> str:
    messages = body.get("messages")
    if messages is None:
        messages = body.get("input", body.get("prompt"))
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, list):
        return ""
    if shape in ("embeddings", "completions"):
        return "\n".join(text for text in messages if isinstance(text, str))
    for message in reversed(messages):
        if isinstance(message, str):
            return message
        if isinstance(message, dict) and message.get("role") == "user":
            text = _text(message.get("content"))
            if text:
                return text
    return ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        part if isinstance(part, str) else part["text"]
        for part in content
        if isinstance(part, str)
        or (isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS and isinstance(part.get("text"), str))
    )
