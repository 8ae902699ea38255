"""What STIX 2.1 lacks, as an extension definition (section 7.3): marks, and the figures of a campaign. Pure."""

from __future__ import annotations

from typing import Any, Final

from stillwatch.intel.ids import object_id

MARK: Final = "x-stillwatch-mark"  # type of the observable; the prefix is for readers older than extensions
SCHEME: Final = "stillwatch-marks/1"  # how marks are made from exchanges, before they are keyed
VERSION: Final = "1.0.0"
AUTHOR_ID: Final = object_id("identity", "stillwatch")
EXTENSION_ID: Final = object_id("extension-definition", "stillwatch", "1")
FIXED: Final = "2026-01-01T00:00:00.000Z"  # when objects that never change were made

_SCHEMA: Final = (
    "On x-stillwatch-mark (a new observable): family (string: which part of a request it is made of), value (16 "
    "characters of base32: BLAKE2b of the part's 64-bit hash, keyed), scheme (string), key (string: id of the key, or "
    "provider). Family and value tell marks apart. "
    "On campaign: bits (number: log2 of the evidence for one operator), p_value and q_value (numbers), accounts, "
    "exchanges, input_tokens, output_tokens (integers, two significant digits), evidence (list of signal, family and "
    "bits), dye_commitments (list of SHA-256: commitments to keys of statistical marks put into answers). "
    "On indicator: accounts and exchanges that bore the mark (integers, two significant digits), family."
)


def author() -> dict[str, Any]:
    """Give who defines the extension."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": AUTHOR_ID,
        "created": FIXED,
        "modified": FIXED,
        "name": "stillwatch",
        "identity_class": "system",
    }


def extension_definition() -> dict[str, Any]:
    """Give the definition."""
    return {
        "type": "extension-definition",
        "spec_version": "2.1",
        "id": EXTENSION_ID,
        "created_by_ref": AUTHOR_ID,
        "created": FIXED,
        "modified": FIXED,
        "name": "stillwatch",
        "description": "Marks of distillation campaigns as keyed hashes, and the evidence about them in figures.",
        "schema": _SCHEMA,
        "version": VERSION,
        "extension_types": ["new-sco", "property-extension"],
    }


def figures(**values: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """Give properties in the form that objects of other types carry them."""
    return {EXTENSION_ID: {"extension_type": "property-extension", **values}}
