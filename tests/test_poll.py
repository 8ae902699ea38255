"""Taking in what others publish: nothing lost, nothing twice, and what its source says of it kept."""

from __future__ import annotations

import http.server
import json
import tempfile
import threading
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sharing import AMBER, GREEN, T0, T1, T2, TAXII, Sharing, address, indicator, items_of, number, post, serving

from stillwatch.errors import IntelError, PollError, UsageError
from stillwatch.intel.moment import to_micros, to_text
from stillwatch.intel.received import Cursor, IntelStore, Odd, Taken
from stillwatch.intel.taxii.client import TaxiiClient
from stillwatch.intel.taxii.poll import poll
from stillwatch.intel.tlp import Tlp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = to_micros("2026-06-01T00:00:00Z")
SOURCE = "https://share.example/share/collections/1/"
OTHER = "https://else.example/share/collections/1/"


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[Sharing]:
    with serving(str(tmp_path / "share.sqlite")) as running:
        running.add("ann")
        yield running


@pytest.fixture
def store(place: str) -> Iterator[IntelStore]:
    with IntelStore(place, create=True, clock=lambda: NOW) as opened:
        yield opened


def polled(url: str, token: str | None, store: IntelStore, limit: int = 1000, **more: Callable[[Taken], None]) -> Taken:
    with TaxiiClient(url, token) as client:
        return poll(client, client.collection("industry"), store, limit=limit, **more)


def keys(store: IntelStore, *seeds: object) -> list[tuple[str, int]]:
    return sorted((each.source, each.version) for seed in seeds for each in store.versions(indicator(seed)["id"]))


# ---- polling a server of ours


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_a_second_poll_takes_only_what_is_new(sharing: Sharing, store: IntelStore, limit: int) -> None:
    token = sharing.tokens["ann"]
    with sharing.client("ann") as ann:
        post(ann, *map(indicator, range(7)))
        assert polled(sharing.url, token, store, limit).new == 7
        assert polled(sharing.url, token, store, limit).new == 0
        post(ann, indicator(1, T1), indicator(9))
        assert polled(sharing.url, token, store, limit).new == 2
    assert len(store.versions(indicator(1)["id"])) == 2


@pytest.mark.parametrize("path", ["", "/", "/taxii2/", "/share/", "/share"])
def test_a_server_is_named_by_itself_its_discovery_or_its_root(sharing: Sharing, store: IntelStore, path: str) -> None:
    assert polled(f"{sharing.url}{path}", sharing.tokens["ann"], store).new == 0


def test_a_poll_that_is_cut_off_goes_on_where_it_was(sharing: Sharing, store: IntelStore) -> None:
    with sharing.client("ann") as ann:
        post(ann, *map(indicator, range(10)))

    class CutOffError(Exception):
        pass

    def cut(_: Taken) -> None:
        raise CutOffError

    total = 0
    for _ in range(4):
        with pytest.raises(CutOffError):
            polled(sharing.url, sharing.tokens["ann"], store, 2, heard=cut)
        total += 2
        assert sum(len(store.versions(indicator(n)["id"])) for n in range(10)) == total
    assert polled(sharing.url, sharing.tokens["ann"], store, 2).new == 2


@pytest.mark.parametrize(
    ("url", "token"), [("http://share.example/", "x"), ("ftp://x/", None), ("x", None), ("https://u:p@x/", None)]
)
def test_a_url_that_would_give_the_token_away_is_refused(url: str, token: str | None) -> None:
    with pytest.raises(UsageError):
        TaxiiClient(url, token)


def test_a_collection_that_is_not_there_is_said(sharing: Sharing) -> None:
    with TaxiiClient(sharing.url, sharing.tokens["ann"]) as client, pytest.raises(PollError, match="no collection"):
        client.collection("secret")
    with TaxiiClient(sharing.url, "wrong") as client, pytest.raises(PollError, match="401"):
        client.collection("own")
    with TaxiiClient(sharing.url, sharing.tokens["ann"], user="ann") as client:
        assert client.collection("own").can_write


# ---- polling servers that are not ours


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers what the test says."""

    script: Callable[[str], tuple[int, dict[str, str], bytes]]

    def do_GET(self) -> None:
        status, headers, body = type(self).script(self.path)
        self.send_response(status)
        for name, value in {"content-type": TAXII, "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


COLLECTION = {"id": "91a7b528-80eb-42ed-a74d-c6fbd5a26116", "title": "industry", "can_read": True, "can_write": False}


@contextmanager
def scripted(pages: Callable[[str], tuple[int, dict[str, str], Any]]) -> Iterator[str]:
    def script(path: str) -> tuple[int, dict[str, str], bytes]:
        if path == "/taxii2/":
            return 200, {}, b'{"title":"x","api_roots":["/root/"]}'
        if path == "/root/":
            return 200, {}, json.dumps({"title": "x", "versions": [TAXII], "max_content_length": 9999}).encode()
        if path == "/root/collections/":
            return 200, {}, json.dumps({"collections": [COLLECTION]}).encode()
        status, headers, body = pages(path)
        return status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()

    handler = type("Handler", (Scripted,), {"script": staticmethod(script)})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def last(text: str) -> dict[str, str]:
    return {"x-taxii-date-added-first": text, "x-taxii-date-added-last": text}


def test_a_server_that_gives_no_next_is_followed_by_dates(store: IntelStore) -> None:
    times = [to_text(NOW + number) for number in range(5)]

    def pages(path: str) -> tuple[int, dict[str, str], Any]:
        after = path.partition("added_after=")[2].partition("&")[0].replace("%3A", ":")
        found = [n for n in range(5) if not after or times[n] > after][:2]
        more = bool(found) and found[-1] < 4
        return 200, last(times[found[-1]]) if found else {}, {"more": more, "objects": [indicator(n) for n in found]}

    with scripted(pages) as url:
        assert polled(url, None, store).new == 5
        assert polled(url, None, store).new == 0


def test_a_server_that_forgot_the_page_is_asked_from_where_the_run_began(store: IntelStore) -> None:
    asked: list[str] = []

    def pages(path: str) -> tuple[int, dict[str, str], Any]:
        asked.append(path)
        if "next=b" in path and len(asked) < 3:
            return 404, {}, {"title": "gone"}
        number = "next=a" in path or "next=b" in path
        document = {"objects": [indicator(int(number))], "more": not number}
        return (
            200,
            last(to_text(NOW + number)),
            document if number else {**document, "next": "b" if len(asked) < 2 else "a"},
        )

    with scripted(pages) as url:
        assert polled(url, None, store) == Taken(new=2, known=1)
    assert len(store.versions(indicator(0)["id"])) == 1


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        ({}, b"<html>", "JSON"),
        ({}, b'{"objects":[{"id":"\xff', "JSON"),
        ({}, b'{"objects":' + b"[" * 9999, "deep"),
        ({"content-type": "text/html"}, b"{}", "no TAXII"),
        (last("tomorrow"), b'{"objects":[]}', "no time"),
        ({}, b'{"more":true}', "same again"),
    ],
)
def test_an_answer_that_is_no_taxii_is_refused(
    store: IntelStore, headers: dict[str, str], body: bytes, says: str
) -> None:
    with scripted(lambda _: (200, headers, body)) as url, pytest.raises(PollError, match=says):
        polled(url, None, store)
    assert list(store.standing()) == []


def test_a_token_goes_to_no_other_server(store: IntelStore) -> None:
    with scripted(lambda _: (302, {"location": "http://127.0.0.1:1/"}, b"")) as url:
        with pytest.raises(PollError, match="302"):
            polled(url, "secret", store)
        with TaxiiClient(url, "secret") as client, pytest.raises(PollError, match="another server"):
            client.get("http://127.0.0.1:1/share/")


def test_objects_that_are_no_stix_are_left_out_and_counted(store: IntelStore) -> None:
    document = {"objects": [indicator(1), {"id": "x"}, indicator(2, confidence="high")]}
    with scripted(lambda _: (200, last(to_text(NOW)), document)) as url:
        assert polled(url, None, store) == Taken(new=1, refused=2)


# ---- what is kept


def test_marking_confidence_end_and_source_are_kept(store: IntelStore) -> None:
    ours: dict[str, Any] = {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--{number('ours')}",
    }
    ours |= {"created": T0, "definition_type": "tlp", "definition": {"tlp": "red"}}
    creator = f"identity--{number('x')}"
    sent = [
        indicator(
            1,
            object_marking_refs=[AMBER, GREEN],
            confidence=0,
            valid_until="2030-01-01T00:00:00Z",
            created_by_ref=creator,
        ),
        indicator(2, object_marking_refs=[ours["id"]]),
        indicator(3, object_marking_refs=[f"marking-definition--{number('nobody knows')}"]),
        indicator(4),
        ours,
    ]
    store.take(SOURCE, items_of(sent))
    (first,) = store.versions(indicator(1)["id"])
    assert (first.source, first.marking, first.confidence, first.creator) == (SOURCE, Tlp.AMBER, 0, creator)
    assert (first.valid_until, first.received, first.version) == (to_micros("2030-01-01T00:00:00Z"), NOW, to_micros(T0))
    assert json.loads(first.content) == sent[0]
    markings = [store.versions(indicator(n)["id"])[0].marking for n in (2, 3, 4)]
    assert markings == [Tlp.RED, Tlp.UNKNOWN, None]
    store.take(SOURCE, items_of([indicator(5, object_marking_refs=[ours["id"]])]))
    assert store.versions(indicator(5)["id"])[0].marking is Tlp.RED  # by the definition that came before


def test_no_definition_changes_what_a_known_marking_means(store: IntelStore) -> None:
    lying = {"type": "marking-definition", "spec_version": "2.1", "id": AMBER, "created": T0, "definition_type": "tlp"}
    store.take(SOURCE, items_of([{**lying, "definition": {"tlp": "clear"}}, indicator(1, object_marking_refs=[AMBER])]))
    assert store.versions(indicator(1)["id"])[0].marking is Tlp.AMBER


def test_ids_that_collide_are_kept_apart_by_source(store: IntelStore) -> None:
    store.take(SOURCE, items_of([indicator(1, name="theirs")]))
    store.take(OTHER, items_of([indicator(1, name="others")]))
    assert [each.source for each in store.versions(indicator(1)["id"])] == [OTHER, SOURCE]
    assert {json.loads(each.content)["name"] for each in store.standing()} == {"theirs", "others"}


def test_what_is_odd_is_flagged(store: IntelStore) -> None:
    store.take(SOURCE, items_of([indicator(1, T2), indicator(1, T1), indicator(2, "2027-01-01T00:00:00Z")]))
    assert [each.odd for each in store.versions(indicator(1)["id"])] == [{Odd.BACK_DATED}, frozenset()]
    assert store.versions(indicator(2)["id"])[0].odd == {Odd.FUTURE}
    store.take(SOURCE, items_of([indicator(3, valid_until="2026-02-01T00:00:00Z")]))
    assert store.versions(indicator(3)["id"])[0].odd == {Odd.EXPIRED}
    assert store.take(SOURCE, items_of([indicator(1, T2, name="other")])) == Taken(known=1, odd=1)
    (_, altered) = store.versions(indicator(1)["id"])
    assert altered.odd == {Odd.ALTERED}
    assert "other" not in altered.content


def test_what_stands_is_the_last_version_that_is_neither_over_nor_revoked(store: IntelStore) -> None:
    sent = [
        indicator(1),
        indicator(1, T1, name="last"),
        indicator(2, valid_until="2026-02-01T00:00:00Z"),
        indicator(3),
        indicator(3, T1, revoked=True),
        address("192.0.2.1"),
    ]
    store.take(SOURCE, items_of(sent))
    assert {each.id for each in store.standing()} == {indicator(1)["id"], address("192.0.2.1")["id"]}
    assert {each.id for each in store.standing(now=to_micros(T1))} >= {indicator(2)["id"]}
    (first,) = (each for each in store.standing() if each.type == "indicator")
    assert json.loads(first.content)["name"] == "last"


def test_everything_that_stands_is_given_however_much_there_is(store: IntelStore) -> None:
    store.take(SOURCE, items_of([indicator(n) for n in range(2500)]))
    assert len({each.id for each in store.standing()}) == 2500


def test_a_page_and_its_cursor_are_kept_together(store: IntelStore) -> None:
    cursor = Cursor(upto=to_text(NOW), since="", next="x")
    store.take(SOURCE, items_of([indicator(1)]), cursor)
    assert (store.cursor(SOURCE), store.cursor(OTHER)) == (cursor, Cursor())


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(IntelError, match="there is no store"):
        IntelStore(str(tmp_path / "none.sqlite"))
    with pytest.raises(UsageError):
        IntelStore("mysql://x/y")
    (tmp_path / "text").write_text("x" * 10_000)
    with pytest.raises(IntelError):
        IntelStore(str(tmp_path / "text"), create=True)


@settings(max_examples=40)
@given(
    sent=st.lists(
        st.tuples(st.sampled_from((SOURCE, OTHER)), st.integers(0, 2), st.sampled_from((T0, T1, T2))), max_size=12
    ),
    cuts=st.lists(st.integers(0, 12), max_size=4),
)
def test_however_it_comes_the_same_is_kept(sent: list[tuple[str, int, str]], cuts: list[int]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        IntelStore(f"{folder}/intel.sqlite", create=True, clock=lambda: NOW) as store,
    ):
        bounds = sorted({0, *cuts, len(sent)})
        for low, high in pairwise(bounds):
            for source in (SOURCE, OTHER):
                store.take(
                    source, items_of([indicator(n, when) for where, n, when in sent[low:high] if where == source])
                )
        kept = {(each.source, each.id, each.version) for n in range(3) for each in store.versions(indicator(n)["id"])}
        assert kept == {(where, indicator(n)["id"], to_micros(when)) for where, n, when in sent}
        standing = {(each.source, each.id): each.version for each in store.standing()}
        assert standing == {key: max(v for *other, v in kept if tuple(other) == key) for key in {k[:2] for k in kept}}
