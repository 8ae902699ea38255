"""What members and strangers do to a sharing server that they should not, and what comes of it."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sharing import (
    RED,
    STRICT,
    T0,
    T1,
    T2,
    TAXII,
    Sharing,
    address,
    identity,
    indicator,
    items_of,
    number,
    post,
    serving,
)

from stillwatch.cli.share_serve import RequestLimits
from stillwatch.database.sqlite import SqliteDatabase
from stillwatch.errors import TaxiiError, UnknownNameError, UsageError
from stillwatch.intel.moment import to_micros
from stillwatch.intel.taxii import members, statuses, store
from stillwatch.intel.taxii.adding import add, withdraw_all
from stillwatch.intel.taxii.asked import Asked
from stillwatch.intel.taxii.collections import seen_by
from stillwatch.intel.taxii.desk import Desk
from stillwatch.intel.taxii.objects import page
from stillwatch.intel.taxii.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OBJECTS = "/share/collections/industry/objects/"
SENT = {"content-type": TAXII}


@pytest.fixture
def sharing(place: str) -> Iterator[Sharing]:
    with serving(place) as running:
        running.add("ann")
        running.add("bob")
        yield running


@pytest.fixture
def ann(sharing: Sharing) -> Iterator[httpx.Client]:
    with sharing.client("ann") as client:
        yield client


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A member of a server whose collection `industry` stays empty."""
    if request.param == "sqlite":
        where = str(tmp_path_factory.mktemp("target") / "share.sqlite")
    else:
        where = request.getfixturevalue("postgres_server").new_database()
    with serving(where) as running:
        running.add("ann")
        with running.client("ann") as client:
            yield client


@pytest.fixture
def bob(sharing: Sharing) -> Iterator[httpx.Client]:
    with sharing.client("bob") as client:
        yield client


# ---- what is there is not shown to who may not see it


def test_a_collection_that_may_not_be_seen_is_as_one_that_does_not_exist(sharing: Sharing, ann: httpx.Client) -> None:
    sharing.add("eve", reads=["industry"], writes=[])
    (hidden,) = (each for each in ann.get("/share/collections/").json()["collections"] if each["alias"] == "own")
    missing = "00000000-0000-4000-8000-000000000000"
    with sharing.client("eve") as eve:
        for tail in ("", "objects/", "manifest/", f"objects/{indicator(1)['id']}/", "objects/x/", "objects/?limit=0"):
            answers = [
                eve.get(f"/share/collections/{name}/{tail}")
                for name in (hidden["id"], "own", missing, "nothing", "government")
            ]
            assert {each.status_code for each in answers} == {404}
            assert len({each.content for each in answers}) == 1
            heads = [{name: each.headers[name] for name in each.headers if name != "date"} for each in answers]
            assert all(each == heads[0] for each in heads)
        sent = [
            eve.post(f"/share/collections/{name}/objects/", json={"objects": [indicator(1)]}, headers=SENT)
            for name in ("own", missing)
        ]
        assert {(each.status_code, each.content) for each in sent} == {(404, sent[0].content)}
        gone = [eve.request("DELETE", f"/share/collections/{name}/objects/x/") for name in ("own", missing)]
        assert {(each.status_code, each.content) for each in gone} == {(404, gone[0].content)}


@pytest.mark.parametrize("tail", ["", "objects/", "manifest/", "objects/x/", "objects/x/versions/"])
def test_a_collection_that_may_not_be_seen_takes_the_same_steps(tmp_path: Path, tail: str) -> None:
    """The same statements are run, so that no clock can tell the two apart."""
    with closing(store.open_store(tmp_path / "share.sqlite", create=True)) as database:
        members.add_member(database, "eve", reads=["industry"])
        assert isinstance(database, SqliteDatabase)
        traced = []
        for name in ("own", "nothing"):
            statements: list[str] = []
            database._connection.set_trace_callback(statements.append)
            scope = {"method": "GET", "path": f"/share/collections/{name}/{tail}", "headers": []}
            with pytest.raises(TaxiiError, match="404"):
                Desk("x", page=10, largest=1000).answer(database, "eve", Asked.of(scope), b"")
            traced.append(statements)
        assert traced[0] == traced[1] != []


# ---- tokens


def test_a_stolen_token_is_of_no_use_from_the_moment_it_is_revoked(sharing: Sharing, ann: httpx.Client) -> None:
    assert ann.get("/taxii2/").status_code == 200
    with closing(store.open_store(sharing.place)) as database:
        members.revoke_member(database, "ann")
        assert ann.get("/taxii2/").status_code == 401
        with pytest.raises(UnknownNameError):
            members.revoke_member(database, "ann")
        token = members.add_member(database, "ann", reads=["own"])
    assert ann.get("/taxii2/").status_code == 401
    fresh = {"authorization": f"Bearer {token}"}
    listed = ann.get("/share/collections/", headers=fresh).json()["collections"]
    assert [each["alias"] for each in listed] == ["own"]  # the rights are those given now


def test_no_token_is_kept_where_it_could_be_read(sharing: Sharing) -> None:
    with closing(store.open_store(sharing.place)) as database:
        kept = str(database.rows("SELECT * FROM stillwatch_taxii_members"))
        assert sharing.tokens["ann"].rpartition("_")[2] not in kept
        salts = database.rows("SELECT salt, hash FROM stillwatch_taxii_members")
        assert len({row[0] for row in salts}) == len({row[1] for row in salts}) == 2


@pytest.mark.parametrize("name", ["", "a:b", "a b", "ann\n", "x" * 65, "../x", "é"])
def test_a_name_that_could_be_mistaken_is_no_members(place: str, name: str) -> None:
    with closing(store.open_store(place, create=True)) as database, pytest.raises(UsageError):
        members.add_member(database, name, reads=["own"])


def test_a_member_is_not_added_twice_nor_for_nothing(place: str) -> None:
    with closing(store.open_store(place, create=True)) as database:
        members.add_member(database, "ann", reads=["own"])
        for name, reads in (("ann", ["own"]), ("bob", ["secret"]), ("bob", [])):
            with pytest.raises(UsageError):
                members.add_member(database, name, reads=reads)


# ---- floods


def test_a_member_who_floods_is_told_429_and_others_are_served(place: str) -> None:
    with serving(place, limiter=RequestLimits(rate=0.01, burst=5)) as running:
        running.add("ann")
        running.add("bob")
        with running.client("ann") as ann, running.client("bob") as bob:
            statuses = [ann.get("/taxii2/").status_code for _ in range(8)]
            assert statuses == [200] * 5 + [429] * 3
            refused = ann.get("/taxii2/")
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["http_status"] == "429"
            assert bob.get("/taxii2/").status_code == 200


def test_whoever_tries_tokens_is_slowed_down_and_members_are_not(place: str) -> None:
    with serving(place, limiter=RequestLimits(rate=100.0, burst=5)) as running:
        running.add("ann")
        statuses = [
            httpx.get(
                f"{running.url}/taxii2/", headers={"authorization": f"Bearer swt_{n:016x}_{'0' * 64}"}
            ).status_code
            for n in range(8)
        ]
        assert statuses == [401] * 5 + [429] * 3
        with running.client("ann") as ann:
            assert ann.get("/taxii2/").status_code == 200


# ---- replays and other members' objects


def test_a_replayed_post_changes_nothing(ann: httpx.Client) -> None:
    for _ in range(3):
        status = post(ann, indicator(1), indicator(1, T1), indicator(1), address("192.0.2.1"))
        assert (status["success_count"], status["failure_count"]) == (4, 0)
    assert len(ann.get(f"{OBJECTS}?match[version]=all").json()["objects"]) == 3


def test_a_defect_is_told_as_an_error_and_nothing_is_half_done(
    ann: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(ann, indicator(1))
    with monkeypatch.context() as broken:
        broken.setattr(statuses, "keep", None)
        answer = ann.post(OBJECTS, json={"objects": [indicator(2)]}, headers=SENT)
        assert (answer.status_code, answer.json()["http_status"]) == (500, "500")
    assert len(ann.get(OBJECTS).json()["objects"]) == 1
    assert post(ann, indicator(2))["success_count"] == 1


def test_a_replay_does_not_revive_what_was_withdrawn(ann: httpx.Client) -> None:
    post(ann, indicator(1), address("192.0.2.1"))
    for each in (indicator(1), address("192.0.2.1")):
        assert ann.delete(f"{OBJECTS}{each['id']}/").status_code == 200
    assert post(ann, indicator(1), address("192.0.2.1"))["failure_count"] == 2
    assert post(ann, indicator(1, T1))["success_count"] == 1


def test_nobody_speaks_for_another_member(ann: httpx.Client, bob: httpx.Client) -> None:
    us = identity("ann's")
    post(ann, us, indicator(1, created_by_ref=us["id"]))
    status = post(bob, indicator(1, T2), indicator(5, created_by_ref=us["id"]), indicator(1, created_by_ref=us["id"]))
    assert (status["success_count"], status["failure_count"]) == (1, 2)  # the last one is what ann said, and is there
    assert bob.delete(f"{OBJECTS}{indicator(1)['id']}/").status_code == 403
    held = ann.get(OBJECTS).json()["objects"]
    assert held == [us, indicator(1, created_by_ref=us["id"])]


def test_what_is_the_same_for_everybody_anybody_brings(ann: httpx.Client, bob: httpx.Client) -> None:
    common = identity("stillwatch")
    head = {
        "type": "attack-pattern",
        "spec_version": "2.1",
        "created": T0,
        "modified": T0,
        "created_by_ref": common["id"],
    }
    first, second = ({**head, "id": f"attack-pattern--{number(n)}", "name": str(n)} for n in (1, 2))
    assert post(ann, common, first)["failure_count"] == 0
    assert post(bob, common, first, second)["failure_count"] == 0
    assert len(ann.get(OBJECTS).json()["objects"]) == 3


def test_what_a_liar_added_can_be_taken_out_and_its_ids_are_free(
    sharing: Sharing, ann: httpx.Client, bob: httpx.Client
) -> None:
    us = identity("bob's")
    post(ann, us, indicator(1), address("192.0.2.1"))
    assert post(bob, us, indicator(1, T1), indicator(2, created_by_ref=us["id"]), indicator(3))["success_count"] == 2
    seen = bob.get(f"{OBJECTS}").headers["x-taxii-date-added-last"]
    with closing(store.open_store(sharing.place)) as database, database.writing():
        withdraw_all(database, "ann")
    assert [each["id"] for each in bob.get(OBJECTS).json()["objects"]] == [indicator(3)["id"]]
    assert post(bob, us, indicator(1, T1), indicator(2, created_by_ref=us["id"]))["failure_count"] == 0
    later = bob.get(OBJECTS, params={"added_after": seen}).json()["objects"]
    assert [each["id"] for each in later] == [us["id"], indicator(1)["id"], indicator(2)["id"]]


@pytest.mark.parametrize(("marking", "own"), [(RED, False), (STRICT, True)])
def test_what_may_not_be_shared_is_not_taken(ann: httpx.Client, marking: str, own: bool) -> None:
    thing = indicator(1, object_marking_refs=[marking])
    assert post(ann, thing)["failure_count"] == 1
    assert post(ann, thing, collection="own")["success_count"] == int(own)
    granular = indicator(2, granular_markings=[{"marking_ref": marking, "selectors": ["pattern"]}])
    assert post(ann, granular)["failure_count"] == 1


# ---- paths, filters and ids


@pytest.mark.parametrize(
    "path",
    [
        "/share/collections/../../etc/passwd/",
        "/share/collections/%2e%2e%2f%2e%2e%2fetc%2fpasswd/objects/",
        "/share/collections/industry%2fobjects/",
        "/share/collections/industry/objects/..%2f..%2fx/",
        "/share/collections/industry'%20OR%20'1'='1/",
        "/share/collections/%00/",
        "/share/collections/%ff%fe/",
        "/share/status/' OR 1=1 --/",
        "/share/status/%7B%7D/",
        "//share//collections/",
        "/share/collections/industry/objects/indicator--%27;DROP TABLE stillwatch_taxii_objects;--/",
    ],
)
def test_no_path_leads_elsewhere(target: httpx.Client, path: str) -> None:
    post(target, indicator(7), collection="own")
    answer = target.get(httpx.URL(target.base_url).copy_with(raw_path=path.replace(" ", "%20").encode()))
    assert answer.status_code == 404
    assert "passwd" not in answer.text
    assert len(target.get("/share/collections/own/objects/").json()["objects"]) == 1


@pytest.mark.parametrize("name", ["match[id]", "match[type]", "match[version]", "added_after", "next", "limit"])
@pytest.mark.parametrize(
    "value", ["' OR '1'='1", "x';--", "%", "_", "indicator' UNION SELECT 1", "\x00", "é" * 50, "," * 200]
)
def test_no_filter_is_read_as_sql(target: httpx.Client, name: str, value: str) -> None:
    assert target.get(OBJECTS, params={name: value}).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "match[id]=" + ",".join(indicator(n)["id"] for n in range(101)),
        "match[type]=" + ",".join(f"x-type-{n}" for n in range(101)),
        "match[type]=" + ",".join(f"x-type-{n}" for n in range(60)) + "&match[version]=first,last",
    ],
)
def test_a_filter_that_asks_for_too_much_at_once_is_refused(target: httpx.Client, query: str) -> None:
    assert target.get(f"{OBJECTS}?{query}").status_code == 400


def test_a_query_without_end_is_refused(target: httpx.Client) -> None:
    assert target.get(f"{OBJECTS}?x={'x' * 40_000}").status_code == 414


# ---- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"objects":3}',
        b'{"objects":[{]}',
        b'{"objects":[{"id":"\xff"}]}',
        b'\xff\xfe{"objects":[]}',
        b'{"x":"\xc3\x28","objects":[{"id":"y"}]}',
        b'{"objects":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"objects":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
        b'{"objects":[NaN]}',
        b'{"objects":["\\ud800"]}',
    ],
)
def test_a_body_that_is_broken_is_told_400(target: httpx.Client, body: bytes) -> None:
    assert target.post(OBJECTS, content=body, headers=SENT).status_code == 400
    assert target.get(OBJECTS).json() == {}


def _nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = {"x": value}
    return indicator("nested", x_deep=value)


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (_nested(40), "nested"),
        (_nested(700), "nested"),
        (indicator(1, name="x" * 300_000), "longer"),
        (indicator(1, id="indicator--1"), "identifier"),
        (indicator(1, type="campaign"), "type"),
        (indicator(1, spec_version="2.0"), "spec_version"),
        (indicator(1, modified="2025-01-01T00:00:00Z"), "before"),
        (indicator(1, modified="2026-01-01T00:00:00.0000001Z"), "time"),
        (indicator(1, confidence=101), "confidence"),
        (indicator(1, confidence=True), "confidence"),
        (indicator(1, object_marking_refs="x"), "object_marking_refs"),
        (indicator(1, created_by_ref=indicator(1)["id"]), "created_by_ref"),
        (indicator(1, revoked="yes"), "revoked"),
        (indicator(1, valid_until="9999"), "valid_until"),
        ({"type": "bundle", "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d"}, "bundle"),
    ],
)
def test_an_object_that_is_no_stix_is_told_so_and_hinders_no_other(
    target: httpx.Client, thing: dict[str, Any], says: str
) -> None:
    status = post(target, indicator(7), thing, collection="own")
    assert (status["success_count"], status["failure_count"]) == (1, 1)
    assert says in status["failures"][0]["message"]


def test_what_is_said_twice_in_one_object_is_kept_once(ann: httpx.Client) -> None:
    text = json.dumps(indicator(1, name="first")).replace('"name": "first"', '"name": "first", "name": "second"')
    assert ann.post(OBJECTS, content=f'{{"objects":[{text}]}}', headers=SENT).status_code == 202
    assert ann.get(OBJECTS).text.count('"name"') == 1


# ---- laws


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.lists(st.tuples(st.integers(0, 3), st.sampled_from((T0, T1, T2))), min_size=1, max_size=5)),
    hop=st.integers(1, 4),
)
def test_whoever_follows_additions_gets_each_once_whatever_the_clock_does(
    tmp_path: Path, steps: list[list[tuple[int, str]]], hop: int
) -> None:
    place = tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite"
    with closing(store.open_store(place, create=True)) as database:
        members.add_member(database, "ann", reads=["industry"], writes=["industry"])
        (collection,) = seen_by("ann", database)
        got: list[tuple[str, int]] = []
        at, clock = -1, 1_000_000
        for number, step in enumerate(steps):
            clock += (-1) ** number * 500_000  # it goes back as often as it goes on
            with database.writing():
                add(
                    database,
                    collection,
                    "ann",
                    items_of([indicator(*each) for each in step]),
                    clock=partial(int, clock),
                )
            found = page(database, collection.number, Wanted(after=at, versions=("all",), limit=hop), whole=False)
            got += [(each.id, each.version) for each in found.held]
            at = found.held[-1].added if found.held else at
        rest = page(database, collection.number, Wanted(after=at, versions=("all",)), whole=False)
        got += [(each.id, each.version) for each in rest.held]
        sent = {(indicator(seed)["id"], to_micros(version)) for step in steps for seed, version in step}
        assert sorted(got) == sorted(sent)
        last = page(database, collection.number, Wanted(), whole=False).held
        assert {each.id: each.version for each in last} == {
            name: max(version for other, version in sent if other == name) for name, _ in sent
        }


def test_many_who_publish_at_once_lose_nothing_and_a_follower_misses_nothing(sharing: Sharing) -> None:
    writers, each, at_once = 4, 12, 5

    def publish(writer: int) -> None:
        with sharing.client("ann") as client:
            for turn in range(each):
                some = [indicator((writer, turn, number)) for number in range(at_once)]
                assert post(client, *some, indicator("the same"))["success_count"] == at_once + 1

    got: list[str] = []
    with ThreadPoolExecutor(writers) as pool, sharing.client("bob") as bob:
        running = [pool.submit(publish, writer) for writer in range(writers)]
        query: dict[str, str] = {"match[version]": "all"}
        last_look = False
        while not last_look:
            last_look = all(one.done() for one in running)
            answer = bob.get("/share/collections/industry/manifest/", params=query)
            got += [record["id"] for record in answer.json().get("objects", [])]
            query["added_after"] = answer.headers.get("x-taxii-date-added-last", query.get("added_after", T0))
        for one in running:
            one.result()
    assert len(got) == len(set(got)) == writers * each * at_once + 1


def test_the_access_log_names_members_and_no_tokens(tmp_path: Path) -> None:
    from stillwatch.cli.share_serve import SharingServer  # noqa: PLC0415

    log = tmp_path / "access.jsonl"
    place = str(tmp_path / "share.sqlite")
    made = SharingServer(place, "x", 100.0, 100, 1 << 20, str(log))
    with serving(place, made=made) as running:
        running.add("ann")
        with running.client("ann") as ann:
            ann.get("/share/collections/", headers={"user-agent": 'x","member":"eve'})
            ann.get(f"{OBJECTS}?match[id]=x%0ay")
            httpx.get(f"{running.url}/taxii2/")
        token = running.tokens["ann"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(each["member"], each["status"], each["method"]) for each in lines] == [
        ("ann", 200, "GET"),
        ("ann", 400, "GET"),
        ("", 401, "GET"),
    ]
    assert all(
        each["schema"] == "stillwatch.access/1" and re.fullmatch(r"[\d-]+T[\d:.]+Z", each["time"]) for each in lines
    )
    assert token not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
