"""Plans: what the actions of some rules and of one step say together, before any fact is asked for. Pure.

Few combinations of rules fire in practice, and what they say together depends on nothing else; so it is put together
once and remembered, which more than halves the time of a decision.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from stillwatch.decisions.action import Action, RefuseWith, altered_answers, plain
from stillwatch.decisions.limit import AMOUNT_FACT, ITEMS_FACT, OPTIONAL_SUBJECTS, SUBJECT_FACT
from stillwatch.decisions.openness import Bias, NotOver, NotThis, closings
from stillwatch.decisions.refusal import SHAPES, Refusal, RefusalReason
from stillwatch.decisions.ruling import NOTHING, Charge, Edit, Instructions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stillwatch.decisions.action import Instruct, Serve, Visibility
    from stillwatch.decisions.facts import FactSource
    from stillwatch.decisions.limit import Quota
    from stillwatch.decisions.openness import Openness, Shut
    from stillwatch.decisions.policy import Bound, Policy
    from stillwatch.decisions.step import Step

_REMEMBERED = 1024
_VISIBLE: dict[Visibility | None, int] = {None: 0, "full": 1, "summary": 2, "hidden": 3}
_ORDER = {"summarise": 0, "clamp": 1, "strip": 2}
_NO_ACTION = Action()
_WHAT = {**AMOUNT_FACT, **ITEMS_FACT}


class TooMuch(NamedTuple):
    """Refuses a request for which a fact is over a bound."""

    fact: str
    most: float
    refusal: Refusal

    def refuses(self, facts: FactSource) -> bool:
        """Whether it does."""
        return number(facts, self.fact) > self.most


class WrongOperation(NamedTuple):
    """Refuses requests of one operation."""

    operation: str
    refusal: Refusal

    def refuses(self, facts: FactSource) -> bool:
        """Whether it does."""
        return facts.look_up("request.operation") == self.operation


class Elsewhere(NamedTuple):
    """Refuses a request that would be served from where its model may not be."""

    serve: Serve
    refusal: Refusal

    def refuses(self, facts: FactSource) -> bool:
        """Whether it does."""
        serve = self.serve
        if serve.models and not _fits(str(facts.look_up("request.model")), serve.models):
            return False  # it speaks of other models
        places = (("cloud", serve.clouds), ("region", serve.regions), ("tenant", serve.tenants))
        return not all(_fits(str(facts.look_up(f"deployment.{name}")), among) for name, among in places if among)


class Always(NamedTuple):
    """Refuses every request."""

    refusal: Refusal

    def refuses(self, facts: FactSource) -> bool:  # noqa: ARG002  the others ask facts
        """Whether it does."""
        return True


Check = TooMuch | WrongOperation | Elsewhere | Always


class Due(NamedTuple):
    """A limit to charge, and the facts that say whose it is and what: None for everybody, and for one request.

    Where the subject is optional, who has none is not charged.
    """

    quota: Quota
    subject: str | None
    optional: bool
    what: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What some actions say together.

    Attributes:
        fired: ids of the rules.
        checks: what may refuse the request, in the policy's order.
        edits: changes to the request and to the answer, the stricter of two on one field.
        bias: what becomes of `logit_bias` together with log probabilities; None where nothing was said.
        bias_meets: facts by which log probabilities would be answered with, after the edits.
        edits_without_bias: the same with `logit_bias` stripped.
        dues: limits to charge.
        answers_at_most: bound on answers to one request.
        tokens_at_most: bound on tokens of one answer.
        instructions: for the inference engine.
        withheld: what was left out, since the account is a researcher's.
    """

    fired: tuple[str, ...]
    checks: tuple[Check, ...]
    edits: tuple[Edit, ...]
    bias: tuple[Shut, Refusal] | None
    bias_meets: tuple[str, ...]
    edits_without_bias: tuple[Edit, ...]
    dues: tuple[Due, ...]
    answers_at_most: float | None
    tokens_at_most: float | None
    instructions: Instructions
    withheld: tuple[str, ...]

    def refusal(self, facts: FactSource) -> Refusal | None:
        """Give the first refusal, if any."""
        for check in self.checks:
            if check.refuses(facts):
                return check.refusal
        if self.bias is not None and self.bias[0] == "refuse" and self._bias_meets_logprobs(facts):
            return self.bias[1]
        return None

    def edits_for(self, facts: FactSource) -> tuple[Edit, ...]:
        """Give the edits of one request."""
        return self.edits_without_bias if self.bias and self._bias_meets_logprobs(facts) else self.edits

    def charges(self, facts: FactSource) -> tuple[Charge, ...]:
        """Give the limits that one request is charged to; edits bound how much it may be."""
        look_up: Callable[[str], Any] = facts.look_up  # what each gives is checked where facts are named
        charges: list[Charge] = []
        for quota, whose, optional, what in self.dues:
            subject = "" if whose is None else look_up(whose)
            if optional and not subject:
                continue
            if what is None:
                charges.append(Charge(quota, subject, 1.0))
            elif quota.kind == "distinct":
                if found := look_up(what):
                    charges.append(Charge(quota, subject, 0.0, found if isinstance(found, tuple) else (found,)))
            elif quota.of == "output_tokens":
                charges.append(Charge(quota, subject, self._output(facts)))
            else:
                charges.append(Charge(quota, subject, float(look_up(what))))
        return tuple(charges)

    def _bias_meets_logprobs(self, facts: FactSource) -> bool:
        return bool(facts.look_up("request.logit_bias")) and any(map(facts.look_up, self.bias_meets))

    def _output(self, facts: FactSource) -> float:
        tokens, answers = number(facts, AMOUNT_FACT["output_tokens"]), max(number(facts, "request.n"), 1.0)
        if self.tokens_at_most is not None:
            tokens = min(tokens or self.tokens_at_most, self.tokens_at_most)
        return tokens * (answers if self.answers_at_most is None else min(answers, self.answers_at_most))


@functools.lru_cache(maxsize=_REMEMBERED)
def plan(policy: Policy, fired: tuple[int, ...], step: Step, *, protected: bool) -> Plan:
    """Put together what some rules of a policy and one step say.

    Args:
        policy: the policy.
        fired: numbers of the rules.
        step: the step.
        protected: the account is a researcher's, whose answers are not altered.

    """
    gathered = _Gathered()
    for bound in (*(policy.rules[number] for number in fired), *policy.steps[step]):
        gathered.take(bound, protected=protected)
    if policy.instructs:
        gathered.edit(Edit("request", "instructions", "strip"))
    return gathered.plan(tuple(policy.rules[number].name for number in fired))


def number(facts: FactSource, name: str) -> float:
    """Look up a fact that is a number."""
    return float(cast("float", facts.look_up(name)))


class _Gathered:
    """What actions say, put together while they are read."""

    def __init__(self) -> None:
        self._checks: list[Check] = []
        self._edits: dict[tuple[str, str], Edit] = {}
        self._bias: tuple[Shut, Refusal] | None = None
        self._dues: list[Due] = []
        self._instructions = NOTHING
        self._withheld: list[str] = []

    def take(self, bound: Bound, *, protected: bool) -> None:
        """Read one action."""
        action, name = bound.action, bound.name
        if protected:
            if altered_answers(action) != _NO_ACTION:
                self._withheld.append(name)
            action = plain(action)
        if action.refuse is not None:
            self._checks.append(Always(_said(action.refuse, name)))
        if action.openness is not None:
            self._close(action.openness, name)
        if action.serve is not None:
            self._checks.append(Elsewhere(action.serve, refusal(RefusalReason.NOT_SERVED_HERE, name)))
        if action.instruct is not None:
            self._instruct(action.instruct)
        for quota in bound.quotas:
            optional = quota.per in OPTIONAL_SUBJECTS
            self._dues.append(Due(quota, SUBJECT_FACT.get(quota.per), optional, _WHAT.get(quota.of)))

    def edit(self, edit: Edit) -> None:
        """Keep an edit, or the stricter of two on one field."""
        at = (edit.on, edit.field)
        before = self._edits.get(at)
        if before is None or _strictness(edit) > _strictness(before):
            self._edits[at] = edit

    def plan(self, fired: tuple[str, ...]) -> Plan:
        """Give what was gathered."""
        shown = [
            field
            for field in ("logprobs", "top_logprobs")
            if (edit := self._edits.get(("request", field))) is None or edit.action != "strip"
        ]
        at = ("request", "logit_bias")
        answers, tokens = (self._edits.get(("request", field)) for field in ("n", "max_tokens"))
        return Plan(
            fired,
            tuple(self._checks),
            tuple(self._edits.values()),
            self._bias,
            tuple(f"request.{field}" for field in shown),
            tuple({**self._edits, at: Edit("request", "logit_bias", "strip")}.values()) if self._bias else (),
            tuple(self._dues),
            None if answers is None else answers.bound,
            None if tokens is None else tokens.bound,
            self._instructions,
            tuple(self._withheld),
        )

    def _close(self, openness: Openness, by: str) -> None:
        for closing in closings(openness):
            if isinstance(closing, Edit):
                self.edit(closing)
            elif isinstance(closing, NotOver):
                why = refusal(RefusalReason.PARAMETER_NOT_ALLOWED, by, closing.parameter)
                self._checks.append(TooMuch(f"request.{closing.parameter}", closing.most, why))
            elif isinstance(closing, NotThis):
                why = refusal(RefusalReason.OPERATION_NOT_ALLOWED, by, closing.name)
                self._checks.append(WrongOperation(closing.operation, why))
        bias = openness.logit_bias
        if isinstance(bias, Bias) and (self._bias is None or bias.with_logprobs == "refuse"):
            self._bias = bias.with_logprobs, refusal(RefusalReason.PARAMETER_NOT_ALLOWED, by, "logit_bias")

    def _instruct(self, instruct: Instruct) -> None:
        before = self._instructions
        self._instructions = Instructions(
            before.dye or instruct.dye,
            before.watermark or instruct.watermark == "on",
            max(before.reasoning, instruct.reasoning, key=_VISIBLE.__getitem__),
        )


def refusal(reason: RefusalReason, by: str, parameter: str | None = None) -> Refusal:
    """Give a refusal in its usual words."""
    return Refusal(reason, SHAPES[reason].message, by, parameter)


def _said(given: RefusalReason | RefuseWith, by: str) -> Refusal:
    return Refusal(given.reason, given.message, by) if isinstance(given, RefuseWith) else refusal(given, by)


def _strictness(edit: Edit) -> tuple[int, float]:
    return _ORDER[edit.action], -(edit.bound or 0.0)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of these; `*` at the end of one stands for any rest, but never for nothing known."""
    if not name:
        return False
    for pattern in patterns:  # noqa: SIM110  a generator costs more than the few names
        if name == pattern or (pattern[-1:] == "*" and name.startswith(pattern[:-1])):
            return True
    return False
