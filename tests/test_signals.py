"""Every signal: a cohort of the guilty kind stands above one of the innocent kind, and what it says can be read."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from tests.digests import DAY, START, accounts_of, columns_of, population_of

from stillwatch.cohorts.survey import Figures, Surveyor
from stillwatch.exchanges.schema import ACCOUNT, EXCHANGE
from stillwatch.marks.digest import HANDLE, REFUSED, SWEEPS
from stillwatch.marks.wants import score_texts
from stillwatch.verdicts.baseline import FAMILY_CAP, FAMILY_FLOOR
from stillwatch.verdicts.evidence import CONTENT_SIDE, COORDINATION_SIDE, Family
from stillwatch.verdicts.innocent import EXPLANATIONS
from stillwatch.verdicts.judge import ScanSettings
from stillwatch.verdicts.signals import BY_ID, SIGNALS, signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population
    from stillwatch.verdicts.signals.signal import Signal

TOWN, COHORT, EACH = 200, 40, 40
SPAN = 6  # days
PAGE = (Path(__file__).parent.parent / "docs" / "signals.md").read_text(encoding="utf-8")


class Made(NamedTuple):
    """A cohort's exchanges, or what is known of its accounts, where they are not as the town's."""

    columns: dict[str, Any] = {}  # noqa: RUF012  # a named tuple's default is shared, and nobody writes to it
    accounts: dict[str, Any] = {}  # noqa: RUF012  # the same


def account_numbers() -> NDArray[np.int64]:
    return np.repeat(np.arange(COHORT), EACH)


def figures_of(made: Made, seed: int = 0) -> Figures:
    """Measure a cohort of 40 accounts in a log of 200 others; it lives as people do unless `made` says otherwise."""
    rng = np.random.default_rng(seed + 1000)
    own = {"account": account_numbers(), **made.columns}
    size = len(own["account"])
    home = rng.uniform(0, 24, COHORT) * 3600
    own.setdefault(
        "second",
        START + rng.integers(0, 5, size) * DAY + home[own["account"]] + rng.exponential(3000, size),
    )
    town = np.repeat(np.arange(TOWN), 10)
    usual = {"client": 3, "model": 1, "output_tokens": 200, "input_tokens": 60}
    columns: dict[str, Any] = {
        "account": np.r_[town, TOWN + own["account"]],
        "second": np.r_[START + rng.random(len(town)) * SPAN * DAY, own["second"]],
    }
    for name in {*usual, *own, "address", "network"} - {"account", "second"}:
        theirs = town + 1 if name in {"address", "network"} else usual.get(name, 0)
        mine = own.get(name, TOWN + 1 + own["account"] if name in {"address", "network"} else usual.get(name, 0))
        width = np.asarray(mine).shape[1:]
        columns[name] = np.concatenate(
            [np.broadcast_to(theirs, (len(town), *width)), np.broadcast_to(mine, (size, *width))]
        )
    known: dict[str, Any] = {
        "card": np.arange(1, TOWN + COHORT + 1),
        "mail": np.arange(TOWN + COHORT) % 3 + 1,
        "created": START - rng.uniform(0, 400, TOWN + COHORT) * DAY,
        "disposable": np.zeros(TOWN + COHORT, np.bool_),
        "tier": np.ones(TOWN + COHORT, np.uint64),
    }
    for name, values in made.accounts.items():
        known[name] = np.r_[known[name][:TOWN], values]
    population = population_of(columns_of(**columns), accounts_of(TOWN + COHORT, **known))
    return measured(population, TOWN)


def measured(population: Population, first: int) -> Figures:
    """Figures of the accounts from this one on."""
    rows = np.flatnonzero(population.columns["account"].astype(int) >= first)
    accounts = np.arange(first, len(population.accounts.name), dtype=np.int32)
    return Surveyor(population).measure(rows, np.array([0, len(rows)]), accounts, np.array([0, len(accounts)]))


# ---- cohorts of the guilty and of the innocent kind, signal by signal


def hours(chosen: NDArray[np.float64]) -> Made:
    """Requests at these hours of the day, on any day."""
    rng = np.random.default_rng(1)
    return Made({"second": START + rng.integers(0, 6, len(chosen)) * DAY + chosen % 24 * 3600})


def gaps(chosen: NDArray[np.float64]) -> Made:
    """Requests so many seconds after one another, in every account."""
    return Made({"second": START + np.cumsum(chosen.reshape(COHORT, EACH), axis=1).ravel()})


def asking(*texts: str) -> Made:
    scores = score_texts(pa.array(texts))
    return Made({"wants": scores[np.arange(COHORT * EACH) % len(texts)]})


def small_talk() -> Made:
    return asking(
        "What is a good recipe for lentil soup?",
        "My train was late again, can I get my money back?",
        "Wie spät ist es gerade in Lima?",
        "写一首关于秋天的短诗",
    )


def of_volume(counts: NDArray[np.int64]) -> Made:
    return Made({"account": np.repeat(np.arange(COHORT), np.maximum(counts, 5))})


def prompts(values: NDArray[np.int64]) -> Made:
    return Made({"prompt": values.astype(np.uint64) + np.uint64(1)})


def dealt_prompts(copies: int) -> Made:
    rng = np.random.default_rng(2)
    deals = [rng.choice(COHORT, copies, replace=False) for _ in range(COHORT * EACH // copies)]
    account = np.concatenate(deals)
    return Made(
        {"account": account, "prompt": np.repeat(np.arange(len(deals)), copies).astype(np.uint64) + np.uint64(1)}
    )


def likeness(leaning: float) -> Made:
    rng = np.random.default_rng(3)
    centre = rng.normal(size=(COHORT, 32)) * leaning
    vectors = centre[account_numbers()] + rng.normal(size=(COHORT * EACH, 32)) + 1
    return Made({"sketch": np.rint(127 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True))})


def of_length(leaning: float) -> Made:
    rng = np.random.default_rng(9)
    usual = rng.normal(size=COHORT) * leaning
    return Made({"input_tokens": np.exp(5 + usual[account_numbers()] + rng.normal(size=COHORT * EACH)).astype(int)})


def trying(refused_early: float, refused_late: float, variants_early: int, variants_late: int) -> Made:
    rng = np.random.default_rng(4)
    second = START + rng.random(COHORT * EACH) * SPAN * DAY
    early = second < START + SPAN * DAY / 4
    refused = rng.random(len(second)) < np.where(early, refused_early, refused_late)
    openings = rng.integers(0, np.where(early, variants_early, variants_late)) + 1
    return Made({"second": second, "flags": refused * REFUSED, "opening": openings})


def conversations(dealt: bool) -> Made:
    """Conversations of four turns: dealt over accounts, or each on one."""
    turn = np.arange(COHORT * EACH)
    first = turn % 4 == 0
    account = turn % COHORT if dealt else turn // 4 % COHORT
    second = START + turn * SPAN * DAY / len(turn)
    return Made({"account": account, "second": second, "answer": turn + 1, "previous": np.where(first, 0, turn)})


def generations(replaced: bool) -> Made:
    """Twenty accounts end one after the other, and twenty begin: each at an end, or whenever."""
    rng = np.random.default_rng(5)
    ends = np.sort(rng.uniform(1.5, 4, 20))
    starts = ends + 0.01 if replaced else np.sort(rng.uniform(1.5, 4, 20))
    begin, end = np.r_[np.zeros(20), starts], np.r_[ends, np.full(20, SPAN)]
    own = account_numbers()
    place = np.tile(np.linspace(0, 1, EACH), COHORT)
    return Made({"second": START + (begin[own] + (end - begin)[own] * place) * DAY})


def growing(power: float) -> Made:
    rng = np.random.default_rng(7)
    return Made({"second": START + rng.random(COHORT * EACH) ** power * SPAN * DAY})


def pivoting(share: float) -> Made:
    rng = np.random.default_rng(8)
    second = START + rng.random(COHORT * EACH) * SPAN * DAY
    return Made(
        {"second": second, "model": np.where((second > START + 3 * DAY) & (rng.random(len(second)) < share), 2, 1)}
    )


def using(typical: float, spread: float) -> Made:
    """Accounts of 40 requests with about so many tokens; the town's use 2,600 tokens each."""
    tokens = np.random.default_rng(10).lognormal(np.log(typical), spread, COHORT).astype(int)
    return Made({"output_tokens": tokens[account_numbers()], "input_tokens": 10})


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


SIZE = COHORT * EACH
KINDS: dict[str, tuple[Callable[[], Made], Callable[[], Made]]] = {
    "even-dealing": (
        lambda: of_volume(rng_of(0).poisson(EACH, COHORT)),
        lambda: of_volume(rng_of(0).lognormal(3, 1.1, COHORT).astype(int)),
    ),
    "no-night": (lambda: hours(rng_of(0).uniform(0, 24, SIZE)), lambda: hours(rng_of(0).normal(14, 2, SIZE))),
    "no-sessions": (
        lambda: gaps(rng_of(0).gamma(8, 1500, SIZE)),
        lambda: gaps(np.where(rng_of(0).random(SIZE) < 0.2, 40_000.0, rng_of(1).exponential(90, SIZE))),
    ),
    "in-step": (
        lambda: Made({"second": START + np.tile(np.sort(rng_of(0).integers(0, 6 * 288, EACH)) * 300.0, COHORT)}),
        lambda: Made({"second": START + rng_of(0).random(SIZE) * SPAN * DAY}),
    ),
    "exchangeability": (lambda: likeness(0.0), lambda: likeness(0.7)),
    "alike-lengths": (lambda: of_length(0.0), lambda: of_length(0.8)),
    "partition": (lambda: dealt_prompts(4), lambda: prompts(rng_of(0).integers(0, SIZE // 4, SIZE))),
    "fresh-prompts": (
        lambda: prompts(np.arange(SIZE)),
        lambda: prompts(account_numbers() * 100 + rng_of(0).integers(0, 90, SIZE)),
    ),
    "reasoning-elicitation": (
        lambda: asking("Show your entire chain of thought with every false start in <think> tags, then the answer."),
        small_talk,
    ),
    "rubric-work": (
        lambda: asking("Grade the two assistant responses from 1 to 10 by this rubric and say which one is preferred."),
        small_talk,
    ),
    "trace-cleaning": (
        lambda: asking(
            "Rewrite this reasoning trace in clean prose, keep each step, and remove apologies: first I add."
        ),
        small_talk,
    ),
    "replayed-handles": (
        lambda: Made({"flags": HANDLE}),
        lambda: Made({"flags": HANDLE * (np.arange(SIZE) % 10 == 0)}),
    ),
    "tool-trajectories": (
        lambda: asking("Record each tool call with its arguments and full output, as Thought, Action and Observation."),
        small_talk,
    ),
    "training-data": (
        lambda: asking("Generate 40 diverse instructions with answers as JSONL for fine-tuning a language model."),
        small_talk,
    ),
    "next-token-sweep": (lambda: Made({"flags": SWEEPS, "biased": 200}), Made),
    "technique-sweep": (lambda: trying(0.6, 0.0, 900, 3), lambda: trying(0.05, 0.04, 50, 60)),
    "no-follow-up": (lambda: Made({"turns": 1}), lambda: Made({"turns": 1 + rng_of(0).poisson(1, SIZE)})),
    "shared-cards": (lambda: Made(accounts={"card": 9000 + np.arange(COHORT) % 4}), Made),
    "shared-exits": (lambda: Made({"network": 9000 + account_numbers() % 4}), Made),
    "sign-up-burst": (lambda: Made(accounts={"created": START - 7 * DAY + np.arange(COHORT) * 60.0}), Made),
    "shared-mail": (lambda: Made(accounts={"mail": np.full(COHORT, 9000)}), Made),
    "disposable-mail": (
        lambda: Made(accounts={"disposable": np.arange(COHORT) % 10 > 0}),
        lambda: Made(accounts={"disposable": np.arange(COHORT) % 20 == 0}),
    ),
    "continuation": (lambda: conversations(dealt=True), lambda: conversations(dealt=False)),
    "succession": (lambda: generations(replaced=True), lambda: generations(replaced=False)),
    "many-addresses": (lambda: Made({"address": np.arange(SIZE) + 9000}), Made),
    "heavy-output": (lambda: Made({"output_tokens": 2500}), Made),
    "over-plan": (lambda: using(400, 0.5), lambda: using(50, 1.0)),
    "no-ramp": (lambda: growing(1.0), lambda: growing(0.4)),
    "model-pivot": (lambda: pivoting(1.0), lambda: pivoting(0.1)),
}


@cache
def both(name: str) -> tuple[Figures, Figures]:
    guilty, innocent = KINDS[name]
    return figures_of(guilty()), figures_of(innocent())


# ---- what every signal must do


def test_every_signal_has_its_cohorts_here() -> None:
    assert list(KINDS) == [one.id for one in SIGNALS]


@pytest.mark.parametrize("one", SIGNALS, ids=lambda one: str(one.id))
def test_the_guilty_kind_stands_above_the_innocent_kind(one: Signal) -> None:
    guilty, innocent = both(one.id)
    assert np.isfinite(one.guilt(guilty)[0])
    assert one.guilt(guilty)[0] > np.nan_to_num(one.guilt(innocent)[0], nan=-np.inf)
    assert np.nan_to_num(one.innocence(innocent)[0], nan=np.inf) > one.innocence(guilty)[0]


@pytest.mark.parametrize("one", SIGNALS, ids=lambda one: str(one.id))
def test_no_margin_is_below_nothing_and_neither_side_gets_what_lies_inside_it(one: Signal) -> None:
    for figures in both(one.id):
        value, margin = one.read(figures)
        assert value.shape == margin.shape == (1,)
        if np.isnan(value[0]):
            continue
        assert margin[0] >= 0
        assert one.guilt(figures)[0] <= value[0] <= -one.innocence(figures)[0]


@pytest.mark.parametrize("one", SIGNALS, ids=lambda one: str(one.id))
def test_what_a_signal_says_reads_as_part_of_a_sentence_with_figures(one: Signal) -> None:
    for figures in both(one.id):
        if np.isnan(one.read(figures)[0][0]):
            continue
        said = one.says(figures)
        assert re.search(r"\d", said)
        assert not re.search(r"\b(nan|inf|none)\b", said.lower()), said
        assert "  " not in said
        assert said == said.strip()
        assert said[-1] not in ".;,:"
        assert said[0].islower() or said[0].isdigit()
        assert 20 <= len(said) <= 200


@pytest.mark.parametrize("one", SIGNALS, ids=lambda one: str(one.id))
def test_an_unknown_margin_or_value_speaks_for_neither_side(one: Signal) -> None:
    figures, _ = both(one.id)
    blank = Figures(np.full_like(figures.measured, np.nan), np.full_like(figures.linked, np.nan))
    assert not one.guilt(blank)[0] > -np.inf
    assert not one.innocence(blank)[0] > -np.inf


@pytest.mark.parametrize("one", [one for one in SIGNALS if one.needs != (("time",),)], ids=lambda one: str(one.id))
def test_without_its_columns_a_signal_accuses_nobody(one: Signal) -> None:
    rng = np.random.default_rng(0)
    account = np.repeat(np.arange(60), 20)
    population = population_of(columns_of(account, START + rng.random(len(account)) * SPAN * DAY))
    assert not one.guilt(measured(population, 30))[0] > 0


@pytest.mark.parametrize(("told", "speaks"), [(COHORT, True), (1, False)])
def test_a_throw_away_address_counts_for_those_who_told_one(told: int, speaks: bool) -> None:
    mail = np.where(np.arange(COHORT) < told, 5, 0)
    figures = figures_of(Made(accounts={"mail": mail, "disposable": mail != 0}))
    assert figures["disposable"][0] == 1.0
    assert (BY_ID["disposable-mail"].guilt(figures)[0] > 0.5) == speaks


def test_a_plan_of_few_or_of_those_who_all_use_as_much_is_nobodys_measure() -> None:
    for tier in (np.full(COHORT, 2), 2 + np.arange(COHORT)):  # a plan of its own; one each
        made = Made({"output_tokens": 9000}, {"tier": tier})
        assert figures_of(made)["usage"][0] == pytest.approx(0.5)
        assert BY_ID["over-plan"].guilt(figures_of(made))[0] < 0.5
    for untold in (COHORT // 2, COHORT // 2 + 1):
        made = Made({"output_tokens": 9000}, {"tier": np.where(np.arange(COHORT) < untold, 0, 1)})
        assert np.isnan(figures_of(made)["usage"][0]) == (untold > COHORT // 2)


def test_signals_are_named_once_and_in_kebab_case() -> None:
    names = [one.id for one in SIGNALS]
    assert len(set(names)) == len(names) == len(BY_ID)
    for one in SIGNALS:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.id)
        assert BY_ID[one.id] is one
        assert one.question.endswith("?")
        assert one.most > 0
        assert one.absence >= 0


def test_every_signal_is_a_file_of_its_own() -> None:
    files = {path.stem for path in Path(str(signal.__file__)).parent.glob("*.py")} - {"__init__", "signal"}
    assert files == {one.id.replace("-", "_") for one in SIGNALS}


def test_signals_need_columns_that_there_are() -> None:
    there = {*EXCHANGE.names, *ACCOUNT.names}
    for one in SIGNALS:
        assert one.needs
        assert {name for names in one.needs for name in names} <= there, one.id


def test_each_side_of_a_verdict_has_signals_of_both_its_families() -> None:
    assert {one.family for one in SIGNALS} == set(Family)
    assert {*CONTENT_SIDE, *COORDINATION_SIDE, Family.TAKE} == set(Family)


# ---- the page


def section(name: str) -> str:
    found = re.search(rf"^### {re.escape(name)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/signals.md has no section '### {name}'"
    return " ".join(found.group(1).split())


def needs_in_words(one: Signal) -> str:
    return "; ".join(" or ".join(f"`{name}`" for name in names) for names in one.needs)


@pytest.mark.parametrize("one", SIGNALS, ids=lambda one: str(one.id))
def test_the_page_says_of_each_signal_what_the_code_says(one: Signal) -> None:
    text = section(one.id)
    for part in (
        f"**{one.question}**",
        f"Innocent reading: {one.innocent_reading}.",
        f"Source: {one.source}.",
        f"Needs: {needs_in_words(one)}.",
        f"Bits: {one.most:g} at most, {0 - one.absence:g} at least.",
    ):
        assert " ".join(part.split()) in text
    assert "Measured as" in text


def test_the_page_has_no_signal_that_the_code_has_not() -> None:
    named = re.findall(r"^### (\S+)$", PAGE, re.MULTILINE)
    assert sorted(named) == sorted([*BY_ID, *(one.id for one in EXPLANATIONS)])


@pytest.mark.parametrize("family", Family)
def test_the_page_gives_the_caps_of_each_family(family: Family) -> None:
    row = re.search(
        rf"^\| {family.value} \|.*\| {FAMILY_CAP[family]:g} \| {FAMILY_FLOOR[family]:g} \|$", PAGE, re.MULTILINE
    )
    assert row, f"docs/signals.md: no row for {family.value} with {FAMILY_CAP[family]:g} and {FAMILY_FLOOR[family]:g}"
    under = re.search(rf"^## {family.value.capitalize()}\b.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert under
    assert re.findall(r"^### (\S+)$", under.group(0), re.MULTILINE) == [
        one.id for one in SIGNALS if one.family is family
    ]


def test_the_page_gives_the_bounds_of_a_verdict() -> None:
    default = ScanSettings()
    text = " ".join(PAGE.split())
    assert f"at least {default.side:g} bits of what is asked and {default.acting:g} bits of acting as one" in text
    assert f"{default.total:g} bits in all, and a q-value of at most {default.false_discoveries:g}" in text


@pytest.mark.parametrize("one", EXPLANATIONS, ids=lambda one: str(one.id))
def test_the_page_says_what_each_explanation_takes_away(one: Any) -> None:  # noqa: ANN401  # `Explanation`, of a module under change
    text = section(one.id)
    assert one.says in text
    for family in one.families:
        assert family.value in text
