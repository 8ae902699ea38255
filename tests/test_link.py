from __future__ import annotations

import asyncio
import socket
import uuid
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from tests.limits import cap, one, pace
from tests.valkey_server import programs, server

from stillwatch.errors import StateError
from stillwatch.guard.counters import Exceeded, Grant
from stillwatch.guard.link import read_place
from stillwatch.guard.valkey import ValkeyState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
    from typing import Any

    from tests.valkey_server import Server

PROGRAMS = programs()
PATIENT = 10.0

RUN: list[Callable[[Coroutine[Any, Any, None]], None]] = []  # how a test runs what it awaits

needs_server = pytest.mark.skipif(not PROGRAMS, reason="no valkey-server or redis-server, nor a package that has one")


@pytest.fixture(autouse=True, params=["asyncio", "uvloop"])
def _loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test on both event loops: a guard may run on either."""
    RUN.append(pytest.importorskip(request.param).run)
    yield
    RUN.clear()


@pytest.fixture
def running() -> Iterator[Server]:
    with server(PROGRAMS[0]) as found:
        yield found


def run(url: str, use: Callable[[ValkeyState], Awaitable[None]], timeout: float = PATIENT) -> None:
    async def within() -> None:
        state = ValkeyState(url, name=uuid.uuid4().hex, timeout=timeout)
        try:
            await use(state)
        finally:
            await state.aclose()

    RUN[0](within())


async def refused(state: ValkeyState) -> str:
    with pytest.raises(StateError) as caught:
        await state.charge(one(cap()))
    return caught.value.reason


def refused_at_once(state: ValkeyState) -> str:
    """The request does not wait for anything: it fails before it would let another coroutine go on."""
    asked: Coroutine[Any, Any, object] = state.charge(one(cap()))
    with pytest.raises(StateError) as caught:
        asked.send(None)
    return caught.value.reason


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(50):
        while True:
            if met():
                return
            await asyncio.sleep(0.02)


async def until_it_works(state: ValkeyState) -> Grant | Exceeded:
    async with asyncio.timeout(30):
        while True:
            try:
                return await state.charge(one(cap()))
            except StateError:
                await asyncio.sleep(0.02)


# ---- a server that goes and returns


@needs_server
def test_a_server_that_dies_fails_requests_at_once_until_it_returns(running: Server) -> None:
    async def use(state: ValkeyState) -> None:
        assert isinstance(await state.charge(one(cap(), 5.0)), Grant)
        assert state.trouble == ""
        running.kill()
        await refused(state)
        await until(lambda: "cannot be reached" in state.trouble)
        assert "cannot be reached" in refused_at_once(state)
        with pytest.raises(StateError):
            await state.settle(Grant(b"x"), {})
        with pytest.raises(StateError):
            await state.add({"a": 1.0}, keep=1)
        with pytest.raises(StateError):
            await state.once("a", ["x"], keep=1)
        running.start()
        assert isinstance(await until_it_works(state), Grant)  # it kept nothing: what was used is forgotten

    run(running.url, use)


@needs_server
def test_a_server_that_keeps_what_it_was_told_goes_on_from_there() -> None:
    with server(PROGRAMS[0], "--appendonly", "yes", "--appendfsync", "always") as running:

        async def use(state: ValkeyState) -> None:
            tokens = cap(most=100, of="output_tokens", name="tokens")
            assert isinstance(await state.charge(one(cap(), 5.0)), Grant)
            grant = await state.charge(one(tokens, 80.0))
            assert isinstance(grant, Grant)
            running.kill()
            await refused(state)
            running.start()
            assert isinstance(await until_it_works(state), Exceeded)
            await state.settle(grant, {"output_tokens": 10.0})
            assert isinstance(await state.charge(one(tokens, 90.0)), Grant)

        run(running.url, use)


@needs_server
def test_a_server_that_is_not_there_yet_is_found(running: Server) -> None:
    async def use(state: ValkeyState) -> None:
        running.kill()
        with pytest.raises(StateError, match="cannot be reached"):
            await state.connect()
        refused_at_once(state)
        running.start()
        assert isinstance(await until_it_works(state), Grant)

    run(running.url, use)


@needs_server
def test_a_server_that_hangs_holds_no_request(running: Server) -> None:
    async def use(state: ValkeyState) -> None:
        await until_it_works(state)
        running.hang()
        told = await asyncio.gather(*(state.charge(one(cap())) for _ in range(50)), return_exceptions=True)
        assert all(isinstance(error, StateError) and "did not answer within 200 ms" in str(error) for error in told)
        refused_at_once(state)
        await asyncio.sleep(0.5)  # over some attempts
        refused_at_once(state)
        running.resume()
        await until_it_works(state)
        assert state.trouble == ""

    run(running.url, use, timeout=0.2)


@needs_server
def test_a_connection_that_the_server_closed_costs_no_request(running: Server) -> None:
    async def use(state: ValkeyState) -> None:
        for _ in range(5):
            assert isinstance(await state.charge(one(pace(burst=100))), Grant)
            running.tell("CLIENT", "KILL", "TYPE", "normal")
            await asyncio.sleep(0.005)

    run(running.url, use)


@needs_server
def test_requests_that_are_given_up_leave_nothing_to_the_next(running: Server) -> None:
    async def use(state: ValkeyState) -> None:
        for number in range(200):
            adding = asyncio.create_task(state.add({"a": 1.0}, keep=60))
            await asyncio.sleep(0 if number % 2 else 0.0002)
            adding.cancel()
            assert await state.add({f"b{number}": float(number)}, keep=60) == {f"b{number}": float(number)}

    run(running.url, use)


@needs_server
def test_a_closed_state_refuses(running: Server) -> None:
    async def use(state: ValkeyState) -> None:
        await state.charge(one(cap()))
        running.hang()
        waiting = asyncio.create_task(state.charge(one(cap())))
        await asyncio.sleep(0)
        await state.aclose()
        with pytest.raises(StateError, match="is closed"):
            await waiting
        assert refused_at_once(state) == "is closed"

    run(running.url, use)


# ---- a server that refuses


@needs_server
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_server_that_is_full_charges_nothing(program: Any) -> None:  # noqa: ANN401  a path, of what may be none
    with server(program) as running:

        async def use(state: ValkeyState) -> None:
            await state.charge(one(cap()))
            running.tell("CONFIG", "SET", "maxmemory", "1")
            assert "OOM command not allowed" in await refused(state)
            running.tell("CONFIG", "SET", "maxmemory", "0")
            assert isinstance(await state.charge(one(cap(), 4.0)), Grant)

        run(running.url, use)


@needs_server
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_replica_is_not_written_to(program: Any) -> None:  # noqa: ANN401  a path, of what may be none
    with server(program) as running:

        async def use(state: ValkeyState) -> None:
            await state.charge(one(cap()))
            running.tell("REPLICAOF", "127.0.0.1", "1")
            assert "READONLY" in await refused(state)
            await until(lambda: "READONLY" in state.trouble)
            assert "READONLY" in refused_at_once(state)
            running.tell("REPLICAOF", "NO", "ONE")
            await until_it_works(state)

        run(running.url, use)


@asynccontextmanager
async def that_answers(answer: bytes) -> AsyncIterator[str]:
    """A server that gives one answer to everything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(answer * 8)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"-LOADING the dataset is in memory soon\r\n", "LOADING the dataset"),
        (b"-ERR unknown command `AUTH`, with args beginning with: `se%cret`\r\n", r"beginning with: `\*\*\*`"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers what is no RESP"),
        (b"-CLUSTERDOWN no slots\r\n", "CLUSTERDOWN"),
    ],
)
def test_a_server_that_answers_something_else(answer: bytes, reason: str) -> None:
    async def within() -> None:
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(that_answers(answer))
            state = ValkeyState(url.replace("//", "//user:se%25cret@"), timeout=PATIENT)
            stack.push_async_callback(state.aclose)
            with pytest.raises(StateError, match=reason) as caught:
                await state.charge(one(cap()))
            assert "cret" not in f"{caught.value} {state!r} {state.trouble} {caught.value.place}"

    RUN[0](within())


# ---- logging in, and where it is


@needs_server
def test_passwords_are_used_and_not_shown() -> None:
    with server(PROGRAMS[0], "--requirepass", "pass word") as running:

        async def good(state: ValkeyState) -> None:
            await state.charge(one(cap()))

        async def bad(state: ValkeyState) -> None:
            told = await refused(state)
            assert "WRONGPASS" in told
            assert "mistaken" not in told + repr(state) + state.trouble

        async def none(state: ValkeyState) -> None:
            assert "NOAUTH" in await refused(state)

        run(running.url.replace("//", "//:pass%20word@"), good)
        run(running.url.replace("//", "//default:pass%20word@"), good)
        run(running.url.replace("//", "//:mistaken@"), bad)
        run(running.url, none)


@needs_server
def test_databases_are_apart(running: Server) -> None:
    async def within() -> None:
        states = [ValkeyState(f"{running.url}?db={number}", timeout=PATIENT) for number in (0, 3)]
        for state in states:
            assert isinstance(await state.charge(one(cap(), 5.0)), Grant)
            await state.aclose()

    RUN[0](within())
    assert "db3:keys=" in running.tell("INFO", "keyspace")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("valkey://cache.internal:7000/2", "redis://cache.internal:7000/2"),
        ("redis://user:se%40cret@[::1]:7000?db=4", "redis://[::1]:7000/4"),
        ("rediss://user:secret@cache", "rediss://cache:6379/0"),
        ("valkeys://cache/1", "rediss://cache:6379/1"),
        ("unix://:secret@/run/valkey.sock?db=2", "unix:///run/valkey.sock"),
    ],
)
def test_urls_are_read(url: str, place: str) -> None:
    read = read_place(url)
    assert str(read) == place
    assert "cret" not in repr(read)
    assert read.password in {"", "secret", "se@cret"}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://secret@cache", "begin it with redis://"),
        ("secret", "begin it with redis://"),
        ("redis://:secret@cache:port", "is no URL"),
        ("redis://:secret@[cache", "is no URL"),
        ("redis://:secret@cache/zero", "`zero` is no number"),
        ("redis://:secret@cache?socket_timeout=1", "knows no option `socket_timeout`"),
        ("rediss://:secret@cache?ssl_ca_certs=/nowhere/ca.pem", "certificates cannot be read"),
        ("unix://", "names no socket"),
    ],
)
def test_urls_that_are_none_are_refused_without_showing_the_password(url: str, reason: str) -> None:
    with pytest.raises(StateError, match=reason) as caught:
        read_place(url)
    assert "secret" not in str(caught.value)


# ---- a cluster


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@needs_server
def test_in_a_cluster_the_node_that_has_the_keys_is_found() -> None:
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        nodes = [
            stack.enter_context(
                server(
                    PROGRAMS[0],
                    *("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                    *("--cluster-config-file", "nodes.conf", "--bind", "127.0.0.1"),
                )
            )
            for port in ports
        ]
        if nodes[0].tell("CLUSTER", "ADDSLOTSRANGE", "0", "8191").startswith("-"):
            pytest.skip("this server is too old for the command that makes the cluster")
        nodes[1].tell("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        bus = nodes[1].tell("CONFIG", "GET", "cluster-port").split("\r\n")[-2]
        nodes[0].tell("CLUSTER", "MEET", "127.0.0.1", str(ports[1]), bus)

        async def within() -> None:
            await until(lambda: all("cluster_state:ok" in node.tell("CLUSTER", "INFO") for node in nodes))
            for number in range(6):  # names whose keys are on one node, and on the other
                state = ValkeyState(f"redis://127.0.0.1:{ports[0]}", name=f"d{number}", timeout=PATIENT)
                assert isinstance(await until_it_works(state), Grant)
                assert isinstance(await state.charge([*one(cap(), 4.0), *one(pace(), 1.0)]), Grant)
                assert isinstance(await state.charge(one(cap())), Exceeded)
                await state.aclose()

        RUN[0](within())
        for node in nodes:
            assert "stillwatch:d" in node.tell("KEYS", "*clock")
