"""What a text asks for: a tiny learned model that scores five things which distillation harvests.

    reasoning   the full chain of thought, written out
    rubric      grading, comparing and rewarding answers of models
    cleaning    earlier thinking rewritten, translated, continued, stripped of refusals, converted
    tools       whole agent runs: thought, action, observation
    synthesis   training data: instructions, question-answer pairs, dialogues, rewordings

Five independent logistic heads over hashed single tokens and pairs of neighbours (feature hashing: Weinberger et al.,
ICML 2009), with weights of one byte, learned by `tools/train_wants.py`. It adds two table look-ups a token, in one pass
beside the other text kernels. A high score says what is asked for, not that asking is wrong: people ask for all of it.

Only the head and the tail of a text are scored, and the higher counts: a document pasted after a short instruction, or
before it, does not drown it.

Touches: the weights, a file of this package, in `load_wants`. Imports `compiled`, `normalise` and `tokens`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from stillwatch.compiled import compiled, inlined
from stillwatch.errors import InputError
from stillwatch.marks.normalise import normalise, text_buffers
from stillwatch.marks.tokens import END, NUMBER, NUMBER_HASH, mixed, next_token

if TYPE_CHECKING:
    import pyarrow as pa

    from stillwatch.marks.tokens import Bytes

WANTS: tuple[str, ...] = ("reasoning", "rubric", "cleaning", "tools", "synthesis")
"""What can be wanted; the order of every column of scores."""

VERSION = 1
BUCKETS = 1 << 15
HEAD = 64
TAIL = 48
RING = 64
"""Tokens that are remembered for the tail; a power of two, and more than TAIL."""
SEEN = 64
"""Words of a bit set of what was counted in a window: what is repeated, as in tables and code, counts once."""
MEMORY = RING + SEEN
"""Length of the memory that `add_token` and `finish` work in."""

_NONE_BEFORE = np.uint64(0x5851F42D4C957F2D)  # stands before the first token of a text
_SEEN_MASK = np.uint64(64 * SEEN - 1)
_SEEN_SHIFT, _SIX, _SIXTY_THREE, _ONE = np.uint64(20), np.uint64(6), np.uint64(63), np.uint64(1)
_BUCKET_MASK = np.uint64(BUCKETS - 1)
_PAIR_STEP = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True)
class Wants:
    """The model.

    Attributes:
        weights: of every bucket for every want, int8 of shape (BUCKETS, len(WANTS)).
        scale: what one unit of a weight is worth, in nats; float64, one a want.
        bias: the logit of a text without tokens; float64, one a want.

    """

    weights: np.ndarray[tuple[int, int], np.dtype[np.int8]]
    scale: np.ndarray[tuple[int], np.dtype[np.float64]]
    bias: np.ndarray[tuple[int], np.dtype[np.float64]]


@cache
def load_wants() -> Wants:
    """Load the model that comes with the package.

    Raises:
        InputError: the file is of another version, which a damaged installation shows.

    """
    with files("stillwatch.marks").joinpath("wants.npz").open("rb") as file, np.load(file) as held:
        if int(held["version"]) != VERSION or held["weights"].shape != (BUCKETS, len(WANTS)):
            raise InputError("the model of what is asked for (wants.npz) is of another version; reinstall stillwatch")
        model = Wants(held["weights"], held["scale"].astype(np.float64), held["bias"].astype(np.float64))
    for array in (model.weights, model.scale, model.bias):
        array.flags.writeable = False
    return model


@inlined
def pair_hash(previous: np.uint64, token: np.uint64) -> np.uint64:
    """Return the hash of a token together with the one before."""
    return mixed((previous * _PAIR_STEP) ^ token)


@inlined
def bucket(feature: np.uint64) -> int:
    """Return the row of the weight table for a token or a pair."""
    return int(np.int64(feature & _BUCKET_MASK))


@inlined
def _accumulate(
    weights: np.ndarray[tuple[int, int], np.dtype[np.int8]],
    scores: np.ndarray[tuple[int], np.dtype[np.int32]],
    memory: np.ndarray[tuple[int], np.dtype[np.uint64]],
    feature: np.uint64,
) -> None:
    """Add the weights of a token or a pair, unless this window has counted it before."""
    place = (feature >> _SEEN_SHIFT) & _SEEN_MASK
    word = RING + int(np.int64(place >> _SIX))
    bit = _ONE << (place & _SIXTY_THREE)
    if memory[word] & bit:
        return
    memory[word] |= bit
    row = bucket(feature)
    for want in range(len(WANTS)):
        scores[want] += np.int32(weights[row, want])


@inlined
def add_token(  # noqa: PLR0917  # compiled code takes no keyword arguments cheaply
    weights: np.ndarray[tuple[int, int], np.dtype[np.int8]],
    scores: np.ndarray[tuple[int], np.dtype[np.int32]],
    memory: np.ndarray[tuple[int], np.dtype[np.uint64]],
    tokens: int,
    token: np.uint64,
    kind: int,
) -> int:
    """Take in one token of a text; call it for each in turn, words, numbers, ideograms and structure alike.

    Args:
        weights: of the model.
        scores: int32, one a want; all 0 before the first token of each text.
        memory: uint64 of length MEMORY; all 0 before the first text, then left to these two functions.
        tokens: how many tokens of this text were taken in before.
        token: its hash, from `next_token`.
        kind: its kind, from `next_token`, not END.

    Returns:
        How many tokens were taken in, this one included.

    """
    masked = NUMBER_HASH if kind == NUMBER else token
    if tokens < HEAD:
        previous = memory[(tokens - 1) & (RING - 1)] if tokens else _NONE_BEFORE
        _accumulate(weights, scores, memory, masked)
        _accumulate(weights, scores, memory, pair_hash(previous, masked))
    memory[tokens & (RING - 1)] = masked
    return tokens + 1


@inlined
def finish(  # noqa: PLR0917  # as above
    weights: np.ndarray[tuple[int, int], np.dtype[np.int8]],
    scale: np.ndarray[tuple[int], np.dtype[np.float64]],
    bias: np.ndarray[tuple[int], np.dtype[np.float64]],
    scores: np.ndarray[tuple[int], np.dtype[np.int32]],
    memory: np.ndarray[tuple[int], np.dtype[np.uint64]],
    tokens: int,
    result: np.ndarray[tuple[int], np.dtype[np.uint8]],
) -> None:
    """Turn what was taken in into probabilities, 0 to 255 for 0 to 1, one a want, written to `result`.

    `scores` and `memory` are made ready for the next text.
    """
    memory[RING:] = 0
    head = np.sqrt(np.float64(max(min(tokens, HEAD), 1)))
    for want in range(len(WANTS)):
        result[want] = _as_byte(bias[want] + scale[want] * scores[want] / head)
        scores[want] = 0
    if tokens <= HEAD:
        return
    for place in range(tokens - TAIL, tokens):
        token = memory[place & (RING - 1)]
        _accumulate(weights, scores, memory, token)
        _accumulate(weights, scores, memory, pair_hash(memory[(place - 1) & (RING - 1)], token))
    memory[RING:] = 0
    tail = np.sqrt(np.float64(TAIL))
    for want in range(len(WANTS)):
        result[want] = max(result[want], _as_byte(bias[want] + scale[want] * scores[want] / tail))
        scores[want] = 0


@inlined
def _as_byte(logit: float) -> np.uint8:
    return np.uint8(255.0 / (1.0 + np.exp(-logit)) + 0.5)


def score_texts(array: pa.Array) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Score every text of a string column: probabilities as 0 to 255, of shape (rows, len(WANTS)); 0 where it is null.

    Raises:
        TypeError: the array holds no strings.

    """
    model = load_wants()
    offsets, data = text_buffers(normalise(array))
    result = _scored(offsets, data, model.weights, model.scale, model.bias)
    if array.null_count:
        result[np.asarray(array.is_null())] = 0
    return result


@compiled
def _scored(
    offsets: np.ndarray[Any, np.dtype[Any]],
    data: Bytes,
    weights: np.ndarray[tuple[int, int], np.dtype[np.int8]],
    scale: np.ndarray[tuple[int], np.dtype[np.float64]],
    bias: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    rows = len(offsets) - 1
    result = np.zeros((rows, len(WANTS)), dtype=np.uint8)
    scores = np.zeros(len(WANTS), dtype=np.int32)
    memory = np.zeros(MEMORY, dtype=np.uint64)
    for row in range(rows):
        position, end = int(offsets[row]), int(offsets[row + 1])
        tokens = 0
        while True:
            token, kind, position = next_token(data, position, end)
            if kind == END:
                break
            tokens = add_token(weights, scores, memory, tokens, token, kind)
        finish(weights, scale, bias, scores, memory, tokens, result[row])
    return result
