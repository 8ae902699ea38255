"""What a STIX 2.1 object must at least be to be taken in: its head, checked. Pure.

Not a full validation (types that nobody here has heard of are allowed, STIX 2.1, 7.3), but enough that whoever reads an
object from a store can rely on the kinds of the fields that decide about it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stillwatch.intel.moment import to_micros

if TYPE_CHECKING:
    from collections.abc import Mapping

SPEC_VERSION: Final = "2.1"
LONGEST_ID: Final = 160
DEEPEST: Final = 32  # levels of nesting; the deepest that OASIS's own schemas know is some ten
LONGEST_TEXT: Final = 256 * 1024  # characters in one string
REFERENCE: Final = frozenset(("marking-definition", "extension-definition", "identity", "attack-pattern"))
"""Types that others refer to: what a marking, an extension or a technique is, and who speaks. They tell of nobody."""

_ID: Final = re.compile(
    r"([a-z][a-z0-9-]{1,80}[a-z0-9])--[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
_TYPE: Final = re.compile(r"[a-z][a-z0-9-]{1,80}[a-z0-9]")
_TIMES: Final = ("created", "modified", "valid_from", "valid_until", "first_seen", "last_seen")
_REFERENCES: Final = ("object_marking_refs", "object_refs")


@dataclass(frozen=True, slots=True)
class Shape:
    """The head of an object.

    Attributes:
        id: of the object.
        type: of the object.
        version: `modified`, or else `created`, in microseconds since 1970; None where it has neither (STIX 2.1, 3.6).
        creator: the identity it says it is from; empty if it says none.
        valid_until: when it ends, in microseconds since 1970; None if it says nothing.
        confidence: 0 to 100; None if it says nothing.
        revoked: whether it is taken back by this version.

    """

    id: str
    type: str
    version: int | None
    creator: str
    valid_until: int | None
    confidence: int | None
    revoked: bool


def is_id(text: str) -> bool:
    """Whether a text is the identifier of an object (STIX 2.1, 2.9)."""
    return len(text) <= LONGEST_ID and _ID.fullmatch(text) is not None


def is_type(text: str) -> bool:
    """Whether a text can be a type's name (STIX 2.1, 2.6 and 3.1)."""
    return _TYPE.fullmatch(text) is not None


def shape_of(thing: Mapping[str, Any]) -> Shape:
    """Check an object's head.

    Raises:
        ValueError: it is no STIX 2.1; the text says why, in words for whoever sent it.

    """
    identifier, kind = thing.get("id"), thing.get("type")
    if not isinstance(identifier, str) or not is_id(identifier):
        raise ValueError("`id` is no identifier (a type, two dashes and a UUID)")
    if kind != identifier.partition("--")[0]:
        raise ValueError("`type` is not the one that `id` begins with")
    if kind == "bundle":
        raise ValueError("a bundle cannot be an object")
    times = {name: _time(thing, name) for name in _TIMES if name in thing}
    created, modified = times.get("created"), times.get("modified")
    _check_version(thing, created, modified)
    _check_references(thing)
    _check_depth(thing, 1)
    creator, confidence, revoked = (thing.get(name) for name in ("created_by_ref", "confidence", "revoked"))
    if creator is not None and not (isinstance(creator, str) and is_id(creator) and creator.startswith("identity--")):
        raise ValueError("`created_by_ref` is no identity's identifier")
    if confidence is not None and (type(confidence) is not int or not 0 <= confidence <= 100):
        raise ValueError("`confidence` is no whole number from 0 to 100")
    if revoked is not None and type(revoked) is not bool:
        raise ValueError("`revoked` is neither true nor false")
    return Shape(
        identifier,
        kind,
        created if modified is None else modified,
        creator or "",
        times.get("valid_until"),
        confidence,
        revoked is True,
    )


def _time(thing: Mapping[str, Any], name: str) -> int:
    value = thing[name]
    try:
        return to_micros(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from None


def _check_version(thing: Mapping[str, Any], created: int | None, modified: int | None) -> None:
    said = thing.get("spec_version", None if created is not None else SPEC_VERSION)
    if said != SPEC_VERSION:  # an observable need not say it (STIX 2.1, 3.2); all others must
        raise ValueError("`spec_version` is not 2.1")
    if modified is not None and (created is None or modified < created):
        raise ValueError("`modified` is before `created`, or alone")


def _check_references(thing: Mapping[str, Any]) -> None:
    for name in _REFERENCES:
        references = thing.get(name, [])
        if not isinstance(references, list) or not all(isinstance(each, str) and is_id(each) for each in references):
            raise ValueError(f"`{name}` is no list of identifiers")


def _check_depth(value: object, depth: int) -> None:
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise ValueError(f"a text is longer than {LONGEST_TEXT:,} characters")
        return
    if not isinstance(value, dict | list):
        return
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    for each in value.values() if isinstance(value, dict) else value:
        if type(each) is not int:
            _check_depth(each, depth + 1)
