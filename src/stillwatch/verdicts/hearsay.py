"""Hearsay: what others say about marks, and how far it may move the odds that a cohort starts from. Pure.

Nobody's word is evidence. It lowers what a cohort's own evidence must come to, by so many bits as the word weighs, and
moves it up in the order in which cohorts are looked at. What is asked on each side, content and coordination, stays as
it is; so does the least that a cohort needs to be watched. One source can move `PER_SOURCE` bits, all together
`IN_ALL`: that much is gained or lost by who lies, and no more.

For the rate of false discoveries, cohorts that are spoken of get more weight and all others a little less, with a mean
of 1, which holds the rate whatever is said (Genovese, Roeder and Wasserman, "False discovery control with p-value
weighting", Biometrika 93, 2006): words must not have been chosen by looking at these logs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.marks.families import ACCOUNT_MARKS, BY_NAME
from stillwatch.marks.key import name_mark
from stillwatch.verdicts.evidence import Told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population

PER_SOURCE: Final = 3.0  # bits that one source can move
IN_ALL: Final = 5.0  # bits that all sources together can move
BORNE: Final = 0.5  # share of a cohort's accounts that must bear a mark for it to be the cohort's
OWN: Final = 0.5  # share of a mark's accounts that must be the cohort's: what many others bear speaks of nobody


@dataclass(frozen=True, slots=True)
class Word:
    """One source's word about one mark.

    Attributes:
        source: who says it, by its own account.
        via: who handed it over; this is what `PER_SOURCE` holds for.
        tip: id of what was received.
        bits: what it weighs, before bounds; 0 for what is disputed.
        marking: the label it was given under.
        disputed: whether somebody says that it is wrong.
    """

    source: str
    via: str
    tip: str
    bits: float
    marking: str
    disputed: bool = False


class Hearsay:
    """Words about marks.

    Args:
        words: by family and name of the mark.
        keys: under which marks may have been named.
    """

    def __init__(self, words: Mapping[tuple[str, str], Sequence[Word]], keys: Sequence[bytes]) -> None:
        self._words, self._keys = words, tuple(keys)
        self._families = [name for name in BY_NAME if any(family == name for family, _ in words)]

    def priority(self, families: Sequence[str], marks: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Bits by which streams move up in the order, one each."""
        return np.array(
            [_bounded(self._of(family, int(mark)))[1] for family, mark in zip(families, marks, strict=True)], np.float64
        )

    def about(self, population: Population, members: NDArray[np.int32], rows: NDArray[np.int64]) -> tuple[Told, ...]:
        """Give what is said about a cohort, strongest first.

        Args:
            population: the log.
            members: the cohort's accounts.
            rows: their exchanges that bear the cohort's mark.
        """
        heard: dict[str, list[tuple[str, Word]]] = defaultdict(list)
        for family, mark in self._borne(population, members, rows):
            words = self._of(family, mark)
            if words and _bearers(population, family, mark) * OWN <= len(members):
                for word in words:
                    heard[word.via].append((family, word))
        if not heard:
            return ()
        by_via, total = _bounded([word for words in heard.values() for _, word in words])
        whole = sum(by_via.values())
        told = [_told(words, by_via[via] * (total / whole if whole else 0.0)) for via, words in heard.items()]
        return tuple(sorted(told, key=lambda each: (-each.bits, each.via)))

    def _of(self, family: str, mark: int) -> list[Word]:
        return [word for key in self._keys for word in self._words.get((family, name_mark(key, family, mark)), ())]

    def _borne(
        self, population: Population, members: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> Iterator[tuple[str, int]]:
        """Marks that enough of the members bear, of the families that anybody speaks of."""
        account = population.columns["account"][rows]
        for family in self._families:
            layers = population.layers(family, rows)
            if not layers:
                continue
            marks = np.concatenate(layers).astype(np.uint64, copy=False)
            pairs = np.stack([marks, np.tile(account, len(layers)).astype(np.uint64)], axis=1)[marks != 0]
            distinct, accounts = np.unique(np.unique(pairs, axis=0)[:, 0], return_counts=True)
            for mark in distinct[accounts >= max(BORNE * len(members), 1)]:
                yield family, int(mark)


def weights(bits: NDArray[np.float64], tests: float) -> NDArray[np.float64]:
    """Weights of p-values for cohorts that are moved by so many bits, among so many tests; their mean over all is 1."""
    odds = np.exp2(bits)
    others = max(tests - len(bits), 0.0)
    return np.asarray(odds * (others + len(bits)) / (others + odds.sum()))


def _bounded(words: Sequence[Word]) -> tuple[dict[str, float], float]:
    """Bits by who handed them over, each bounded; and in all. What is said twice counts once."""
    once: dict[str, Word] = {}
    for word in words:
        if word.tip not in once or (word.disputed and not once[word.tip].disputed):
            once[word.tip] = word
    by_via = {word.via: 0.0 for word in words}
    for word in once.values():
        if not word.disputed:
            by_via[word.via] = max(by_via[word.via], min(max(word.bits, 0.0), PER_SOURCE))
    return by_via, min(sum(by_via.values()), IN_ALL)


def _told(words: Sequence[tuple[str, Word]], bits: float) -> Told:
    """Put together what one of them handed over."""
    families = sorted({family for family, _ in words})
    said = [word for _, word in words]
    disputed = all(word.disputed for word in said)
    says = f"knows from a campaign: {'; '.join(BY_NAME[family].says for family in families)}"
    return Told(
        source=", ".join(sorted({word.source for word in said})),
        via=said[0].via,
        tip=tuple(sorted({word.tip for word in said})),
        bits=bits,
        says=f"{says} (disputed, so that it moves nothing)" if disputed else says,
        marking=max((word.marking for word in said), key=_LABELS.index),
        disputed=any(word.disputed for word in said),
    )


_LABELS: Final = ("TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED")


def _bearers(population: Population, family: str, mark: int) -> int:
    """How many accounts of the log bear a mark."""
    if family in ACCOUNT_MARKS:
        own = population.account_mark(family)
        return int((own == mark).reshape(len(own), -1).any(axis=1).sum())
    marks = population.mark(family)
    hit = (marks == mark).reshape(len(marks), -1).any(axis=1)
    return len(np.unique(population.columns["account"][hit]))
