"""The sharing server through `taxii2-client`, the client of OASIS, which we did not write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests
import stix2
from taxii2client.common import TokenAuth
from taxii2client.v21 import Collection, Server, Status, as_pages
from tests.sharing import T0, T1, Sharing, bundle, identity, indicator, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sharing(place: str) -> Iterator[Sharing]:
    with serving(place) as running:
        running.add("ann")
        yield running


def server_of(sharing: Sharing, name: str = "ann") -> Server:
    return Server(f"{sharing.url}/taxii2/", user=name, password=sharing.tokens[name])


def industry(server: Server) -> Collection:
    (found,) = (each for each in server.default.collections if each.alias == "industry")
    return found


def test_the_client_discovers_reads_and_writes(sharing: Sharing) -> None:
    with server_of(sharing) as server:
        assert server.title == "stillwatch"
        assert server.default.versions == ["application/taxii+json;version=2.1"]
        collection = industry(server)
        status = collection.add_objects({"objects": [indicator(1), indicator(1, T1), indicator(2)]})
        assert (status.status, status.success_count, status.failure_count) == ("complete", 3, 0)
        assert server.default.get_status(status.id).success_count == 3
        assert [each["id"] for each in collection.get_objects()["objects"]] == [indicator(n)["id"] for n in (1, 2)]
        assert len(collection.get_manifest(version="all")["objects"]) == 3
        (held,) = collection.get_object(indicator(1)["id"], version="first")["objects"]
        assert held["modified"] == T0
        assert len(collection.object_versions(indicator(1)["id"])["versions"]) == 2
        collection.delete_object(indicator(1)["id"])
        assert [each["id"] for each in collection.get_objects()["objects"]] == [indicator(2)["id"]]


def test_the_client_takes_pages(sharing: Sharing) -> None:
    with server_of(sharing) as server:
        collection = industry(server)
        collection.add_objects({"objects": [indicator(number) for number in range(25)]})
        for get in (collection.get_objects, collection.get_manifest):
            pages = list(as_pages(get, per_request=10))
            assert [len(page["objects"]) for page in pages] == [10, 10, 5]
            assert len({each["id"] for page in pages for each in page["objects"]}) == 25


def test_the_client_filters(sharing: Sharing) -> None:
    with server_of(sharing) as server:
        collection = industry(server)
        collection.add_objects({"objects": [indicator(1), identity(2), indicator(3)]})
        (found,) = collection.get_objects(type="identity")["objects"]
        assert found["name"] == "2"
        assert len(collection.get_objects(id=[indicator(1)["id"], indicator(3)["id"]])["objects"]) == 2
        manifest = collection.get_manifest()["objects"]
        later = collection.get_objects(added_after=manifest[1]["date_added"])["objects"]
        assert [each["id"] for each in later] == [indicator(3)["id"]]


def test_what_comes_back_is_stix_as_the_stix2_library_reads_it(sharing: Sharing) -> None:
    sent = stix2.Indicator(pattern="[url:value = 'https://x.example']", pattern_type="stix", confidence=70)
    with server_of(sharing) as server:
        collection = industry(server)
        assert (
            collection.add_objects(stix2.Bundle(sent).serialize().replace('"type": "bundle",', "", 1)).success_count
            == 1
        )
        (held,) = collection.get_objects()["objects"]
    assert stix2.parse(held) == sent


def test_the_client_is_told_what_it_may_not(sharing: Sharing) -> None:
    sharing.add("bob", reads=["industry"], writes=[])
    with server_of(sharing, "bob") as server:
        (collection,) = server.default.collections
        assert (collection.can_read, collection.can_write) == (True, False)
        foreign = collection.url.replace("industry", "own")
    with pytest.raises(requests.HTTPError, match="404"):
        Collection(f"{sharing.url}/share/collections/own/", user="bob", password=sharing.tokens["bob"]).refresh()
    assert foreign


def test_the_clients_token_scheme_is_understood(sharing: Sharing) -> None:
    with Server(f"{sharing.url}/taxii2/", auth=TokenAuth(sharing.tokens["ann"])) as server:
        status = industry(server).add_objects({"objects": [indicator(1), bundle()]})
    assert (status.success_count, status.failure_count) == (1, 1)
    again = Status(f"{sharing.url}/share/status/{status.id}/", auth=TokenAuth(sharing.tokens["ann"]))
    assert again.failures[0]["message"]
    again.close()
