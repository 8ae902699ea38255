from __future__ import annotations

import asyncio
import socket
from http.client import HTTPConnection
from typing import TYPE_CHECKING, TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stillwatch.errors import OutputError
from stillwatch.guard import metrics_port
from stillwatch.guard.metrics import OPEN_METRICS, TEXT, Metrics
from stillwatch.guard.metrics_port import listen

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
Told = TypeVar("Told")


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def asked(work: Callable[[int], Told]) -> Told:
    """Do something with the port of a worker that serves its metrics."""

    async def serving() -> Told:
        async with await listen(Metrics(), HOST, [0]) as server:
            return await asyncio.to_thread(work, port_of(server))

    return asyncio.run(serving())


def get(port: int, path: str = "/metrics", method: str = "GET", accept: str = "") -> tuple[int, str | None, bytes]:
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type"), answer.read()
    finally:
        connection.close()


def test_a_scraper_gets_the_metrics() -> None:
    status, kind, body = asked(get)
    assert (status, kind) == (200, TEXT)
    assert any(family.name.endswith("streams_open") for family in text_string_to_metric_families(body.decode()))
    _, kind, body = asked(lambda port: get(port, "/metrics?x=1", accept="application/openmetrics-text"))
    assert kind == OPEN_METRICS
    assert body.endswith(b"# EOF\n")


def test_nothing_else_is_served() -> None:
    assert asked(lambda port: get(port, "/")[0]) == 404
    assert asked(lambda port: get(port, method="POST")[0]) == 405
    assert asked(lambda port: get(port, method="HEAD")[::2]) == (200, b"")


def test_each_worker_takes_the_next_free_port() -> None:
    async def workers() -> None:
        with socket.create_server((HOST, 0)) as taken:
            begin = taken.getsockname()[1]
            async with await listen(Metrics(), HOST, [begin, 0]) as first:
                assert port_of(first) != begin
            with pytest.raises(OutputError, match="none of 1 ports is free"):
                await listen(Metrics(), HOST, [begin])
        with pytest.raises(OutputError, match=r"metrics cannot be served on 192\.0\.2\.1:0"):
            await listen(Metrics(), "192.0.2.1", [0])

    asyncio.run(workers())


@pytest.mark.parametrize("sent", [b"", b"GET", b"\x00\xff\r\n\r\n", b"\r\n\r\n", b"GET /metrics " + b"x" * 50_000])
def test_whoever_is_no_scraper_is_let_go(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_port, "_PATIENCE", 0.2)

    def speak(port: int) -> int:
        with socket.create_connection((HOST, port), timeout=10) as connection:
            try:
                connection.sendall(sent)
                while connection.recv(65_536):
                    pass
            except ConnectionError:
                pass
        return get(port)[0]

    assert asked(speak) == 200
