"""Policies, `stillwatch.policy/1`: what is allowed to whom, as one YAML file says it. Pure.

Text becomes a `PolicyDocument` (what is written) and then a `Policy` (checked, compiled, ready to decide by). Whatever
is wrong is found before anything is decided by it, all at once, each with its line, column and field. A policy without
rules is refused: it would allow everything while looking like protection.

Every field stands in docs/policy.md; a test holds the two together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from stillwatch.decisions.action import Action, wrong_with_action
from stillwatch.decisions.cel import Cel
from stillwatch.decisions.facts import DERIVED, FACTS, PLACES, PlaceSet, reader
from stillwatch.decisions.limit import Cap, Quota, quota
from stillwatch.decisions.openness import Bias
from stillwatch.decisions.remembered import RememberedConditions
from stillwatch.decisions.rule import Name, Rule  # noqa: TC001 - the same
from stillwatch.decisions.step import Step
from stillwatch.errors import DocumentFault, PolicyError, YamlError
from stillwatch.typed_yaml import Complaint, Part, complaints, field_name, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stillwatch.decisions.condition import ConditionLanguage, ConditionSet
    from stillwatch.decisions.facts import Readable
    from stillwatch.typed_yaml import Document

SCHEMA = "stillwatch.policy/1"
Place = Annotated[
    str, Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$", description="a country such as `DE` or a region such as `UA-43`")
]
ListName = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]{0,60}$", description="a name of small letters, digits and underscores")
]


class PlaceList(Part, frozen=True):
    """Countries and regions, and from which share on what they own belongs to them."""

    of: tuple[Place, ...]
    owned_from: Annotated[float, Meta(gt=0, le=1)] = 0.5


class Steps(Part, frozen=True):
    """What each step of the ladder does; each stands for itself and does not include those below it."""

    verify: tuple[Action, ...]
    throttle: tuple[Action, ...]
    narrow: tuple[Action, ...]
    dye: tuple[Action, ...]
    refuse: tuple[Action, ...]
    observe: tuple[Action, ...] = ()

    def of(self, step: Step) -> tuple[Action, ...]:
        """What one step does."""
        found: tuple[Action, ...] = getattr(self, step.value)
        return found


class Decide(Part, frozen=True):
    """Which step is asked for against what a scan found; the ladder has the last word."""

    campaign: Step = Step.OBSERVE
    watch: Step = Step.OBSERVE


class PolicyDocument(Part, frozen=True):
    """A policy as it is written."""

    schema: Literal["stillwatch.policy/1"]
    name: Name
    mode: Literal["observe", "enforce"]
    on_outage: Literal["allow", "refuse"]
    steps: Steps
    rules: tuple[Rule, ...]
    about: str = ""
    decide: Decide = Decide()
    places: Mapping[ListName, PlaceList] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bound:
    """An action and what it is called in rulings: the rule's id, or the step and its number; with its limits ready.

    Attributes:
        name: of the rule, or `steps.throttle[0]`.
        action: what is done.
        quotas: the limits to charge where it is done.
    """

    name: str
    action: Action
    quotas: tuple[Quota, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A policy to decide by. Two are the same only if they are one object; compare versions otherwise.

    Attributes:
        document: what is written.
        version: `sha256:` and the digest of the document in canonical form, so that comments, order of keys and
            defaults written out make no other version.
        conditions: of the rules, in their order, compiled.
        read: reads the facts that the conditions speak of, and no others.
        rules: what each rule does, in their order.
        steps: what each step of the ladder does.
        instructs: some rule or step instructs the inference engine.
    """

    document: PolicyDocument
    version: str
    conditions: ConditionSet
    read: Readable
    rules: tuple[Bound, ...]
    steps: Mapping[Step, tuple[Bound, ...]]
    instructs: bool


def parse_policy(text: str, *, where: str, language: ConditionLanguage | None = None) -> Policy:
    """Read a policy.

    Args:
        text: YAML.
        where: the file, or what to call the policy in errors.
        language: of the conditions; CEL if None.

    Raises:
        PolicyError: the policy is empty, or says something wrong; it has every fault.

    """
    speaks = language or Cel()
    try:
        written = read_yaml(text)
    except YamlError as error:
        raise PolicyError(where, [DocumentFault(error.line or 1, error.column or 1, "", error.reason)]) from error
    if written.content is None:
        raise PolicyError(where, (), reason=f"is empty; a policy starts with `schema: {SCHEMA}`")
    if not isinstance(written.content, dict) or written.content.get("schema") != SCHEMA:
        raise PolicyError(where, [DocumentFault(1, 1, "schema", f"a policy is a mapping with `schema: {SCHEMA}`")])
    faults = [_at(written, wrong) for wrong in complaints(written.content, PolicyDocument)]
    if faults:
        faults += _faults_of_readable_conditions(written, speaks)
        raise PolicyError(where, faults)
    document = msgspec.convert(written.content, PolicyDocument)
    faults += [_at(written, wrong) for wrong in _contradictions(document)]
    kinds = fact_kinds(document.places)
    for number, rule in enumerate(document.rules):
        faults += _condition_faults(written, ("rules", number, "when"), rule.condition, kinds, speaks)
    if faults:
        raise PolicyError(where, faults)
    return _compiled(document, speaks)


def fact_kinds(places: Mapping[str, PlaceList]) -> dict[str, object]:
    """Give the type of every fact that the conditions of a policy with these lists of places may speak of."""
    listed = {f"{above}.{name}": bool for above in PLACES for name in places}
    return {name: fact.kind for name, fact in (*FACTS.items(), *DERIVED.items())} | listed


def _compiled(document: PolicyDocument, language: ConditionLanguage) -> Policy:
    places = {name: PlaceSet(frozenset(listed.of), listed.owned_from) for name, listed in document.places.items()}
    written = [rule.condition for rule in document.rules]
    conditions = RememberedConditions(language.compiled(written, fact_kinds(document.places)))
    rules = tuple(_bound(rule.id, rule.then) for rule in document.rules)
    steps = {
        step: tuple(_bound(f"steps.{step}[{number}]", action) for number, action in enumerate(document.steps.of(step)))
        for step in Step
    }
    everything = (*rules, *(bound for bounds in steps.values() for bound in bounds))
    return Policy(
        document,
        version_of(document),
        conditions,
        reader(conditions.names, places),
        rules,
        steps,
        any(bound.action.instruct is not None for bound in everything),
    )


def version_of(document: PolicyDocument) -> str:
    """Give the version of a policy: a digest of what it says."""
    return f"sha256:{hashlib.sha256(msgspec.json.encode(document, order='deterministic')).hexdigest()}"


def _bound(name: str, action: Action) -> Bound:
    made: list[Quota] = []
    if action.limit is not None:
        made.append(quota(action.limit, name))
    bias = None if action.openness is None else action.openness.logit_bias
    if isinstance(bias, Bias) and bias.distinct_a_day is not None:
        made.append(Quota(f"{name}:bias", "bias_tokens", "account", Cap(bias.distinct_a_day, 86_400)))
    return Bound(name, action, tuple(made))


# ---------------------------------------------------------------- what may be wrong


def _at(written: Document, wrong: Complaint) -> DocumentFault:
    return DocumentFault(*written.position(wrong.path, key=wrong.key), wrong.field, wrong.reason)


def _contradictions(document: PolicyDocument) -> Iterator[Complaint]:
    if not document.rules:
        yield Complaint(("rules",), "there are none; an empty policy would allow everything")
    seen: set[str] = set()
    for number, rule in enumerate(document.rules):
        if rule.id in seen:
            yield Complaint(("rules", number, "id"), f"`{rule.id}` is the id of another rule")
        seen.add(rule.id)
        if rule.condition == "false":
            yield Complaint(("rules", number, "when"), "a rule that never fires")
        yield from wrong_with_action(rule.then, ("rules", number, "then"), in_step=False)
    yield from _step_contradictions(document.steps)
    for name, listed in document.places.items():
        if not listed.of:
            yield Complaint(("places", name, "of"), "names no place")


def _step_contradictions(steps: Steps) -> Iterator[Complaint]:
    if steps.observe:
        yield Complaint(("steps", "observe"), "observing changes nothing: it has no actions")
    if not any(action.refuse is not None for action in steps.refuse):
        yield Complaint(("steps", "refuse"), "does not refuse: it has no `refuse`")
    for step in Step:
        for number, action in enumerate(steps.of(step)):
            yield from wrong_with_action(action, ("steps", step.value, number), in_step=True)


def _condition_faults(
    written: Document,
    path: tuple[str | int, ...],
    condition: str,
    kinds: Mapping[str, object],
    language: ConditionLanguage,
) -> Iterator[DocumentFault]:
    for fault in language.faults(condition, kinds):
        position = written.position_within(path, fault.line, fault.column)
        yield DocumentFault(*position, field_name(path), fault.reason)


def _faults_of_readable_conditions(written: Document, language: ConditionLanguage) -> Iterator[DocumentFault]:
    """Check those conditions of a policy with other faults that can be read all the same."""
    content = written.content if isinstance(written.content, dict) else {}
    rules, places = content.get("rules"), content.get("places")
    kinds = fact_kinds({str(name): PlaceList(()) for name in (places if isinstance(places, dict) else {})})
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        when = rule.get("when") if isinstance(rule, dict) else None
        if isinstance(when, str):
            yield from _condition_faults(written, ("rules", number, "when"), when.strip(), kinds, language)
