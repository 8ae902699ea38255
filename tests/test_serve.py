"""The gateway's server, in processes of its own: signals, workers, what clients may keep it waiting for."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.model_server import ModelServer, running
from tests.raw_server import Raw, Wire, client, get, post, raw_server

from stillwatch.errors import UsageError
from stillwatch.guard import serve
from stillwatch.guard.proxy import Proxy
from stillwatch.guard.serve import GuardedHttp, Serving, config_of, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Running = tuple[subprocess.Popen[bytes], str]

SCRIPT = """
import functools
from stillwatch.guard.proxy import Proxy
from stillwatch.guard.serve import Serving, run

if __name__ == "__main__":
    run(functools.partial(Proxy, {upstream!r}), Serving(port={port}, workers={workers}, drain={drain}))
"""
STREAMED = b'{"model": "m", "stream": true, "messages": []}'


@contextlib.contextmanager
def gateway(
    folder: Path, upstream: str, *, workers: int = 1, drain: int = 10
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start it, and wait until it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = folder / "gateway.py"
    script.write_text(SCRIPT.format(upstream=upstream, port=port, workers=workers, drain=drain))
    path = os.pathsep.join(each for each in sys.path if each)
    with subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": path}) as process:  # noqa: S603
        try:
            assert answers(port)
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def answers(port: int) -> bool:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError), client(f"http://127.0.0.1:{port}") as wire:
            wire.send(get())
            if wire.message()[0]:
                return True
        time.sleep(0.05)
    return False


def test_open_streams_are_let_finish(tmp_path: Path) -> None:
    with (
        running(ModelServer()) as upstream,
        gateway(tmp_path, upstream) as (process, url),
        client(url) as wire,
        client(url) as unused,
    ):
        unused.send(get())
        unused.message()
        wire.send(post(STREAMED, headers=b"x-delay: 0.05\r\n"))
        wire.until(b"data: ")
        process.send_signal(signal.SIGTERM)
        assert unused.rest() == b""  # closed at once, as nothing is under way in it
        with pytest.raises(OSError, match="refused"), client(url):
            pass
        body = wire.rest()
        assert b"data: [DONE]" in body
        assert body.endswith(b"0\r\n\r\n")
        assert process.wait(10) in {0, -signal.SIGTERM}


def test_but_not_for_ever(tmp_path: Path) -> None:
    model = ModelServer()
    with running(model) as upstream, gateway(tmp_path, upstream, drain=1) as (process, url), client(url) as wire:
        wire.send(post(STREAMED.replace(b'"m"', b'"fault-stall"')))
        wire.until(b"data: ")
        process.send_signal(signal.SIGTERM)
        assert not wire.rest().endswith(b"0\r\n\r\n")
        assert process.wait(10) in {0, -signal.SIGTERM}
    assert model.left == 1


def test_workers_share_an_address(tmp_path: Path) -> None:
    with running(ModelServer()) as upstream, gateway(tmp_path, upstream, workers=2) as (process, url):
        for _ in range(10):
            with client(url) as wire:
                wire.send(post(b'{"model": "m", "messages": []}'))
                assert b"chatcmpl" in wire.message()[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in {0, -signal.SIGTERM}
        with pytest.raises(OSError, match="refused"), client(url):
            pass


def test_a_client_that_never_asks_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_STALL", 0.2)
    with running(Proxy("http://127.0.0.1:1"), http=GuardedHttp) as url:
        for begun in (b"", b"GET /v1/mod", post(b"12345")[:-3]):
            with client(url) as wire:
                wire.send(begun)
                started = time.monotonic()
                assert wire.rest()[:12] in {b"", b"HTTP/1.1 502"}
                assert time.monotonic() - started < 10


def test_a_client_that_takes_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_STALL", 0.5)

    def handler(raw: Raw, wire: Wire) -> None:
        raw.read(wire)
        wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                wire.send(b"x" * 100_000)
        raw.event("told").set()

    with raw_server(handler) as raw, running(Proxy(raw.url), http=GuardedHttp) as url, client(url) as wire:
        wire.send(post())
        assert raw.event("told").wait(10)


@pytest.mark.parametrize("serving", [Serving(workers=0), Serving(drain=-1)])
def test_numbers_that_make_no_sense(serving: Serving) -> None:
    with pytest.raises(UsageError):
        config_of(lambda: None, serving)


def test_an_address_that_is_taken() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UsageError, match="cannot be listened on"),
    ):
        run(lambda: None, Serving(port=taken.getsockname()[1]))
