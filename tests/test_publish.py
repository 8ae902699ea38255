"""Publishing: what goes, what may not, and a bundle that is taken whole or not at all."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from tests.sharing import (
    AMBER,
    GREEN,
    RED,
    STRICT,
    T1,
    Sharing,
    bundle,
    identity,
    indicator,
    items_of,
    number,
    post,
    serving,
)

from stillwatch.errors import BundleError, MarkingError
from stillwatch.intel.document import LARGEST, Document, read_bundle
from stillwatch.intel.received import IntelStore
from stillwatch.intel.taxii.client import TaxiiClient
from stillwatch.intel.taxii.publish import Published, allowed, publish
from stillwatch.intel.tlp import Tlp, definitions, marking_of, may_go

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLEAR = "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"
EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[Sharing]:
    with serving(str(tmp_path / "share.sqlite"), largest=20_000) as running:
        running.add("ann")
        yield running


def document(tmp_path: Path, *objects: dict[str, Any]) -> Document:
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle(*objects)))
    return read_bundle(path)


# ---- markings


@pytest.mark.parametrize(
    ("marking", "allowed_in"),
    [
        (CLEAR, {"industry", "government", "own"}),
        (GREEN, {"industry", "government", "own"}),
        (AMBER, {"industry", "government", "own"}),
        (STRICT, {"own"}),
        (RED, set()),
        (f"marking-definition--{number('nobody knows')}", set()),
        (None, {"own"}),
    ],
)
def test_a_marking_says_where_an_object_may_go(tmp_path: Path, marking: str | None, allowed_in: set[str]) -> None:
    thing = indicator(1) if marking is None else indicator(1, object_marking_refs=[marking])
    given = document(tmp_path, thing, indicator(2, object_marking_refs=[GREEN]))
    for collection in ("industry", "government", "own"):
        if collection in allowed_in:
            assert len(allowed(given, collection, None)) == 2
        else:
            with pytest.raises(MarkingError, match=thing["id"]):
                allowed(given, collection, None)


def test_the_strictest_marking_counts_granular_ones_too() -> None:
    granular = [{"marking_ref": RED, "selectors": ["pattern"]}]
    assert marking_of(indicator(1, object_marking_refs=[GREEN, STRICT, CLEAR])) is Tlp.AMBER_STRICT
    assert marking_of(indicator(1, object_marking_refs=[GREEN], granular_markings=granular)) is Tlp.RED


def test_definitions_that_come_along_are_read() -> None:
    head = {"type": "marking-definition", "spec_version": "2.1", "created": "2026-01-01T00:00:00Z"}
    ours: list[dict[str, Any]] = [
        {**head, "id": "marking-definition--a", "extensions": {EXTENSION: {"tlp_2_0": "amber+strict"}}},
        {**head, "id": "marking-definition--b", "definition_type": "tlp", "definition": {"tlp": "white"}},
        {**head, "id": "marking-definition--c", "definition_type": "statement", "definition": {"statement": "©"}},
        {**head, "id": "marking-definition--d", "definition_type": "tlp", "definition": "x"},
        {**head, "id": "marking-definition--e", "extensions": {EXTENSION: {"tlp_2_0": "purple"}}},
    ]
    assert list(definitions(ours).values()) == [Tlp.AMBER_STRICT, Tlp.CLEAR, None, Tlp.UNKNOWN, Tlp.UNKNOWN]
    assert [Tlp.parsed(each.label) for each in Tlp if each is not Tlp.UNKNOWN] == list(Tlp)[:-1]


def test_a_stricter_marking_never_goes_further() -> None:
    for received in (False, True):
        reach = [
            [may_go(each, where, received=received) for where in ("own", "industry", "government")] for each in Tlp
        ]
        assert all(after <= before for one, next_ in pairwise(reach) for before, after in zip(one, next_, strict=True))


def test_what_others_refer_to_needs_no_marking_but_keeps_one(tmp_path: Path) -> None:
    assert len(allowed(document(tmp_path, identity("us")), "industry", None)) == 1
    with pytest.raises(MarkingError):
        allowed(document(tmp_path, identity("us", object_marking_refs=[STRICT])), "industry", None)


def test_what_came_from_others_is_passed_on_only_as_they_allow(tmp_path: Path) -> None:
    sent = [indicator(1, object_marking_refs=[AMBER]), indicator(2, object_marking_refs=[GREEN])]
    with IntelStore(str(tmp_path / "intel.sqlite"), create=True) as received:
        received.take("https://share.example/", items_of(sent))
        with pytest.raises(MarkingError, match="came from others"):
            allowed(document(tmp_path, *sent), "industry", received)
        assert len(allowed(document(tmp_path, *sent), "own", received)) == 2
        assert len(allowed(document(tmp_path, sent[1]), "industry", received)) == 1
        # nor does another version or a weaker marking of it help
        weaker = indicator(1, T1, object_marking_refs=[GREEN])
        with pytest.raises(MarkingError, match="came from others"):
            allowed(document(tmp_path, weaker), "industry", received)


def test_what_is_ours_stays_ours_when_it_comes_back(tmp_path: Path) -> None:
    ours, theirs = (indicator(n, object_marking_refs=[AMBER]) for n in (1, 2))
    with IntelStore(str(tmp_path / "intel.sqlite"), create=True) as received:
        received.take("https://share.example/", items_of([theirs]))
        received.note_ours([ours["id"], theirs["id"]])
        received.take("https://share.example/", items_of([ours]))
        assert received.from_others([ours["id"], theirs["id"]]) == {theirs["id"]: Tlp.AMBER}
        assert (
            len(allowed(document(tmp_path, indicator(1, T1, object_marking_refs=[AMBER])), "industry", received)) == 1
        )


# ---- sending


def test_a_bundle_is_sent_in_as_many_requests_as_it_takes_and_twice_changes_nothing(
    sharing: Sharing, tmp_path: Path
) -> None:
    objects = [indicator(n, object_marking_refs=[GREEN]) for n in range(200)]
    given = document(tmp_path, *objects, identity("us", object_marking_refs=[GREEN]))
    with TaxiiClient(sharing.url, sharing.tokens["ann"]) as client:
        collection = client.collection("industry")
        for _ in range(2):
            assert publish(client, collection, allowed(given, "industry", None)) == Published(201)
    with sharing.client("ann") as ann:
        held = ann.get("/share/collections/industry/objects/").json()["objects"]
    assert len(held) == 201
    assert held[0]["type"] == "identity"


def test_what_the_server_does_not_take_is_said(sharing: Sharing, tmp_path: Path) -> None:
    sharing.add("bob")
    with sharing.client("bob") as bob:
        post(bob, indicator(1))
    given = document(tmp_path, indicator(1, T1, object_marking_refs=[GREEN]))
    with TaxiiClient(sharing.url, sharing.tokens["ann"]) as client:
        published = publish(client, client.collection("industry"), allowed(given, "industry", None))
    assert published.added == 0
    ((name, reason),) = published.failures
    assert name == indicator(1)["id"]
    assert "another member" in reason


# ---- bundles


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "JSON"),
        (b'{"type":"bundle","objects":[' + b"[" * 100_000, "deep"),
        (b'{"type":"bundle","objects":[{"id":"\xff"}]}', None),
        (b'{"objects":[]}', "no STIX bundle"),
        (b'{"type":"report","objects":[]}', "no STIX bundle"),
    ],
)
def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path, content: bytes, says: str | None) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=says or "cannot be published"):
        allowed(read_bundle(path), "own", None)


def test_a_file_larger_than_200_mb_is_refused_without_being_parsed(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)  # a hole: takes no room on the disk
    with pytest.raises(BundleError, match="larger than 200 MB"):
        read_bundle(path)
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path / "none.json")


def test_every_fault_of_a_bundle_is_said_but_not_a_million(tmp_path: Path) -> None:
    given = document(tmp_path, *({"id": f"x{n}"} for n in range(30)))
    with pytest.raises(BundleError) as error:
        allowed(given, "own", None)
    assert len(str(error.value).splitlines()) == 22
