"""Dyes: keyed statistical marks in the choice of tokens. Pure; touches nothing.

`green`: before each token a keyed function of the last `width` tokens calls a share `gamma` of the vocabulary green,
and green tokens get `delta` added to their logits (Kirchenbauer et al., "A Watermark for Large Language Models", ICML
2023). Each token is green or not by itself, with probability gamma, so that a detector needs no size of vocabulary.

`gumbel`: the token is the one with the largest logit + Gumbel noise, where the noise is the keyed function's instead of
chance's (Aaronson, 2022; the Gumbel-max trick). Over keys, every answer keeps the probability that it had: undistorted,
so long as a context is used once. A context that comes again in one answer is therefore left to chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.lineage import prf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from stillwatch.lineage.prf import Words

WIDTH_AT_MOST: Final = 8
DELTA_AT_MOST: Final = 20.0


class Scheme(StrEnum):
    """How a dye sways the choice."""

    GREEN = "green"
    GUMBEL = "gumbel"


@dataclass(frozen=True, slots=True)
class Dye:
    """A way of dyeing.

    Attributes:
        scheme: how the choice is swayed.
        width: tokens of context that the keyed function sees. Fewer survive rewording better; more are harder to learn
            for somebody who reads the answers.
        gamma: share of the vocabulary that is green; 1 for `gumbel`, which has no such share.
        delta: what a green token's logit gets, in nats; 0 for `gumbel`.

    """

    scheme: Scheme = Scheme.GREEN
    width: int = 2
    gamma: float = 0.5
    delta: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what is no dye.

        Raises:
            ValueError: a number is out of its bounds; the text says which.

        """
        if not 1 <= self.width <= WIDTH_AT_MOST:
            raise ValueError(f"width: must be 1 to {WIDTH_AT_MOST}, not {self.width}")
        if self.scheme is Scheme.GUMBEL:
            if (self.gamma, self.delta) != (1.0, 0.0):
                raise ValueError("gamma and delta: the gumbel scheme has none; leave them at 1 and 0")
            return
        if not 0.01 <= self.gamma <= 0.99:
            raise ValueError(f"gamma: must be 0.01 to 0.99, not {self.gamma:g}")
        if not 0.0 < self.delta <= DELTA_AT_MOST:
            raise ValueError(f"delta: must be above 0 and at most {DELTA_AT_MOST:g}, not {self.delta:g}")


STRENGTHS: Final[Mapping[str, Dye]] = {
    "gumbel": Dye(Scheme.GUMBEL, 2, 1.0, 0.0),
    "faint": Dye(Scheme.GREEN, 2, 0.5, 0.5),
    "light": Dye(Scheme.GREEN, 2, 0.5, 1.0),
    "medium": Dye(Scheme.GREEN, 2, 0.5, 2.0),
    "strong": Dye(Scheme.GREEN, 1, 0.25, 4.0),
}
"""Dyes by name, from the one that alters nothing to the one that alters most."""


def threshold(gamma: float) -> np.uint64:
    """Give the bound below which a token's bits mean that it is green."""
    return np.uint64(min(int(gamma * 2.0**64), 2**64 - 1))


def uniforms(bits: Words) -> NDArray[np.float64]:
    """Give numbers in (0, 1) of bits: multiples of 2^-53 and half of it."""
    return np.asarray(((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def bits_of_vocabulary(key: bytes, context: Sequence[int] | NDArray[np.integer], size: int) -> Words:
    """Give the bits of every token of a vocabulary after a context."""
    return prf.values(prf.seeds(key, np.asarray(context, np.uint64)[None]), np.arange(size, dtype=np.uint64))


def swayed(
    dye: Dye,
    key: bytes,
    context: Sequence[int] | NDArray[np.integer],
    logits: NDArray[np.float64],
    *,
    seen: bool = False,
) -> NDArray[np.float64]:
    """Give the logits to sample from; a row's softmax may have had any temperature and truncation before.

    Args:
        dye: how.
        key: the campaign's.
        context: ids of the last `dye.width` tokens; a shorter one leaves the logits as they are.
        logits: one for each token of the vocabulary.
        seen: whether the context was used before in this answer.

    """
    if len(context) < dye.width or (seen and dye.scheme is Scheme.GUMBEL):
        return logits
    bits = bits_of_vocabulary(key, context[-dye.width :], len(logits))
    if dye.scheme is Scheme.GREEN:
        return np.asarray(logits + dye.delta * (bits < threshold(dye.gamma)))
    chosen = int(np.argmax(logits - np.log(-np.log(uniforms(bits)))))
    return np.where(np.arange(len(logits)) == chosen, 0.0, -np.inf)
