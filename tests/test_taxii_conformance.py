"""The requirements of TAXII 2.1 (OASIS Standard, 10 June 2021), by section, asked of a running server.

A test's name begins with the section that it holds the server to. Channels (6) are not in the standard yet.
"""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme
from tests.sharing import (
    ALL,
    T0,
    T1,
    T2,
    TAXII,
    Sharing,
    address,
    bundle,
    free_port,
    identity,
    indicator,
    number,
    post,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z")
BASE = "/share/collections/industry"
OBJECTS = f"{BASE}/objects/"
MANIFEST = f"{BASE}/manifest/"
FIRST, LAST = "x-taxii-date-added-first", "x-taxii-date-added-last"


@pytest.fixture
def sharing(place: str) -> Iterator[Sharing]:
    with serving(place) as running:
        running.add("ann")
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server that is only asked: three versions of one object, added out of order, and one of another."""
    if request.param == "sqlite":
        where = str(tmp_path_factory.mktemp("standing") / "share.sqlite")
    else:
        where = request.getfixturevalue("postgres_server").new_database()
    with serving(where) as running:
        running.add("ann")
        with running.client("ann") as client:
            post(client, indicator(1, T1), indicator(1, T2), indicator(1, T0), indicator(2, T1))
            yield client


@pytest.fixture
def ann(sharing: Sharing) -> Iterator[httpx.Client]:
    with sharing.client("ann") as client:
        yield client


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json().get("objects", [])]


def versions(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["version"][:10] for each in answer.json().get("objects", [])]


def of(*seeds: object) -> list[str]:
    return [indicator(seed)["id"] for seed in seeds]


# ---- 1.6.8 and 3.2: media types and their negotiation


@pytest.mark.parametrize(
    "accept",
    [
        TAXII,
        "application/taxii+json; version=2.1",
        "application/taxii+json",
        'application/taxii+json;version="2.1"',
        "text/html, application/taxii+json;version=2.1;q=0.5",
        "application/*",
        "*/*",
    ],
)
def test_3_2_a_client_that_takes_taxii_2_1_gets_it_with_the_version(standing: httpx.Client, accept: str) -> None:
    answer = standing.get("/taxii2/", headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, TAXII)


@pytest.mark.parametrize(
    "accept",
    [
        "application/taxii+json;version=2.0",
        "application/json",
        "application/vnd.oasis.taxii+json",
        "application/stix+json;version=2.1",
        "text/html",
        "application/taxii+json;q=0",
        ";;,,",
    ],
)
@pytest.mark.parametrize("path", ["/taxii2/", "/share/", "/share/collections/", OBJECTS])
def test_3_2_a_client_that_takes_only_other_types_is_told_406(standing: httpx.Client, path: str, accept: str) -> None:
    answer = standing.get(path, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (406, TAXII)


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/taxii+json;version=2.0", "text/plain", f"{TAXII}, {TAXII}", ""]
)
def test_3_2_what_is_sent_as_another_type_is_told_415(standing: httpx.Client, content_type: str) -> None:
    answer = standing.post(OBJECTS, content=b'{"objects":[]}', headers={"content-type": content_type})
    assert answer.status_code == 415


def test_3_2_compressed_content_is_told_415(standing: httpx.Client) -> None:
    answer = standing.post(OBJECTS, content=b"x", headers={"content-type": TAXII, "content-encoding": "gzip"})
    assert answer.status_code == 415


# ---- 2: data types


def test_2_timestamps_have_six_digits_and_utc(ann: httpx.Client) -> None:
    status = post(ann, indicator(1), address("192.0.2.1"))
    answer = ann.get(MANIFEST)
    (first, second) = answer.json()["objects"]
    told = [first["date_added"], first["version"], second["version"], status["request_timestamp"]]
    told += [each["version"] for each in status["successes"]]
    assert all(TIME.fullmatch(each) for each in (*told, answer.headers[FIRST], answer.headers[LAST]))


def test_2_identifiers_are_uuids_of_version_4(ann: httpx.Client) -> None:
    listed = ann.get("/share/collections/").json()["collections"]
    assert all(uuid.UUID(each["id"]).version == 4 for each in listed)
    assert uuid.UUID(post(ann, indicator(1))["id"]).version == 4


def test_2_no_list_is_empty(ann: httpx.Client) -> None:
    assert ann.get(OBJECTS).json() == ann.get(MANIFEST).json() == {}
    assert "failures" not in post(ann, indicator(1))


# ---- 3.1: endpoints


@pytest.mark.parametrize("path", ["/taxii2/", "/share/", "/share/collections/", f"{BASE}/", OBJECTS, MANIFEST])
def test_3_1_every_endpoint_ends_in_a_slash(standing: httpx.Client, path: str) -> None:
    assert standing.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/nothing/", "/share/nothing/", f"{BASE}/nothing/", f"{OBJECTS}a/b/c/d/"])
def test_3_1_what_is_no_endpoint_is_told_404(standing: httpx.Client, path: str) -> None:
    assert standing.get(path).status_code == 404


# ---- 3.2: the headers of dates


@pytest.mark.parametrize("path", [OBJECTS, MANIFEST, f"{OBJECTS}{of(2)[0]}/", f"{OBJECTS}{of(2)[0]}/versions/"])
def test_3_2_answers_say_when_their_first_and_last_object_was_added(ann: httpx.Client, path: str) -> None:
    post(ann, *map(indicator, range(4)))
    added = {each["id"]: each["date_added"] for each in ann.get(MANIFEST).json()["objects"]}
    answer = ann.get(path)
    held = ids(answer) if "versions" not in path else of(2)
    assert (answer.headers[FIRST], answer.headers[LAST]) == (added[held[0]], added[held[-1]])


# ---- 3.3: sorting


def test_3_3_objects_and_manifests_are_sorted_by_when_they_were_added(ann: httpx.Client) -> None:
    order = [5, 3, 9, 1]
    for each in order:
        post(ann, indicator(each, f"2026-01-1{each}T00:00:00.000Z"))
    assert ids(ann.get(OBJECTS)) == ids(ann.get(MANIFEST)) == of(*order)
    added = [each["date_added"] for each in ann.get(MANIFEST).json()["objects"]]
    assert added == sorted(set(added))


def test_3_3_collections_are_always_in_the_same_order(standing: httpx.Client) -> None:
    assert len({standing.get("/share/collections/").text for _ in range(5)}) == 1


# ---- 3.4: filtering


def test_3_4_added_after_gives_only_what_was_added_later(ann: httpx.Client) -> None:
    post(ann, *map(indicator, range(3)))
    added = [each["date_added"] for each in ann.get(MANIFEST).json()["objects"]]
    for position, moment in enumerate(added):
        for path in (OBJECTS, MANIFEST):
            assert ids(ann.get(path, params={"added_after": moment})) == of(*range(3))[position + 1 :]


def test_3_4_several_values_mean_any_and_several_filters_mean_all(ann: httpx.Client) -> None:
    post(ann, indicator(1), indicator(2), identity(3), address("192.0.2.1"))
    assert ids(ann.get(OBJECTS, params={"match[type]": "identity,ipv4-addr"})) == [
        identity(3)["id"],
        address("192.0.2.1")["id"],
    ]
    both = {"match[type]": "indicator", "match[id]": f"{of(2)[0]},{identity(3)['id']}"}
    assert ids(ann.get(OBJECTS, params=both)) == of(2)


@pytest.mark.parametrize(
    "query",
    [
        "added_after=yesterday",
        "added_after=2026-01-01T00:00:00",
        "added_after=2026-01-01T00:00:00.000000Z&added_after=2026-01-01T00:00:00.000000Z",
        "match[version]=newest",
        "match[type]=no%20type",
        "match[id]=indicator--1",
        "match[spec_version]=two",
        "match[name]=x",
        "limit=0",
        "limit=-1",
        "limit=ten",
        "next=x",
        "match[type]=indicator&match[type]=identity",
        "added_after=%ff",
    ],
)
@pytest.mark.parametrize("path", [OBJECTS, MANIFEST])
def test_3_4_a_filter_that_is_malformed_is_told_400(standing: httpx.Client, path: str, query: str) -> None:
    assert standing.get(f"{path}?{query}").status_code == 400


def test_3_4_parameters_that_are_no_filters_are_ignored(ann: httpx.Client) -> None:
    post(ann, indicator(1))
    assert ids(ann.get(OBJECTS, params={"utm_source": "x"})) == of(1)


# ---- 3.4.1: what can be matched


@pytest.fixture
def three(ann: httpx.Client) -> httpx.Client:
    """Three versions of one object, added out of order, and one of another."""
    post(ann, indicator(1, T1), indicator(1, T2), indicator(1, T0), indicator(2, T1))
    return ann


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (None, ["2026-01-03", "2026-01-02"]),
        ("last", ["2026-01-03", "2026-01-02"]),
        ("first", ["2026-01-01", "2026-01-02"]),
        ("all", ["2026-01-02", "2026-01-03", "2026-01-01", "2026-01-02"]),
        ("first,last", ["2026-01-03", "2026-01-01", "2026-01-02"]),
        (T1, ["2026-01-02", "2026-01-02"]),
        (f"{T0},{T2}", ["2026-01-03", "2026-01-01"]),
        (f"{T1},last", ["2026-01-02", "2026-01-03", "2026-01-02"]),
        ("2026-01-02T00:00:00Z", ["2026-01-02", "2026-01-02"]),
        ("2025-01-01T00:00:00.000000Z", []),
    ],
)
@pytest.mark.parametrize("also", [{}, {"match[type]": "indicator"}, {"match[id]": ",".join(of(1, 2))}])
@pytest.mark.parametrize("path", [OBJECTS, MANIFEST])
def test_3_4_1_versions_are_the_first_the_last_all_or_those_named(
    standing: httpx.Client, path: str, asked: str | None, given: list[str], also: dict[str, str]
) -> None:
    answer = standing.get(path, params=also if asked is None else {**also, "match[version]": asked})
    assert answer.status_code == 200
    held = answer.json().get("objects", [])
    assert [each.get("version", each.get("modified"))[:10] for each in held] == given


def test_3_4_1_only_the_last_version_counts_after_it_is_withdrawn(three: httpx.Client) -> None:
    assert three.delete(f"{OBJECTS}{of(1)[0]}/", params={"match[version]": "last"}).status_code == 200
    assert versions(three.get(MANIFEST, params={"match[id]": of(1)[0]})) == ["2026-01-02"]
    assert versions(three.get(MANIFEST, params={"match[version]": "all"})) == ["2026-01-02", "2026-01-01", "2026-01-02"]


@pytest.mark.parametrize(("asked", "count"), [("2.1", 2), ("2.0,2.1", 2), ("2.0", 0)])
def test_3_4_1_spec_versions_that_are_not_held_match_nothing(standing: httpx.Client, asked: str, count: int) -> None:
    assert len(ids(standing.get(OBJECTS, params={"match[spec_version]": asked}))) == count


# ---- 3.5: pagination


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@pytest.mark.parametrize("path", [OBJECTS, MANIFEST])
def test_3_5_pages_give_everything_once_and_in_order(ann: httpx.Client, path: str, limit: int) -> None:
    post(ann, *map(indicator, range(7)))
    got: list[str] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        answer = ann.get(path, params=query)
        page = answer.json()
        assert len(page["objects"]) <= limit
        got += ids(answer)
        assert ("next" in page) is page["more"]
        if not page["more"]:
            break
        query["next"] = page["next"]
    assert got == of(*range(7))


def test_3_5_a_page_can_also_be_followed_by_the_date_of_its_last_object(ann: httpx.Client) -> None:
    post(ann, *map(indicator, range(5)))
    first = ann.get(OBJECTS, params={"limit": 3})
    assert ids(ann.get(OBJECTS, params={"added_after": first.headers[LAST]})) == of(3, 4)


def test_3_5_what_is_added_while_paging_comes_at_the_end(ann: httpx.Client) -> None:
    post(ann, *map(indicator, range(3)))
    page = ann.get(OBJECTS, params={"limit": 2}).json()
    post(ann, indicator(9), indicator(0, T1))
    assert ids(ann.get(OBJECTS, params={"next": page["next"]})) == of(2, 9, 0)


def test_3_5_versions_have_pages_too(three: httpx.Client) -> None:
    url = f"{OBJECTS}{of(1)[0]}/versions/"
    page = three.get(url, params={"limit": 2}).json()
    rest = three.get(url, params={"limit": 2, "next": page["next"]}).json()
    assert [each[:10] for each in (*page["versions"], *rest["versions"])] == ["2026-01-02", "2026-01-03", "2026-01-01"]
    assert (page["more"], rest["more"]) == (True, False)


def test_3_5_a_limit_above_the_servers_own_is_brought_down_to_it(place: str) -> None:
    with serving(place, page=3) as running:
        running.add("ann")
        with running.client("ann") as client:
            post(client, *map(indicator, range(5)))
            answer = client.get(OBJECTS, params={"limit": 4_000_000_000})
            assert (len(ids(answer)), answer.json()["more"]) == (3, True)


# ---- 3.6: errors


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/", 404),
        ("GET", f"{OBJECTS}?limit=0", 400),
        ("PUT", OBJECTS, 405),
        ("POST", "/taxii2/", 415),
        ("DELETE", f"{BASE}/", 405),
    ],
)
def test_3_6_1_errors_have_a_title_and_the_status_as_text(
    standing: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = standing.request(method, path)
    said = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, TAXII)
    assert said["http_status"] == str(status)
    assert all(isinstance(said[name], str) and said[name] for name in ("title", "description"))


def test_3_6_a_method_that_is_not_known_says_which_are(standing: httpx.Client) -> None:
    assert standing.put(OBJECTS).headers["allow"] == "GET, POST, HEAD"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer x", "Basic x", "Basic eDp5", f"Bearer swt_{'0' * 16}_{'0' * 64}", "Digest x", "Basic ww=="],
)
def test_3_6_who_is_not_known_is_told_401_and_how_to_be(standing: httpx.Client, authorization: str) -> None:
    answer = standing.get("/taxii2/", headers={"authorization": authorization})
    assert answer.status_code == 401
    assert {each.split()[0] for each in answer.headers.get_list("www-authenticate")} == {"Basic", "Bearer"}


# ---- 3.7: envelopes


def test_3_7_an_envelope_holds_objects_and_is_no_bundle(ann: httpx.Client) -> None:
    post(ann, indicator(1, x_custom={"a": [1, 2.5, None, True, "é\u0000"]}))
    envelope = ann.get(OBJECTS).json()
    assert envelope == {"more": False, "objects": [indicator(1, x_custom={"a": [1, 2.5, None, True, "é\u0000"]})]}


# ---- 4.1: server discovery


def test_4_1_discovery_gives_a_title_and_api_roots_with_the_default_among_them(standing: httpx.Client) -> None:
    said = standing.get("/taxii2/").json()
    assert said["title"]
    assert said["default"] in said["api_roots"]
    assert all(standing.get(root).status_code == 200 for root in said["api_roots"])


# ---- 4.2: API roots


def test_4_2_an_api_root_says_its_versions_and_the_longest_content(standing: httpx.Client) -> None:
    said = standing.get("/share/").json()
    assert said["title"]
    assert TAXII in said["versions"]
    assert said["max_content_length"] == 1 << 20


# ---- 4.3: status


def test_4_3_a_status_can_be_asked_for_again_by_whoever_sent_the_objects(sharing: Sharing, ann: httpx.Client) -> None:
    status = post(ann, indicator(1), {"id": "x"})
    sharing.add("bob")
    assert ann.get(f"/share/status/{status['id']}/").json() == status
    with sharing.client("bob") as bob:
        assert bob.get(f"/share/status/{status['id']}/").status_code == 404
    assert ann.get(f"/share/status/{uuid.uuid4()}/").status_code == 404


def test_4_3_1_counts_add_up_and_every_object_is_accounted_for(ann: httpx.Client) -> None:
    status = post(ann, indicator(1), {"id": "x"}, indicator(2), {"type": "indicator"})
    assert (status["status"], status["pending_count"]) == ("complete", 0)
    assert status["total_count"] == status["success_count"] + status["failure_count"] == 4
    assert [each["id"] for each in status["successes"]] == of(1, 2)
    assert all(each["message"] and each["id"] and each["version"] for each in status["failures"])


# ---- 5.1 and 5.2: collections


def test_5_1_collections_are_those_that_the_member_has_a_right_to(sharing: Sharing, ann: httpx.Client) -> None:
    sharing.add("bob", reads=["industry"], writes=["own"])
    assert [each["alias"] for each in ann.get("/share/collections/").json()["collections"]] == list(ALL)
    with sharing.client("bob") as bob:
        listed = bob.get("/share/collections/").json()["collections"]
    assert [(each["alias"], each["can_read"], each["can_write"]) for each in listed] == [
        ("industry", True, False),
        ("own", False, True),
    ]


def test_5_2_a_collection_is_known_by_its_id_and_its_alias(standing: httpx.Client) -> None:
    (first, *_) = standing.get("/share/collections/").json()["collections"]
    assert {"id", "title", "can_read", "can_write", "media_types"} <= first.keys()
    assert first["media_types"] == ["application/stix+json;version=2.1"]
    assert standing.get(f"/share/collections/{first['id']}/").json() == standing.get(f"{BASE}/").json() == first


# ---- 5.3: manifests


def test_5_3_1_a_record_says_id_date_version_and_media_type(ann: httpx.Client) -> None:
    post(ann, indicator(1, T1))
    (record,) = ann.get(MANIFEST).json()["objects"]
    assert record.keys() == {"id", "date_added", "version", "media_type"}
    assert (record["id"], record["version"]) == (of(1)[0], "2026-01-02T00:00:00.000000Z")


def test_5_3_1_what_has_no_version_of_its_own_has_the_date_it_was_added(ann: httpx.Client) -> None:
    marking = {"type": "marking-definition", "spec_version": "2.1", "id": f"marking-definition--{number('m')}"}
    post(ann, address("192.0.2.1"), {**marking, "created": T1, "definition_type": "statement", "definition": {}})
    first, second = ann.get(MANIFEST).json()["objects"]
    assert first["version"] == first["date_added"]
    assert second["version"] == "2026-01-02T00:00:00.000000Z"


@pytest.mark.parametrize("path", [MANIFEST, OBJECTS, f"{OBJECTS}{of(1)[0]}/", f"{OBJECTS}{of(1)[0]}/versions/"])
def test_5_3_to_5_8_who_may_only_write_is_told_403(sharing: Sharing, path: str) -> None:
    sharing.add("bob", reads=[], writes=["industry"])
    with sharing.client("bob") as bob:
        assert bob.get(path).status_code == 403


# ---- 5.4 to 5.8: objects


def test_5_5_objects_are_added_with_202_and_a_status(ann: httpx.Client) -> None:
    answer = ann.post(OBJECTS, json={"objects": [indicator(1)]}, headers={"content-type": TAXII})
    assert (answer.status_code, answer.headers["content-type"]) == (202, TAXII)
    assert ids(ann.get(OBJECTS)) == of(1)


def test_5_5_who_may_only_read_is_told_403(sharing: Sharing) -> None:
    sharing.add("bob", reads=["industry"], writes=[])
    with sharing.client("bob") as bob:
        answer = bob.post(OBJECTS, json={"objects": [indicator(1)]}, headers={"content-type": TAXII})
    assert answer.status_code == 403


def test_5_5_more_than_max_content_length_is_told_413(standing: httpx.Client) -> None:
    for content in (b"x" * ((1 << 20) + 1), iter([b"x" * (1 << 20), b"x"])):
        assert standing.post(OBJECTS, content=content, headers={"content-type": TAXII}).status_code == 413


@pytest.mark.parametrize("document", [{}, {"objects": []}, bundle(indicator(1)), {"more": False}])
def test_5_5_what_holds_no_objects_is_told_422(standing: httpx.Client, document: dict[str, Any]) -> None:
    assert standing.post(OBJECTS, json=document, headers={"content-type": TAXII}).status_code == 422


def test_5_5_a_version_that_is_there_is_neither_doubled_nor_replaced(ann: httpx.Client) -> None:
    post(ann, indicator(1))
    before = ann.get(MANIFEST, params={"match[version]": "all"}).text
    assert post(ann, indicator(1))["success_count"] == 1
    other = post(ann, indicator(1, name="another"))
    assert (other["success_count"], other["failure_count"]) == (0, 1)
    assert ann.get(MANIFEST, params={"match[version]": "all"}).text == before
    assert "name" not in ann.get(OBJECTS).json()["objects"][0]


def test_5_6_an_object_is_had_by_its_id_and_filtered_by_version(three: httpx.Client) -> None:
    url = f"{OBJECTS}{of(1)[0]}/"
    assert [each["modified"] for each in three.get(url).json()["objects"]] == [T2]
    assert len(three.get(url, params={"match[version]": "all"}).json()["objects"]) == 3
    assert three.get(url, params={"match[version]": "2020-01-01T00:00:00Z"}).json() == {}
    assert three.get(url, params={"match[type]": "indicator"}).status_code == 400
    assert three.get(f"{OBJECTS}{of(7)[0]}/").status_code == 404


def test_5_7_an_object_is_deleted_with_all_versions_or_those_named(three: httpx.Client) -> None:
    url = f"{OBJECTS}{of(1)[0]}/"
    assert three.delete(url, params={"match[version]": "first"}).status_code == 200
    assert len(three.get(f"{url}versions/").json()["versions"]) == 2
    assert three.delete(url).status_code == 200
    assert three.get(url).status_code == three.delete(url).status_code == 404
    assert ids(three.get(OBJECTS)) == of(2)


def test_5_7_who_may_not_both_read_and_write_may_not_delete(sharing: Sharing, three: httpx.Client) -> None:
    sharing.add("bob", reads=["industry"], writes=[])
    sharing.add("eve", reads=[], writes=["industry"])
    for name in ("bob", "eve"):
        with sharing.client(name) as client:
            assert client.delete(f"{OBJECTS}{of(1)[0]}/").status_code == 403
    assert ids(three.get(OBJECTS)) == of(1, 2)


def test_5_8_the_versions_of_an_object_are_listed(three: httpx.Client) -> None:
    answer = three.get(f"{OBJECTS}{of(1)[0]}/versions/")
    assert sorted(each[:10] for each in answer.json()["versions"]) == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert three.get(f"{OBJECTS}{of(7)[0]}/versions/").status_code == 404
    assert three.get(f"{OBJECTS}{of(1)[0]}/versions/?match[version]=last").status_code == 400


# ---- 8: conformance


def test_8_2_http_basic_is_spoken(sharing: Sharing) -> None:
    token = sharing.tokens["ann"]
    for user, status in (("ann", 200), ("bob", 401), ("", 401)):
        answer = httpx.get(f"{sharing.url}/taxii2/", auth=(user, token), headers={"accept": TAXII})
        assert answer.status_code == status


def test_8_2_tls_is_spoken_in_versions_1_2_and_later_only(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    port = free_port()
    command = [sys.executable, "-m", "stillwatch", "share", "serve", "--port", str(port), "--certificate", "pem"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:  # noqa: S603  our own command
        try:
            modern = ssl.create_default_context()
            authority.configure_trust(modern)
            assert _answered(f"https://127.0.0.1:{port}/taxii2/", modern).status_code == 401
            old = ssl.create_default_context()
            authority.configure_trust(old)
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises(httpx.TransportError):
                httpx.get(f"https://127.0.0.1:{port}/taxii2/", verify=old)
        finally:
            process.terminate()


def _answered(url: str, context: ssl.SSLContext) -> httpx.Response:
    until = time.monotonic() + 30
    while True:
        try:
            return httpx.get(url, verify=context)
        except httpx.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.1)
