"""Laws of the test of radioactivity: innocent of everything under the null, and it finds what was learned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.markov import GUMBEL, Chain, Student, key_for

from stillwatch.lineage import tails
from stillwatch.lineage.dye import STRENGTHS, Dye, bits_of_vocabulary, swayed, threshold
from stillwatch.lineage.grams import Corpus, distinct_grams
from stillwatch.lineage.radioactivity import Finding, Settings, radioactivity, scored

if TYPE_CHECKING:
    from random import Random

MEDIUM = STRENGTHS["medium"]
DYES = pytest.mark.parametrize("dye", [MEDIUM, STRENGTHS["strong"], GUMBEL], ids=["medium", "strong", "gumbel"])
TEXTS = st.lists(st.lists(st.integers(0, 40), max_size=60), min_size=1, max_size=8)


# ---- tails


@given(st.integers(1, 5_000), st.floats(0.01, 0.99), st.data())
def test_the_binomial_tail_is_exact(trials: int, share: float, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    expected = stats.binom.logsf(successes - 1, trials, share)
    if expected > -600:  # scipy's own logarithm ends there
        assert tails.binomial_tail(successes, trials, share) == pytest.approx(expected, rel=1e-7, abs=1e-9)


@given(st.integers(1, 5_000), st.floats(0.0, 4.0))
def test_the_gamma_tail_is_exact(count: int, mean: float) -> None:
    expected = stats.gamma.logsf(mean * count, count)
    if expected > -600:
        assert tails.gamma_tail(mean * count, count) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_tails_go_on_where_floats_end() -> None:
    assert tails.binomial_tail(10_000, 10_000, 0.5) == pytest.approx(-10_000 * math.log(2))
    assert -math.inf < tails.gamma_tail(100_000.0, 10_000) < -5_000
    assert tails.binomial_tail(11, 10, 0.5) == -math.inf
    assert tails.gamma_tail(0.0, 0) == tails.binomial_tail(0, 0, 0.5) == 0.0


@given(st.integers(1, 300), st.floats(0.05, 0.95))
def test_the_mean_e_value_of_green_lists_is_at_most_one(trials: int, share: float) -> None:
    counts = np.arange(trials + 1)
    log_e = np.array([tails.binomial_e_value(int(count), trials, share) for count in counts])
    assert np.exp(log_e + stats.binom.logpmf(counts, trials, share)).sum() == pytest.approx(1.0)


@given(st.integers(1, 60))
def test_the_mean_e_value_of_gumbel_scores_is_at_most_one(count: int) -> None:
    totals = np.linspace(1e-6, 40.0 * (count + 4), 200_001)
    log_e = np.array([tails.gamma_e_value(float(total), count) for total in totals[::50]])
    density = stats.gamma.logpdf(totals[::50], count)
    assert np.trapezoid(np.exp(log_e + density), totals[::50]) <= 1.01


@given(st.lists(st.floats(-50.0, 0.0), min_size=1, max_size=20))
def test_holm_is_what_it_is(log_p: list[float]) -> None:
    adjusted = tails.holm(log_p)
    order = sorted(range(len(log_p)), key=log_p.__getitem__)
    worst = 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(math.exp(log_p[index]) * (len(log_p) - rank), 1.0))
        assert math.exp(adjusted[index]) == pytest.approx(worst)


def test_e_bh_takes_the_most_that_it_may() -> None:
    logs = [math.log(each) for each in (40.0, 60.0, 10.0, 1.0)]
    assert tails.e_bh(logs, 0.1) == [True, True, False, False]
    assert tails.e_bh([0.0], 0.1) == [False]
    assert tails.e_bh([math.log(10.0)], 0.1) == [True]


def test_what_is_needed_gives_the_power_that_was_asked_for() -> None:
    count = tails.needed(0.05, error=0.01, power=0.8)
    assert tails.power_of(count, 0.05, error=0.01) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("effect", [0.02, 0.05, 0.2])
def test_what_is_needed_is_enough_where_e_values_must_do(effect: float) -> None:
    count = tails.needed(effect, error=0.01, power=0.8, by_e_value=True)
    assert count > tails.needed(effect, error=0.01, power=0.8)
    green = np.random.default_rng(1).binomial(count, 0.5 + effect / 2, 400)
    found = [tails.binomial_e_value(int(each), count, 0.5) >= math.log(100.0) for each in green]
    assert np.mean(found) >= 0.75  # an approximation, and four hundred of them


# ---- the null


@DYES
@pytest.mark.parametrize("repeats", [1, 30])
def test_p_values_of_random_keys_are_not_too_small(dye: Dye, repeats: int) -> None:
    texts = Chain.made(1).texts(12, 150, np.random.default_rng(2)) * repeats
    grams = distinct_grams(Corpus.of(texts), dye.width)
    p = np.array([math.exp(scored(key_for(f"k-{number}", dye), grams).log_p) for number in range(1_000)])
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 0.001  # too many small ones
    assert (p <= 0.01).mean() <= 0.02


@DYES
def test_e_values_of_random_keys_are_one_on_average_at_most(dye: Dye) -> None:
    grams = distinct_grams(Corpus.of(Chain.made(1).texts(4, 100, np.random.default_rng(2))), dye.width)
    e = np.exp([scored(key_for(f"k-{number}", dye), grams).log_e for number in range(1_000)])
    assert (e >= 100.0).mean() <= 0.01
    assert np.minimum(e, 100.0).mean() <= 1.3


@DYES
def test_text_dyed_with_another_key_is_innocent_of_this_one(dye: Dye) -> None:
    texts = Chain.made(3).texts(20, 200, np.random.default_rng(4), key_for("other", dye))
    grams = distinct_grams(Corpus.of(texts), dye.width)
    p = np.array([math.exp(scored(key_for(f"k-{number}", dye), grams).log_p) for number in range(300)])
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("dye", [MEDIUM, GUMBEL], ids=["medium", "gumbel"])
def test_choosing_contexts_by_what_was_given_accuses_nobody(dye: Dye) -> None:
    chain, rng = Chain.made(5, 16), np.random.default_rng(6)
    suspect = Corpus.of(chain.texts(4, 150, rng))
    found = []
    for number in range(60):
        key = key_for(f"k-{number}", dye)
        grams = distinct_grams(suspect, dye.width, given=Corpus.of(chain.texts(4, 60, rng, key)))
        found.append(scored(key, grams, selected=True))
    assert sum(each.log_p <= math.log(0.01) for each in found) <= 3
    assert np.exp([min(each.log_e, 5.0) for each in found]).mean() <= 2.0


# ---- nothing but what was said counts


@given(TEXTS, st.integers(2, 5))
@settings(max_examples=50)
def test_saying_it_again_changes_nothing(texts: list[list[int]], times: int) -> None:
    for dye in (MEDIUM, GUMBEL):
        key = key_for("c-1", dye)
        once, often = (scored(key, distinct_grams(Corpus.of(several), dye.width)) for several in (texts, texts * times))
        assert once == often


@given(TEXTS, st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_the_order_of_texts_changes_nothing(texts: list[list[int]], random: Random) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)
    for dye in (MEDIUM, GUMBEL):
        key = key_for("c-1", dye)
        one, other = (scored(key, distinct_grams(Corpus.of(several), dye.width)) for several in (texts, shuffled))
        assert one == other


@given(TEXTS, st.integers(1, 4))
@settings(max_examples=50)
def test_each_different_gram_is_counted_once(texts: list[list[int]], width: int) -> None:
    grams = distinct_grams(Corpus.of(texts), width)
    windows = [tuple(text[end - width : end + 1]) for text in texts for end in range(width, len(text))]
    found = [tuple(grams.tokens[end - width : end + 1].tolist()) for end in grams.ends]
    assert sorted(found) == sorted(set(windows))
    assert grams.scorable == len(windows)


@given(TEXTS, TEXTS)
@settings(max_examples=50)
def test_what_a_prompt_says_does_not_count(texts: list[list[int]], prompts: list[list[int]]) -> None:
    grams = distinct_grams(Corpus.of(texts), 2, prompts=Corpus.of(prompts))
    asked = {tuple(text[end - 2 : end + 1]) for text in prompts for end in range(2, len(text))}
    windows = {tuple(text[end - 2 : end + 1]) for text in texts for end in range(2, len(text))}
    assert {tuple(grams.tokens[end - 2 : end + 1].tolist()) for end in grams.ends} == windows - asked


@given(TEXTS, TEXTS)
@settings(max_examples=50)
def test_only_contexts_that_were_given_count(texts: list[list[int]], answers: list[list[int]]) -> None:
    grams = distinct_grams(Corpus.of(texts), 2, given=Corpus.of(answers))
    known = {tuple(text[end - 1 : end + 1]) for text in answers for end in range(1, len(text))}
    windows = {tuple(text[end - 2 : end + 1]) for text in texts for end in range(2, len(text))}
    found = {tuple(grams.tokens[end - 2 : end + 1].tolist()) for end in grams.ends}
    assert found == {window for window in windows if window[:2] in known}


def test_ids_that_are_none_are_refused() -> None:
    for wrong in (-1, 2**32):
        with pytest.raises(ValueError, match="token id"):
            Corpus.of([[wrong]])


# ---- what was dyed is found


@DYES
def test_dyed_text_is_found_and_its_campaign_named(dye: Dye) -> None:
    keys = [key_for(f"c-{number}", dye) for number in range(16)]
    texts = Chain.made(7).texts(25, 200, np.random.default_rng(8), keys[5])
    told = radioactivity(Corpus.of(texts), keys).campaigns
    assert [each.scored.campaign for each in told if each.finding is Finding.DYED] == ["c-5"]
    assert [each.scored.campaign for each in told if each.stands_out] == ["c-5"]
    assert told[5].scored.log_p < math.log(1e-6)


@pytest.mark.parametrize("dye", [MEDIUM, GUMBEL], ids=["medium", "gumbel"])
def test_a_student_of_dyed_answers_is_found(dye: Dye) -> None:
    chain, rng = Chain.made(9), np.random.default_rng(10)
    keys = [key_for(f"c-{number}", dye) for number in range(4)]
    dyed = chain.texts(200, 100, rng, keys[2])
    student = Student(64).learn(dyed)
    told = radioactivity(Corpus.of([student.text(200, rng) for _ in range(50)]), keys).campaigns
    assert [each.scored.campaign for each in told if each.finding is Finding.DYED] == ["c-2"]


def test_knowing_what_was_given_finds_it_where_little_was_dyed() -> None:
    chain, rng = Chain.made(11, 256, 0.7), np.random.default_rng(12)
    key = key_for("c-1", MEDIUM)
    dyed = chain.texts(20, 100, rng, key)
    student = Student(256).learn(dyed + chain.texts(180, 100, rng))
    suspect = Corpus.of([student.text(200, rng) for _ in range(60)])
    (blind,) = radioactivity(suspect, [key]).campaigns
    (knowing,) = radioactivity(suspect, [key], given={"c-1": Corpus.of(dyed)}).campaigns
    assert knowing.scored.grams < blind.scored.grams
    assert knowing.scored.score / knowing.scored.expected > blind.scored.score / blind.scored.expected
    assert knowing.finding is Finding.DYED


# ---- dyes themselves


def test_gumbel_keeps_every_probability() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    chosen = [int(np.argmax(swayed(GUMBEL, key_for(f"k-{n}", GUMBEL).secret, (1, 2), logits))) for n in range(2_000)]
    seen = np.bincount(chosen, minlength=4)
    assert stats.chisquare(seen, 2_000 * np.exp(logits)).pvalue > 0.001


def test_a_context_that_comes_again_is_left_to_chance() -> None:
    logits = np.zeros(8)
    assert swayed(GUMBEL, bytes(16), (1, 2), logits, seen=True) is logits
    assert swayed(GUMBEL, bytes(16), (1,), logits) is logits
    assert swayed(MEDIUM, bytes(16), (1, 2), logits, seen=True) is not logits


@given(st.binary(min_size=16, max_size=16), st.sampled_from([0.25, 0.5, 0.75]))
@settings(max_examples=30)
def test_a_share_gamma_is_green(key: bytes, gamma: float) -> None:
    green = bits_of_vocabulary(key, (3, 4), 20_000) < threshold(gamma)
    assert abs(green.mean() - gamma) < 6 * math.sqrt(gamma * (1 - gamma) / 20_000)
    swayed_logits = swayed(Dye(gamma=gamma, delta=1.5), key, (3, 4), np.zeros(20_000))
    assert (swayed_logits == 1.5 * green).all()


# ---- what cannot be told


@pytest.mark.parametrize("texts", [[], [[]], [[1]], [[1, 2]], [[1, 2, 3]], [[1] * 1_000] * 100])
def test_too_little_is_said_to_be_too_little(texts: list[list[int]]) -> None:
    for dye in (MEDIUM, GUMBEL):
        found = radioactivity(Corpus.of(texts), [key_for("c-1", dye)])
        (told,) = found.campaigns
        assert told.finding is Finding.CANNOT_TELL
        assert f"the least effect asked for needs {told.grams_needed:,}" in told.why
        assert told.tokens_needed is None or told.tokens_needed > found.tokens
    assert (found.repeated > 0.99) == (len(texts) == 100)
    assert ("repeats itself" in told.why) == (len(texts) == 100)


def test_enough_without_a_surplus_is_no_evidence() -> None:
    texts = Chain.made(13, 200).texts(60, 200, np.random.default_rng(14))
    found = radioactivity(Corpus.of(texts), [key_for("c-1", MEDIUM)], Settings(effect=0.06))
    assert found.campaigns[0].finding is Finding.NO_EVIDENCE
    assert found.campaigns[0].power >= 0.8
