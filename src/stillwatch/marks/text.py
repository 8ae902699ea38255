"""The text kernel: one pass over a column of prompts leaves their marks, a sketch of what they are about, and what they want.

For each text, without ever holding a string:

- `prompt`: the whole text, told apart by its tokens (case, spacing and full stops do not count, numbers do);
- `opening`, `closing`: the first six and the last five words (twice as many characters in scripts without spaces), numbers masked;
- `shape`: how it is laid out: its line ends, labels, tags, brackets and lists in order, all words left out;
- `phrases`: the three smallest hashes of its five-word shingles: texts that share wording share some of these
  (bottom-k sketches: Broder, On the resemblance and containment of documents, 1997; Cohen and Kaplan, VLDB 2008);
- `sketch`: its words, or character pairs where there are no spaces, as a unit vector of 32 dimensions by feature hashing
  (Weinberger et al., ICML 2009); long words weigh more than short ones, which carry grammar rather than topic;
- `wants`: what it asks for, by the learned model of `wants.py`.

Hashes are plain here; `key.py` keys what leaves the process. Text should have gone through `normalise`.

Touches nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.normalise import normalise, text_buffers
from stillwatch.marks.tokens import END, IDEOGRAM, MARK, NUMBER, NUMBER_HASH, mixed, next_token
from stillwatch.marks.wants import MEMORY, WANTS, add_token, finish, load_wants

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

DIMENSIONS = 32
PHRASES = 3
OPENING = 12  # half words: a word counts two, a character of a script without spaces one
CLOSING = 10
SHINGLE = 5
SHINGLE_IDEOGRAMS = 9
SHAPE = 6  # structural tokens from which a layout is worth comparing
_RING = 16
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
_LENGTH = np.array([0.0, 0.04, 0.08, 0.12, *(min(n, 7) ** 2 / 49.0 for n in range(4, 16))], dtype=np.float32)
_PAIR, _NUMERAL = np.float32(0.7), np.float32(0.1)


@dataclass(frozen=True, slots=True)
class TextMarks:
    """What one pass leaves of n texts; hashes are 0 where there is nothing to hash.

    Attributes:
        prompt: uint64 [n].
        opening: uint64 [n].
        closing: uint64 [n].
        shape: uint64 [n].
        phrases: uint64 [n, PHRASES], smallest first.
        sketch: int8 [n, DIMENSIONS], a direction of length 127.
        wants: uint8 [n, len(WANTS)], 255 is certain.
    """

    prompt: NDArray[np.uint64]
    opening: NDArray[np.uint64]
    closing: NDArray[np.uint64]
    shape: NDArray[np.uint64]
    phrases: NDArray[np.uint64]
    sketch: NDArray[np.int8]
    wants: NDArray[np.uint8]


@compiled
def read_bytes(  # noqa: C901, PLR0912, PLR0915  # one pass over the bytes is the point; split up, it would be several
    data: np.ndarray,
    offsets: np.ndarray,
    prompt: np.ndarray,
    opening: np.ndarray,
    closing: np.ndarray,
    shape: np.ndarray,
    phrases: np.ndarray,
    sketch: np.ndarray,
    wants: np.ndarray,
    weights: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
) -> None:
    """Fill the arrays of `TextMarks` for texts `data[offsets[i]:offsets[i + 1]]` (UTF-8, normalised)."""
    ring = np.zeros(_RING, np.uint64)
    halves = np.zeros(_RING, np.int64)
    vector = np.zeros(DIMENSIONS, np.float32)
    last = PHRASES - 1
    scores = np.zeros(len(WANTS), np.int32)
    memory = np.zeros(MEMORY, np.uint64)
    for text in range(len(offsets) - 1):
        position, end = offsets[text], offsets[text + 1]
        whole = np.uint64(end != position)
        first = np.uint64(7)
        layout = np.uint64(11)
        marks = count = begun = taken = 0
        vector[:] = 0.0
        for place in range(PHRASES):
            phrases[text, place] = _NONE
        before = np.uint64(0)
        before_ideogram = False
        while True:
            start = position
            token, kind, position = next_token(data, position, end)
            if kind == END:
                break
            taken = add_token(weights, scores, memory, taken, token, kind)
            if kind == MARK:
                marks += 1
                if marks <= 24:
                    layout = mixed(layout ^ token)
                before_ideogram = False
                continue
            whole = mixed(whole ^ token)
            weight = np.float32(0.0)
            feature = token
            if kind == NUMBER:
                token = NUMBER_HASH
                feature = token
                weight = _NUMERAL
                before_ideogram = False
            elif kind == IDEOGRAM:
                if before_ideogram:
                    feature = mixed(before * np.uint64(3) ^ token)
                    weight = _PAIR
                before_ideogram = True
            else:
                weight = _LENGTH[min(position - start, 15)]
                before_ideogram = False
            before = token
            half = 1 if kind == IDEOGRAM else 2
            if begun < OPENING:
                first = mixed(first ^ token)
                begun += half
            slot = count % _RING
            ring[slot] = token
            halves[slot] = half
            count += 1
            length = SHINGLE_IDEOGRAMS if kind == IDEOGRAM else SHINGLE
            if count >= length:
                shingle = np.uint64(13)
                for back in range(length):
                    shingle = (shingle ^ ring[(count - 1 - back) % _RING]) * np.uint64(0x9E3779B97F4A7C15)
                shingle = mixed(shingle)
                if shingle < phrases[text, last]:
                    known = False
                    for place in range(PHRASES):
                        known |= phrases[text, place] == shingle
                    if not known:
                        place = last
                        while place > 0 and phrases[text, place - 1] > shingle:
                            phrases[text, place] = phrases[text, place - 1]
                            place -= 1
                        phrases[text, place] = shingle
            dimension = np.int64(feature >> np.uint64(20)) & (DIMENSIONS - 1)
            if (feature >> np.uint64(50)) & np.uint64(1):
                vector[dimension] += weight
            else:
                vector[dimension] -= weight
        finish(weights, scale, bias, scores, memory, taken, wants[text])
        prompt[text] = whole
        opening[text] = first if begun >= OPENING else np.uint64(0)
        closing[text] = np.uint64(0)
        tail = np.uint64(17)
        filled = 0
        back = 0
        while filled < CLOSING and back < min(count, _RING):
            slot = (count - 1 - back) % _RING
            tail = mixed(tail ^ ring[slot])
            filled += halves[slot]
            back += 1
        if filled >= CLOSING:
            closing[text] = tail
        shape[text] = layout if marks >= SHAPE else np.uint64(0)
        for place in range(PHRASES):
            if phrases[text, place] == _NONE:
                phrases[text, place] = np.uint64(0)
        norm = np.float32(0.0)
        for dimension in range(DIMENSIONS):
            norm += vector[dimension] * vector[dimension]
        stretch = np.float32(127.0 / math.sqrt(norm)) if norm > 0.0 else np.float32(0.0)
        for dimension in range(DIMENSIONS):
            sketch[text, dimension] = np.int8(np.rint(vector[dimension] * stretch))


def read_text(texts: pa.Array) -> TextMarks:
    """Take the marks of a column of texts (string or large_string)."""
    offsets, data = text_buffers(normalise(texts))
    size = len(offsets) - 1
    made = TextMarks(
        prompt=np.empty(size, np.uint64),
        opening=np.empty(size, np.uint64),
        closing=np.empty(size, np.uint64),
        shape=np.empty(size, np.uint64),
        phrases=np.empty((size, PHRASES), np.uint64),
        sketch=np.empty((size, DIMENSIONS), np.int8),
        wants=np.zeros((size, len(WANTS)), np.uint8),
    )
    model = load_wants()
    read_bytes(
        data, offsets, made.prompt, made.opening, made.closing, made.shape, made.phrases, made.sketch, made.wants,
        model.weights, model.scale, model.bias,
    )  # fmt: skip
    made.wants[made.prompt == 0] = 0
    return made
