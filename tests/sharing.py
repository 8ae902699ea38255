"""A sharing server of the tests' own, and STIX objects to share."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from stillwatch.guard.serve import Serving, config_of
from stillwatch.intel.document import cut, items
from stillwatch.intel.taxii.members import add_member
from stillwatch.intel.taxii.server import TaxiiServer
from stillwatch.intel.taxii.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stillwatch.intel.document import Fault, Item
    from stillwatch.intel.taxii.server import Limiter

TAXII = "application/taxii+json;version=2.1"
ALL = ("industry", "government", "own")
T0, T1, T2 = (f"2026-01-0{day}T00:00:00.000Z" for day in (1, 2, 3))
RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
STRICT = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"
AMBER = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"


def number(seed: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"stillwatch:{seed}"))


def indicator(seed: object, modified: str = T0, **more: object) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{number(seed)}",
        "created": T0,
        "modified": modified,
        "pattern": "[ipv4-addr:value = '192.0.2.1']",
        "pattern_type": "stix",
        "valid_from": T0,
        **more,
    }


def identity(seed: object, **more: object) -> dict[str, Any]:
    head = {"type": "identity", "spec_version": "2.1", "id": f"identity--{number(seed)}", "created": T0, "modified": T0}
    return {**head, "name": str(seed), "identity_class": "organization", **more}


def address(value: str, **more: object) -> dict[str, Any]:
    return {"type": "ipv4-addr", "spec_version": "2.1", "id": f"ipv4-addr--{number(value)}", "value": value, **more}


def bundle(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": list(objects)}


def items_of(objects: Sequence[dict[str, Any]]) -> list[Item | Fault]:
    return list(items(cut(json.dumps({"objects": objects}).encode())))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@dataclass
class Sharing:
    """A running server.

    Attributes:
        url: of the server.
        place: of its store.

    """

    url: str
    place: str
    tokens: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, *, reads: Sequence[str] = ALL, writes: Sequence[str] = ALL) -> str:
        with closing(open_store(self.place, create=True)) as database:
            self.tokens[name] = add_member(database, name, reads=reads, writes=writes)
        return self.tokens[name]

    def client(self, name: str, **headers: str) -> httpx.Client:
        own = {"accept": TAXII, "authorization": f"Bearer {self.tokens[name]}", **headers}
        return httpx.Client(base_url=self.url, headers=own, timeout=30.0)


@contextmanager
def serving(
    place: str,
    *,
    limiter: Limiter | None = None,
    page: int = 1000,
    largest: int = 1 << 20,
    made: Callable[[], object] | None = None,
) -> Iterator[Sharing]:
    """Serve a store from a thread."""
    open_store(place, create=True).close()
    make = made or partial(TaxiiServer, place, limiter=limiter, page=page, largest=largest)
    config = config_of(make, Serving(port=0, drain=1.0))
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    listening.listen()  # who comes before the server is up waits for it
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listening]),))
    thread.start()
    try:
        yield Sharing(f"http://127.0.0.1:{listening.getsockname()[1]}", place)
    finally:
        server.should_exit = True
        thread.join(30.0)
        listening.close()


def post(client: httpx.Client, *objects: dict[str, Any], collection: str = "industry") -> dict[str, Any]:
    answer = client.post(
        f"/share/collections/{collection}/objects/", json={"objects": list(objects)}, headers={"content-type": TAXII}
    )
    assert answer.status_code == 202, answer.text
    status: dict[str, Any] = answer.json()
    return status
