"""Deciding: what a policy says of one request. Pure.

1. Facts that the conditions speak of are looked up, and no others.
2. All rules are asked; what those that fire say is gathered. Order does not matter, but for which refusal is told:
   the first in the policy's order.
3. The gravest of the steps (decided for the account, or said by a rule) does what the policy says that it does.
4. Where two actions touch one parameter, the stricter one stands. One refusal outweighs everything else.

Answers of verified evaluators and safety researchers are never altered: for them dyes, watermarks and the hiding of
reasoning are left out, and steps that would bring them in are taken as `throttle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.decisions.plan import plan, refusal
from stillwatch.decisions.refusal import RefusalReason
from stillwatch.decisions.ruling import NOTHING, Outcome, Ruling, changes_nothing
from stillwatch.decisions.step import Step

if TYPE_CHECKING:
    from stillwatch.decisions.facts import FactSource, FactValue
    from stillwatch.decisions.policy import Policy
    from stillwatch.decisions.refusal import Refusal

_ALTERING = frozenset({Step.NARROW, Step.DYE})


def decide(policy: Policy, facts: FactSource) -> Ruling:
    """Say what is done about a request.

    Args:
        policy: what is allowed.
        facts: what is known of the request.

    Returns:
        The ruling; it describes, and nothing has been done.

    Raises:
        Exception: whatever looking up a fact raises; `rule_in_outage` says what is done then.

    """
    values: dict[str, FactValue] = {}
    policy.read(facts, values)
    found = policy.conditions.fired(values)
    step = _STEPS[str(facts.look_up("account.step"))]
    for number in found.true:
        said = policy.rules[number].action.step
        if said is not None and said.height > step.height:
            step = said
    protected = bool(facts.look_up("account.researcher"))
    withheld: tuple[str, ...] = ()
    if protected and step in _ALTERING:
        withheld, step = (f"steps.{step}",), Step.THROTTLE
    planned = plan(policy, found.true, step, protected=protected)
    failed = tuple(policy.rules[number].name for number in found.failed) if found.failed else ()
    refused = planned.refusal(facts)
    if failed and refused is None and policy.document.on_outage == "refuse":
        refused = refusal(RefusalReason.POLICY_UNAVAILABLE, failed[0])
    withheld += planned.withheld
    if refused is None:
        ruling = Ruling(
            Outcome.ALLOW,
            None,
            planned.edits_for(facts),
            planned.charges(facts),
            planned.instructions,
            step,
            planned.fired,
            failed,
            withheld,
            policy.version,
        )
    else:
        ruling = Ruling(Outcome.REFUSE, refused, (), (), NOTHING, step, planned.fired, failed, withheld, policy.version)
    return ruling if policy.document.mode == "enforce" else changes_nothing(ruling)


def rule_in_outage(policy: Policy) -> Ruling:
    """Say what is done while facts or counters cannot be had: as the policy's `on_outage` says."""
    refused: Refusal | None = None
    if policy.document.on_outage == "refuse":
        refused = refusal(RefusalReason.POLICY_UNAVAILABLE, "on_outage")
    outcome = Outcome.ALLOW if refused is None else Outcome.REFUSE
    ruling = Ruling(outcome, refused, (), (), NOTHING, Step.OBSERVE, (), (), (), policy.version)
    return ruling if policy.document.mode == "enforce" else changes_nothing(ruling)


_STEPS = {step.value: step for step in Step}
