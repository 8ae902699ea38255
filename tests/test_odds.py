"""The test by which accounts are met: its bound holds exactly, whatever depends on what."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.decisions.odds import (
    FIRST,
    accounts_needed,
    agreement_needed,
    bits,
    bits_needed,
    p_values,
    share_of_span,
)
from stillwatch.marks.traits import LEAST, MOST, Trait, agreement

LEVELS = range(LEAST, MOST + 1)
agreements = st.integers(1, 4).flatmap(
    lambda campaigns: st.lists(st.tuples(*[st.sampled_from((0, 0, 2, 3, 4))] * campaigns), min_size=2, max_size=14)
)


def counted(accounts: list[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {
        str(campaign): tuple(sum(each[campaign] >= level for each in accounts) for level in LEVELS)
        for campaign in range(len(accounts[0]))
    }


@given(agreements)
def test_of_exchangeable_accounts_each_held_against_the_others_no_more_are_met_than_the_rate_allows(
    accounts: list[tuple[int, ...]],
) -> None:
    found = []
    for index, new in enumerate(accounts):
        others = accounts[:index] + accounts[index + 1 :]
        values = p_values(counted(others), len(others))
        found.append(min((values[str(c)][level - LEAST] for c, level in enumerate(new) if level), default=1.0))
    for place, p_value in enumerate(sorted(found)):
        assert p_value >= (place + 1) / len(accounts) - 1e-12


@given(agreements)
def test_more_agreement_never_says_less(accounts: list[tuple[int, ...]]) -> None:
    for values in p_values(counted(accounts), len(accounts)).values():
        assert list(values) == sorted(values, reverse=True)


def test_several_campaigns_cost_only_what_ordinary_accounts_have_in_common_with_them() -> None:
    assert p_values({"a": (0, 0, 0)}, 9_999)["a"] == (1e-4,) * 3
    assert p_values(dict.fromkeys("abcdefgh", (0, 0, 0)), 9_999)["a"] == (1e-4,) * 3
    beside = p_values({"a": (0, 0, 0), "b": (1, 0, 0)}, 9_999)
    assert beside["a"] == (2e-4,) * 3
    assert beside["b"] == (2e-4,) * 3
    crowded = p_values({"a": (0, 0, 0), "b": (500, 0, 0)}, 9_999)  # an app that a campaign took its wording from
    assert crowded["a"] == (1e-4,) * 3
    assert crowded["b"] == (501e-4, 1e-4, 1e-4)


def test_spans_share_the_rate_and_spend_no_more() -> None:
    assert share_of_span(1) == FIRST
    assert 0.999 < sum(share_of_span(number) for number in range(1, 10_000)) < 1.0 + 1e-9
    assert bits(1 / 1024, span=1, scans=1) == pytest.approx(10 + math.log2(FIRST))
    assert bits(1 / 1024, span=1, scans=4) == pytest.approx(8 + math.log2(FIRST))


@given(st.floats(1e-7, 0.5), st.integers(1, 5))
def test_the_fewest_accounts_are_just_enough(rate: float, scans: int) -> None:
    enough = accounts_needed(rate, scans)
    assert bits(1 / (enough + 1), span=1, scans=scans) >= bits_needed(rate) - 1e-6
    assert bits(1 / enough, span=1, scans=scans) < bits_needed(rate) + 1e-6


def test_how_much_agreement_is_needed_is_told_or_that_none_is_enough() -> None:
    assert agreement_needed((0.02, 5e-4, 1e-4), 1e-3) == 3
    assert agreement_needed((0.02, 0.01, 0.01), 1e-3) is None


def test_what_is_asked_and_what_is_owned_must_both_agree() -> None:
    assert agreement(Trait.CONTENT | Trait.CLIENT) == 0  # both can be copied
    assert agreement(Trait.NETWORK | Trait.SIGN_UP | Trait.CLIENT) == 0  # an office, say
    assert agreement(Trait.CONTENT | Trait.NETWORK) == 2
    assert agreement(Trait.CONTENT | Trait.SIGN_UP | Trait.CLIENT) == 3
    assert agreement(Trait.CONTENT | Trait.CLIENT | Trait.NETWORK | Trait.SIGN_UP) == 4
