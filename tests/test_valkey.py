from __future__ import annotations

import asyncio
import math
import multiprocessing
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.limits import DAY, Hands, cap, one, pace
from tests.valkey_server import programs, server

from stillwatch.decisions.ruling import Charge
from stillwatch.errors import StateError
from stillwatch.guard.counters import Exceeded, Grant
from stillwatch.guard.state import LocalState
from stillwatch.guard.valkey import ValkeyState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.valkey_server import Server

    from stillwatch.decisions.limit import Quota

PROGRAMS = programs()
PATIENT = 10.0  # seconds: these tests ask whether it counts right, on a machine that may be busy

pytestmark = pytest.mark.skipif(not PROGRAMS, reason="no valkey-server or redis-server, nor a package that has one")


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.name)
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(request.param) as found:
        yield found


@asynccontextmanager
async def state_at(
    url: str, name: str = "", clock: Callable[[], float] | None = None, **options: float
) -> AsyncIterator[ValkeyState]:
    state = ValkeyState(
        url, name=name or uuid.uuid4().hex, clock=clock, timeout=PATIENT, hold=options.get("hold", 900.0)
    )
    try:
        yield state
    finally:
        await state.aclose()


# ---- the same as in process

POLICIES = [  # limits of the same name are one limit, before and after a change of policy
    [
        pace(),
        cap(),
        pace(rate=3, burst=40, of="output_tokens", name="tokens"),
        cap(most=30, seconds=60, of="spend", name="spend"),
        cap(most=4, of="distinct_prompts", name="prompts"),
    ],
    [
        pace(rate=0.25, burst=4),
        cap(most=3, seconds=3600),
        pace(rate=7, burst=30, of="output_tokens", name="tokens"),
        cap(most=20, seconds=DAY, of="spend", name="spend"),
        cap(most=3, seconds=3600, of="distinct_prompts", name="prompts"),
    ],
]
AMOUNTS = st.sampled_from([0.0, 1.0, 1.5, 4.0, 11.25, 29.0, 30.0, 100.0, -5.0, math.nan, math.inf]) | st.floats(0, 40)
CHARGES = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from("ab"), AMOUNTS, st.lists(st.sampled_from("pqrstuv"), max_size=5)),
    max_size=4,
    unique_by=lambda each: each[:2],
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("charge"), CHARGES),
        st.tuples(st.just("charge"), CHARGES),
        st.tuples(st.just("wait"), st.sampled_from([1 / 64, 0.5, 1.0, 5.0, 9.75, 61.0, 3600.0, DAY * 1.0])),
        st.tuples(st.just("settle"), st.tuples(st.integers(0, 30), AMOUNTS | st.none(), AMOUNTS)),
        st.tuples(st.just("policy"), st.integers(0, 1)),
        st.tuples(st.just("add"), st.dictionaries(st.sampled_from("abc"), st.floats(-1e9, 1e9), max_size=3)),
        st.tuples(st.just("once"), st.lists(st.sampled_from("pqrst"), max_size=4)),
    ),
    max_size=30,
)


def seen(answer: Grant | Exceeded) -> tuple[object, ...]:
    if isinstance(answer, Grant):
        return (bool(answer.token),)
    return (answer.quota, answer.subject, answer.retry_after and pytest.approx(answer.retry_after))


@settings(deadline=None, max_examples=150)
@given(steps=STEPS)
def test_it_counts_as_a_process_does(running: Server, steps: list[tuple[str, object]]) -> None:
    async def run() -> None:
        clock = Hands()
        local = LocalState(clock, hold=10)
        limits = POLICIES[0]
        grants: list[tuple[Grant, Grant]] = []
        async with state_at(running.url, clock=clock.wall, hold=10.0) as shared:
            for step, what in steps:
                match step, what:
                    case "charge", list() as parts:
                        charges = [Charge(limits[n], who, much, tuple(items)) for n, who, much, items in parts]
                        mine, theirs = await local.charge(charges), await shared.charge(charges)
                        assert seen(mine) == seen(theirs)
                        if isinstance(mine, Grant) and isinstance(theirs, Grant):
                            grants.append((mine, theirs))
                    case "wait", float() as seconds:
                        clock.pass_(seconds)
                    case "settle", (int() as number, float() | None as tokens, float() as spend) if grants:
                        used = {"spend": spend, **({} if tokens is None else {"output_tokens": tokens})}
                        mine, theirs = grants[number % len(grants)]
                        await local.settle(mine, used)
                        await shared.settle(theirs, used)
                    case "policy", int() as number:
                        limits = POLICIES[number]
                    case "add", dict() as sums:
                        assert await local.add(sums, keep=5) == await shared.add(sums, keep=5)
                    case "once", list() as items:
                        assert await local.once("set", items, keep=5) == await shared.once("set", items, keep=5)

    asyncio.run(run())


# ---- several guards

MEASURES: list[tuple[Quota, float, int]] = [  # a limit, what a request takes of it, how many requests that lets through
    (cap(most=50, name="requests in a day"), 1.0, 50),
    (pace(rate=1e-6, burst=50, name="requests at once"), 1.0, 50),
    (pace(rate=1e-6, burst=705, of="input_tokens", name="tokens in"), 10.0, 70),
    (cap(most=705, of="output_tokens", name="tokens out"), 10.0, 70),
    (cap(most=3.0, of="spend", name="spend"), 0.05, 60),
    (cap(most=40, of="distinct_prompts", name="prompts"), 0.0, 40),
]


async def _ask(url: str, name: str, numbers: range) -> list[tuple[int, ...]]:
    """Which of the measures each request passes, asked for one by one, and all of them together."""
    async with state_at(url, name) as state:

        async def one_request(number: int) -> tuple[int, ...]:
            answers = [await state.charge(one(limit, much, "k", f"prompt {number}")) for limit, much, _ in MEASURES]
            return tuple(isinstance(answer, Grant) for answer in answers)

        return await asyncio.gather(*map(one_request, numbers))


def _guard(url: str, name: str, first: int, answers: multiprocessing.Queue[list[tuple[int, ...]]]) -> None:
    answers.put(asyncio.run(_ask(url, name, range(first, first + 100))))


def test_two_hundred_requests_of_two_guards_pass_just_the_limit(running: Server) -> None:
    context, name = multiprocessing.get_context("spawn"), uuid.uuid4().hex
    answers: multiprocessing.Queue[list[tuple[int, ...]]] = context.Queue()
    guards = [context.Process(target=_guard, args=(running.url, name, first, answers)) for first in (0, 100)]
    for guard in guards:
        guard.start()
    passed = answers.get(timeout=60) + answers.get(timeout=60)
    for guard in guards:
        guard.join(60)
    answers.close()
    answers.join_thread()
    assert len(passed) == 200
    assert [sum(column) for column in zip(*passed, strict=True)] == [limit for _, _, limit in MEASURES]


def run_two(running: Server, use: Callable[[ValkeyState, ValkeyState, Hands], Awaitable[None]]) -> None:
    async def run() -> None:
        clock, name = Hands(), uuid.uuid4().hex
        async with (
            state_at(running.url, name, clock.wall, hold=60.0) as one_guard,
            state_at(running.url, name, clock.wall, hold=60.0) as other_guard,
        ):
            await use(one_guard, other_guard, clock)

    asyncio.run(run())


def test_all_limits_are_charged_or_none(running: Server) -> None:
    async def use(first: ValkeyState, second: ValkeyState, _: Hands) -> None:
        wide, narrow = pace(burst=50, name="wide"), cap(most=20, name="narrow")
        both = [Charge(wide, "k", 1.0), Charge(narrow, "k", 1.0)]
        answers = await asyncio.gather(*(state.charge(both) for state in (first, second) * 50))
        assert sum(isinstance(answer, Grant) for answer in answers) == 20
        alone = await asyncio.gather(*(state.charge(both[:1]) for state in (first, second) * 50))
        assert sum(isinstance(answer, Grant) for answer in alone) == 30

    run_two(running, use)


def test_another_guard_may_settle_and_only_once(running: Server) -> None:
    async def use(first: ValkeyState, second: ValkeyState, _: Hands) -> None:
        tokens = cap(most=100, of="output_tokens")
        grant = await first.charge(one(tokens, 80.0))
        assert isinstance(grant, Grant)
        await second.settle(grant, {"output_tokens": 10.0})
        await first.settle(grant, {"output_tokens": 0.0})
        assert isinstance(await first.charge(one(tokens, 91.0)), Exceeded)
        assert isinstance(await second.charge(one(tokens, 90.0)), Grant)

    run_two(running, use)


def test_what_a_guard_that_died_did_not_settle_counts_as_used(running: Server) -> None:
    async def use(first: ValkeyState, second: ValkeyState, clock: Hands) -> None:
        tokens = pace(rate=1, burst=100, of="output_tokens")
        grant = await first.charge(one(tokens, 100.0))
        await first.aclose()
        clock.pass_(59)
        denied = await second.charge(one(tokens, 1.0))
        assert isinstance(denied, Exceeded)
        clock.pass_(11)
        assert isinstance(await second.charge(one(tokens, 11.0)), Exceeded)
        assert isinstance(await second.charge(one(tokens, 10.0)), Grant)
        assert isinstance(grant, Grant)
        await second.settle(grant, {"output_tokens": 0.0})
        assert isinstance(await second.charge(one(tokens, 1.0)), Exceeded)

    run_two(running, use)


def test_sums_and_sets_are_shared(running: Server) -> None:
    async def use(first: ValkeyState, second: ValkeyState, _: Hands) -> None:
        await asyncio.gather(*(state.add({"a": 1.0, "b": 0.5}, keep=60) for state in (first, second) * 50))
        assert await first.add({"a": 0.0, "b": 0.0}, keep=60) == {"a": 100.0, "b": 50.0}
        told = await asyncio.gather(*(state.once("s", ["x"], keep=60) for state in (first, second) * 50))
        assert sum(new for (new,) in told) == 1

    run_two(running, use)


def test_many_things_at_once(running: Server) -> None:
    async def use(first: ValkeyState, second: ValkeyState, _: Hands) -> None:
        things = [str(number) for number in range(20_000)]
        limit = cap(most=20_000, of="bias_tokens")
        assert isinstance(await first.charge(one(limit, 0.0, "k", *things)), Grant)
        assert isinstance(await second.charge(one(limit, 0.0, "k", *things)), Grant)
        assert isinstance(await second.charge(one(limit, 0.0, "k", "another")), Exceeded)
        assert all(await first.once("s", things, keep=60))
        assert not any(await second.once("s", things, keep=60))

    run_two(running, use)


def test_deployments_share_nothing(running: Server) -> None:
    async def run() -> None:
        async with state_at(running.url) as one_name, state_at(running.url) as other:
            assert isinstance(await one_name.charge(one(cap(), 5.0)), Grant)
            assert isinstance(await other.charge(one(cap(), 5.0)), Grant)

    asyncio.run(run())


# ---- clocks that leap


@pytest.mark.parametrize("leap", [-DAY * 30, -3600.0, -2.0])
def test_a_servers_clock_that_is_set_back_gives_nothing_and_time_goes_on(running: Server, leap: float) -> None:
    async def use(first: ValkeyState, second: ValkeyState, clock: Hands) -> None:
        limits = [*one(pace(rate=0.5)), *one(cap(most=6))]
        assert [isinstance(await first.charge(limits), Grant) for _ in range(6)] == [True] * 5 + [False]
        clock.date += leap
        assert isinstance(await second.charge(limits), Exceeded)
        for _ in range(4):
            clock.date += 0.5
            last = await first.charge(limits)
        assert isinstance(last, Grant)
        assert isinstance(await first.charge(one(cap(most=6))), Exceeded)

    run_two(running, use)


@settings(deadline=None, max_examples=40)
@given(steps=st.lists(st.tuples(st.floats(0, 2), st.floats(-1e6, 0)), min_size=1, max_size=30))
def test_leaps_back_never_let_more_through(running: Server, steps: list[tuple[float, float]]) -> None:
    async def use(first: ValkeyState, second: ValkeyState, clock: Hands) -> None:
        real, total = 0.0, 0
        for wait, leap in steps:
            real += wait
            clock.date += wait
            answers = [await state.charge(one(pace())) for state in (first, second, first)]
            total += sum(isinstance(answer, Grant) for answer in answers)
            clock.date += leap
        assert total <= 5 + real + 1e-6

    run_two(running, use)


def test_time_that_was_added_after_a_leap_back_is_worked_off_in_silence(running: Server) -> None:
    async def use(first: ValkeyState, _: ValkeyState, clock: Hands) -> None:
        await first.charge(one(pace(rate=0.5), 5.0))
        clock.date -= 3600
        await first.charge(one(pace(rate=0.5)))
        clock.date += 3600 + 11  # one second of these counts, and then what is more than was added
        denied = await first.charge(one(cap(most=1, seconds=DAY), 1.0))
        assert isinstance(denied, Grant)
        denied = await first.charge(one(cap(most=1, seconds=DAY), 1.0))
        assert isinstance(denied, Exceeded)
        assert denied.retry_after == pytest.approx(DAY - clock.date % DAY)

    run_two(running, use)


# ---- what is kept


def test_keys_go_by_themselves_and_tell_nobody_who(running: Server) -> None:
    async def run() -> None:
        name = uuid.uuid4().hex
        async with state_at(running.url, name) as state:
            await state.charge(
                [
                    *one(pace(rate=100.0), 1.0, "somebody@example.org"),
                    *one(cap(seconds=60), 1.0, "somebody@example.org"),
                    *one(pace(of="output_tokens", name="tokens"), 1.0, "somebody@example.org"),
                    *one(cap(of="distinct_prompts", name="prompts"), 0.0, "k", "a secret thing"),
                ]
            )
            await state.add({"somebody@example.org": 1.0}, keep=60)
            await state.once("somebody@example.org", ["a secret thing"], keep=60)
            told = running.tell("KEYS", f"{{stillwatch:{name}*")
            keys = [line for line in told.split("\r\n") if line.startswith("{")]
            assert len(keys) == 9
            for key in keys:
                assert key.startswith(f"{{stillwatch:{name}}}:1:")
                assert "somebody" not in key
                assert 0 < int(running.tell("PTTL", key).strip()[1:]) < 2 * 367 * DAY * 1000
            assert "secret" not in "".join(running.tell("DUMP", key) for key in keys)
            await asyncio.sleep(1.1)  # an idle pace is needed for 10 ms, and kept for a second
            assert "pace:pace" not in running.tell("KEYS", f"{{stillwatch:{name}*")

    asyncio.run(run())


def test_a_script_that_the_server_forgot_is_sent_again(running: Server) -> None:
    async def run() -> None:
        async with state_at(running.url) as state:
            await state.charge(one(cap()))
            running.tell("SCRIPT", "FLUSH")
            assert isinstance(await state.charge(one(cap())), Grant)

    asyncio.run(run())


def test_names_that_are_none_are_refused() -> None:
    for name in ("", "a}b", "a\nb"):
        with pytest.raises(StateError, match="printable"):
            ValkeyState("redis://localhost", name=name)
