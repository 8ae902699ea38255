"""What may leave: every field that an export may hold, why it may, and what its value must look like. Pure.

The list is closed. `held_to` holds every object against it, field by field, before anything is written; a field
that is not listed, or whose value is not of the form that is listed, stops the whole export. So nothing leaves because
somebody forgot to take it out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stillwatch.errors import ShareError
from stillwatch.intel import extension
from stillwatch.intel.marking import TLP_EXTENSION, Marking, definition
from stillwatch.intel.shareable import LEAVE
from stillwatch.intel.sightings import EXPLANATION
from stillwatch.intel.stix import INDICATOR_SAYS, INFRASTRUCTURE_SAYS, SOUGHT, provider_identity
from stillwatch.intel.techniques import CASE, TECHNIQUES
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.signals import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stillwatch.intel.stix import StixObject, Terms


class Rule(NamedTuple):
    """One field that may leave.

    Attributes:
        why: why it may.
        holds: whether a value is of the form that may leave.
    """

    why: str
    holds: Callable[[Any], bool]


class Row(NamedTuple):
    """One line of what would leave: a field of a type of object, how often, an example, and why it may."""

    kind: str
    field: str
    values: int
    example: str
    why: str


def _text(pattern: str) -> Callable[[Any], bool]:
    match = re.compile(pattern).fullmatch
    return lambda value: isinstance(value, str) and match(value) is not None


def _one_of(*values: object) -> Callable[[Any], bool]:
    allowed = frozenset(values)
    return lambda value: value in allowed


def _number(most: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and -most <= value <= most


def _rounded(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= 999_999_999 and not str(value)[2:].strip("0")


_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_REF: Final = _text(rf"[a-z-]+--{_UUID}")
_TIME: Final = _text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_DAY: Final = _text(r"\d{4}-\d\d-\d\dT00:00:00\.000Z")
_NAME: Final = r"c-[0-9a-f]{10}"
_FAMILIES: Final = "|".join(LEAVE)
_SOUGHT: Final = "|".join(sorted(SOUGHT))
_FIXED: Final = "the same in every export, whoever makes it"
_MADE: Final = "made of keyed hashes; tells two objects apart and nothing else"
_WHEN: Final = "a whole day; no exchange can be told from it"
_HASH: Final = "a keyed hash, from which nothing can be read; see the families of marks that may leave"
_COUNT: Final = "a sum over all accounts of the campaign, to two significant digits"
_SAID: Final = "a sentence of ours; what counts it holds are rounded"
_FIGURE: Final = "a statistic of the whole campaign, rounded"
_OWN: Final = f"extensions.{extension.EXTENSION_ID}"

_COMMON: Final[Mapping[str, Rule]] = {
    "spec_version": Rule(_FIXED, _one_of("2.1")),
    "id": Rule(_MADE, _REF),
    "created_by_ref": Rule("who exports; chosen by whoever approves", _REF),
    "created": Rule(_WHEN, _TIME),
    "modified": Rule("the minute that the scanned log ends; orders versions of one object", _TIME),
    "object_marking_refs[]": Rule("to whom it may be passed on", _one_of(*(each.id for each in Marking))),
}
_PROPERTY: Final = {f"{_OWN}.extension_type": Rule(_FIXED, _one_of("property-extension"))}
_SURE: Final = {"confidence": Rule(_FIGURE, _number(100))}
_SEEN: Final = {"first_seen": Rule(_WHEN, _DAY), "last_seen": Rule(_WHEN, _DAY)}
_REFS: Final = Rule("refers to another object of this bundle", _REF)

_RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "campaign": {
        **_SEEN,
        **_SURE,
        **_PROPERTY,
        "name": Rule(_HASH, _text(f"Campaign {_NAME}")),
        "description": Rule(
            _SAID,
            _text(
                r"About \d{1,9} accounts that act as one dealt a queue of prompts among them and gathered the answers "
                r"of a model, in about \d{1,9} exchanges\. Found by statistics over a request log; counts are rounded\."
            ),
        ),
        "objective": Rule(
            "kinds of capability, out of a list of ours",
            _text(f"To gather answers: (?:{_SOUGHT})(?:, (?:{_SOUGHT}))*\\."),
        ),
        **{f"external_references[].{name}": Rule(_FIXED, _one_of(value)) for name, value in CASE.items()},
        f"{_OWN}.bits": Rule(_FIGURE, _number(100)),
        f"{_OWN}.p_value": Rule(_FIGURE, _number(1)),
        f"{_OWN}.q_value": Rule(_FIGURE, _number(1)),
        **{
            f"{_OWN}.{name}": Rule(_COUNT, _rounded)
            for name in ("accounts", "exchanges", "input_tokens", "output_tokens")
        },
        f"{_OWN}.evidence[].signal": Rule("name of a method of ours", _one_of(*BY_ID)),
        f"{_OWN}.evidence[].family": Rule("name of a method of ours", _one_of(*(each.value for each in Family))),
        f"{_OWN}.evidence[].bits": Rule(_FIGURE, _number(100)),
        f"{_OWN}.dye_commitments[]": Rule("a commitment, from which the key cannot be had", _text(r"[0-9a-f]{64}")),
    },
    "infrastructure": {
        **_SEEN,
        "name": Rule(_HASH, _text(f"Accounts and clients of campaign {_NAME}")),
        "description": Rule(_SAID, _one_of(INFRASTRUCTURE_SAYS)),
        "infrastructure_types[]": Rule("a kind, out of the standard's list", _one_of("anonymization", "unknown")),
    },
    "indicator": {
        **_SURE,
        **_PROPERTY,
        "name": Rule(_HASH, _text(f"Mark of campaign {_NAME}: (?:{_FAMILIES})")),
        "description": Rule(_SAID, _one_of(INDICATOR_SAYS)),
        "indicator_types[]": Rule(_FIXED, _one_of("malicious-activity")),
        "pattern": Rule(
            _HASH,
            _text(rf"\[{extension.MARK}:family = '(?:{_FAMILIES})' AND {extension.MARK}:value = '[a-z2-7]{{16}}'\]"),
        ),
        "pattern_type": Rule(_FIXED, _one_of("stix")),
        "pattern_version": Rule(_FIXED, _one_of("2.1")),
        "valid_from": Rule(_WHEN, _DAY),
        "valid_until": Rule(_WHEN, _DAY),
        f"{_OWN}.family": Rule("a family of marks that may leave", _one_of(*LEAVE)),
        f"{_OWN}.accounts": Rule(_COUNT, _rounded),
        f"{_OWN}.exchanges": Rule(_COUNT, _rounded),
    },
    "observed-data": {
        "first_observed": Rule(_WHEN, _DAY),
        "last_observed": Rule(_WHEN, _DAY),
        "number_observed": Rule(_COUNT, _rounded),
        "object_refs[]": _REFS,
    },
    "relationship": {
        "relationship_type": Rule(_FIXED, _one_of("uses", "indicates", "consists-of")),
        "source_ref": _REFS,
        "target_ref": _REFS,
    },
    "sighting": {
        **_SEEN,
        **_SURE,
        "count": Rule(_COUNT, _rounded),
        "sighting_of_ref": _REFS,
        "where_sighted_refs[]": _REFS,
        "observed_data_refs[]": _REFS,
    },
    "grouping": {
        "name": Rule(_HASH, _text(f"Campaign {_NAME}")),
        "context": Rule(_FIXED, _one_of("suspicious-activity")),
        "object_refs[]": _REFS,
    },
    "opinion": {
        "opinion": Rule("what whoever approves asked for", _one_of("disagree")),
        "explanation": Rule(_SAID, _one_of(EXPLANATION)),
        "object_refs[]": _REFS,
    },
    extension.MARK: {
        "family": Rule("a family of marks that may leave", _one_of(*LEAVE)),
        "value": Rule(_HASH, _text(r"[a-z2-7]{16}")),
        "scheme": Rule(_FIXED, _one_of(extension.SCHEME)),
        "key": Rule("tells which key, and nothing of it", _text(r"provider|k-[0-9a-f]{12}")),
        f"{_OWN}.extension_type": Rule(_FIXED, _one_of("new-sco")),
    },
}
_CONSTANT: Final = {
    each["id"]: each
    for each in (
        *map(definition, Marking),
        extension.author(),
        extension.extension_definition(),
        *(one.attack_pattern(extension.FIXED, extension.AUTHOR_ID) for one in TECHNIQUES),
    )
}
_LISTED: Final = {kind: {**_COMMON, "type": Rule(_FIXED, _one_of(kind)), **rules} for kind, rules in _RULES.items()}
_NO_RULES: Final[Mapping[str, Rule]] = {}
_CONSTANT_RULE: Final = Rule(_FIXED, lambda _: True)
_NAMED: Final = "who exports, as named by whoever approves"
_IDENTITY: Final = {
    **{
        name: Rule(_FIXED, lambda _: True)
        for name in ("type", "spec_version", "created", "modified", "identity_class", "sectors[]")
    },
    "id": Rule("made of that name", lambda _: True),
    "name": Rule(_NAMED, lambda _: True),
}  # the whole of it is compared with what the name makes


def held_to(objects: Iterable[StixObject], terms: Terms) -> list[Row]:
    """See that nothing but what is listed leaves; give every field that does, how often, an example, and why it may.

    Raises:
        ShareError: something else would; the text names type and field, never the value.

    """
    identity = provider_identity(terms.provider)
    kinds: dict[str, dict[str, _Seen]] = {}
    for each in objects:
        kind = each["type"]
        seen = kinds.setdefault(kind, {})
        if each["id"] in _CONSTANT and each == _CONSTANT[each["id"]]:
            _count(seen, "(all of it)", each.get("name", each["id"]), _CONSTANT_RULE)
        else:
            rules = _IDENTITY if each == identity else _LISTED.get(kind, _NO_RULES)
            for field, value in each.items():
                rule, known = rules.get(field), seen.get(field)
                if known is not None and rule is known.rule and rule.holds(value):
                    known.number += 1  # the usual way, without a call
                else:
                    _hold(seen, rules, kind, field, value)
    return [
        Row(kind, _short(field), seen.number, seen.example, seen.rule.why)
        for kind, fields in kinds.items()
        for field, seen in fields.items()
    ]


class _Seen:
    """A field that was met: how often, with what for an example."""

    __slots__ = ("example", "number", "rule")

    def __init__(self, rule: Rule, example: str) -> None:
        self.rule, self.example, self.number = rule, example, 0


def _hold(seen: dict[str, _Seen], rules: Mapping[str, Rule], kind: str, field: str, value: object) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            _hold(seen, rules, kind, f"{field}.{name}", each)
    elif isinstance(value, list):
        for each in value:
            _hold(seen, rules, kind, f"{field}[]", each)
    else:
        rule = rules.get(field)
        if rule is None or not rule.holds(value):
            raise ShareError(f"{kind}.{_short(field)}: may not leave as it is; nothing was exported")
        _count(seen, field, value, rule)


def _count(seen: dict[str, _Seen], field: str, value: object, rule: Rule) -> None:
    known = seen.get(field)
    if known is None:
        known = seen[field] = _Seen(rule, str(value))
    known.number += 1


def _short(field: str) -> str:
    return field.replace(_OWN, "extensions.stillwatch").replace(TLP_EXTENSION, "tlp")
