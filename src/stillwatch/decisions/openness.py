"""Openness: what of a model's inside a request may ask for, and an answer may show. Pure.

`strip` takes a parameter out, `refuse` refuses a request that bears it, `at_most` clamps it, or refuses what is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from msgspec import Meta

from stillwatch.decisions.ruling import Edit
from stillwatch.typed_yaml import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

Shut = Literal["strip", "refuse"]
Over = Literal["clamp", "refuse"]


class AtMost(Part, frozen=True):
    """A bound, and what is done to a request that is over it."""

    at_most: Annotated[int, Meta(ge=0)]
    over: Over = "clamp"


class Bias(Part, frozen=True):
    """Bounds on `logit_bias`; whatever they are, it never comes together with log probabilities.

    With both, a few requests a token read a model's whole distribution (Carlini et al. 2024, "Stealing Part of a
    Production Language Model").
    """

    at_most: Annotated[int, Meta(ge=1)]
    magnitude: Annotated[float, Meta(gt=0, le=100)] | None = None
    distinct_a_day: Annotated[int, Meta(ge=1)] | None = None
    over: Over = "clamp"
    with_logprobs: Shut = "strip"


class Summary(Part, frozen=True):
    """Raw reasoning is replaced by a line; `{words}` in it is how many words the reasoning had."""

    summarise: Annotated[str, Meta(min_length=1)]


class Openness(Part, frozen=True):
    """What is closed; what is left out stays open."""

    logprobs: Shut | None = None
    top_logprobs: Shut | AtMost | None = None
    n: AtMost | None = None
    logit_bias: Shut | Bias | None = None
    seed: Shut | None = None
    max_tokens: AtMost | None = None
    tools: Shut | AtMost | None = None
    reasoning: Literal["drop"] | Summary | None = None
    embeddings: Literal["refuse"] | None = None
    fine_tuning: Literal["refuse"] | None = None
    batch: Literal["refuse"] | None = None


OPERATIONS = {"embeddings": "embeddings", "fine_tuning": "fine-tune", "batch": "batch"}
_IN_ANSWERS = frozenset({"logprobs", "top_logprobs"})  # what a stripped parameter could still show


class NotOver(NamedTuple):
    """The request may not ask for more of a parameter than this."""

    parameter: str
    most: float


class NotThis(NamedTuple):
    """The request may not be of this operation; `name` is what a policy calls it."""

    name: str
    operation: str


def closings(openness: Openness) -> Iterator[Edit | NotOver | NotThis]:
    """Say what is to be edited, and what a request may not ask for."""
    for name, operation in OPERATIONS.items():
        if getattr(openness, name) == "refuse":
            yield NotThis(name, operation)
    for name in ("logprobs", "top_logprobs", "n", "seed", "max_tokens", "tools"):
        yield from _parameter(name, getattr(openness, name))
    if isinstance(bias := openness.logit_bias, Bias):
        yield from _bounded("logit_bias", bias.at_most, bias.over)
        if bias.magnitude is not None:
            yield from _bounded("logit_bias_magnitude", bias.magnitude, bias.over)
    else:
        yield from _parameter("logit_bias", bias)
    if openness.reasoning == "drop":
        yield Edit("answer", "reasoning", "strip")
    elif openness.reasoning is not None:
        yield Edit("answer", "reasoning", "summarise", text=openness.reasoning.summarise)


def _parameter(name: str, how: Shut | AtMost | None) -> Iterator[Edit | NotOver]:
    if isinstance(how, AtMost):
        yield from _bounded(name, how.at_most, how.over)
    elif how == "refuse":
        yield NotOver(name, 0)
    elif how == "strip":
        yield Edit("request", name, "strip")
        if name in _IN_ANSWERS:
            yield Edit("answer", name, "strip")


def _bounded(name: str, most: float, over: Over) -> Iterator[Edit | NotOver]:
    if over == "refuse":
        yield NotOver(name, most)
    yield Edit("request", name, "clamp", bound=most)  # what is under it stays; an absent `max_tokens` is set to it
    if name in _IN_ANSWERS:
        yield Edit("answer", name, "clamp", bound=most)
