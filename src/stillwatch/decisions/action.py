"""Actions: what a rule or a step of the ladder does to a request. Pure.

An action is a mapping with one key, which says what is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from stillwatch.decisions.limit import Limit, wrong_with
from stillwatch.decisions.openness import Openness
from stillwatch.decisions.refusal import RefusalReason  # noqa: TC001 - msgspec reads the annotations
from stillwatch.decisions.step import Step  # noqa: TC001 - msgspec reads the annotations
from stillwatch.typed_yaml import Complaint, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stillwatch.typed_yaml import Path

Pattern = Annotated[
    str, Meta(pattern=r"^[^*\s]+\*?$|^\*$", description="a name without spaces, `*` at its end at most")
]
KeyName = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$", description="a key's name of small letters, digits and hyphens")
]
Visibility = Literal["full", "summary", "hidden"]


class RefuseWith(Part, frozen=True):
    """A refusal with words of one's own."""

    reason: RefusalReason
    message: Annotated[str, Meta(min_length=1)]


class Serve(Part, frozen=True):
    """Where a model may be served from; what is left out may be anything. `*` at a name's end stands for any rest."""

    models: tuple[Pattern, ...] = ()
    clouds: tuple[Pattern, ...] = ()
    regions: tuple[Pattern, ...] = ()
    tenants: tuple[Pattern, ...] = ()


class Instruct(Part, frozen=True):
    """Instructions to the inference engine for this request."""

    dye: KeyName | None = None
    watermark: Literal["on"] | None = None
    reasoning: Visibility | None = None


class Action(Part, frozen=True):
    """What is done: exactly one of these."""

    refuse: RefusalReason | RefuseWith | None = None
    limit: Limit | None = None
    openness: Openness | None = None
    serve: Serve | None = None
    instruct: Instruct | None = None
    step: Step | None = None


def wrong_with_action(action: Action, path: Path, *, in_step: bool) -> Iterator[Complaint]:
    """Find what is well-formed but cannot be meant."""
    given = [name for name in action.__struct_fields__ if getattr(action, name) is not None]
    if len(given) != 1:
        known = ", ".join(action.__struct_fields__)
        yield Complaint(path, f"an action is exactly one of {known}; here are {len(given) or 'none'}")
    if in_step and action.step is not None:
        yield Complaint((*path, "step"), "a step says what it does and leads to no other step")
    if action.limit is not None:
        yield from (Complaint((*path, "limit", field), why) for field, why in wrong_with(action.limit))
    for name in ("openness", "serve", "instruct"):
        part = getattr(action, name)
        if part is not None and part == type(part)():
            yield Complaint((*path, name), f"says nothing; known here: {', '.join(part.__struct_fields__)}")
    if action.serve is not None and action.serve.models and action.serve == Serve(models=action.serve.models):
        yield Complaint((*path, "serve"), "says which models, but not where: clouds, regions or tenants")


def altered_answers(action: Action) -> Action:
    """Give the part of an action that alters what an answer says, or leaves a mark in it."""
    if action.instruct is not None:
        return Action(instruct=action.instruct)
    if action.openness is not None and action.openness.reasoning is not None:
        return Action(openness=Openness(reasoning=action.openness.reasoning))
    return Action()


def plain(action: Action) -> Action:
    """Give an action without what alters what an answer says or leaves a mark in it."""
    if action.instruct is not None:
        return Action()
    if action.openness is not None:
        return Action(openness=msgspec.structs.replace(action.openness, reasoning=None))
    return action
