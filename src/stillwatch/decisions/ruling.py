"""Rulings: what a policy says of one request. Pure.

A ruling describes; it edits no request and counts nothing. Whoever asked for it does what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from stillwatch.decisions.step import Step

if TYPE_CHECKING:
    from stillwatch.decisions.action import Visibility
    from stillwatch.decisions.limit import Quota
    from stillwatch.decisions.refusal import Refusal


class Outcome(StrEnum):
    """Whether the request is served."""

    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change to a request before it is served, or to its answer. Where there is nothing to change, none is made.

    Attributes:
        on: which of the two.
        field: `logprobs`, `top_logprobs`, `n`, `logit_bias`, `logit_bias_magnitude`, `seed`, `max_tokens`, `tools`,
            `reasoning`, or `instructions`: whatever a client may set to steer watermarks, dyes or reasoning.
        action: `strip` takes it out, `clamp` brings it down to `bound`, `summarise` puts `text` in its place.
        bound: the most that is left; a `max_tokens` that is absent is set to it.
        text: a template; `{words}` is how many words it replaces.
    """

    on: Literal["request", "answer"]
    field: str
    action: Literal["strip", "clamp", "summarise"]
    bound: float | None = None
    text: str = ""


class Charge(NamedTuple):
    """One limit to charge before the request is served; if it has no room, the request is refused.

    Attributes:
        quota: the limit.
        subject: whose; empty where it is everybody's.
        amount: how much, as estimated; to be settled when it is known. 0 for a limit on distinct things.
        items: the things, where distinct ones are counted.
    """

    quota: Quota
    subject: str
    amount: float
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the inference engine is told: name of the dye's key, watermark, how visible reasoning is."""

    dye: str | None = None
    watermark: bool = False
    reasoning: Visibility | None = None

    @property
    def speaks(self) -> bool:
        """Whether they say anything."""
        return self.watermark or self.dye is not None or self.reasoning is not None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy says of one request.

    Attributes:
        outcome: allow or refuse.
        refusal: why and how; None where it is allowed.
        edits: changes to the request and to its answer.
        charges: limits to charge.
        instructions: for the inference engine.
        step: the step of the ladder that was taken.
        fired: ids of the rules that fired, in the policy's order.
        failed: ids of the rules whose condition could not be told.
        withheld: rules and steps whose altering of answers was left out, since the account is a researcher's.
        policy: the policy's version.
        would: under a policy that observes, what it would say if it were enforced.
    """

    outcome: Outcome
    refusal: Refusal | None
    edits: tuple[Edit, ...]
    charges: tuple[Charge, ...]
    instructions: Instructions
    step: Step
    fired: tuple[str, ...]
    failed: tuple[str, ...]
    withheld: tuple[str, ...]
    policy: str
    would: Ruling | None = None


NOTHING = Instructions()


def changes_nothing(ruling: Ruling) -> Ruling:
    """Turn a ruling into what a policy says that only observes."""
    return Ruling(
        Outcome.ALLOW,
        None,
        (),
        (),
        NOTHING,
        Step.OBSERVE,
        ruling.fired,
        ruling.failed,
        (),
        ruling.policy,
        would=ruling,
    )
