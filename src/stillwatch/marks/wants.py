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
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from stillwatch.compiled import compiled, inlined
from stillwatch.errors import InputError
from stillwatch.marks.normalise import normalise, text_buffers
from stillwatch.marks.tokens import END, NUMBER, NUMBER_HASH, mixed, next_token

if TYPE_CHECKING:
    import pyarrow as pa

    from stillwatch.marks.tokens import Bytes

Words: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint64]]
Floats: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

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
MEMORY = RING + SEEN + 2
"""Length of the memory that `add_token` and `finish` work in: the ring, the bit set, and the two sums."""

_EVEN, _ODD = RING + SEEN, RING + SEEN + 1
_NONE_BEFORE = np.uint64(0x5851F42D4C957F2D)  # stands before the first token of a text
_SEEN_MASK = np.uint64(64 * SEEN - 1)
_SEEN_SHIFT, _SIX, _SIXTY_THREE, _ONE = np.uint64(20), np.uint64(6), np.uint64(63), np.uint64(1)
_BUCKET_MASK = np.uint64(BUCKETS - 1)
_PAIR_STEP = np.uint64(0xD6E8FEB86659FD93)
_LANES, _EIGHT = np.uint64(0x00FF00FF00FF00FF), np.uint64(8)
_LANE = np.uint64(0xFFFF)


@dataclass(frozen=True)
class Wants:
    """The model.

    Attributes:
        weights: of every bucket for every want, int8 of shape (BUCKETS, len(WANTS)).
        scale: what one unit of a weight is worth, in nats; float64, one a want.
        bias: the logit of a text without tokens; float64, one a want.
        packed: of every bucket, its weights as the kernels add them up; see `pack`.

    """

    weights: np.ndarray[tuple[int, int], np.dtype[np.int8]]
    scale: np.ndarray[tuple[int], np.dtype[np.float64]]
    bias: np.ndarray[tuple[int], np.dtype[np.float64]]
    packed: np.ndarray[tuple[int], np.dtype[np.uint64]]


@cache
def load_wants() -> Wants:
    """Load the model that comes with the package.

    Raises:
        InputError: the file is of another version, which a damaged installation shows.

    """
    with files("stillwatch.marks").joinpath("wants.npz").open("rb") as file, np.load(file) as held:
        if int(held["version"]) != VERSION or held["weights"].shape != (BUCKETS, len(WANTS)):
            raise InputError("the model of what is asked for (wants.npz) is of another version; reinstall stillwatch")
        weights = held["weights"]
        model = Wants(weights, held["scale"].astype(np.float64), held["bias"].astype(np.float64), pack(weights))
    for array in (model.weights, model.scale, model.bias, model.packed):
        array.flags.writeable = False
    return model


def pack(
    weights: np.ndarray[tuple[int, int], np.dtype[np.int8]],
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Put the weights of each bucket into one word, so that two additions add all of them.

    Byte k is the weight of want k plus 128, and the byte after the last is 1, so that its sum tells how many 128s to
    take off. The even bytes and the odd ones are summed apart, each in 16 bits: a window counts at most 2 * HEAD
    features, which stay below 2 ** 16.
    """
    columns = np.full((len(weights), 8), 0, dtype=np.uint8)
    columns[:, : len(WANTS)] = weights.astype(np.int16) + 128
    columns[:, len(WANTS)] = 1
    return columns.view("<u8")[:, 0].astype(np.uint64)


@inlined
def pair_hash(previous: np.uint64, token: np.uint64) -> np.uint64:
    """Return the hash of a token together with the one before."""
    return mixed((previous * _PAIR_STEP) ^ token)


@inlined
def bucket(feature: np.uint64) -> int:
    """Return the row of the weight table for a token or a pair."""
    return int(np.int64(feature & _BUCKET_MASK))


@inlined
def _accumulate(packed: Words, memory: Words, token: np.uint64, pair: np.uint64) -> None:
    """Add the weights of a token and of its pair, each unless this window has counted it before."""
    even, odd = np.uint64(0), np.uint64(0)
    for feature in (token, pair):
        place = (feature >> _SEEN_SHIFT) & _SEEN_MASK
        word = RING + int(np.int64(place >> _SIX))
        fresh = ~(memory[word] >> (place & _SIXTY_THREE)) & _ONE
        memory[word] |= _ONE << (place & _SIXTY_THREE)
        row = packed[bucket(feature)] * fresh  # no branch, since none would be foreseen
        even += row & _LANES
        odd += (row >> _EIGHT) & _LANES
    memory[_EVEN] += even
    memory[_ODD] += odd


@inlined
def add_token(packed: Words, memory: Words, tokens: int, token: np.uint64, kind: int) -> int:
    """Take in one token of a text; call it for each in turn, words, numbers, ideograms and structure alike.

    Args:
        packed: weights of the model.
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
        _accumulate(packed, memory, masked, pair_hash(previous, masked))
    memory[tokens & (RING - 1)] = masked
    return tokens + 1


@inlined
def finish(  # noqa: PLR0917  # compiled code takes no keyword arguments cheaply
    packed: Words,
    scale: Floats,
    bias: Floats,
    memory: Words,
    tokens: int,
    result: np.ndarray[tuple[int], np.dtype[np.uint8]],
) -> None:
    """Turn what was taken in into probabilities, 0 to 255 for 0 to 1, one a want, written to `result`.

    `memory` is made ready for the next text.
    """
    head_even, head_odd = memory[_EVEN], memory[_ODD]
    head = np.sqrt(np.float64(max(min(tokens, HEAD), 1)))
    memory[RING:] = 0
    if tokens > HEAD:
        for place in range(tokens - TAIL, tokens):
            token = memory[place & (RING - 1)]
            _accumulate(packed, memory, token, pair_hash(memory[(place - 1) & (RING - 1)], token))
        tail_even, tail_odd = memory[_EVEN], memory[_ODD]
        memory[RING:] = 0
    else:
        tail_even, tail_odd = np.uint64(0), np.uint64(0)
    tail = np.sqrt(np.float64(TAIL))
    for want in range(len(WANTS)):
        logit = bias[want] + scale[want] * _score(head_even, head_odd, want) / head
        if tokens > HEAD:
            logit = max(logit, bias[want] + scale[want] * _score(tail_even, tail_odd, want) / tail)
        result[want] = np.uint8(255.0 / (1.0 + np.exp(-logit)) + 0.5)


@inlined
def _score(even: np.uint64, odd: np.uint64, want: int) -> int:
    """Return the sum of the weights for one want, out of its lane."""
    counted = int(np.int64((odd >> np.uint64(16 * (len(WANTS) // 2))) & _LANE))
    lane = ((odd if want & 1 else even) >> np.uint64(16 * (want >> 1))) & _LANE
    return int(np.int64(lane)) - 128 * counted


def score_texts(array: pa.Array) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Score every text of a string column: probabilities as 0 to 255, of shape (rows, len(WANTS)); 0 where it is null.

    Raises:
        TypeError: the array holds no strings.

    """
    model = load_wants()
    offsets, data = text_buffers(normalise(array))
    result = _scored(offsets, data, model.packed, model.scale, model.bias)
    if array.null_count:
        result[np.asarray(array.is_null())] = 0
    return result


@compiled
def _scored(
    offsets: np.ndarray[Any, np.dtype[Any]],
    data: Bytes,
    packed: Words,
    scale: Floats,
    bias: Floats,
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    rows = len(offsets) - 1
    result = np.zeros((rows, len(WANTS)), dtype=np.uint8)
    memory = np.zeros(MEMORY, dtype=np.uint64)
    for row in range(rows):
        position, end = int(offsets[row]), int(offsets[row + 1])
        tokens = 0
        while True:
            token, kind, position = next_token(data, position, end)
            if kind == END:
                break
            tokens = add_token(packed, memory, tokens, token, kind)
        finish(packed, scale, bias, memory, tokens, result[row])
    return result
