"""Limits: how much of what, for whom, in what time. Pure.

A pace (`rate` and `burst`) lets through what a leaking bucket lets through, and so bounds every stretch of time; a cap
(`cap` and `each`) bounds the sum within fixed windows. Distinct prompts and biased tokens are counted by caps only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from stillwatch.typed_yaml import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

Measure = Literal["requests", "input_tokens", "output_tokens", "spend", "distinct_prompts", "bias_tokens"]
Whose = Literal["key", "account", "organization", "cohort", "country", "network", "global"]
Kind = Literal["pace", "cap", "distinct"]
Window = Literal["minute", "hour", "day", "week"]

SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
DISTINCT = frozenset({"distinct_prompts", "bias_tokens"})
AMOUNT_FACT = {
    "input_tokens": "request.input_tokens",
    "output_tokens": "request.output_tokens",
    "spend": "request.cost",
}
ITEMS_FACT = {"distinct_prompts": "request.prompt", "bias_tokens": "request.bias_tokens"}
SUBJECT_FACT = {
    "key": "account.key",
    "account": "account.id",
    "organization": "account.organization",
    "cohort": "account.cohort",
    "country": "request.country",
    "network": "request.network",
}
OPTIONAL_SUBJECTS = frozenset({"organization", "cohort"})  # who belongs to none is not limited by it
_RATE = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?) per (second|minute|hour|day|week)")


class Limit(Part, frozen=True):
    """A limit as a policy writes it: a pace or a cap."""

    of: Measure
    per: Whose
    rate: str | None = None
    burst: Annotated[float, Meta(gt=0)] | None = None
    cap: Annotated[float, Meta(gt=0)] | None = None
    each: Window | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """At most `burst` at once, and `per_second` in the long run."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` in each window of so many seconds; windows begin at multiples of their length since 1970."""

    most: float
    seconds: int


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit, ready to be charged.

    Attributes:
        id: the rule that set it, or the step and its number; counters keep state by it.
        of: what is counted.
        per: whose it is.
        bound: a pace or a cap.
        kind: how it is kept: worked out once, since it is asked for on every request.
    """

    id: str
    of: Measure
    per: Whose
    bound: Pace | Cap
    kind: Kind = field(init=False)

    def __post_init__(self) -> None:
        kind = "distinct" if self.of in DISTINCT else "pace" if isinstance(self.bound, Pace) else "cap"
        object.__setattr__(self, "kind", kind)


def wrong_with(limit: Limit) -> Iterator[tuple[str, str]]:
    """Find what is well-formed but cannot be meant: a field and why."""
    if (limit.rate is None) == (limit.cap is None):
        yield "rate", "a limit has either `rate` and `burst`, or `cap` and `each`"
        return
    if limit.rate is not None:
        if limit.of in DISTINCT:
            yield "rate", f"`{limit.of}` are counted in windows: give `cap` and `each`"
        if limit.burst is None:
            yield "burst", "is missing: how much may come at once"
        elif limit.of == "requests" and limit.burst < 1:
            yield "burst", f"{limit.burst:g} would let no request through"
        if limit.each is not None:
            yield "each", "belongs to `cap`"
        if (found := _RATE.fullmatch(limit.rate)) is None or not float(found[1]):
            yield "rate", f"`{limit.rate}` is no rate; write `60 per minute` (second, minute, hour, day, week)"
        return
    if limit.each is None:
        yield "each", "is missing: minute, hour, day or week"
    if limit.burst is not None:
        yield "burst", "belongs to `rate`"


def quota(limit: Limit, name: str) -> Quota:
    """Make a limit that has nothing wrong with it ready to be charged."""
    if limit.rate is not None and limit.burst is not None and (found := _RATE.fullmatch(limit.rate)) is not None:
        return Quota(name, limit.of, limit.per, Pace(float(found[1]) / SECONDS[found[2]], limit.burst))
    return Quota(name, limit.of, limit.per, Cap(limit.cap or 0.0, SECONDS[limit.each or "day"]))
