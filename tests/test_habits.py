"""Habits as marks: accounts that live alike meet, accounts that live otherwise do not, and no order matters."""

from __future__ import annotations

import numpy as np
from tests.digests import DAY, START, columns_of

from stillwatch.cohorts.habits import LEAST, habits
from stillwatch.marks.digest import CONTINUED, TOOLS

EXCHANGES = 8 * LEAST
DAYS = 16


def account_of(kind: str, rng: np.random.Generator, size: int = EXCHANGES) -> np.ndarray:
    """Times of one account over some days."""
    if kind == "around the clock":
        return START + (np.arange(size) + rng.random(size) * 0.2) * DAYS * DAY / size
    return START + rng.integers(0, DAYS, size) * DAY + rng.uniform(9, 12, size) * 3600  # mornings only


def made(kinds: list[str], **given: object) -> np.ndarray:
    rng = np.random.default_rng(0)
    times = [account_of(kind, rng) for kind in kinds]
    account = np.repeat(np.arange(len(kinds)), EXCHANGES)
    columns = columns_of(
        account, np.concatenate(times),
        **{"parameters": 5, "output_tokens": 700, "input_tokens": 90, **given},  # type: ignore[arg-type]
    )  # fmt: skip
    return habits(columns, np.arange(len(kinds) + 1) * EXCHANGES)


def meet(marks: np.ndarray, one: int = 0, other: int = 1) -> bool:
    return bool((marks[one] == marks[other]).any())


def test_accounts_that_live_alike_meet() -> None:
    marks = made(["around the clock"] * 3)
    assert (marks != 0).all()
    assert meet(marks, 0, 1)
    assert meet(marks, 0, 2)


def test_the_two_grids_are_marks_of_their_own() -> None:
    marks = made(["around the clock"] * 2)
    assert not set(marks[:, 0].tolist()) & set(marks[:, 1].tolist())


def test_hours_parameters_lengths_tools_and_conversations_each_tell_accounts_apart() -> None:
    def two(low: int, high: int) -> np.ndarray:
        return np.repeat([low, high], EXCHANGES)

    alike = ["around the clock"] * 2
    hours = made(["around the clock", "mornings", "mornings"])
    assert not meet(hours)
    assert meet(hours, 1, 2)
    assert not meet(made(alike, parameters=two(5, 6)))
    assert not meet(made(alike, output_tokens=two(30, 3000)))
    assert not meet(made(alike, input_tokens=two(10, 9000)))
    assert not meet(made(alike, flags=two(0, TOOLS)))
    assert not meet(made(alike, flags=two(0, CONTINUED)))


def test_lengths_that_differ_by_a_quarter_still_meet() -> None:
    for length in (40, 90, 250, 700, 1500):
        tokens = np.repeat([length, length * 5 // 4], EXCHANGES)
        assert meet(made(["around the clock"] * 2, output_tokens=tokens)), length


def test_a_stray_request_changes_no_habit() -> None:
    parameters = np.full(2 * EXCHANGES, 5)
    parameters[EXCHANGES + 3] = 8
    assert meet(made(["around the clock"] * 2, parameters=parameters))


def test_an_account_that_is_hardly_seen_has_no_habits() -> None:
    rng = np.random.default_rng(1)
    for size in (0, 1, LEAST - 1, LEAST):
        times = account_of("around the clock", rng, max(size, 1))[:size]
        marks = habits(columns_of(np.zeros(size, int), times, parameters=5), np.array([0, size]))
        assert (marks != 0).all() == (size >= LEAST)


def test_one_busy_day_makes_no_habit() -> None:
    times = START + np.arange(40 * LEAST) * (LEAST - 2) * 3600 / (40 * LEAST)
    marks = habits(columns_of(np.zeros(len(times), int), times, parameters=5), np.array([0, len(times)]))
    assert not marks.any()
