"""Reading the filters and the page out of a query (TAXII 2.1, 3.4, 3.4.1 and 3.5). Pure.

A filter that is not known, said twice or malformed is refused rather than ignored: whoever asks for less must not get
more. Parameters that are no filters are ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from stillwatch.errors import TaxiiError
from stillwatch.intel.moment import to_micros
from stillwatch.intel.shape import SPEC_VERSION, is_id, is_type
from stillwatch.intel.taxii.wanted import Version, Wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PAGE: Final = 1000  # objects on a page, unless fewer are asked for
_MOST: Final = 100  # values of one filter
_MOST_AT_ONCE: Final = 100  # types times versions: each pair is a look at an index of its own
_LONGEST: Final = 32 * 1024  # bytes of a query
_PLAIN: Final = frozenset(("added_after", "limit", "next"))
_MATCHES: Final = frozenset(("id", "type", "version", "spec_version"))
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
_CURSOR: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_SPEC: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")

OBJECTS: Final = frozenset((*_PLAIN, *(f"match[{name}]" for name in _MATCHES)))
ONE_OBJECT: Final = OBJECTS - {"match[id]", "match[type]"}
VERSIONS: Final = ONE_OBJECT - {"match[version]"}
DELETION: Final = frozenset(("match[version]", "match[spec_version]"))


def wanted_from(
    query: bytes, allowed: Collection[str], *, page: int = PAGE, versions: tuple[Version, ...] = ("last",)
) -> Wanted:
    """Read a query.

    Args:
        query: as it stands in the URL.
        allowed: the filters that the endpoint knows.
        page: the most objects on a page.
        versions: which are meant if the query does not say.

    Raises:
        TaxiiError: a filter is malformed, said twice, or not one of the endpoint's (400).

    """
    said = _said(query, allowed)
    types = tuple(_values(said, "match[type]"))
    ids = tuple(_values(said, "match[id]"))
    specs = tuple(_values(said, "match[spec_version]"))
    asked = tuple(_version(each) for each in _values(said, "match[version]")) or versions
    for name, values, right in (("id", ids, is_id), ("type", types, is_type), ("spec_version", specs, _is_spec)):
        if not all(map(right, values)):
            raise _wrong(f"match[{name}] holds what is no {name}")
    if not ids and max(len(types), 1) * len(asked) > _MOST_AT_ONCE:
        raise _wrong(f"more than {_MOST_AT_ONCE} pairs of a type and a version")
    return Wanted(
        after=max(_after(said), _cursor(said)),
        ids=ids,
        types=types,
        versions=asked,
        none=bool(specs) and SPEC_VERSION not in specs,
        limit=_limit(said, page),
    )


def cursor_at(added: int) -> str:
    """Write where a page ended, as `next`."""
    return str(added)


def _said(query: bytes, allowed: Collection[str]) -> Mapping[str, str]:
    if len(query) > _LONGEST:
        raise TaxiiError(414, "URI Too Long", f"The query is longer than {_LONGEST:,} bytes.")
    said: dict[str, str] = {}
    for part in query.split(b"&"):
        name, _, value = (_text(each) for each in part.partition(b"="))
        if name not in allowed:
            if name in OBJECTS or name.startswith("match["):
                raise _wrong("A filter is not known at this endpoint")
            continue
        if name in said:
            raise _wrong(f"{name} is said twice; give several values in one, with commas")
        said[name] = value
    return said


def _text(data: bytes) -> str:
    try:
        return unquote_plus(data.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise _wrong("The query is no UTF-8") from None


def _values(said: Mapping[str, str], name: str) -> list[str]:
    """Give the values of a filter, each once."""
    if name not in said:
        return []
    values = list(dict.fromkeys(said[name].split(",")))
    if len(values) > _MOST:
        raise _wrong(f"{name} has more than {_MOST} values")
    return values


def _version(text: str) -> Version:
    match text:
        case "first" | "last" | "all":
            return text
    try:
        return to_micros(text)
    except ValueError:
        raise _wrong("match[version] is neither first, last, all nor a time") from None


def _after(said: Mapping[str, str]) -> int:
    if "added_after" not in said:
        return -1
    try:
        return to_micros(said["added_after"])
    except ValueError:
        raise _wrong("added_after is no time such as 2026-07-01T12:00:00.000000Z") from None


def _cursor(said: Mapping[str, str]) -> int:
    text = said.get("next")
    if text is None:
        return -1
    if _CURSOR.fullmatch(text) is None:
        raise _wrong("next is not what an earlier page gave")
    return int(text)


def _limit(said: Mapping[str, str], page: int) -> int:
    text = said.get("limit")
    if text is None:
        return page
    if _NUMBER.fullmatch(text) is None:
        raise _wrong("limit is no whole number above 0")
    return min(int(text), page)


def _is_spec(text: str) -> bool:
    return _SPEC.fullmatch(text) is not None


def _wrong(description: str) -> TaxiiError:
    return TaxiiError(400, "Bad Request", description.rstrip(".") + ".")
