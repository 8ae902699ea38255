from __future__ import annotations

import asyncio

from tests.limits import Hands, cap, one, pace

from stillwatch.guard.counters import Exceeded, Grant
from stillwatch.guard.state import LocalState, State


def test_limits_are_those_of_counters_and_survive_a_restart() -> None:
    async def run() -> None:
        clock = Hands()
        state: State = LocalState(clock)
        tokens = pace(burst=100, of="output_tokens")
        grant = await state.charge(one(tokens, 80.0))
        assert isinstance(grant, Grant)
        assert isinstance(await state.charge(one(tokens, 30.0)), Exceeded)
        await state.settle(grant, {"output_tokens": 10.0})
        assert isinstance(await state.charge(one(tokens, 30.0)), Grant)
        await state.aclose()

    async def again() -> None:
        clock = Hands()
        state = LocalState(clock)
        await state.charge(one(cap(), 5.0))
        state = LocalState(clock, counters=state.counters())
        assert isinstance(await state.charge(one(cap())), Exceeded)

    asyncio.run(run())
    asyncio.run(again())


def test_sums_run_and_are_forgotten() -> None:
    async def run() -> None:
        clock = Hands()
        state = LocalState(clock)
        assert await state.add({"a": 1.5, "b": -2.0}, keep=10) == {"a": 1.5, "b": -2.0}
        clock.pass_(9)
        assert await state.add({"a": 1.0}, keep=10) == {"a": 2.5}
        clock.pass_(9)
        assert await state.add({"a": 0.0, "b": 1.0}, keep=10) == {"a": 2.5, "b": 1.0}
        clock.pass_(10)
        assert await state.add({"a": 1.0}, keep=10) == {"a": 1.0}
        assert await state.add({}, keep=10) == {}

    asyncio.run(run())


def test_a_set_tells_what_is_new_to_it() -> None:
    async def run() -> None:
        clock = Hands()
        state = LocalState(clock)
        assert await state.once("s", ["x", "y", "x"], keep=10) == (True, True, False)
        assert await state.once("other", ["x"], keep=10) == (True,)
        clock.pass_(9)
        assert await state.once("s", ["z", "x"], keep=10) == (True, False)
        clock.pass_(10)
        assert await state.once("s", ["x"], keep=10) == (True,)
        assert await state.once("s", [], keep=10) == ()

    asyncio.run(run())


def test_memory_for_sums_and_sets_is_bounded_and_nothing_counts_twice() -> None:
    async def run() -> None:
        clock = Hands()
        state = LocalState(clock, most=3)
        for name in "abcd":
            await state.add({name: 1.0}, keep=10)
        assert await state.add({"d": 1.0, "b": 1.0}, keep=10) == {"d": 2.0, "b": 2.0}
        assert await state.add({"a": 1.0}, keep=10) == {"a": 1.0}  # the one that was not used for longest
        assert await state.once("s", list("abcde"), keep=10) == (True, True, True, False, False)
        assert await state.once("t", ["a"], keep=10) == (False,)
        clock.pass_(10)
        assert await state.once("t", ["a"], keep=10) == (True,)
        assert await state.once("s", ["a", "b", "c"], keep=10) == (True, True, False)

    asyncio.run(run())
