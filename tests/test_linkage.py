"""What accounts share behind the scenes, held against counts of customers written from the definitions."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.digests import DAY, START, accounts_of, columns_of, population_of

from stillwatch.cohorts.linkage import (
    BROUGHT,
    BURST,
    COLUMN,
    FIGURES,
    FRESH,
    KINDS,
    POOLED,
    attributes,
    compared,
    link,
    scratch,
    usual_values,
)
from stillwatch.cohorts.streams import STREAM_FAMILIES

if TYPE_CHECKING:
    import random

    from numpy.typing import ArrayLike, NDArray

APART = 1000  # values of different kinds differ, as hashes do
HOUR = 3600.0


class Known(NamedTuple):
    """What is known of a log's accounts."""

    values: NDArray[np.uint64]
    verified: NDArray[np.bool_]
    created: NDArray[np.float64]
    begun: NDArray[np.float64]
    usage: NDArray[np.float64]
    disposable: NDArray[np.bool_]

    def renumbered(self, numbers: list[int]) -> Known:
        """The same where account k is account numbers[k]."""
        order = np.argsort(numbers)
        return Known(
            self.values[:, order], self.verified[order], self.created[order], self.begun[order], self.usage[order],
            self.disposable[order],
        )  # fmt: skip


def known(
    count: int,
    verified: ArrayLike = False,
    created: ArrayLike = math.nan,
    usage: ArrayLike = math.nan,
    disposable: ArrayLike = False,
    **values: ArrayLike,
) -> Known:
    """`count` accounts of which nothing is known but this."""
    every = [np.broadcast_to(np.asarray(values.get(kind, 0)), count).astype(np.uint64) for kind in KINDS]
    return Known(
        np.stack([np.where(told != 0, told + np.uint64(APART * place), 0) for place, told in enumerate(every)]),
        np.broadcast_to(np.asarray(verified), count).astype(np.bool_),
        np.broadcast_to(np.asarray(created), count).astype(np.float64),
        np.full(count, START),
        np.broadcast_to(np.asarray(usage), count).astype(np.float64),
        np.broadcast_to(np.asarray(disposable), count).astype(np.bool_),
    )


def linked(log: Known, streams: list[list[int]]) -> NDArray[np.float64]:
    figures = np.empty((len(streams), len(FIGURES)))
    bearers = np.array([account for stream in streams for account in stream], np.int32)
    bounds = np.r_[0, np.cumsum([len(stream) for stream in streams])].astype(np.int64)
    by = compared(log.values, log.verified)
    spare, untouched = scratch(by), scratch(by)
    link(
        bearers, bounds, by.code, by.pair, by.owner, by.borne, by.everyone, log.verified, log.created, log.begun,
        log.usage, log.disposable, spare.counts, spare.met, spare.opened, figures,
    )  # fmt: skip
    for left, found in ((spare.counts, untouched.counts), (spare.met, untouched.met), (spare.opened, untouched.opened)):
        np.testing.assert_array_equal(left, found)  # left as it was found, for whoever measures next
    return figures


def figures_of(log: Known, stream: list[int] | range) -> dict[str, float]:
    line = linked(log, [list(stream)])[0]
    return {name: float(line[index]) for name, index in COLUMN.items()}


# ---- the reference


def whose(log: Known, account: int, kind: str) -> tuple[str, int]:
    """The customer that an account is where a kind is compared."""
    card, organization, network = (
        int(log.values[KINDS.index(name), account]) for name in ("card", "organization", "network")
    )
    if log.verified[account] and organization:
        return "organization", organization
    payers = [
        int(log.values[KINDS.index("organization"), other])
        for other in range(len(log.verified))
        if log.verified[other] and card and log.values[0, other] == card
    ]
    if any(payers):
        return "organization", min(payer for payer in payers if payer)
    other = network if kind == "card" else card
    return (kind, other) if other else ("account", account)


def told(log: Known, accounts: list[int] | range, kind: str) -> set[tuple[int, tuple[str, int]]]:
    """Which customers have which value."""
    place = KINDS.index(kind)
    return {(int(log.values[place, one]), whose(log, one, kind)) for one in accounts if log.values[place, one]}


def pooled(log: Known, stream: list[int], kind: str) -> float:
    """Share of customers whose value others of the stream have too, less what as many of the rest of the log have."""
    own = told(log, stream, kind)
    rest = told(log, range(len(log.verified)), kind) - own
    if len(own) < 2 or len(rest) < len(own):
        return math.nan  # nobody to share with; or too few others to tell what chance would do
    elsewhere = Counter(value for value, _ in rest)
    shared = 0.0
    for value, met in Counter(value for value, _ in own).items():
        expected = len(own) * elsewhere[value] / len(rest)
        if met > 1 and met - expected > 3 * math.sqrt(expected):
            shared += met - expected
    return shared / len(own)


def burst(opened: list[float]) -> float:
    """Largest share of moments that lie within half a day from one of them."""
    if len(opened) < 2:
        return math.nan
    return max(sum(first <= other <= first + BURST for other in opened) for first in opened) / len(opened)


def reference(log: Known, stream: list[int]) -> dict[str, float]:
    made = {f"{kind}_pooled": pooled(log, stream, kind) for kind in POOLED}
    made |= {f"{kind}_customers": len(told(log, stream, kind)) for kind in POOLED}
    for kind, column in zip(KINDS, log.values[:, stream].tolist(), strict=True):
        values = [value for value in column if value]
        made[f"{kind}_told"] = len(values) / len(stream)
        made[f"{kind}_lead"] = max(Counter(values).values()) / len(stream) if len(values) > 1 else math.nan
    opened: dict[object, list[float]] = {}
    for account in stream:
        opened.setdefault(whose(log, account, "mail"), []).append(float(log.created[account]))
    firsts = [float(np.nanmin(own)) for own in opened.values() if not np.isnan(own).all()]
    dated = [one for one in stream if not math.isnan(log.created[one])]
    made["customers"] = len(opened)
    made["burst"] = burst(firsts)
    made["unverified"] = sum(not log.verified[one] for one in stream) / len(stream)
    fresh = sum(log.begun[one] - log.created[one] < FRESH for one in dated)
    made["fresh"] = fresh / len(dated) if dated else math.nan
    ranks = [float(log.usage[one]) for one in stream if not math.isnan(log.usage[one])]
    made["ranked"] = len(ranks)
    made["usage"] = sum(ranks) / len(ranks) if 2 * len(ranks) >= len(stream) else math.nan
    mailed = [one for one in stream if log.values[KINDS.index("mail"), one]]
    thrown = sum(bool(log.disposable[one]) for one in mailed)
    made["disposable"] = thrown / len(mailed) if mailed else math.nan
    return made


@st.composite
def logs(draw: st.DrawFn) -> tuple[Known, list[int]]:
    """Small logs of every texture: cards and networks of few or many, hardly anybody or most verified, dated or not."""
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = {kind: rng.integers(0, draw(st.sampled_from([1, 2, 4, 100])) + 1, count) for kind in KINDS}
    created = START - rng.uniform(0, draw(st.sampled_from([0.2, 1.0, 30.0])), count) * DAY
    if draw(st.booleans()):
        created = np.floor(created / HOUR) * HOUR  # told to the hour: ties, and moments exactly half a day apart
    created[rng.random(count) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    verified = rng.random(count) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    usage = np.where(rng.random(count) < draw(st.sampled_from([0.0, 0.5, 1.0])), np.nan, rng.random(count))
    # whose domain is known to be thrown away has told it
    disposable = (values["mail"] != 0) & (rng.random(count) < draw(st.sampled_from([0.0, 0.3, 1.0])))
    stream = draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=draw(st.sampled_from([5, 15, count]))))
    return known(count, verified, created, usage, disposable, **values), sorted(stream)


# ---- laws


@given(logs())
@settings(max_examples=200, deadline=None)
def test_every_figure_is_what_its_definition_says(made: tuple[Known, list[int]]) -> None:
    log, stream = made
    found, expected = figures_of(log, stream), reference(log, stream)
    assert set(expected) == set(FIGURES)
    for name in FIGURES:
        assert found[name] == pytest.approx(expected[name], nan_ok=True), name


@given(logs(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_renumbering_accounts_changes_nothing(made: tuple[Known, list[int]], shuffler: random.Random) -> None:
    log, stream = made
    numbers = list(range(len(log.verified)))
    shuffler.shuffle(numbers)
    moved = linked(log.renumbered(numbers), [sorted(numbers[one] for one in stream)])
    np.testing.assert_allclose(linked(log, [stream]), moved)


def test_streams_are_linked_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    values = {kind: rng.integers(0, 5, 40) for kind in KINDS}
    thrown = (values["mail"] != 0) & (rng.random(40) < 0.5)
    log = known(40, rng.random(40) < 0.3, START - rng.random(40) * DAY, rng.random(40), thrown, **values)
    streams = [list(range(10)), list(range(5, 30)), [39]]
    together = linked(log, streams)
    np.testing.assert_array_equal(together, np.concatenate([linked(log, [stream]) for stream in streams]))


@given(logs())
@settings(max_examples=50, deadline=None)
def test_of_most_of_the_log_nothing_tells_what_chance_would_do(made: tuple[Known, list[int]]) -> None:
    log, _ = made
    found = figures_of(log, range(len(log.verified)))
    assert all(math.isnan(found[f"{kind}_pooled"]) for kind in POOLED)
    for kind in POOLED:
        assert found[f"{kind}_customers"] == len(told(log, range(len(log.verified)), kind))


@pytest.mark.parametrize(("others", "tells"), [(10, True), (9, False)])
def test_the_rest_of_the_log_must_be_as_large_as_the_stream(others: int, tells: bool) -> None:
    log = known(10 + others, card=1 + np.arange(10 + others), mail=np.r_[np.full(10, 1), 2 + np.arange(others)])
    found = figures_of(log, range(10))
    assert found["mail_customers"] == 10
    assert found["mail_pooled"] == pytest.approx(1.0 if tells else math.nan, nan_ok=True)


def test_a_ring_that_is_half_of_the_log_is_not_held_against_itself() -> None:
    log = known(120, card=1 + np.arange(120), mail=np.r_[np.full(60, 1), 2 + np.arange(60)])
    assert figures_of(log, range(60))["mail_pooled"] == pytest.approx(1.0)


def test_what_nobody_told_is_not_known() -> None:
    found = figures_of(known(6), range(6))
    for name in KINDS:
        assert math.isnan(found[f"{name}_lead"])
        assert found[f"{name}_told"] == 0
    for name in (*(f"{kind}_pooled" for kind in POOLED), "burst", "fresh", "usage", "disposable"):
        assert math.isnan(found[name]), name
    assert [found[f"{kind}_customers"] for kind in POOLED] == [0, 0, 0]
    assert found["unverified"] == 1
    assert found["customers"] == 6


# ---- whose accounts they are

TOWN, KEYS = 400, 40  # accounts of strangers, each with its own card and network, after those looked at


def among_strangers(**own: ArrayLike) -> Known:
    """40 accounts with these values in a log of 400 strangers."""
    nobody = KEYS + 1 + np.arange(TOWN)
    values = {
        kind: np.r_[np.broadcast_to(np.asarray(own.get(kind, 0)), KEYS), nobody]
        for kind in ("card", "network", "mail", "organization")
    }
    verified = np.r_[np.broadcast_to(np.asarray(own.get("verified", False)), KEYS), np.zeros(TOWN)]
    created = np.r_[np.broadcast_to(np.asarray(own.get("created", np.nan)), KEYS), np.full(TOWN, np.nan)]
    return known(KEYS + TOWN, verified, created, **values)


EACH = 1 + np.arange(KEYS)  # its own
OF_FOUR = 1 + np.arange(KEYS) % 4


@pytest.mark.parametrize("card", [1, OF_FOUR], ids=["one customer", "four customers"])
def test_what_one_customers_keys_share_is_not_pooled(card: ArrayLike) -> None:
    """Keys that come from where the others of their card come from, with the mail domain of their house."""
    found = figures_of(among_strangers(card=card, network=card, mail=card), range(KEYS))
    assert found["customers"] == len(np.unique(card))
    for kind in POOLED:
        assert found[f"{kind}_customers"] == len(np.unique(card))
        assert not found[f"{kind}_pooled"] > 0
        assert found[f"{kind}_told"] == 1


def test_cards_that_pay_for_accounts_of_many_networks_are_pooled() -> None:
    found = figures_of(among_strangers(card=OF_FOUR, network=EACH), range(KEYS))
    assert found["card_pooled"] == 1
    assert found["card_customers"] == KEYS  # one a network
    assert found["customers"] == 4  # one a card
    assert not found["network_pooled"] > 0


@pytest.mark.parametrize("kind", ["network", "mail"])
def test_networks_and_domains_are_pooled_where_accounts_with_different_cards_have_them(kind: str) -> None:
    shared = figures_of(among_strangers(card=EACH, **{kind: OF_FOUR}), range(KEYS))
    assert shared[f"{kind}_pooled"] == 1
    own = figures_of(among_strangers(card=EACH, **{kind: EACH}), range(KEYS))
    assert own[f"{kind}_pooled"] == 0


def test_a_share_counts_customers_not_accounts() -> None:
    # 30 keys of one card, and ten cards; half of these eleven customers come from one exit
    card = np.r_[np.full(30, 1), 2 + np.arange(10)]
    network = np.r_[np.full(30, 1), np.full(5, 2), 3 + np.arange(5)]
    found = figures_of(among_strangers(card=card, network=network), range(KEYS))
    assert found["customers"] == found["network_customers"] == 11
    assert found["card_customers"] == 11  # by network there are seven, and one of them is counted with each of 5 cards
    assert found["network_pooled"] == pytest.approx(5 / 11)
    assert found["network_lead"] == pytest.approx(30 / 40)


def test_accounts_of_a_verified_organization_are_one_customer() -> None:
    verified, claimed = (
        figures_of(
            among_strangers(card=OF_FOUR, network=EACH, mail=1, organization=7, created=START - DAY, verified=told),
            range(KEYS),
        )
        for told in (True, False)
    )
    assert verified["customers"] == 1
    assert math.isnan(verified["burst"])
    for name in ("card_pooled", "mail_pooled"):
        assert not verified[name] > 0
        assert claimed[name] == 1  # anybody may claim an organization
    assert claimed["customers"] == 4
    assert claimed["burst"] == 1


def test_accounts_that_a_verified_organization_pays_for_are_its_own() -> None:
    one = np.arange(KEYS) == 3  # only one of the accounts is verified, and pays with the card of all
    log = among_strangers(card=1, network=EACH, organization=np.where(one, 7, 0), verified=one)
    found = figures_of(log, range(KEYS))
    assert found["customers"] == 1
    assert not found["card_pooled"] > 0
    without = figures_of(log, [account for account in range(KEYS) if account != 3])
    assert without["customers"] == 1  # whoever pays need not be of the stream


def test_what_is_as_frequent_in_the_log_is_no_sharing() -> None:
    rng = np.random.default_rng(4)
    log = known(2000, card=1 + np.arange(2000), mail=1 + rng.integers(0, 3, 2000))
    assert figures_of(log, range(60))["mail_pooled"] == 0
    rare = known(2000, card=1 + np.arange(2000), mail=np.r_[np.full(60, 9), 1 + rng.integers(0, 3, 1940)])
    assert figures_of(rare, range(60))["mail_pooled"] == 1


@pytest.mark.parametrize(("met", "share"), [(4, 0.0), (5, 4 / KEYS)])
def test_chance_ends_three_standard_deviations_above_what_the_rest_of_the_log_has(met: int, share: float) -> None:
    # 10 of 400 strangers have one domain, so that 40 of them would have it once, give or take 1; what is once by chance
    # is taken off what is shared
    mail = 1 + np.arange(KEYS + TOWN)
    mail[:met] = mail[KEYS : KEYS + 10] = 9999
    log = known(KEYS + TOWN, card=1 + np.arange(KEYS + TOWN), mail=mail)
    assert figures_of(log, range(KEYS))["mail_pooled"] == pytest.approx(share)


# ---- when they were opened


@given(st.lists(st.integers(-60, 60) | st.none(), min_size=1, max_size=40), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_a_burst_is_the_most_customers_within_half_a_day(hours: list[int | None], cards: int) -> None:
    created = np.array([math.nan if hour is None else START + hour * HOUR for hour in hours])
    card = np.arange(len(hours)) % cards
    firsts = [
        min(told)
        for one in range(cards)
        if (told := [moment for moment, whose in zip(created, card, strict=True) if whose == one and moment > 0])
    ]
    found = figures_of(known(len(hours), created=created, card=1 + card), range(len(hours)))
    assert found["burst"] == pytest.approx(burst(firsts), nan_ok=True)


def test_a_customer_is_opened_with_the_first_of_its_accounts() -> None:
    created = START + np.array([9 * DAY, 0.0, 9 * DAY, 9 * DAY])
    found = figures_of(known(4, created=created, card=[1, 1, 2, 3]), range(4))
    assert found["burst"] == pytest.approx(2 / 3)


def test_freshness_is_counted_from_sign_up_to_the_first_request() -> None:
    created = [START - FRESH / 2, START - 2 * FRESH, math.nan, START]
    found = figures_of(known(4, [True, False, False, False], created), range(4))
    assert found["fresh"] == pytest.approx(2 / 3)
    assert found["unverified"] == pytest.approx(3 / 4)


# ---- what is used, and under which address


def test_usage_is_the_mean_rank_of_those_that_have_one_if_they_are_half() -> None:
    log = known(8, usage=[0.2, 0.6, math.nan, math.nan, math.nan, 0.9, 0.9, 0.9])
    assert figures_of(log, [0, 1, 2, 3])["usage"] == pytest.approx(0.4)
    assert math.isnan(figures_of(log, [0, 1, 2, 3, 4])["usage"])


def test_disposable_is_a_share_of_those_whose_domain_is_told() -> None:
    log = known(6, mail=[1, 2, 3, 4, 0, 0], disposable=[True, False, False, True, False, False])
    assert figures_of(log, range(6))["disposable"] == pytest.approx(1 / 2)
    assert figures_of(log, [0, 4])["disposable"] == 1
    assert math.isnan(figures_of(log, [4, 5])["disposable"])


# ---- what is compared


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_the_usual_value_is_the_most_frequent_one_that_is_told(networks: list[list[int]]) -> None:
    account = [who for who, own in enumerate(networks) for _ in own]
    flat = [value for own in networks for value in own]
    population = population_of(columns_of(account, START + np.arange(len(flat)), network=flat))
    for who, usual in enumerate(usual_values(population, "network").tolist()):
        told = Counter(value for value in networks[who] if value)
        assert usual == (min(told, key=lambda value: (-told[value], value)) if told else 0)


def test_attributes_stand_in_the_order_of_kinds() -> None:
    columns = columns_of([0, 0, 1], [START, START + 1, START], network=[7, 7, 8], client=[5, 5, 5])
    log = accounts_of(2, card=[1, 2], mail=[3, 0], organization=[0, 4])
    values = dict(zip(KINDS, attributes(population_of(columns, log)).tolist(), strict=True))
    assert values == {
        "card": [1, 2], "mail": [3, 0], "network": [7, 8], "organization": [0, 4], "client": [5, 5],
    }  # fmt: skip
    assert KINDS[: len(POOLED)] == POOLED


def test_what_a_mark_brings_is_a_figure_of_a_family_that_there_is() -> None:
    assert set(BROUGHT) <= set(STREAM_FAMILIES)
    assert {name for names in BROUGHT.values() for name in names} <= set(FIGURES)
