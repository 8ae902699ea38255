"""Does a suspect's text carry a dye? The closed-model, text-only test of radioactivity. Pure; touches nothing.

After Sander et al., "Watermarking makes language models radioactive", NeurIPS 2024: a model trained on dyed answers
prefers, a little, the tokens that the dye preferred, in the contexts that it learned. Each different k-gram of the
suspect's texts (`grams`) is scored once: 1 or 0 for a green list, -ln(1 - r) for Gumbel. Under the null that the texts
were made without the key, which is a statement about the key and not about the texts, the scores are independent, of
known distribution and of a number fixed in advance. So the p-value is exact, whatever the texts are: a binomial tail,
or the tail of a Gamma distribution. It presumes what HKDF and SipHash promise: that the key's bits look random.

With the answers that a campaign got (`given`) only contexts that occur in them count, which concentrates the signal.
What those answers are depends on the key, and so does, a little, how many k-grams are counted: the binomial tail would
no longer be exact. Whether a context counts was settled before its own bits were first asked for, so the product of
likelihood ratios remains an e-value, and the p-value is then 1 / e (Ville, 1939).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.lineage import tails
from stillwatch.lineage.dye import Scheme, threshold, uniforms
from stillwatch.lineage.grams import Grams, distinct_grams
from stillwatch.lineage.prf import values_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.lineage.grams import Corpus
    from stillwatch.lineage.keys import DyeKey

ERROR: Final = 0.01  # family-wise, over all keys tried
EFFECT: Final = 0.05  # standard deviations a k-gram; a student of one dyed answer in five shows some 0.1
POWER: Final = 0.8
_MUCH: Final = 0.5  # share of repetition that a result names as its reason
_UNIT: Final = 2.0**24  # Gumbel scores are summed as whole numbers, so that the order of texts cannot show


class Finding(StrEnum):
    """What a test came to, for one campaign."""

    DYED = "dyed"
    NO_EVIDENCE = "no evidence"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of a test.

    Attributes:
        error: probability, over all keys tried, that any innocent one is called dyed.
        effect: the least surplus a k-gram that is to be found, in standard deviations.
        power: the probability with which it is to be found, for `no evidence` to be said.

    """

    error: float = ERROR
    effect: float = EFFECT
    power: float = POWER


@dataclass(frozen=True, slots=True)
class Scored:
    """A corpus under one key, tested.

    Attributes:
        campaign: whose key.
        scheme: the dye's.
        grams: different k-grams that were scored.
        score: their sum.
        expected: of that sum under the null.
        log_p: natural logarithm of the p-value.
        log_e: of the e-value.
        by_e_value: whether the p-value is 1 / e, because k-grams were selected.

    """

    campaign: str
    scheme: Scheme
    grams: int
    score: float
    expected: float
    log_p: float
    log_e: float
    by_e_value: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one campaign.

    Attributes:
        scored: its test.
        log_p_holm: the p-value's logarithm, adjusted for all keys tried.
        stands_out: whether the e-value does, by e-BH at the same rate.
        finding: dyed, no evidence, or cannot tell.
        power: probability that this many k-grams show the least effect.
        grams_needed: different k-grams that the least effect needs.
        tokens_needed: the same in tokens of texts that repeat themselves as much as these; None if that is no number.
        why: the finding's reason, in a sentence without its full stop.

    """

    scored: Scored
    log_p_holm: float
    stands_out: bool
    finding: Finding
    power: float
    grams_needed: int
    tokens_needed: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Radioactivity:
    """The test of a corpus under all keys.

    Attributes:
        campaigns: one for each key, in their order.
        texts: how many there were.
        tokens: in them.
        repeated: share of the scorable k-grams that were said before, or stood in a prompt.

    """

    campaigns: tuple[Told, ...]
    texts: int
    tokens: int
    repeated: float


def scored(key: DyeKey, grams: Grams, *, selected: bool = False) -> Scored:
    """Test k-grams under one key.

    Args:
        key: the campaign's.
        grams: the corpus's, of the width of the key's dye.
        selected: whether they were chosen by what the campaign got, so that 1 / e takes the place of the exact tail.

    """
    count, dye = len(grams.ends), key.dye
    bits = values_at(key.secret, grams.tokens, grams.ends, grams.width)
    if dye.scheme is Scheme.GREEN:
        green = int((bits < threshold(dye.gamma)).sum())
        log_p = tails.binomial_tail(green, count, dye.gamma)
        log_e = tails.binomial_e_value(green, count, dye.gamma)
        score, expected = float(green), count * dye.gamma
    else:
        score = int(np.rint(-np.log1p(-uniforms(bits)) * _UNIT).astype(np.int64).sum()) / _UNIT
        log_p, log_e, expected = tails.gamma_tail(score, count), tails.gamma_e_value(score, count), float(count)
    if selected:
        log_p = min(0.0, -log_e)
    return Scored(key.campaign, dye.scheme, count, score, expected, log_p, log_e, selected)


def radioactivity(
    corpus: Corpus,
    keys: Sequence[DyeKey],
    settings: Settings = Settings(),
    *,
    prompts: Corpus | None = None,
    given: Mapping[str, Corpus] | None = None,
) -> Radioactivity:
    """Test a suspect's texts under every key that is to be tried, and correct for all of them.

    Args:
        corpus: the texts, by the tokenizer of the model that dyed.
        keys: of the campaigns; at least one.
        settings: what is asked of the test.
        prompts: what the suspect was asked; what it repeats of that does not count.
        given: answers that campaigns got, by campaign.

    """
    by_width = {width: distinct_grams(corpus, width, prompts=prompts) for width in {key.dye.width for key in keys}}
    tests = []
    for key in keys:
        answers = (given or {}).get(key.campaign)
        grams = by_width[key.dye.width]
        if answers is not None:
            grams = distinct_grams(corpus, key.dye.width, prompts=prompts, given=answers)
        tests.append(scored(key, grams, selected=answers is not None))
    adjusted = tails.holm([test.log_p for test in tests])
    stand_out = tails.e_bh([test.log_e for test in tests], settings.error)
    widest = max(by_width.values(), key=lambda grams: grams.width)
    repeated = 1.0 - len(widest.ends) / widest.scorable if widest.scorable else 0.0
    tokens = len(corpus.tokens)
    told = tuple(
        _told(test, log_p, settings, keys=len(keys), stands_out=out, tokens=tokens, repeated=repeated)
        for test, log_p, out in zip(tests, adjusted, stand_out, strict=True)
    )
    return Radioactivity(told, len(corpus.offsets) - 1, tokens, repeated)


def _told(
    test: Scored, log_p: float, settings: Settings, *, keys: int, stands_out: bool, tokens: int, repeated: float
) -> Told:
    error, by_e_value = settings.error / keys, test.by_e_value
    need = tails.needed(settings.effect, error=error, power=settings.power, by_e_value=by_e_value)
    power = tails.power_of(test.grams, settings.effect, error=error, by_e_value=by_e_value) if test.grams else 0.0
    if log_p <= math.log(settings.error):
        finding = Finding.DYED
        surplus = test.score / test.expected - 1.0
        why = f"the score is {surplus:+.2%} beyond chance over {test.grams:,} different k-grams"
    elif test.grams >= need:
        finding = Finding.NO_EVIDENCE
        why = f"{test.grams:,} different k-grams show no surplus; the least effect asked for needs {need:,}"
    else:
        finding = Finding.CANNOT_TELL
        why = f"only {test.grams:,} different k-grams, and the least effect asked for needs {need:,}"
        if repeated > _MUCH:
            why += f"; {repeated:.0%} of what could be scored repeats itself or its prompt"
    tokens_needed = math.ceil(need * tokens / test.grams) if test.grams else None
    return Told(test, log_p, stands_out, finding, power, need, tokens_needed, why)
