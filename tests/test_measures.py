"""Every figure of a stream, held against a slow reference written from the definitions."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.digests import DAY, START, columns_of

from stillwatch.cohorts.measures import COLUMN, FULL, LINE, MEASURES, SPAN, WEIGHT_CAP, measure
from stillwatch.cohorts.recurrence import SAMPLED_PROMPTS
from stillwatch.marks.digest import CONTINUED, HANDLE, NEW_MODEL, REFUSED, RELAYED, SWEEPS, TOOLS
from stillwatch.marks.wants import WANTS

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

READ = (
    "account", "second", "sketch", "prompt", "opening", "address", "client", "flags", "wants", "biased",
    "input_tokens", "output_tokens", "turns",
)  # fmt: skip
WIDE = {"sketch", "wants"}
RELEASE = START + 1.5 * DAY
END = START + 6 * DAY
Rows = list[dict[str, Any]]


def measured(
    columns: dict[str, NDArray[np.generic]],
    rows: NDArray[np.int64] | None = None,
    bounds: list[int] | None = None,
    *,
    release: float = RELEASE,
    end: float = END,
) -> NDArray[np.float64]:
    size = len(columns["second"])
    chosen = np.arange(size) if rows is None else rows
    ends = np.array([0, len(chosen)] if bounds is None else bounds, np.int64)
    figures = np.full((len(ends) - 1, len(MEASURES)), math.nan)
    run: Any = measure  # takes the columns by their places, whatever they hold
    run(chosen, ends, *(columns[name] for name in READ), START, end, release, figures.view(LINE)[:, 0])
    return figures


def by_name(line: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(line[index]) for name, index in COLUMN.items()}


# ---- the reference


def weighted(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Weighted mean and its standard error; values are (weight, value)."""
    if not values:
        return math.nan, math.nan
    w, x = (np.array(column) for column in zip(*values, strict=True))
    mean = float((w * x).sum() / w.sum())
    effective = float(w.sum() ** 2 / (w * w).sum())
    variance = float((w * (x - mean) ** 2).sum() / w.sum())
    return mean, math.sqrt(variance / (effective - 1)) if effective > 1.5 else math.nan


def beyond_noise(values: list[tuple[float, float]]) -> tuple[float, float]:
    """Variance of the values less their mean noise, and its standard error; values are (value, noise)."""
    if len(values) < 4:
        return math.nan, math.nan
    variance = float(np.var([value for value, _ in values], ddof=1))
    noise = float(np.mean([noise for _, noise in values]))
    return variance - noise, max(variance, noise) * math.sqrt(2 / (len(values) - 1))


def pairs_of(counts: list[int]) -> int:
    return sum(count * (count - 1) // 2 for count in counts)


def reference(rows: Rows, release: float, end: float = END) -> dict[str, float]:
    made = dict.fromkeys(MEASURES, math.nan)
    accounts: dict[int, Rows] = {}
    for row in rows:
        accounts.setdefault(row["account"], []).append(row)
    size = len(rows)
    seconds = [row["second"] for row in rows]
    full = {who: own for who, own in accounts.items() if len(own) >= FULL}
    made |= {
        "accounts": len(accounts), "exchanges": size, "first": min(seconds), "last": max(seconds), "full": len(full),
    }  # fmt: skip
    if len(full) >= 0.8 * len(accounts):
        lives = [(len(own), own[-1]["second"] - own[0]["second"]) for own in full.values()]
        made["count_spread"], made["count_spread_error"] = beyond_noise([(math.log(n), 1 / n) for n, _ in lives])
        made["rate_spread"], made["rate_spread_error"] = beyond_noise(
            [(math.log((n - 1) / max(life, 60)), 1 / (n - 1.5)) for n, life in lives]
        )
    made |= over_a_life(full, end)
    made |= in_step(rows, accounts) | likeness(accounts) | recurrence(rows, len(accounts))
    made |= shares(rows, release) | over_time(rows) | succession(accounts, end) | lengths(rows, accounts)
    if full:
        for name, column in (("addresses", "address"), ("clients", "client")):
            told = [[row[column] for row in own[:16] if row[column]] for own in full.values()]
            if any(told):
                made[name] = sum(len(set(own)) for own in told) / sum(len(own) for own in told)
    return made


def over_a_life(full: dict[int, Rows], end: float) -> dict[str, float]:
    made: dict[str, float] = {}
    night, sessions, ramp = [], [], []
    long_enough = min(SPAN, (end - START) / 2)
    for own in full.values():
        times = [row["second"] for row in own]
        n, life, weight = len(own), times[-1] - times[0], min(len(own), WEIGHT_CAP)
        if life >= max(long_enough, DAY):
            turn = np.exp(2j * np.pi * np.array([int(time // 60) % 1440 for time in times]) / 1440)
            night.append((weight, float((abs(turn.sum()) ** 2 - n) / (n * (n - 1)))))
        gaps = [later - earlier for earlier, later in pairwise(times)]
        ratios = [3 * ((b - a) / (a + b)) ** 2 for a, b in pairwise(gaps) if a + b > 0]
        if len(ratios) >= 2 and life >= long_enough:
            sessions.append((weight, float(np.mean(ratios))))
        if life > 3600:
            ramp.append((weight, float((np.mean(times) - times[0]) / life)))
    if 2 * len(night) >= len(full):
        made["night"], made["night_error"] = weighted(night)
    if 2 * len(sessions) >= len(full):
        made["sessions"], made["sessions_error"] = weighted(sessions)
    made["ramp"], made["ramp_error"] = weighted(ramp)
    return made


def in_step(rows: Rows, accounts: dict[int, Rows]) -> dict[str, float]:
    def within(some: Rows, width: float) -> int:
        return pairs_of(list(Counter(row["second"] // width for row in some).values()))

    near = within(rows, 300) - sum(within(own, 300) for own in accounts.values())
    hour = within(rows, 3600) - sum(within(own, 3600) for own in accounts.values())
    if hour < 12:
        return {}
    return {"step": near / (hour / 12) - 1, "step_error": math.sqrt(max(near, 1)) / (hour / 12)}


def likeness(accounts: dict[int, Rows]) -> dict[str, float]:
    texts = {
        who: [np.array(row["sketch"], float) / 127 for row in own if any(row["sketch"])]
        for who, own in accounts.items()
    }
    flat = [(who, vector) for who, own in texts.items() for vector in own]
    within = [
        (min(len(accounts[who]), WEIGHT_CAP), float(np.mean([a @ b for i, a in enumerate(own) for b in own[:i]])))
        for who, own in texts.items()
        if len(own) >= 2
    ]
    between = [one @ other for i, (who, one) in enumerate(flat) for whose, other in flat[:i] if who != whose]
    if len(flat) < 8 or not within or not between:
        return {}
    mean, error = weighted(within)
    room = max(1 - float(np.mean(between)), 0.02)
    return {
        "likeness_within": mean,
        "likeness_between": float(np.mean(between)),
        "exchangeability": (mean - float(np.mean(between))) / room,
        "exchangeability_error": error / room,
    }


def lengths(rows: Rows, accounts: dict[int, Rows]) -> dict[str, float]:
    logs = [math.log2(1 + row["input_tokens"]) for row in rows]
    mean, variance = float(np.mean(logs)), float(np.var(logs))
    if variance < 1e-6:
        return {}
    values = []
    for own in accounts.values():
        beyond = [math.log2(1 + row["input_tokens"]) - mean for row in own]
        if len(own) >= 2:
            products = [one * other for place, one in enumerate(beyond) for other in beyond[:place]]
            values.append((min(len(own), WEIGHT_CAP), float(np.mean(products)) / variance))
    found, error = weighted(values)
    return {"lengths": found, "lengths_error": error}


def recurrence(rows: Rows, accounts: int) -> dict[str, float]:
    sent = [row for row in rows if row["prompt"]]
    if len(sent) < 8:
        return {}
    bearers: dict[int, set[int]] = {}
    for row in sent:
        bearers.setdefault(row["prompt"], set()).add(row["account"])
    counts = np.array([len(who) for who in bearers.values()], float)
    mean = float(counts.mean())
    made = {"repeats": 1 - counts.sum() / len(sent), "recurrence": mean, "prompts": len(counts)}
    if accounts > 1:
        made["coverage"] = float((counts * (counts - 1)).sum() / counts.sum()) / (accounts - 1)
    if mean > 1.3:
        made["recurrence_spread"] = float(counts.var()) / truncated_poisson_variance(mean)
    return made


def truncated_poisson_variance(mean: float) -> float:
    """Variance of a Poisson number known not to be 0, whose mean is then `mean`; by bisection."""
    low, high = 1e-9, mean
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if middle / (1 - math.exp(-middle)) < mean else (low, middle)
    return mean * (1 + low - mean)


def shares(rows: Rows, release: float) -> dict[str, float]:
    def share(bit: int) -> float:
        return sum(bool(row["flags"] & bit) for row in rows) / len(rows)

    day = [row for row in rows if release <= row["second"] < release + DAY]
    made = {
        f"wants_{name}": float(np.mean([row["wants"][index] for row in rows])) / 255 for index, name in enumerate(WANTS)
    }
    made |= {"sweeps": share(SWEEPS), "handles": share(HANDLE), "relayed": share(RELAYED)}
    made |= {"continued": share(CONTINUED), "with_tools": share(TOOLS)}
    made |= {
        name: float(np.mean([row[column] for row in rows]))
        for name, column in (
            ("biased", "biased"), ("output", "output_tokens"), ("input", "input_tokens"), ("turns", "turns"),
        )
    }  # fmt: skip
    made["log_output"] = float(np.mean([math.log2(1 + row["output_tokens"]) for row in rows]))
    made["total_output"] = sum(row["output_tokens"] for row in rows)
    made["total_input"] = sum(row["input_tokens"] for row in rows)
    told = [row for row in rows if row["turns"] or row["flags"] & CONTINUED]
    if len(told) >= len(rows) / 2:
        follow_ups = [row for row in told if row["turns"] > 1 or row["flags"] & CONTINUED]
        made["followed"] = sum(not row["flags"] & RELAYED for row in follow_ups) / len(told)
    made["pivot_base"] = len(day)
    if day:
        made["pivot"] = sum(bool(row["flags"] & NEW_MODEL) for row in day) / len(day)
    return made


def over_time(rows: Rows) -> dict[str, float]:
    ordered = sorted(rows, key=lambda row: float(row["second"]))  # stable, as accounts come
    early, late = ordered[: len(rows) // 5], ordered[len(rows) - len(rows) // 2 :]
    if len(early) < 5:
        return {}
    made = {}
    for name, span in (("early", early), ("late", late)):
        made[f"refused_{name}"] = sum(bool(row["flags"] & REFUSED) for row in span) / len(span)
        made[f"openings_{name}"] = len({row["opening"] for row in span}) / len(span)
    return made


def succession(accounts: dict[int, Rows], log_end: float) -> dict[str, float]:
    ends = sorted(own[-1]["second"] for own in accounts.values() if own[-1]["second"] < log_end - DAY)
    starts = sorted(own[0]["second"] for own in accounts.values() if own[0]["second"] > START + DAY)
    made: dict[str, float] = {"ended": len(ends), "started": len(starts)}
    if len(ends) < 5 or len(starts) < 5:
        return made
    gaps = [start - max(end for end in ends if end < start) for start in starts if ends[0] < start]
    span = max(ends[-1], starts[-1]) - min(ends[0], starts[0])
    if len(gaps) >= 5:
        made["succession"] = 1 - float(np.mean(gaps)) / (span / len(ends))
    return made


# ---- populations


@st.composite
def populations(draw: st.DrawFn) -> dict[str, NDArray[np.generic]]:
    """Small logs of every texture: many or few accounts, prompts, addresses; short or long; with or without text."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    accounts = draw(st.integers(1, 14))
    size = draw(st.integers(1, 160))
    account = rng.integers(0, accounts, size)
    start = rng.uniform(0, 4, accounts)
    life = rng.uniform(0, draw(st.sampled_from([0.05, 1.0, 5.9])), accounts)
    second = START + np.minimum(start[account] + life[account] * rng.random(size), 5.99) * DAY
    if draw(st.booleans()):
        second = np.floor(second / 60) * 60  # times told to the minute: ties
    variety = draw(st.sampled_from([1, 3, 40, 10_000]))
    prompt = rng.integers(0, variety + 1, size).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    leaning = rng.normal(size=(accounts, 32)) * draw(st.sampled_from([0.0, 1.0]))
    sketch = leaning[account] + rng.normal(size=(size, 32))
    sketch = np.rint(127 * sketch / np.linalg.norm(sketch, axis=1, keepdims=True))
    sketch[rng.random(size) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0
    told = rng.random(size) < draw(st.sampled_from([0.2, 1.0]))
    return columns_of(
        account, second, prompt=prompt, sketch=sketch,
        opening=rng.integers(0, 4, size), address=rng.integers(0, 6, size), client=rng.integers(0, 2, size),
        flags=rng.integers(0, 128, size), wants=rng.integers(0, 256, (size, len(WANTS))),
        biased=rng.integers(0, 9, size), input_tokens=rng.integers(0, 5000, size),
        output_tokens=rng.integers(0, 5000, size), turns=rng.integers(0, 9, size) * told,
    )  # fmt: skip


def as_rows(columns: dict[str, NDArray[np.generic]]) -> Rows:
    return [{name: columns[name][index].tolist() for name in READ} for index in range(len(columns["second"]))]


# ---- laws


@given(populations(), st.booleans(), st.sampled_from([3 * DAY, 6 * DAY]))
@settings(max_examples=150, deadline=None)
def test_every_figure_is_what_its_definition_says(
    columns: dict[str, NDArray[np.generic]], released: bool, span: float
) -> None:
    release = RELEASE if released else math.nan
    found = by_name(measured(columns, release=release, end=START + span)[0])
    expected = reference(as_rows(columns), release, START + span)
    assert set(expected) == set(MEASURES)
    for name in MEASURES:
        # cosines come from a table of 14 bits; the truncated Poisson number is solved in 30 steps
        tolerance = {"night": 2e-4, "night_error": 2e-4, "recurrence_spread": 1e-3}.get(name, 1e-7)
        assert found[name] == pytest.approx(expected[name], rel=tolerance, abs=tolerance, nan_ok=True), name


@given(populations(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_renumbering_accounts_changes_nothing(columns: dict[str, NDArray[np.generic]], chance: random.Random) -> None:
    numbers = list(range(20))
    chance.shuffle(numbers)
    again = columns_of(
        np.array(numbers)[columns["account"].astype(int)], columns["second"],
        **{name: value for name, value in columns.items() if name not in {"account", "second"}},
    )  # fmt: skip
    one, other = by_name(measured(columns)[0]), by_name(measured(again)[0])
    tied = len(np.unique(columns["second"])) < len(columns["second"])
    for name in MEASURES:
        if tied and ("early" in name or "late" in name):
            continue  # which of two exchanges at one instant is the earlier one, nobody knows
        assert one[name] == pytest.approx(other[name], rel=1e-9, abs=1e-9, nan_ok=True), name


@given(populations(), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_stream_is_measured_alike_wherever_it_stands(columns: dict[str, NDArray[np.generic]], parts: int) -> None:
    size = len(columns["second"])
    streams = [np.arange(part % size, size, parts) for part in range(parts)]
    alone = [measured(columns, stream, [0, len(stream)])[0] for stream in streams]
    for order in (range(parts), reversed(range(parts))):
        chosen = list(order)
        bounds = np.r_[0, np.cumsum([len(streams[part]) for part in chosen])].tolist()
        together = measured(columns, np.concatenate([streams[part] for part in chosen]), bounds)
        np.testing.assert_array_equal(together, np.stack([alone[part] for part in chosen]))


# ---- what the log cannot tell


def test_a_log_without_text_tells_nothing_about_likeness_or_recurrence() -> None:
    columns = columns_of(np.repeat(np.arange(6), 10), START + np.arange(60) * 977.0)
    line = by_name(measured(columns)[0])
    for name in ("likeness_within", "exchangeability", "repeats", "recurrence", "coverage", "prompts"):
        assert math.isnan(line[name]), name


def test_addresses_that_nobody_told_do_not_rotate() -> None:
    columns = columns_of(np.repeat(np.arange(6), 10), START + np.arange(60) * 977.0, client=4)
    line = by_name(measured(columns)[0])
    assert math.isnan(line["addresses"])
    assert line["clients"] == pytest.approx(0.1)


def test_one_request_is_measured_and_says_little() -> None:
    line = by_name(measured(columns_of([0], [START], output_tokens=7))[0])
    assert (line["accounts"], line["exchanges"], line["output"]) == (1, 1, 7)
    for name in ("night", "sessions", "step", "count_spread", "ramp", "succession", "coverage", "addresses"):
        assert math.isnan(line[name]), name


def test_nights_are_not_judged_by_a_single_day() -> None:
    account = np.repeat(np.arange(5), 20)
    within_a_day = START + np.tile(np.arange(20) * 3600.0, 5)
    assert math.isnan(by_name(measured(columns_of(account, within_a_day))[0])["night"])
    over_four = START + np.tile(np.arange(20) * 4 * 3600.0, 5)
    assert by_name(measured(columns_of(account, over_four))[0])["night"] == pytest.approx(0, abs=0.08)


def test_in_a_short_log_half_of_it_is_long_enough() -> None:
    account = np.repeat(np.arange(5), 40)
    times = START + np.tile(np.arange(40) * 2700.0, 5)  # a day and a quarter
    columns = columns_of(account, times)
    short, long = (by_name(measured(columns, end=START + days * DAY)[0]) for days in (2, 6))
    for name in ("night", "sessions"):
        assert np.isfinite(short[name]), name
        assert math.isnan(long[name]), name


def test_accounts_chosen_for_their_counts_have_no_spread() -> None:
    # 5 busy accounts among 20 that came once: the busy ones were not picked by chance
    account = np.r_[np.repeat(np.arange(5), 10), np.arange(5, 25)]
    line = by_name(measured(columns_of(account, START + np.arange(70) * 500.0))[0])
    assert math.isnan(line["count_spread"])
    assert math.isnan(line["rate_spread"])


def followed(**given: ArrayLike) -> float:
    columns = columns_of(np.arange(60) % 6, START + np.arange(60) * 977.0, **given)
    return by_name(measured(columns)[0])["followed"]


def test_a_request_follows_up_if_it_is_a_later_turn_or_sends_an_answer_back() -> None:
    place = np.arange(60)
    assert followed(turns=1) == 0
    assert followed(turns=np.where(place < 15, 2, 1)) == pytest.approx(0.25)
    assert followed(turns=1, flags=np.where(place < 15, CONTINUED, 0)) == pytest.approx(0.25)


def test_what_a_relay_deals_on_follows_up_nobody() -> None:
    assert followed(turns=3, flags=RELAYED) == 0
    assert followed(turns=3, flags=RELAYED | CONTINUED) == 0
    assert followed(flags=np.where(np.arange(60) < 15, RELAYED | CONTINUED, CONTINUED)) == pytest.approx(0.75)


def test_whether_requests_follow_up_is_not_known_where_most_tell_no_turns() -> None:
    place = np.arange(60)
    assert math.isnan(followed())
    assert math.isnan(followed(turns=np.where(place < 29, 1, 0)))
    assert followed(turns=np.where(place < 30, 1 + place % 2, 0)) == pytest.approx(0.5)  # of those that tell


def test_no_new_model_no_pivot() -> None:
    columns = columns_of(np.arange(30) % 5, START + np.arange(30) * 5000.0)
    line = by_name(measured(columns, release=math.nan)[0])
    assert math.isnan(line["pivot"])
    assert line["pivot_base"] == 0


def test_a_large_stream_is_sampled_by_hash_and_gives_nearly_the_same() -> None:
    rng = np.random.default_rng(3)
    size = 5 * SAMPLED_PROMPTS
    prompt = np.repeat(rng.integers(1, 2**64 - 1, size // 2, dtype=np.uint64), 2)  # each sent twice
    account = rng.integers(0, 200, size)
    columns = columns_of(account, START + rng.random(size) * DAY, prompt=prompt)
    line = by_name(measured(columns)[0])
    whole = reference_recurrence(columns)
    assert line["prompts"] < 0.7 * SAMPLED_PROMPTS
    assert line["recurrence"] == pytest.approx(whole["recurrence"], abs=0.02)
    assert line["repeats"] == pytest.approx(whole["repeats"], abs=0.02)
    assert line["coverage"] == pytest.approx(whole["coverage"], rel=0.05)


def reference_recurrence(columns: dict[str, NDArray[np.generic]]) -> dict[str, float]:
    rows = [
        {"account": int(account), "prompt": int(prompt)}
        for account, prompt in zip(columns["account"], columns["prompt"], strict=True)
    ]
    return recurrence(rows, len({row["account"] for row in rows}))


def test_a_dealt_queue_and_free_choice_differ_in_recurrence_however_often_each_prompt_is_asked() -> None:
    rng = np.random.default_rng(8)
    prompts = rng.integers(1, 2**63, 400).astype(np.uint64)
    dealt = np.concatenate([rng.choice(40, 3, replace=False) for _ in prompts])
    by_queue = measured(columns_of(dealt, START + rng.random(1200) * DAY, prompt=np.repeat(prompts, 3)))
    free = measured(
        columns_of(rng.integers(0, 40, 1200), START + rng.random(1200) * DAY, prompt=rng.choice(prompts, 1200))
    )
    assert by_name(by_queue[0])["recurrence_spread"] < 0.05
    assert by_name(free[0])["recurrence_spread"] == pytest.approx(1, abs=0.25)
