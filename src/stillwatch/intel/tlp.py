"""The Traffic Light Protocol: what may be passed on, and to whom. Pure.

FIRST, TLP 2.0 (August 2022); as STIX objects: OASIS, TLP 2.0 for STIX 2.1 (extension 60a3c5c5), and STIX 2.1, 7.2.1.4
for TLP 1.0. An object is as confidential as the strictest of its markings; one that nobody can read is stricter still.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from stillwatch.intel.marking import BY_ID, TLP_EXTENSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Tlp(IntEnum):
    """A label, and how strict it is."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    AMBER_STRICT = 3
    RED = 4
    UNKNOWN = 5

    @property
    def label(self) -> str:
        """How it is written."""
        return "no TLP that is known here" if self is Tlp.UNKNOWN else f"TLP:{self.name.replace('_', '+')}"

    @classmethod
    def parsed(cls, text: str) -> Tlp:
        """Read a label, with or without `TLP:`; UNKNOWN if there is no such label."""
        name = text.upper().removeprefix("TLP:").replace("+", "_")
        name = "CLEAR" if name == "WHITE" else name  # as TLP 1.0 calls it
        return cls.__members__.get(name, cls.UNKNOWN)


_KNOWN: Final = {reference: Tlp[marking.name] for reference, marking in BY_ID.items()}

Definitions = dict[str, Tlp | None]
"""What markings beside the known ones mean; None: it is no TLP (a copyright statement, say)."""


def definitions(objects: Iterable[Mapping[str, Any]]) -> Definitions:
    """Read the marking definitions among some objects; none of them can change what a known one means."""
    return {each["id"]: _meaning(each) for each in objects if each.get("type") == "marking-definition"}


def marking_of(thing: Mapping[str, Any], known: Mapping[str, Tlp | None] | None = None) -> Tlp | None:
    """Give the strictest TLP of an object, its granular markings included; None if it bears none.

    A reference to a definition that is not known here counts as UNKNOWN, which goes nowhere.
    """
    strictest: Tlp | None = None
    for reference in _references(thing):
        tlp = _KNOWN[reference] if reference in _KNOWN else (known or {}).get(reference, Tlp.UNKNOWN)
        if tlp is not None and (strictest is None or tlp > strictest):
            strictest = tlp
    return strictest


def may_go(tlp: Tlp | None, collection: str, *, received: bool = False) -> bool:
    """Whether what is marked so may be put into a collection.

    Args:
        tlp: the marking; None goes nowhere but `own`, for nobody said that it may be passed on.
        collection: alias: `own` is read inside one's own organization only, all others by other organizations.
        received: whether it came from somebody else, whose word on passing it on then counts.

    """
    own = collection == "own"
    if tlp is None:
        return own
    if tlp in {Tlp.CLEAR, Tlp.GREEN}:
        return True
    if tlp is Tlp.AMBER:
        return own or not received
    return own and tlp is Tlp.AMBER_STRICT


def _references(thing: Mapping[str, Any]) -> Iterator[str]:
    references = thing.get("object_marking_refs")
    yield from (str(each) for each in references) if isinstance(references, list) else ()
    granular = thing.get("granular_markings")
    for each in granular if isinstance(granular, list) else ():
        if isinstance(each, dict) and "marking_ref" in each:
            yield str(each["marking_ref"])


def _meaning(definition: Mapping[str, Any]) -> Tlp | None:
    extensions = definition.get("extensions")
    extension = extensions.get(TLP_EXTENSION) if isinstance(extensions, dict) else None
    if isinstance(extension, dict):
        return Tlp.parsed(str(extension.get("tlp_2_0")))
    if definition.get("definition_type") == "tlp":
        said = definition.get("definition")
        return Tlp.parsed(str(said.get("tlp"))) if isinstance(said, dict) else Tlp.UNKNOWN
    return None
