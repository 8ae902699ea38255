"""A small language model in numpy, to dye with and to distil: a chain over a few words, and a student that counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.lineage.dye import Dye, Scheme, swayed
from stillwatch.lineage.keys import DyeKey, derived_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MASTER = bytes(range(32))


def key_for(campaign: str, dye: Dye) -> DyeKey:
    """Give a campaign's key, always the same."""
    return derived_key(MASTER, campaign, dye)


@dataclass(frozen=True)
class Chain:
    """Logits of the next token by the last one; [vocabulary, vocabulary]."""

    logits: NDArray[np.float64]

    @classmethod
    def made(cls, seed: int, vocabulary: int = 64, spread: float = 1.5) -> Chain:
        """Make one by chance; the larger the spread, the surer it is of its next token."""
        return cls(np.random.default_rng(seed).normal(0.0, spread, (vocabulary, vocabulary)))

    def text(self, length: int, rng: np.random.Generator, key: DyeKey | None = None) -> NDArray[np.int64]:
        """Write a text, dyed where a key is given."""
        tokens = [int(rng.integers(len(self.logits)))]
        used: set[tuple[int, ...]] = set()
        while len(tokens) < length:
            logits = self.logits[tokens[-1]]
            if key is not None:
                context = tuple(tokens[-key.dye.width :])
                logits = swayed(key.dye, key.secret, context, logits, seen=context in used)
                used.add(context)
            tokens.append(drawn(logits, rng))
        return np.array(tokens)

    def texts(
        self, count: int, length: int, rng: np.random.Generator, key: DyeKey | None = None
    ) -> list[NDArray[np.int64]]:
        """Write several."""
        return [self.text(length, rng, key) for _ in range(count)]


@dataclass
class Student:
    """A model that is trained by counting which token follows each pair of tokens."""

    vocabulary: int
    pairs: dict[tuple[int, int], NDArray[np.float64]] = field(default_factory=dict)

    def learn(self, texts: Sequence[NDArray[np.int64]]) -> Student:
        """Count."""
        for text in texts:
            for one, two, three in zip(text[:-2].tolist(), text[1:-1].tolist(), text[2:].tolist(), strict=True):
                counts = self.pairs.get((one, two))
                if counts is None:
                    counts = self.pairs[one, two] = np.zeros(self.vocabulary)
                counts[three] += 1.0
        return self

    def text(self, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Write a text of its own; where it never was, any token is as good."""
        tokens = rng.integers(self.vocabulary, size=2).tolist()
        while len(tokens) < length:
            counts = self.pairs.get((tokens[-2], tokens[-1]))
            if counts is None:
                tokens.append(int(rng.integers(self.vocabulary)))
            else:
                tokens.append(int(np.searchsorted(np.cumsum(counts), rng.random() * counts.sum(), side="right")))
        return np.array(tokens)


def drawn(logits: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Sample a token."""
    weights = np.cumsum(np.exp(logits - logits.max()))
    return int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))


GUMBEL = Dye(Scheme.GUMBEL, 2, 1.0, 0.0)
