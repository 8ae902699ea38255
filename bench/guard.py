"""What the guard costs: added latency, throughput, first tokens, memory; and the proxy beside others, in one run.

    guard.py                                    all that is installed
    guard.py --litellm /path/to/python          with a LiteLLM proxy, from an environment that has `litellm[proxy]`
    guard.py --seconds 5 --rounds 4             longer, for steadier figures

1. The floor is a model's API, an ASGI application that answers at once, in the gateway's server; beside it the same
   with the guard around it: the policy `strict` (30 rules, their limits out of reach), 100,000 live decisions, 20,000
   accounts. Latency: at 500 requests a second, sent at set moments. Throughput: 16 connections that never pause; also
   of the reverse proxy with and without the guard, and of an application that does for a request what inference
   servers do before their engines (FastAPI and pydantic, where installed). First tokens: of streams whose model takes
   20 ms.
2. The reverse proxy alone, nginx and a LiteLLM proxy before one mock upstream. Added latency is against the upstream
   itself, over one connection.
3. One decision by `strict`, in this process. 4. Memory of a process before and after a million decisions.

Servers are bound to one core, what loads them (and the mock upstream of 2.) to another. What is compared takes turns in
short phases, so that a machine that becomes slower is slower for both; each figure is the median over them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import uvloop

from guard_servers import FIRST
from load import Load, request
from policy import ORDINARY, microseconds
from stillwatch.decisions.book import Book
from stillwatch.decisions.decide import decide
from stillwatch.decisions.decision import Decision, Grounds, KeyedMark
from stillwatch.decisions.events import Decided
from stillwatch.decisions.facts import facts_from
from stillwatch.decisions.ladder import Asked
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject
from stillwatch.guard.policy_file import load_policy
from stillwatch.ledger.ledger import open_ledger
from stillwatch.verdicts.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

RATE = 500
CONNECTIONS = 16
ACCOUNTS = 20_000
LIVE = 100_000
HELD = 1_000_000
HERE = Path(__file__).parent
GROUNDS = Grounds("c-1", "ab" * 32, Verdict.CAMPAIGN, bits=20.0, q_value=0.001, membership=0.99)
MARKS = (KeyedMark("opening", "abuejqjkfw3sknxn"),)


# ---------------------------------------------------------------- what is run
def cores() -> tuple[int, int]:
    """Core of the servers, and of what loads them; the same one if there is no other."""
    if not hasattr(os, "sched_getaffinity"):
        return 0, 0
    there = sorted(os.sched_getaffinity(0))
    return there[0], there[-1]


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path, core: int | None = None) -> Iterator[int]:
    """Run a server until it is no longer wanted; gives its port once it listens."""

    def bind() -> None:
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})

    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, preexec_fn=bind) as process,  # noqa: S603, PLW1509  ours
    ):
        try:
            listening(process, port, log)
            yield port
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a server takes connections."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit(f"a server does not start:\n{log.read_text(errors='replace')[-2000:]}")


def ours(role: str, core: int, folder: Path, *more: str) -> contextlib.AbstractContextManager[int]:
    """Run one of `guard_servers.py`."""
    port = free_port()
    command = [sys.executable, str(HERE / "guard_servers.py"), role, str(core), str(port), *more]
    return running(command, port, folder / f"{role}.log")


def nginx(core: int, folder: Path, upstream: int) -> contextlib.AbstractContextManager[int]:
    """Run nginx as a plain reverse proxy that keeps connections and holds nothing back."""
    port = free_port()
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; keepalive_requests 1000000000; {temporary}\n"
        f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; } } }\n'
    )
    return running([shutil.which("nginx") or "nginx", "-c", str(config)], port, folder / "nginx.log", core)


def litellm(python: str, core: int, folder: Path, upstream: int) -> contextlib.AbstractContextManager[int]:
    """Run a LiteLLM proxy with one model, one worker, and no database."""
    port = free_port()
    model = {"model": "openai/orion-5-mini", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-x"}
    config = folder / "litellm.yaml"  # YAML reads JSON
    models = [{"model_name": "orion-5-mini", "litellm_params": model}]
    general = {"dangerously_permit_weak_or_unset_master_key": True}  # the least that it can be had to do: no keys
    config.write_text(json.dumps({"model_list": models, "general_settings": general}))
    command = [str(Path(python).parent / "litellm"), "--config", str(config), "--port", str(port)]
    return running([*command, "--host", "127.0.0.1", "--num_workers", "1"], port, folder / "litellm.log", core)


# ---------------------------------------------------------------- what is asked
def body(*, stream: bool) -> bytes:
    """One prompt of about a hundred words."""
    said = {"model": "orion-5-mini", "messages": [{"role": "user", "content": "what is known of it " * 20}]}
    return json.dumps({**said, "max_tokens": 512, "stream": stream}).encode()


def requests(*, stream: bool = False) -> list[bytes]:
    """Requests of many accounts."""
    asked = body(stream=stream)
    return [
        request(asked, (("authorization", f"Bearer sk-{n}"), ("x-account", f"acct-{n}"), ("x-country", "DE")))
        for n in range(ACCOUNTS)
    ]


def settings(folder: Path) -> Path:
    """Write the guard's settings, and a ledger of decisions about other accounts."""
    ledger = folder / "ledger.sqlite"
    with open_ledger(ledger, create=True) as opened:
        for first in range(0, LIVE, 10_000):
            opened.decide([_asked(n) for n in range(first, first + 10_000)])
    (folder / "policy.yaml").write_text(_out_of_reach())
    path = folder / "guard.yaml"
    path.write_text(
        f"schema: stillwatch.guard/1\npolicy: {folder}/policy.yaml\nkey_file: {folder}/key\n"
        f"ledger: {ledger}\n"
        "trusted_proxies: [127.0.0.0/8]\nidentify: {account: x-account, country: x-country}\n"
        "deployment: {cloud: aws, region: eu-central-1}\n"
    )
    return path


def _out_of_reach() -> str:
    """Give the policy `strict` with limits that nobody reaches: what is measured is a request that is served."""
    text = resources.files("stillwatch").joinpath("policies", "strict.yaml").read_text(encoding="utf-8")
    text = re.sub(r"rate: [0-9_]+ per (\w+), burst: [0-9]+", r"rate: 1000000000 per \1, burst: 1000000000", text)
    return re.sub(r"cap: [0-9_]+", "cap: 1000000000000", text)


def _asked(number: int) -> Asked:
    subject = Subject.parsed(f"account:other-{number}")
    return Asked(subject, Step.OBSERVE, "one queue dealt over its accounts", GROUNDS, MARKS, "rules/1", (), None, ())


# ---------------------------------------------------------------- what is measured
Figures = dict[str, list[float]]  # by server


async def taking_turns(
    ports: dict[str, int],
    sent: Sequence[bytes],
    rounds: int,
    connections: int,
    phase: Callable[[Load], Awaitable[float]],
) -> Figures:
    """Measure servers one after the other, in so many rounds."""
    figures: Figures = {name: [] for name in ports}
    for turn in range(rounds + 1):
        for name, port in ports.items():
            load = Load(port, sent)
            await load.open(connections)
            await load.steady(50, 0.5)  # warm
            figure = await phase(load)
            load.close()
            if turn:  # the first is to get to know each other
                figures[name].append(figure)
    return figures


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of all is not above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measured(
    ports: dict[str, int],
    sent: Sequence[bytes],
    arguments: argparse.Namespace,
    phase: Callable[[Load], Awaitable[float]],
    connections: int = CONNECTIONS,
) -> dict[str, float]:
    """Give each server's median over all rounds."""
    figures = uvloop.run(taking_turns(ports, sent, arguments.rounds, connections, phase))
    return {name: statistics.median(values) for name, values in figures.items()}


def at_rate(share: float, seconds: float, *, first: bool = False) -> Callable[[Load], Awaitable[float]]:
    """A phase at a set rate: a quantile of milliseconds."""

    async def phase(load: Load) -> float:
        await load.steady(100 if first else RATE, seconds)
        return quantile(load.firsts if first else load.took, share) * 1e3

    return phase


def flat_out(seconds: float) -> Callable[[Load], Awaitable[float]]:
    """A phase without pauses: answers a second."""

    async def phase(load: Load) -> float:
        return await load.flat_out(seconds)

    return phase


def alone(seconds: float) -> Callable[[Load], Awaitable[float]]:
    """A phase over one connection without pauses: median milliseconds."""

    async def phase(load: Load) -> float:
        await load.flat_out(seconds)
        return quantile(load.took, 0.5) * 1e3

    return phase


# ---------------------------------------------------------------- the four figures
def guard_beside_floor(arguments: argparse.Namespace, folder: Path, core: int) -> None:
    """Figure 1."""
    with ours("floor", core, folder) as floor, ours("guard", core, folder, str(settings(folder))) as guard:
        ports, sent, seconds = {"floor": floor, "guard": guard}, requests(), arguments.seconds
        for share in (0.5, 0.99):
            took = measured(ports, sent, arguments, at_rate(share, seconds))
            name = f"p{share * 100:.0f} at {RATE} a second, ms"
            row(name, took["floor"], took["guard"], f"+{took['guard'] - took['floor']:.3f} ms")
        throughput("answers a second", ports, arguments)
        firsts = measured(ports, requests(stream=True), arguments, at_rate(0.5, seconds, first=True))
        ratio = firsts["guard"] / firsts["floor"]
        row(f"first token of {FIRST * 1e3:.0f} ms, ms", firsts["floor"], firsts["guard"], f"{ratio:.3f} of the floor")


def throughput(name: str, ports: dict[str, int], arguments: argparse.Namespace) -> None:
    """Measure and print answers a second without the guard and with it."""
    plain, guarded = measured(ports, requests(), arguments, flat_out(arguments.seconds)).values()
    row(name, plain, guarded, f"{guarded / plain:.2f} of the floor")


def wider(arguments: argparse.Namespace, folder: Path, core: int, other: int) -> None:
    """Figure 1, of floors that do more."""
    told = str(folder / "guard.yaml")
    with ours("mock", other, folder) as upstream:
        url = f"http://127.0.0.1:{upstream}"
        with ours("proxy", core, folder, url) as alone_, ours("gateway", core, folder, url, told) as both:
            throughput("the same of the reverse proxy", {"proxy": alone_, "gateway": both}, arguments)
    if importlib.util.find_spec("fastapi") is None:
        print("FastAPI is not installed: left out")
        return
    with ours("front-end", core, folder) as plain, ours("guarded-front-end", core, folder, told) as guarded:
        throughput("the same of a FastAPI front end", {"front-end": plain, "guarded": guarded}, arguments)


def row(name: str, floor: float, guard: float, compared: str) -> None:
    """Print one line of figure 1."""
    print(f"{name:32}{floor:12.3f}{guard:12.3f}  {compared}", flush=True)


def proxies(arguments: argparse.Namespace, folder: Path, core: int, other: int) -> None:
    """Figure 2."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(ours("mock", other, folder))
        ports = {"upstream itself": upstream}
        ports["stillwatch"] = stack.enter_context(ours("proxy", core, folder, f"http://127.0.0.1:{upstream}"))
        if shutil.which("nginx"):
            ports["nginx"] = stack.enter_context(nginx(core, folder, upstream))
        else:
            print("nginx is not installed: left out")
        if arguments.litellm:
            ports["LiteLLM"] = stack.enter_context(litellm(arguments.litellm, core, folder, upstream))
        else:
            print("no --litellm: left out")
        sent = requests()[:100]
        rates = measured(ports, sent, arguments, flat_out(arguments.seconds))
        took = measured(ports, sent, arguments, alone(arguments.seconds), connections=1)
    beside(rates, took)


def beside(rates: dict[str, float], took: dict[str, float]) -> None:
    """Print the proxies beside each other."""
    print(f"{'':32}{'a second':>12}{'added ms':>12}{'throughput':>12}{'latency':>10}  (LiteLLM's is 1)")
    added = {name: each - took["upstream itself"] for name, each in took.items()}
    for name, rate in rates.items():
        line = f"{name:32}{rate:12.0f}{added[name]:12.3f}"
        if "LiteLLM" in rates:
            line += f"{rate / rates['LiteLLM']:12.1f}{added[name] / added['LiteLLM']:10.3f}"
        print(line, flush=True)


def decision(arguments: argparse.Namespace) -> None:
    """Figure 3."""
    policy, facts = load_policy("strict"), facts_from(ORDINARY)
    took = microseconds(lambda: decide(policy, facts), arguments.seconds)
    print(f"{'a decision, 30 rules':32}{took:12.1f} us")


def hold() -> None:
    """Be the process that holds a million decisions."""
    before, now, book = resident(), datetime.now(UTC), Book()
    book.add(Decided(_decision(number, now)) for number in range(HELD))
    print(resident() - before)


def _decision(number: int, now: datetime) -> Decision:
    subject = Subject.parsed(f"account:acct-{number}")
    grounds = Grounds(f"c-{number // 100}", f"{number // 100:064x}", Verdict.CAMPAIGN, 20.0, 0.001, 0.99)
    return Decision(f"d-{number}", subject, Step.OBSERVE, "r", grounds, MARKS, "rules/1", (), now, now + timedelta(30))


def resident() -> float:
    """Megabytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory() -> None:
    """Figure 4."""
    if not Path("/proc/self/statm").exists():
        print("no /proc here: memory is left out")
        return
    done = subprocess.run([sys.executable, __file__, "--hold"], check=True, capture_output=True, text=True)  # noqa: S603  ours
    print(f"{'a million decisions':32}{float(done.stdout):12.0f} MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a phase")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--litellm", metavar="PYTHON", help="of an environment that has litellm[proxy]")
    parser.add_argument("--only", choices=("guard", "proxy", "decision", "memory"))
    parser.add_argument("--hold", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hold:
        hold()
        return
    core, other = cores()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {other})
    with TemporaryDirectory() as name:
        figures: dict[str, Callable[[], None]] = {
            "guard": lambda: guard_beside_floor(arguments, Path(name), core),
            "wider": lambda: wider(arguments, Path(name), core, other),
            "proxy": lambda: proxies(arguments, Path(name), core, other),
            "decision": lambda: decision(arguments),
            "memory": memory,
        }
        for figure, measure in figures.items():
            if arguments.only in {None, figure} or (arguments.only, figure) == ("guard", "wider"):
                print(f"-- {figure}")
                measure()


if __name__ == "__main__":
    main()
