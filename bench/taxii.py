"""How fast the sharing server gives pages with a million objects held, and whether polling survives a killed server.

    python bench/taxii.py [--objects 1000000] [--pages 400]

Prints the time of a page of 1,000 objects (p50, p99, from anywhere in the collection) and its ratio to a handler that
sends the same bytes from memory through the same server; then polls while the server is killed again and again, and
counts what is missing and what is there twice.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import tempfile
import threading
import time
import uuid
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillwatch.cli.share_serve import SharingServer
from stillwatch.errors import PollError
from stillwatch.guard.serve import Serving, run
from stillwatch.intel import document
from stillwatch.intel.moment import to_text
from stillwatch.intel.received import IntelStore
from stillwatch.intel.taxii import adding
from stillwatch.intel.taxii.client import TaxiiClient
from stillwatch.intel.taxii.collections import seen_by
from stillwatch.intel.taxii.members import add_member
from stillwatch.intel.taxii.poll import poll
from stillwatch.intel.taxii.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES = ("indicator",) * 8 + ("campaign", "infrastructure")


def require(true: object, what: str) -> None:
    """Stop with exit code 1 if a figure is missed."""
    if not true:
        raise SystemExit(f"FAILED: {what}")


def indicators(count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Objects as an export holds them, of some 700 bytes."""
    for number in range(count):
        when = to_text(1_750_000_000_000_000 + number * 1_000_000)
        kind = _TYPES[number % len(_TYPES)]
        yield {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--{uuid.UUID(int=chance.getrandbits(128), version=4)}",
            "created": when,
            "modified": when,
            "created_by_ref": "identity--8d1cbbb3-6d6e-4bb2-8f0e-0f2d1f3c5a11",
            "object_marking_refs": ["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"],
            "name": f"Stream {number} of a campaign that harvests reasoning",
            "description": "Exchanges that bear one skeleton, dealt out evenly over accounts. " * 3,
            "pattern": f"[x-stillwatch-mark:value = '{chance.getrandbits(256):064x}']",
            "pattern_type": "stix",
            "valid_from": when,
            "confidence": 85,
        }


def fill(place: str, count: int) -> str:
    """Make a store with so many objects; gives a token for it."""
    began = time.monotonic()
    chance = random.Random(7)  # noqa: S311  a benchmark
    with closing(open_store(place, create=True)) as database:
        token = add_member(database, "bench", reads=["industry"], writes=["industry"])
        (collection,) = seen_by("bench", database)
        objects = indicators(count, chance)
        for _ in range(0, count, 10_000):
            some = [each for _, each in zip(range(10_000), objects, strict=False)]
            envelope = document.cut(json.dumps({"objects": some}).encode())
            with database.writing():
                told = adding.add(database, collection, "bench", list(document.items(envelope)))
            require(not any(each.reason for each in told), "an object was not added")
    print(
        f"held: {count:,} objects, {Path(place).stat().st_size / 1e9:.2f} GB, added in {time.monotonic() - began:.0f} s"
    )
    return token


class Static:
    """Sends the same bytes to everybody, for a ratio."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __call__(self) -> Static:
        """Make the application."""
        return self

    async def app(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """Serve."""
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        headers = [(b"content-type", b"application/taxii+json"), (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def serving(what: Any, port: int) -> Iterator[int]:  # noqa: ANN401  a factory of an application
    """Serve from a process of its own; gives its id."""
    pid = os.fork()
    if not pid:
        try:
            run(what, Serving(port=port, drain=1.0))
        finally:
            os._exit(0)
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            require(time.monotonic() < until, "the server does not come up")
            time.sleep(0.02)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def timed(port: int, targets: list[str], headers: dict[str, str]) -> tuple[list[float], bytes]:
    """Milliseconds of each request, and the last body."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    took, body = [], b""
    for target in targets:
        began = time.perf_counter()
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        body = response.read()
        took.append((time.perf_counter() - began) * 1000)
        require(response.status == 200, str(body[:200]))
    connection.close()
    return took, body


def told(name: str, took: list[float]) -> tuple[float, float]:
    """Print p50 and p99."""
    ordered = sorted(took)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms over {len(took)} requests")
    return p50, p99


def pages(place: str, token: str, count: int) -> None:
    """Time pages from anywhere in the collection, and the same bytes from memory."""
    chance = random.Random(11)  # noqa: S311  a benchmark
    with closing(open_store(place)) as database:
        (collection,) = seen_by("bench", database)
        low, high = (
            int(database.rows(f"SELECT {which}(added) FROM stillwatch_taxii_objects")[0][0])  # noqa: S608
            for which in ("min", "max")
        )
    headers = {"Accept": "application/taxii+json;version=2.1", "Authorization": f"Bearer {token}"}
    base = f"/share/collections/{collection.id}"
    queries = {
        "page of 1,000 objects": "/objects/?",
        "  all versions": "/objects/?match[version]=all&",
        "  of a type": "/objects/?match[type]=campaign&",
        "manifest of 1,000": "/manifest/?",
    }
    limits = SharingServer(place, "bench", 1e6, 1_000_000, 16 << 20, os.devnull)
    port = free_port()
    with serving(limits, port):
        for name, query in queries.items():
            targets = [f"{base}{query}added_after={to_text(chance.randint(low, high - 2000))}" for _ in range(count)]
            timed(port, targets[:20], headers)
            took, _ = timed(port, targets, headers)
            if name.startswith("page"):
                first = targets[:1]
                _, body = timed(port, first, headers)
                ours = told(name, took)
            else:
                told(name, took)
    static = Static(body)
    port = free_port()
    with serving(lambda: static.app, port):
        timed(port, ["/"] * 20, {})
        theirs = told(f"the same {len(body):,} bytes from memory", timed(port, ["/"] * count, {})[0])
    print(f"ratio to sending from memory: p50 {ours[0] / theirs[0]:.1f}, p99 {ours[1] / theirs[1]:.1f}")
    require(ours[1] <= 50, "p99 above 50 ms")


def cuts(place: str, token: str, folder: Path, most: int) -> None:
    """Poll while the server is killed, and count what is missing or doubled."""
    server = SharingServer(place, "bench", 1e6, 1_000_000, 16 << 20, os.devnull)
    port = free_port()
    chance = random.Random(13)  # noqa: S311  a benchmark
    began, killed, new, known = time.monotonic(), 0, 0, 0
    done = False
    with IntelStore(str(folder / "intel.sqlite"), create=True) as store:
        while not done:
            with serving(server, port) as pid, TaxiiClient(f"http://127.0.0.1:{port}", token) as client:
                timer = threading.Timer(chance.uniform(0.5, 4.0), os.kill, (pid, signal.SIGKILL))
                found = client.collection("industry")
                if killed < most:
                    timer.start()
                try:
                    taken = poll(client, found, store)
                    new, known, done = new + taken.new, known + taken.known, True
                except PollError:
                    killed += 1
                finally:
                    timer.cancel()
    with closing(open_store(place)) as served, closing(_raw(folder / "intel.sqlite")) as received:
        there = {(row[0], row[1]) for row in served.rows("SELECT id, version FROM stillwatch_taxii_objects")}
        here = [(row[0], row[1]) for row in received.execute("SELECT id, version FROM stillwatch_intel_received")]
    print(
        f"polled {len(here):,} objects in {time.monotonic() - began:.0f} s through {killed} kills of the server:"
        f" {len(there - set(here))} lost, {len(here) - len(set(here))} doubled"
    )
    require(there == set(here) and len(here) == len(set(here)), "objects were lost or doubled")


def _raw(path: Path) -> Any:  # noqa: ANN401
    import sqlite3  # noqa: PLC0415

    return sqlite3.connect(path)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = str(Path(name) / "share.sqlite")
        token = fill(place, given.objects)
        pages(place, token, given.pages)
        cuts(place, token, Path(name), given.kills)


if __name__ == "__main__":
    main()
