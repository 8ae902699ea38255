"""The baseline: what cohorts of ordinary traffic look like, signal by signal; the null of every p-value. Pure.

A cohort is held against cohorts that are about as well known as itself: those with at least a quarter of its exchanges,
up to a bound, since a handful of exchanges says little either way. What an innocent explanation takes away anyway is no
measure of guilt: one customer's keys share a card in the open, and are left out where shared cards are ranked.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stillwatch.stats import Reference, any_of, bits_of
from stillwatch.verdicts.evidence import Family
from stillwatch.verdicts.innocent import explained, explains
from stillwatch.verdicts.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from stillwatch.cohorts.survey import Figures, Survey
    from stillwatch.verdicts.signals.signal import Signal

T = TypeVar("T")
SIZES = (0, 60, 250)
"""A cohort of n exchanges is held against those with at least the largest of these that is no more than n / 4."""

FAMILY_CAP = {Family.WORK: 10.0, Family.ASKING: 6.0, Family.DEALING: 10.0, Family.LINKAGE: 10.0, Family.TAKE: 4.0}
"""Bits that one family can give: signals inside a family repeat each other, and none may carry a verdict alone."""

FAMILY_FLOOR = {Family.WORK: -8.0, Family.ASKING: 0.0, Family.DEALING: -6.0, Family.LINKAGE: 0.0, Family.TAKE: -2.0}
"""Bits that one family can take. Accounts of different people contradict one operator, and so do people's hours in
part; that nothing is shared or asked for says nothing, since an operator can avoid it."""


_MANY = 4_096  # streams from which a second thread pays
SPREAD = 1.0  # bits of work, or of nobody following up, from which wording counts as evidence of content
_PLACE = {signal.id: place for place, signal in enumerate(SIGNALS)}
_ALTERNATIVES = [place for place, signal in enumerate(SIGNALS) if signal.alternative]
_UNREAD = [_PLACE["next-token-sweep"], _PLACE["replayed-handles"], _PLACE["technique-sweep"]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Evidence about streams.

    Attributes:
        signals: bits, [streams, len(SIGNALS)].
        families: bits after caps and innocent explanations, [streams, len(Family)], in the order of `Family`.
        explained: what an innocent explanation took away, [streams, len(Family)], 0 or below.
        total: sum over families, [streams].
    """

    signals: NDArray[np.float64]
    families: NDArray[np.float64]
    explained: NDArray[np.float64]
    total: NDArray[np.float64]

    def family(self, family: Family) -> NDArray[np.float64]:
        """Bits of one family."""
        return self.families[:, list(Family).index(family)]

    @property
    def asked(self) -> NDArray[np.float64]:
        """Bits of asking that count as content.

        Wording alone does not tell a campaign from people who like explanations: what is asked for counts only where
        the prompts are also spread as an operator spreads them, or where nobody ever comes back to an answer. Requests
        that no reader sends stand by themselves.
        """
        asking = self.family(Family.ASKING)
        spread = (self.family(Family.WORK) >= SPREAD) | (self.signals[:, _PLACE["no-follow-up"]] >= SPREAD)
        return np.where(spread, asking, np.minimum(self.signals[:, _UNREAD].sum(axis=1), asking))

    @property
    def content(self) -> NDArray[np.float64]:
        """Bits of the stronger content-side family: what is asked."""
        return np.maximum(self.family(Family.WORK), self.asked)

    @property
    def coordination(self) -> NDArray[np.float64]:
        """Bits of the stronger coordination-side family: how accounts act as one."""
        return np.maximum(self.family(Family.DEALING), self.family(Family.LINKAGE))

    @property
    def strength(self) -> NDArray[np.float64]:
        """What cohorts are ranked by: the total, where the stronger side counts no more than the weaker.

        A campaign needs both sides. Much evidence on one side alone is common among honest cohorts, and must neither
        lift one of them nor hide a campaign behind them.
        """
        content = self.family(Family.WORK) + self.asked
        coordination = self.family(Family.DEALING) + self.family(Family.LINKAGE)
        return np.minimum(self.total, 2.0 * np.minimum(content, coordination) + self.family(Family.TAKE))

    def pick(self, which: NDArray[np.generic]) -> Scores:
        """Those of some streams."""
        return Scores(self.signals[which], self.families[which], self.explained[which], self.total[which])


@dataclass(frozen=True, slots=True)
class Baseline:
    """Reference cohorts.

    Attributes:
        name: what it was fitted on, in words.
        cohorts: how many cohorts stand behind it.
        guilt: for each signal, by id, references of `Signal.guilt` by size class.
        innocence: the same of `Signal.innocence`.
        strengths: of each cohort's best view, for the p-value of a whole cohort.
    """

    name: str
    cohorts: int
    guilt: Mapping[str, tuple[Reference, ...]]
    innocence: Mapping[str, tuple[Reference, ...]]
    strengths: Reference

    def score(self, figures: Figures, without: frozenset[str] = frozenset()) -> Scores:
        """Evidence about each stream.

        Args:
            figures: what was measured.
            without: ids of signals, or names of families, that are switched off.
        """
        exchanges = figures["exchanges"]

        def bits_by(signal: Signal) -> NDArray[np.float64]:
            if signal.id in without or signal.family.value in without:
                return np.zeros(len(figures))
            guilt = _by_size(self.guilt[signal.id], signal.guilt(figures), exchanges)
            innocence = _by_size(self.innocence[signal.id], signal.innocence(figures), exchanges)
            # each side is evidence of its own; what speaks for neither leaves nothing
            net = np.maximum(bits_of(guilt), 0.0) - np.maximum(bits_of(innocence), 0.0)
            known = np.isfinite(signal.read(figures)[0])
            return np.where(known, np.clip(net, -signal.absence, signal.most), 0.0)

        bits = np.stack(_each_signal(bits_by, len(figures)), axis=1)
        bits[:, _ALTERNATIVES] = any_of(bits[:, _ALTERNATIVES])
        return _scores(bits, figures)

    def p_values(self, scores: Scores) -> NDArray[np.float64]:
        """Probability that the best view of an ordinary cohort is as strong."""
        return self.strengths.tail_p_values(scores.strength)


def fit(
    survey: Survey,
    *,
    name: Callable[[int], str],
    ordinary: NDArray[np.bool_] | None = None,
    without: frozenset[str] = frozenset(),
) -> Baseline:
    """Fit a baseline to a survey's streams.

    Args:
        survey: of a log.
        name: what to call it, given the number of cohorts.
        ordinary: streams to count; those of known campaigns are left out.
        without: ids of signals, or names of families, that are switched off.
    """
    kept = np.ones(len(survey), np.bool_) if ordinary is None else ordinary
    weight = np.where(kept, survey.weight, 0.0)
    exchanges = survey.figures["exchanges"]
    open_ = dict(zip(Family, np.where(explains(survey.figures).T, 0.0, weight), strict=True))

    def references(signal: Signal) -> tuple[tuple[Reference, ...], tuple[Reference, ...]]:
        return (
            _references(signal.guilt(survey.figures), open_[signal.family], exchanges),
            _references(signal.innocence(survey.figures), weight, exchanges),
        )

    made = dict(zip((signal.id for signal in SIGNALS), _each_signal(references, len(survey)), strict=True))
    guilt, innocence = ({id_: sides[side] for id_, sides in made.items()} for side in range(2))
    nothing = Reference.of(np.empty(0), np.empty(0))
    cohorts = round(weight.sum())
    bare = Baseline(name(cohorts), cohorts, guilt, innocence, nothing)
    best = best_by_cohort(bare.score(survey.figures, without).strength, survey.leader, kept)
    return Baseline(bare.name, cohorts, guilt, innocence, Reference.of(best, np.ones(len(best))))


def _each_signal(work: Callable[[Signal], T], streams: int) -> list[T]:
    """Do something for every signal; on two threads where there are many streams, since sorting releases the lock."""
    if streams < _MANY:
        return [work(signal) for signal in SIGNALS]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, SIGNALS))


def best_by_cohort(
    strength: NDArray[np.float64], leader: NDArray[np.int64], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Strength of the strongest among each cohort's streams."""
    best = np.full(len(strength), -np.inf)
    np.maximum.at(best, leader[kept], strength[kept])
    return np.asarray(best[np.isfinite(best)])


def _references(
    scores: NDArray[np.float64], weight: NDArray[np.float64], exchanges: NDArray[np.float64]
) -> tuple[Reference, ...]:
    made = []
    for size in SIZES:
        kept = (exchanges >= size) & (weight > 0)
        made.append(Reference.of(np.where(np.isneginf(scores[kept]), np.nan, scores[kept]), weight[kept]))
    return tuple(made)


def _by_size(
    references: tuple[Reference, ...], scores: NDArray[np.float64], exchanges: NDArray[np.float64]
) -> NDArray[np.float64]:
    p = np.ones(len(scores))
    place = np.searchsorted(SIZES, exchanges / 4.0, side="right") - 1
    for index, reference in enumerate(references):
        chosen = place == index
        if chosen.any():
            p[chosen] = reference.p_values(scores[chosen])
    return p


def _scores(bits: NDArray[np.float64], figures: Figures) -> Scores:
    families = np.empty((len(bits), len(Family)))
    for index, family in enumerate(Family):
        own = [place for place, signal in enumerate(SIGNALS) if signal.family is family]
        families[:, index] = np.clip(bits[:, own].sum(axis=1), FAMILY_FLOOR[family], FAMILY_CAP[family])
    after = explained(figures, families)
    return Scores(bits, after, after - families, after.sum(axis=1))
