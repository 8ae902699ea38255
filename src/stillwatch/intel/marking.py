"""TLP 2.0, the traffic light protocol: to whom something may be passed on. Pure; touches nothing.

Sources: FIRST, "Traffic Light Protocol (TLP) 2.0", 2022; the ids and the form are those that OASIS publishes for
STIX 2.1 in cti-stix-common-objects, extension-definition `60a3c5c5`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TLP_EXTENSION: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
_CREATED: Final = "2022-10-01T00:00:00.000Z"


class Marking(StrEnum):
    """The five labels, from the most open to the strictest."""

    CLEAR = "TLP:CLEAR"
    GREEN = "TLP:GREEN"
    AMBER = "TLP:AMBER"
    AMBER_STRICT = "TLP:AMBER+STRICT"
    RED = "TLP:RED"

    @property
    def id(self) -> str:
        """Id of its marking definition, the same for everybody."""
        return f"marking-definition--{_IDS[self]}"

    @property
    def strictness(self) -> int:
        """0 for the most open."""
        return list(Marking).index(self)


_IDS: Final[Mapping[Marking, str]] = {
    Marking.CLEAR: "94868c89-83c2-464b-929b-a1a8aa3c8487",
    Marking.GREEN: "bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    Marking.AMBER: "55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    Marking.AMBER_STRICT: "939a9414-2ddd-4d32-a0cd-375ea402b003",
    Marking.RED: "e828b379-4e03-4974-9ac4-e53a884c97c1",
}
_OLD: Final[Mapping[str, Marking]] = {  # TLP 1, ids fixed by STIX 2.1 section 7.2.1.4
    "613f2e26-407d-48c7-9eca-b8e91df99dc9": Marking.CLEAR,
    "34098fce-860f-48ae-8e50-ebd3cc5e41da": Marking.GREEN,
    "f88d31f6-486f-44da-b317-01333bde0b82": Marking.AMBER,
    "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Marking.RED,
}
BY_ID: Final = {**{each.id: each for each in Marking}, **{f"marking-definition--{id_}": m for id_, m in _OLD.items()}}


def definition(marking: Marking) -> dict[str, Any]:
    """Give the marking definition as the object that everybody has."""
    label = marking.value
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": marking.id,
        "created": _CREATED,
        "name": label,
        "extensions": {
            TLP_EXTENSION: {
                "extension_type": "property-extension",
                "tlp_2_0": label.removeprefix("TLP:").lower(),
            }
        },
    }


def strictest(markings: Iterable[Marking], otherwise: Marking = Marking.RED) -> Marking:
    """Give the strictest of some markings; `otherwise` where there are none."""
    return max(markings, key=lambda each: each.strictness, default=otherwise)


def marking_of(refs: Iterable[str]) -> Marking:
    """Give the strictest TLP label among an object's marking refs.

    An object that bears none is held as `TLP:AMBER+STRICT`, and so is one whose marking is not known here: what nobody
    has allowed to pass on stays in the house.
    """
    refs = list(refs)
    known = [BY_ID[ref] for ref in refs if ref in BY_ID]
    if len(known) < len(refs) or not known:
        known.append(Marking.AMBER_STRICT)
    return strictest(known)
