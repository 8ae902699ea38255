"""Media types: which one is spoken, and whether a client wants it. Pure.

TAXII 2.1, 1.6.8 and 3.2; RFC 9110, 12.5.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.errors import TaxiiError

if TYPE_CHECKING:
    from collections.abc import Iterator

TAXII: Final = "application/taxii+json;version=2.1"
STIX: Final = "application/stix+json;version=2.1"
_TYPE: Final = "application/taxii+json"
_RANGES: Final = frozenset(("*/*", "application/*", _TYPE))


def require_accepted(accept: str | None) -> None:
    """See that a client takes what this server speaks; one that names no version gets the latest.

    Raises:
        TaxiiError: it takes only other types or versions (406).

    """
    if accept is None or not accept.strip():
        return
    for name, parameters in _listed(accept):
        version = parameters.get("version", "2.1")
        if name in _RANGES and version == "2.1" and _weight(parameters.get("q", "1")) > 0:
            return
    raise TaxiiError(406, "Not Acceptable", f"This server speaks {TAXII}.")


def require_content(content_type: str | None, encoding: str | None) -> None:
    """See that a body is of the type that this server speaks, and not compressed.

    Raises:
        TaxiiError: it is not (415).

    """
    listed = list(_listed(content_type or ""))
    if len(listed) != 1 or listed[0][0] != _TYPE or listed[0][1].get("version", "2.1") != "2.1":
        raise TaxiiError(415, "Unsupported Media Type", f"Send {TAXII}.")
    if encoding is not None and encoding.strip().lower() not in {"", "identity"}:
        raise TaxiiError(415, "Unsupported Media Type", "Send the body uncompressed.")


def _listed(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    for each in header.split(",")[:64]:
        name, *rest = each.split(";")
        pairs = (part.partition("=") for part in rest)
        yield name.strip().lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
