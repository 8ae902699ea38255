"""Versions of objects (STIX 2.1, section 3.6): what changed since the last export, and what did not. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from stillwatch.errors import BundleError
from stillwatch.intel import rounding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stillwatch.intel.stix import StixObject

_VERSION: Final = ("created", "modified")
_STEP: Final = timedelta(milliseconds=1)


def versioned(objects: Iterable[StixObject], previous: Mapping[str, StixObject]) -> list[StixObject]:
    """Give each object as the next version of what was exported before.

    What has not changed is given as it was. What has changed keeps `created`, and its `modified` is later than before,
    however late the findings are. What is new stands as it is.

    Args:
        objects: of this export.
        previous: of the last one, by id.

    Raises:
        BundleError: an object of the last export has a time that is none.

    """
    return [_next(each, previous.get(each["id"])) for each in objects]


def _next(now: StixObject, before: StixObject | None) -> StixObject:
    if before is None or "modified" not in now:
        return now
    if _content(now) == _content(before):
        return before
    try:
        last = datetime.fromisoformat(before["modified"])
        stated = datetime.fromisoformat(now["modified"])
        modified = stated if stated > last else last + _STEP
        return {**now, "created": str(before["created"]), "modified": rounding.written(modified)}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(f"{now['id']}: the last export tells no time that it was made or changed") from error


def _content(each: StixObject) -> StixObject:
    return {name: value for name, value in each.items() if name not in _VERSION}
