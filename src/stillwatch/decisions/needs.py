"""Which facts a policy asks for, rule by rule, so that it can be said which of them nobody can tell. Pure.

A condition that speaks of a fact which nobody can tell has not been tried, whatever it came to. An action is tried in
part where some of what it asks for is told.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stillwatch.decisions.cel import Cel
from stillwatch.decisions.condition import Fired
from stillwatch.decisions.facts import DERIVED, FACTS
from stillwatch.decisions.limit import AMOUNT_FACT, ITEMS_FACT, SUBJECT_FACT
from stillwatch.decisions.openness import OPERATIONS, AtMost, Bias
from stillwatch.decisions.policy import fact_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stillwatch.decisions.action import Action
    from stillwatch.decisions.condition import ConditionSet
    from stillwatch.decisions.facts import FactValue
    from stillwatch.decisions.limit import Quota
    from stillwatch.decisions.openness import Openness
    from stillwatch.decisions.policy import Policy, PolicyDocument
    from stillwatch.decisions.price import Tried

_COUNTRIES = ("request.country", "account.country")
_MADE_OF = {
    "request.abroad": _COUNTRIES,
    "owner.country": ("owner.shares",),
    "owner.share": ("owner.shares",),
    "owner.abroad": ("owner.shares", "account.country"),
}
_PLACED_BY = {"request": "request.country", "account": "account.country", "owner": "owner.shares"}
_REGIONS = {"request": "request.region", "account": "account.region"}


@dataclass(frozen=True, slots=True)
class Needs:
    """What one rule, or one action of a step, asks for.

    Attributes:
        condition: facts that its condition speaks of.
        beside: facts by which the condition is told more closely: regions, where its places name some.
        action: facts that its action needs.
        whole: without any one fact of the action's there is nothing of it: a limit, say.

    """

    condition: frozenset[str]
    beside: frozenset[str]
    action: frozenset[str]
    whole: bool

    def untold(self, told: frozenset[str]) -> tuple[str, ...]:
        """Facts that it asks for and that are not told."""
        return tuple(sorted((self.condition | self.beside | self.action) - told))

    def tried(self, told: frozenset[str]) -> Tried:
        """How far what is told lets it be tried."""
        acts = self.action <= told if self.whole or not self.action else bool(self.action & told)
        if not self.condition <= told or not acts:
            return "not"
        return "in part" if self.untold(told) else "whole"


def needs_of(policy: Policy) -> dict[str, Needs]:
    """Give the needs of every rule by its id, then of the steps' actions by their names."""
    document, needs = policy.document, dict[str, Needs]()
    kinds = fact_kinds(document.places)
    for rule, bound in zip(document.rules, policy.rules, strict=True):
        names = Cel().compiled([rule.condition], kinds).names
        beside = frozenset(_regions(names, document))
        needs[bound.name] = _needs(frozenset(_plain(names)), beside, bound.action, bound.quotas)
    for bounds in policy.steps.values():
        for bound in bounds:
            needs[bound.name] = _needs(frozenset(), frozenset(), bound.action, bound.quotas)
    return needs


def without(policy: Policy, names: frozenset[str]) -> Policy:
    """Give the policy without what these rules and actions of steps say; the others keep their names and numbers."""
    left_out = frozenset(number for number, bound in enumerate(policy.rules) if bound.name in names)
    steps = {step: tuple(each for each in bounds if each.name not in names) for step, bounds in policy.steps.items()}
    return dataclasses.replace(policy, conditions=_Without(policy.conditions, left_out), steps=steps)


@dataclass(frozen=True, slots=True)
class _Without:
    """Conditions of which some never fire."""

    conditions: ConditionSet
    left_out: frozenset[int]

    @property
    def names(self) -> frozenset[str]:
        return self.conditions.names

    def fired(self, values: Mapping[str, FactValue]) -> Fired:
        found, out = self.conditions.fired(values), self.left_out
        return Fired(*(tuple(number for number in numbers if number not in out) for numbers in found))


def _needs(condition: frozenset[str], beside: frozenset[str], action: Action, quotas: tuple[Quota, ...]) -> Needs:
    if action.openness is not None:
        return Needs(condition, beside, frozenset(_of_openness(action.openness)), whole=False)
    needed = {name for quota in quotas for name in _of_quota(quota)}
    if action.serve is not None:
        places = (("cloud", action.serve.clouds), ("region", action.serve.regions), ("tenant", action.serve.tenants))
        needed |= {f"deployment.{name}" for name, among in places if among}
        needed |= {"request.model"} if action.serve.models else set()
    return Needs(condition, beside, frozenset(needed), whole=True)


def _plain(names: frozenset[str]) -> Iterator[str]:
    """Facts that have to be looked up for these."""
    for name in names:
        above, _, rest = name.partition(".")
        if rest.startswith("places."):
            yield _PLACED_BY[above]
        elif name in DERIVED:
            yield from _MADE_OF[name]
        elif name in FACTS:
            yield name


def _regions(names: frozenset[str], document: PolicyDocument) -> Iterator[str]:
    for name in names:
        above, _, listed = name.partition(".places.")
        if listed and above in _REGIONS and any("-" in place for place in document.places[listed].of):
            yield _REGIONS[above]


def _of_quota(quota: Quota) -> Iterator[str]:
    for name in (SUBJECT_FACT.get(quota.per), AMOUNT_FACT.get(quota.of), ITEMS_FACT.get(quota.of)):
        if name is not None:
            yield name


def _of_openness(openness: Openness) -> Iterator[str]:
    for field in openness.__struct_fields__:
        said = getattr(openness, field)
        if said is None:
            continue
        if field == "max_tokens" and isinstance(said, AtMost) and said.over == "clamp":
            yield "request.output_tokens"  # whether an answer is longer than it may be shows in the answer
        else:
            yield "request.operation" if field in OPERATIONS else f"request.{field}"
        if isinstance(said, Bias):
            yield from () if said.magnitude is None else ("request.logit_bias_magnitude",)
            yield from () if said.distinct_a_day is None else ("request.bias_tokens",)
