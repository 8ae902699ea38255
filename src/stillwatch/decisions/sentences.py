"""What a policy and a ruling say, in sentences. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.decisions.limit import Pace
from stillwatch.decisions.openness import AtMost, Bias, Summary
from stillwatch.decisions.refusal import SHAPES, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stillwatch.decisions.action import Action, Instruct, Serve
    from stillwatch.decisions.limit import Limit, Quota
    from stillwatch.decisions.openness import Openness
    from stillwatch.decisions.rule import Rule
    from stillwatch.decisions.ruling import Charge, Edit, Instructions

_OF = {
    "requests": "requests",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "spend": "spend",
    "distinct_prompts": "distinct prompts",
    "bias_tokens": "distinct biased tokens",
}


def of_rule(rule: Rule) -> str:
    """Say what a rule does, and when."""
    when = "Always" if rule.condition == "true" else f"When {' '.join(rule.condition.split())}"
    return f"{when}: {of_action(rule.then)}."


def of_action(action: Action) -> str:
    """Say what an action does."""
    if action.refuse is not None:
        reason = action.refuse if isinstance(action.refuse, RefusalReason) else action.refuse.reason
        return f"refuse with {SHAPES[reason].status} {reason}"
    if action.limit is not None:
        return _of_limit(action.limit)
    if action.openness is not None:
        return ", ".join(_of_openness(action.openness))
    if action.serve is not None:
        return _of_serve(action.serve)
    if action.instruct is not None:
        return _of_instruct(action.instruct)
    return f"take the step `{action.step}`" if action.step is not None else "nothing"


def of_edit(edit: Edit) -> str:
    """Say what an edit changes."""
    where = f"{edit.field} of the {edit.on}"
    if edit.action == "clamp":
        return f"clamp {where} to {_figure(edit.bound or 0)}"
    if edit.action == "summarise":
        return f"replace {where} by `{edit.text}`"
    return f"strip {where}"


def of_charge(charge: Charge) -> str:
    """Say what is charged to which limit."""
    what = f"{len(charge.items)} of" if charge.items else f"{_figure(charge.amount)}"
    whose = "everybody" if charge.quota.per == "global" else f"{charge.quota.per} {charge.subject or 'unknown'}"
    return f"charge {what} {_OF[charge.quota.of]} to {whose} ({charge.quota.id}: {_of_bound(charge.quota)})"


def of_instructions(instructions: Instructions) -> Iterator[str]:
    """Say what the inference engine is told."""
    if instructions.dye is not None:
        yield f"dye the answer with the key `{instructions.dye}`"
    if instructions.watermark:
        yield "watermark the answer"
    if instructions.reasoning is not None:
        yield f"reasoning visibility: {instructions.reasoning}"


def _of_bound(quota: Quota) -> str:
    bound = quota.bound
    if isinstance(bound, Pace):
        return f"{_figure(bound.per_second)} a second, {_figure(bound.burst)} at once"
    return f"{_figure(bound.most)} in {bound.seconds:,} s"


def _of_limit(limit: Limit) -> str:
    whose = "for all together" if limit.per == "global" else f"for each {limit.per}"
    if limit.rate is not None:
        return f"limit {_OF[limit.of]} to {limit.rate}, {_figure(limit.burst or 0)} at once, {whose}"
    return f"cap {_OF[limit.of]} at {_figure(limit.cap or 0)} each {limit.each}, {whose}"


def _of_openness(openness: Openness) -> Iterator[str]:
    for field in openness.__struct_fields__:
        match getattr(openness, field):
            case None:
                continue
            case AtMost() as most:
                yield f"{'refuse' if most.over == 'refuse' else 'clamp'} {field} over {most.at_most}"
            case Bias() as bias:
                yield _of_bias(bias)
            case Summary() as summary:
                yield f"replace {field} by `{summary.summarise}`"
            case how:
                yield f"{how} {field}"


def _of_bias(bias: Bias) -> str:
    bounds = [f"over {bias.at_most} tokens"]
    if bias.magnitude is not None:
        bounds.append(f"beyond {bias.magnitude:g}")
    said = f"{bias.over} logit_bias {' or '.join(bounds)}"
    if bias.distinct_a_day is not None:
        said += f" (at most {bias.distinct_a_day} distinct tokens a day for each account)"
    return f"{said}, {bias.with_logprobs} it together with log probabilities"


def _of_serve(serve: Serve) -> str:
    given = {name: getattr(serve, name) for name in ("clouds", "regions", "tenants")}
    where = [f"{name} {' or '.join(names)}" for name, names in given.items() if names]
    models = " and ".join(serve.models) if serve.models else "any model"
    return f"serve {models} only from {', '.join(where)}"


def _of_instruct(instruct: Instruct) -> str:
    said = []
    if instruct.dye is not None:
        said.append(f"dye answers with the key `{instruct.dye}`")
    if instruct.watermark is not None:
        said.append("watermark answers")
    if instruct.reasoning is not None:
        said.append(f"show reasoning: {instruct.reasoning}")
    return ", ".join(said)


def _figure(number: float) -> str:
    return f"{number:,.6f}".rstrip("0").rstrip(".")
