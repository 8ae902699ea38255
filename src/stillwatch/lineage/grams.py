"""The different k-grams of a corpus: each (context, token) counted once, however often it is said. Pure.

Under the null a dye's bits of different k-grams are independent, while the same k-gram said again has the same bits
again: counted twice, an innocent model that likes to repeat itself would look guilty (Fernandez et al., "Three bricks
to consolidate watermarks for large language models", WIFS 2023; Sander et al., "Watermarking makes language models
radioactive", NeurIPS 2024).

Which k-grams are looked at never depends on a key, and not on the order of the texts. Windows are told apart by a
64-bit hash: two that meet, once in 37 million corpora of a million k-grams, cost one k-gram and bias nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.compiled import compiled, inlined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stillwatch.lineage.prf import Tokens, Words

_LEAST_TABLE: Final = 64
_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts as token ids.

    Attributes:
        tokens: of all texts, one after the other.
        offsets: where each text begins, and the end; [texts + 1].

    """

    tokens: Tokens
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[NDArray[np.integer] | Sequence[int]]) -> Corpus:
        """Put texts together.

        Raises:
            ValueError: an id is negative or has more than 32 bits.

        """
        lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
        whole = [np.asarray(text, np.int64) for text in texts]
        tokens = np.concatenate(whole) if whole else np.empty(0, np.int64)
        if len(tokens) and (tokens.min() < 0 or tokens.max() >= 2**32):
            raise ValueError("a token id is negative or has more than 32 bits")
        return cls(tokens.astype(np.uint32), np.r_[0, np.cumsum(lengths)].astype(np.int64))


@dataclass(frozen=True, slots=True)
class Grams:
    """Different k-grams of a corpus.

    Attributes:
        tokens: the corpus's.
        ends: the place of each k-gram's last token, ascending.
        width: tokens before it that are its context.
        scorable: k-grams that there would be if none were said twice.

    """

    tokens: Tokens
    ends: NDArray[np.int64]
    width: int
    scorable: int


def distinct_grams(corpus: Corpus, width: int, *, prompts: Corpus | None = None, given: Corpus | None = None) -> Grams:
    """Find the different k-grams of a corpus.

    Args:
        corpus: the suspect's texts.
        width: tokens of context; the first `width` tokens of a text are nobody's last.
        prompts: what the suspect was asked: it may repeat that without having learned it, so that does not count.
        given: answers that a campaign got: only what follows their contexts counts. See `radioactivity` for the price.

    """
    texts = (corpus,) if prompts is None else (prompts, corpus)
    room = sum(len(each.tokens) for each in texts)
    table = np.zeros(1 << max(2 * room, _LEAST_TABLE).bit_length(), np.uint64)
    ends = np.empty(0, np.int64)
    for each in texts:
        ends = np.empty(len(each.tokens), np.int64)
        ends = ends[: _first_ends(each.tokens, each.offsets, width, table, ends)]
    if given is not None:
        known = np.unique(_contexts(given.tokens, _all_ends(given, width - 1), width - 1))
        ends = ends[np.isin(_contexts(corpus.tokens, ends - 1, width - 1), known)]
    lengths = np.diff(corpus.offsets)
    return Grams(corpus.tokens, ends, width, int(np.maximum(lengths - width, 0).sum()))


def _all_ends(corpus: Corpus, width: int) -> NDArray[np.int64]:
    """Places that have `width` tokens of their own text before them."""
    starts = np.repeat(corpus.offsets[:-1], np.diff(corpus.offsets))
    places = np.arange(len(corpus.tokens), dtype=np.int64)
    return places[places - starts >= width]


def _contexts(tokens: Tokens, ends: NDArray[np.int64], width: int) -> Words:
    hashes = np.empty(len(ends), np.uint64)
    _hash_windows(tokens, ends, width, hashes)
    return hashes


@inlined
def _hash_of(tokens: Tokens, end: int, width: int) -> np.uint64:
    state = np.uint64(width + 1) * _STEP
    for place in range(end - width, end + 1):
        state = (state ^ np.uint64(tokens[place])) * np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(29)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(32)
    return state if state != np.uint64(0) else _STEP  # 0 is an empty place of the table


@compiled
def _hash_windows(tokens: Tokens, ends: NDArray[np.int64], width: int, hashes: Words) -> None:
    for index in range(len(ends)):
        hashes[index] = _hash_of(tokens, ends[index], width)


@compiled
def _first_ends(tokens: Tokens, offsets: NDArray[np.int64], width: int, table: Words, ends: NDArray[np.int64]) -> int:
    """Enter every window into the table (open addressing), and note the places of those that were not in it."""
    found = 0
    mask = np.uint64(len(table) - 1)
    for text in range(len(offsets) - 1):
        for end in range(offsets[text] + width, offsets[text + 1]):
            wanted = _hash_of(tokens, end, width)
            slot = wanted & mask
            while table[slot] != np.uint64(0) and table[slot] != wanted:
                slot = slot + np.uint64(1) & mask
            if table[slot] == np.uint64(0):
                table[slot] = wanted
                ends[found] = end
                found += 1
    return found
