"""Times, heads of objects and documents: laws, and that no bytes bring anything but an answer or a refusal."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sharing import T0, TAXII, indicator

from stillwatch.errors import BundleError, TaxiiError
from stillwatch.intel.document import Fault, Item, cut, items
from stillwatch.intel.moment import to_micros, to_text
from stillwatch.intel.shape import shape_of
from stillwatch.intel.taxii import filters, media
from stillwatch.intel.taxii.wanted import Wanted

MOMENTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    ("id", "type", "created", "modified", "spec_version", "confidence", "object_marking_refs", "revoked", "valid_until")
)


# ---- times


@given(MOMENTS)
def test_a_time_is_what_it_was(moment: datetime) -> None:
    text = moment.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") + "Z"
    assert to_text(to_micros(text)) == text


@given(MOMENTS, MOMENTS)
def test_times_are_in_order(one: datetime, other: datetime) -> None:
    first, second = (to_micros(each.isoformat(timespec="microseconds") + "Z") for each in (one, other))
    assert (first < second) is (one < other)
    assert (to_text(first) < to_text(second)) is (one < other)


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-01", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00+00:00", "2026-01-01T24:00:00Z", "x" * 100_000,
     "2026-01-01T00:00:00.0000001Z", "\uff12026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|day|hour|month"):
        to_micros(text)


# ---- objects and documents


@given(st.dictionaries(FIELDS, VALUES))
def test_whatever_stands_in_an_object_it_is_taken_or_refused(fields: dict[str, Any]) -> None:
    document = json.dumps({"objects": [{**indicator(1), **fields}]}).encode()
    try:
        (read,) = items(cut(document))
    except BundleError:
        return
    assert isinstance(read, Item | Fault)
    if isinstance(read, Item):
        assert shape_of(json.loads(read.content)) == read.shape


@given(st.binary(max_size=200) | st.text().map(str.encode) | VALUES.map(lambda each: json.dumps(each).encode()))
def test_whatever_bytes_come_they_are_read_or_refused(data: bytes) -> None:
    with suppress(BundleError):
        list(items(cut(data)))


def test_the_same_object_is_the_same_however_it_is_spelt() -> None:
    spelt = [json.dumps(indicator(1)), json.dumps(dict(reversed(indicator(1).items())), indent=3)]
    (one, other) = (next(items(cut(b'{"objects":[' + each.encode() + b"]}"))) for each in spelt)
    assert isinstance(one, Item)
    assert isinstance(other, Item)
    assert one.canonical == other.canonical


def test_what_has_no_version_says_so() -> None:
    assert shape_of({"type": "url", "id": "url--5d0092c5-5f74-4287-9642-33f4c354e56d", "value": "x"}).version is None
    assert shape_of(indicator(1)).version == to_micros(T0)


# ---- queries


@given(st.binary(max_size=120) | st.text(max_size=60).map(lambda each: f"match[id]={each}".encode()))
def test_whatever_a_query_holds_it_is_read_or_refused(query: bytes) -> None:
    try:
        assert isinstance(filters.wanted_from(query, filters.OBJECTS), Wanted)
    except TaxiiError as error:
        assert error.status in {400, 414}  # noqa: PT017


@given(st.integers(0, 10**17), st.integers(1, 5000))
def test_a_page_is_asked_for_as_it_was_given(added: int, limit: int) -> None:
    wanted = filters.wanted_from(f"next={filters.cursor_at(added)}&limit={limit}".encode(), filters.OBJECTS)
    assert (wanted.after, wanted.limit) == (added, min(limit, filters.PAGE))


@given(st.text())
def test_whatever_a_client_accepts_it_is_answered_or_refused(accept: str) -> None:
    try:
        media.require_accepted(accept)
    except TaxiiError as error:
        assert error.status == 406  # noqa: PT017
    media.require_accepted(f"{TAXII}, {accept}")
