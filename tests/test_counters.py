from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.limits import DAY, START, Hands, cap, one, pace

from stillwatch.decisions.limit import Measure, Pace, Quota
from stillwatch.decisions.ruling import Charge
from stillwatch.errors import CountersError
from stillwatch.guard.clock import SteadyTime, SystemClock
from stillwatch.guard.counters import Counters, Exceeded, Grant
from stillwatch.guard.tally import digest_of


def passed(counters: Counters, quota: Quota, times: int, amount: float = 1.0) -> int:
    return sum(isinstance(counters.charge(one(quota, amount)), Grant) for _ in range(times))


# ---- paces


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    clock = Hands()
    counters = Counters(clock)
    assert passed(counters, pace(), 10) == 5
    clock.pass_(1)
    assert passed(counters, pace(), 10) == 1
    clock.pass_(2.5)
    assert passed(counters, pace(), 10) == 2
    clock.pass_(1000)
    assert passed(counters, pace(), 10) == 5


def test_what_is_exceeded_says_when_to_come_again() -> None:
    clock = Hands()
    counters = Counters(clock)
    passed(counters, pace(rate=0.5), 5)
    denied = counters.charge(one(pace(rate=0.5)))
    assert denied == Exceeded(pace(rate=0.5), "k", 2.0)
    clock.pass_(2)
    assert isinstance(counters.charge(one(pace(rate=0.5))), Grant)


def test_more_than_a_burst_never_passes() -> None:
    assert counters_denied(pace(), 6.0).retry_after is None
    assert counters_denied(cap(), 6.0).retry_after is None


def counters_denied(quota: Quota, amount: float) -> Exceeded:
    denied = Counters(Hands()).charge(one(quota, amount))
    assert isinstance(denied, Exceeded)
    return denied


@pytest.mark.parametrize(("of", "reason"), [("requests", "rate_limited"), ("spend", "spend_exceeded")])
def test_what_is_exceeded_says_how_it_is_refused(of: Measure, reason: str) -> None:
    refusal = counters_denied(cap(of=of), 6.0).refusal
    assert (refusal.status, refusal.reason.value, refusal.by) == (429, reason, "cap")


def test_subjects_and_limits_do_not_share() -> None:
    counters = Counters(Hands())
    passed(counters, pace(), 5)
    assert isinstance(counters.charge(one(pace(), 1.0, "other")), Grant)
    assert isinstance(counters.charge(one(pace(name="second"))), Grant)


def test_all_limits_are_charged_or_none() -> None:
    counters = Counters(Hands())
    wide, narrow = pace(burst=10, name="wide"), cap(most=2, name="narrow")
    both = [Charge(wide, "k", 1.0), Charge(narrow, "k", 1.0)]
    assert [isinstance(counters.charge(both), Grant) for _ in range(4)] == [True, True, False, False]
    assert passed(counters, wide, 20) == 8


def test_no_limits_at_all_are_granted() -> None:
    assert isinstance(Counters(Hands()).charge([]), Grant)


Step = tuple[float, float]


@settings(deadline=None, max_examples=200)
@given(
    st.floats(0.1, 20),
    st.floats(1, 30),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 10)), min_size=1, max_size=80),
)
def test_never_more_than_burst_and_rate_over_any_interval(rate: float, burst: float, steps: list[Step]) -> None:
    clock = Hands()
    counters = Counters(clock)
    taken: list[Step] = []
    for wait, amount in steps:
        clock.pass_(wait)
        if isinstance(counters.charge(one(pace(rate, burst), amount)), Grant):
            taken.append((clock.since_boot, amount))
    for first, (begin, _) in enumerate(taken):
        total = 0.0
        for end, amount in taken[first:]:
            total += amount
            assert total <= burst + rate * (end - begin) + 1e-6


@settings(deadline=None, max_examples=200)
@given(
    st.floats(0.1, 20),
    st.floats(1, 30),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 10), st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=60),
)
def test_the_same_holds_of_what_was_really_used(
    rate: float, burst: float, steps: list[tuple[float, float, float, int]]
) -> None:
    clock = Hands()
    counters = Counters(clock)
    tokens = pace(rate, burst, of="output_tokens")
    used: list[Step] = []
    open_: list[tuple[int, Grant, float]] = []
    for number, (wait, estimate, share, later) in enumerate(steps):
        clock.pass_(wait)
        for each in [each for each in open_ if each[0] <= number]:
            counters.settle(each[1], {"output_tokens": each[2]})
            open_.remove(each)
        grant = counters.charge(one(tokens, estimate))
        if isinstance(grant, Grant):
            used.append((clock.since_boot, estimate * share))
            open_.append((number + later, grant, estimate * share))
    for first, (begin, _) in enumerate(used):
        total = 0.0
        for end, amount in used[first:]:
            total += amount
            assert total <= burst + rate * (end - begin) + 1e-6


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 40_000), st.integers(1, 4)), min_size=1, max_size=60))
def test_never_more_than_a_cap_in_any_window(steps: list[tuple[float, int]]) -> None:
    clock = Hands()
    counters = Counters(clock)
    windows: dict[int, float] = {}
    for wait, amount in steps:
        clock.pass_(wait)
        if isinstance(counters.charge(one(cap(), amount)), Grant):
            window = int(clock.date // DAY)
            windows[window] = windows.get(window, 0) + amount
    assert all(total <= 5 for total in windows.values())


# ---- caps


def test_a_cap_holds_until_its_window_ends() -> None:
    clock = Hands()
    counters = Counters(clock)
    assert passed(counters, cap(), 9) == 5
    left = DAY - START % DAY
    assert counters.charge(one(cap())) == Exceeded(cap(), "k", left)
    clock.pass_(left)
    assert passed(counters, cap(), 9) == 5


# ---- estimates


@pytest.mark.parametrize("quota", [pace(burst=100, of="output_tokens"), cap(most=100, of="output_tokens")])
def test_an_estimate_is_charged_before_and_settled_after(quota: Quota) -> None:
    counters = Counters(Hands())
    grant = counters.charge(one(quota, 80.0))
    assert isinstance(grant, Grant)
    assert isinstance(counters.charge(one(quota, 30.0)), Exceeded)
    counters.settle(grant, {"output_tokens": 10.0})
    assert isinstance(counters.charge(one(quota, 90.0)), Grant)
    assert isinstance(counters.charge(one(quota, 1.0)), Exceeded)


@pytest.mark.parametrize("quota", [pace(burst=100, of="spend"), cap(most=100, of="spend")])
def test_what_was_used_beyond_the_estimate_is_owed(quota: Quota) -> None:
    counters = Counters(Hands())
    grant = counters.charge(one(quota, 10.0))
    assert isinstance(grant, Grant)
    counters.settle(grant, {"spend": 250.0})
    denied = counters.charge(one(quota, 0.0))
    assert isinstance(denied, Exceeded)
    if isinstance(quota.bound, Pace):
        assert denied.retry_after == pytest.approx(150.0)


def test_an_estimate_is_settled_once() -> None:
    counters = Counters(Hands())
    tokens = cap(most=100, of="input_tokens")
    grant = counters.charge(one(tokens, 60.0))
    assert isinstance(grant, Grant)
    counters.settle(grant, {"input_tokens": 50.0})
    counters.settle(grant, {"input_tokens": 0.0})
    assert isinstance(counters.charge(one(tokens, 51.0)), Exceeded)
    assert isinstance(counters.charge(one(tokens, 50.0)), Grant)


def test_an_estimate_that_nobody_settles_counts_as_used_and_then_leaks() -> None:
    clock = Hands()
    counters = Counters(clock, hold=60)
    tokens = pace(rate=1, burst=100, of="output_tokens")
    late = counters.charge(one(tokens, 100.0))
    clock.pass_(59)
    assert isinstance(counters.charge(one(tokens, 1.0)), Exceeded)
    clock.pass_(2)
    assert isinstance(counters.charge(one(tokens, 2.0)), Exceeded)  # it leaks since it counts as used, for one second
    assert isinstance(counters.charge(one(tokens, 1.0)), Grant)
    clock.pass_(10)
    assert isinstance(counters.charge(one(tokens, 10.0)), Grant)
    assert isinstance(late, Grant)
    counters.settle(late, {"output_tokens": 0.0})
    assert isinstance(counters.charge(one(tokens, 50.0)), Exceeded)


def test_an_estimate_of_a_window_that_is_over_changes_no_other() -> None:
    clock = Hands()
    counters = Counters(clock)
    tokens = cap(most=100, seconds=60, of="output_tokens")
    grant = counters.charge(one(tokens, 80.0))
    clock.pass_(60)
    counters.charge(one(tokens, 50.0))
    assert isinstance(grant, Grant)
    counters.settle(grant, {"output_tokens": 0.0})
    assert isinstance(counters.charge(one(tokens, 51.0)), Exceeded)


@pytest.mark.parametrize("quota", [pace(of="spend"), cap(of="spend")])
@pytest.mark.parametrize("odd", [-1e9, math.nan, math.inf, -math.inf])
def test_odd_amounts_give_nobody_anything(quota: Quota, odd: float) -> None:
    counters = Counters(Hands())
    grant = counters.charge(one(quota, 5.0))
    assert isinstance(grant, Grant)
    counters.charge(one(quota, odd))
    if not odd < 0:
        counters.settle(grant, {"spend": odd})
    assert isinstance(counters.charge(one(quota, 1.0)), Exceeded)


# ---- distinct things


def test_distinct_things_are_counted_exactly() -> None:
    clock = Hands()
    counters = Counters(clock)
    prompts = cap(most=3, of="distinct_prompts")
    taken = [isinstance(counters.charge(one(prompts, 0.0, "k", item)), Grant) for item in "abacbdcae"]
    assert taken == [True, True, True, True, True, False, True, True, False]
    clock.pass_(DAY)
    assert isinstance(counters.charge(one(prompts, 0.0, "k", "d")), Grant)


def test_several_things_at_once_pass_together_or_not_at_all() -> None:
    counters = Counters(Hands())
    tokens = cap(most=3, of="bias_tokens")
    assert isinstance(counters.charge(one(tokens, 0.0, "k", "1", "2")), Grant)
    assert isinstance(counters.charge(one(tokens, 0.0, "k", "3", "4")), Exceeded)
    assert isinstance(counters.charge(one(tokens, 0.0, "k", "3", "1")), Grant)
    denied = counters.charge(one(tokens, 0.0, "k", "1", "2", "3", "4"))
    assert isinstance(denied, Exceeded)
    assert denied.retry_after is None


def test_digests_are_the_same_everywhere() -> None:
    assert digest_of("a prompt") == 14_578_589_762_345_421_207
    assert len({digest_of(str(number)) for number in range(10_000)}) == 10_000


# ---- at once


def test_threads_never_pass_more_than_the_limit() -> None:
    counters = Counters(Hands())
    gate, taken = threading.Barrier(200), list[bool]()

    def ask() -> None:
        gate.wait()
        taken.append(isinstance(counters.charge([*one(pace(burst=50)), *one(cap(most=70))]), Grant))

    threads = [threading.Thread(target=ask) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), sum(taken)) == (200, 50)


def test_coroutines_never_pass_more_than_the_limit() -> None:
    counters = Counters(Hands())
    tokens = pace(burst=1000, of="output_tokens")

    async def ask() -> bool:
        grant = counters.charge([*one(cap(most=30)), *one(tokens, 20.0)])
        await asyncio.sleep(0)
        if isinstance(grant, Grant):
            counters.settle(grant, {"output_tokens": 15.0})
        return isinstance(grant, Grant)

    async def all_at_once() -> list[bool]:
        return await asyncio.gather(*(ask() for _ in range(200)))

    assert sum(asyncio.run(all_at_once())) == 30


# ---- clocks that leap


@pytest.mark.parametrize("which", ["date", "since_boot"])
@pytest.mark.parametrize("leap", [-DAY * 30, -3600.0, -2.0, 2.0, 3600.0, DAY * 30])
def test_a_clock_that_leaps_lets_no_burst_through(which: Literal["date", "since_boot"], leap: float) -> None:
    clock = Hands()
    counters = Counters(clock)
    slow = pace(rate=0.5)
    passed(counters, slow, 9)
    passed(counters, cap(), 9)
    setattr(clock, which, getattr(clock, which) + leap)
    assert passed(counters, slow, 9) == 0
    assert passed(counters, cap(), 9) == 0
    clock.pass_(2)
    assert passed(counters, slow, 9) == 1
    setattr(clock, which, getattr(clock, which) - leap)
    assert passed(counters, slow, 9) <= 1


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 2), st.floats(-1e6, 1e6), st.booleans()), min_size=1, max_size=60))
def test_whatever_one_clock_does_the_other_bounds_it(steps: list[tuple[float, float, bool]]) -> None:
    clock, real, total = Hands(), 0.0, 0
    counters = Counters(clock)
    for wait, leap, wall in steps:
        clock.pass_(wait)
        real += wait
        if wall:
            clock.date += leap
        total += passed(counters, pace(), 3)
    assert total <= 5 + real + 1e-6


def test_time_goes_on_after_a_leap_back() -> None:
    clock = Hands()
    now = SteadyTime(clock)
    clock.since_boot -= 1000
    assert now.now() == START
    clock.pass_(0.5)
    assert now.now() == START + 0.5


def test_a_long_silence_is_believed_where_both_clocks_tell_of_it() -> None:
    clock = Hands()
    now = SteadyTime(clock)
    clock.pass_(5000)
    assert now.now() == START + 5000
    clock.since_boot += 5000
    assert now.now() == START + 5001


def test_this_machines_clocks_go_forwards() -> None:
    now = SteadyTime(SystemClock())
    times = [now.now() for _ in range(100)]
    assert times == sorted(times)


# ---- memory


def test_idle_tallies_are_forgotten_and_running_ones_are_not() -> None:
    clock = Hands()
    counters = Counters(clock)
    for number in range(1000):
        counters.charge(one(pace(), 1.0, f"k{number}"))
        counters.charge(one(cap(), 5.0, f"k{number}"))
    assert len(counters) == 2000
    clock.pass_(100)
    for _ in range(50):
        counters.charge([])
    assert len(counters) == 1000
    assert all(isinstance(counters.charge(one(cap(), 1.0, f"k{number}")), Exceeded) for number in range(1000))
    clock.pass_(DAY)
    for _ in range(50):
        counters.charge([])
    assert len(counters) == 0


def test_memory_is_bounded_and_no_limit_is_forgotten() -> None:
    clock = Hands()
    counters = Counters(clock, most=10)
    used = [isinstance(counters.charge(one(cap(most=2), 2.0, f"k{number}")), Grant) for number in range(100)]
    assert len(counters) <= 11
    assert used == [True] * 11 + [False] * 89  # ten have their own; the others share one
    assert not any(isinstance(counters.charge(one(cap(most=2), 1.0, f"k{number}")), Grant) for number in range(100))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0, 4), st.booleans()), min_size=1, max_size=150))
def test_no_subject_gains_by_memory_being_short(steps: list[tuple[int, float, bool]]) -> None:
    clock = Hands()
    counters = Counters(clock, most=3)
    taken: dict[int, list[Step]] = {}
    for subject, wait, long in steps:
        clock.pass_(wait * (5 if long else 0.1))
        if isinstance(counters.charge(one(pace(), 1.0, str(subject))), Grant):
            taken.setdefault(subject, []).append((clock.since_boot, 1.0))
    assert len(counters) <= 4
    for mine in taken.values():
        for first, (begin, _) in enumerate(mine):
            for count, (end, _) in enumerate(mine[first:], start=1):
                assert count <= 5 + (end - begin) + 1e-6


def test_things_that_cannot_be_remembered_are_refused() -> None:
    counters = Counters(Hands(), most=5)
    prompts = cap(most=100, of="distinct_prompts")
    taken = [isinstance(counters.charge(one(prompts, 0.0, "k", str(number))), Grant) for number in range(10)]
    assert taken == [True] * 4 + [False] * 6
    assert isinstance(counters.charge(one(prompts, 0.0, "k", "0")), Grant)


# ---- over a restart, and under a new policy


@dataclass
class Filled:
    clock: Hands = field(default_factory=Hands)

    def counters(self) -> Counters:
        counters = Counters(self.clock)
        passed(counters, pace(rate=0.01), 3)
        passed(counters, cap(), 4)
        counters.charge(one(pace(burst=10.0, of="output_tokens", name="tokens"), 8.0))
        for item in "abc":
            counters.charge(one(cap(most=3.0, of="distinct_prompts", name="prompts"), 0.0, "k", item))
        return counters


def test_a_state_survives_being_written_down() -> None:
    filled = Filled()
    state = filled.counters().state()
    again = Counters(filled.clock, state=state)
    assert again.state() == state
    assert passed(again, pace(rate=0.01), 9) == 2
    assert passed(again, cap(), 9) == 1
    assert isinstance(again.charge(one(pace(burst=10.0, of="output_tokens", name="tokens"), 3.0)), Exceeded)
    prompts = cap(most=3.0, of="distinct_prompts", name="prompts")
    assert isinstance(again.charge(one(prompts, 0.0, "k", "a")), Grant)
    assert isinstance(again.charge(one(prompts, 0.0, "k", "d")), Exceeded)


def test_a_clock_that_was_set_back_during_a_restart_gives_nothing() -> None:
    filled = Filled()
    state = filled.counters().state()
    again = Counters(Hands(START - DAY * 3, 0.0), state=state)
    assert passed(again, pace(rate=0.01), 9) == 2
    assert passed(again, cap(), 9) == 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2), st.floats(0, 3)), max_size=40))
def test_any_state_goes_on_as_if_nothing_had_happened(steps: list[tuple[str, float, float]]) -> None:
    clock = Hands()
    counters = Counters(clock)
    for subject, wait, amount in steps:
        clock.pass_(wait)
        counters.charge([*one(pace(), amount, subject), *one(cap(), amount, subject)])
    again = Counters(clock, state=counters.state())
    for subject, wait, amount in steps:
        clock.pass_(wait)
        charges = [*one(pace(), amount, subject), *one(cap(), amount, subject)]
        assert isinstance(again.charge(charges), Grant) == isinstance(counters.charge(charges), Grant)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (b"", "no counters of `stillwatch.counters/1`"),
        (b"{}", "missing required field `schema`"),
        (
            b'{"schema": "stillwatch.counters/9", "now": 0, "tallies": []}',
            "counters of `stillwatch.counters/9`, not of",
        ),
        (b'{"schema": "stillwatch.counters/1", "now": 0, "tallies": [{"kind": "x"}]}', "Invalid enum value 'x'"),
    ],
)
def test_a_state_that_is_none_is_refused(state: bytes, why: str) -> None:
    with pytest.raises(CountersError, match=why):
        Counters(Hands(), state=state)


def test_a_new_policy_keeps_what_is_used() -> None:
    counters = Counters(Hands())
    passed(counters, pace(burst=5), 5)
    assert passed(counters, pace(burst=8), 9) == 3
    passed(counters, cap(most=5), 5)
    assert passed(counters, cap(most=7), 9) == 2
    assert passed(counters, cap(most=9, seconds=3600), 9) == 2
