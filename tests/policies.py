"""Policies for tests: a small one, and what is changed about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from stillwatch.decisions.decide import decide
from stillwatch.decisions.facts import facts_from
from stillwatch.decisions.policy import Policy, parse_policy

if TYPE_CHECKING:
    from stillwatch.decisions.ruling import Ruling

SMALL: dict[str, Any] = {
    "schema": "stillwatch.policy/1",
    "name": "small",
    "mode": "enforce",
    "on_outage": "refuse",
    "steps": {
        "verify": [{"refuse": "verification_required"}],
        "throttle": [{"limit": {"of": "requests", "per": "account", "rate": "6 per minute", "burst": 3}}],
        "narrow": [{"openness": {"logprobs": "strip", "reasoning": "drop"}}],
        "dye": [{"instruct": {"dye": "campaigns", "watermark": "on"}}],
        "refuse": [{"refuse": "account_suspended"}],
    },
    "rules": [{"id": "never", "when": "account.id == 'nobody'", "then": {"refuse": "account_suspended"}}],
}


def written(**changes: Any) -> str:  # noqa: ANN401  whatever a policy may hold, or may not
    """Text of the small policy with some keys changed; None takes one out."""
    changed = {**SMALL, **changes}
    return yaml.safe_dump({key: value for key, value in changed.items() if value is not None}, sort_keys=False)


def policy(**changes: Any) -> Policy:  # noqa: ANN401  the same
    """The small policy with some keys changed."""
    return parse_policy(written(**changes), where="policy.yaml")


def rule(then: dict[str, Any], when: str | bool = True, name: str = "it") -> dict[str, Any]:
    """One rule."""
    return {"id": name, "when": when, "then": then}


def ruled(then: dict[str, Any], facts: dict[str, Any], when: str | bool = True, **changes: Any) -> Ruling:  # noqa: ANN401  the same
    """What a policy of one rule says of facts."""
    return decide(policy(rules=[rule(then, when)], **changes), facts_from(facts))
