"""The text kernel: one pass over a column of prompts leaves their marks, a sketch and what they ask for.

For each text, without ever holding a string:

- `prompt`: the whole text, told apart by its tokens (case, spacing and full stops do not count, numbers do);
- `opening`, `closing`: the first six and the last five words (twice as many characters in scripts without spaces),
  numbers masked;
- `shape`: how it is laid out: its line ends, labels, tags, brackets and lists in order, all words left out;
- `phrases`: the three smallest hashes of its five-word shingles: texts that share wording share some of these
  (bottom-k sketches: Broder, On the resemblance and containment of documents, 1997; Cohen and Kaplan, VLDB 2008);
- `sketch`: its words, or character pairs where there are no spaces, as a vector of 32 dimensions by feature hashing
  (Weinberger et al., ICML 2009); long words weigh more than short ones, which carry grammar rather than topic;
- `wants`: what it asks for, by the learned model of `wants.py`.

Hashes are plain here; `key.py` keys what leaves the process. Text should have gone through `normalise`.

Touches nothing, but for the weights that `wants.py` loads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stillwatch.compiled import compiled
from stillwatch.marks.normalise import normalise, text_buffers
from stillwatch.marks.tokens import END, IDEOGRAM, MARK, NUMBER, NUMBER_HASH, WORD, mixed, next_span
from stillwatch.marks.wants import MEMORY, WANTS, add_token, finish, load_wants

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from stillwatch.marks.tokens import Bytes
    from stillwatch.marks.wants import Floats, Words

DIMENSIONS = 32
PHRASES = 3
OPENING = 12  # half words: a word counts two, a character of a script without spaces one
CLOSING = 10
SHINGLE = 5
SHINGLE_IDEOGRAMS = 9
SHAPE = 6  # structural tokens from which a layout is worth comparing
_RING = 16  # tokens that are remembered: a power of two, more than a shingle holds and no fewer than CLOSING
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_PAST = np.uint64(pow(int(_STEP), SHINGLE, 1 << 64))  # what a token counts for once it has left the shingle
_PAST_IDEOGRAMS = np.uint64(pow(int(_STEP), SHINGLE_IDEOGRAMS, 1 << 64))
_LENGTH = np.array([0, 8, 12, 33, 51, 73, 100], dtype=np.int32)  # what a word of so many letters weighs, in hundredths
_PAIR, _NUMERAL = np.int32(70), np.int32(10)


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
def read_bytes(  # noqa: C901, PLR0912, PLR0915, PLR0917  # one pass over the bytes is the point; split, it were several
    data: Bytes,
    offsets: NDArray[np.signedinteger[Any]],
    prompt: NDArray[np.uint64],
    opening: NDArray[np.uint64],
    closing: NDArray[np.uint64],
    shape: NDArray[np.uint64],
    phrases: NDArray[np.uint64],
    sketch: NDArray[np.int8],
    wants: NDArray[np.uint8],
    packed: Words,
    scale: Floats,
    bias: Floats,
) -> None:
    """Fill the arrays of `TextMarks` for texts `data[offsets[i]:offsets[i + 1]]` (UTF-8, normalised).

    The last three arguments are the model's, as in `Wants`.
    """
    ring = np.zeros(_RING, np.uint64)
    halves = np.zeros(_RING, np.int64)
    vector = np.zeros(DIMENSIONS, np.int32)
    memory = np.zeros(MEMORY, np.uint64)
    for text in range(len(offsets) - 1):
        position, end = int(offsets[text]), int(offsets[text + 1])
        whole = np.uint64(end != position)
        first = np.uint64(7)
        layout = np.uint64(11)
        marks = count = begun = taken = 0
        ring[:] = 0
        vector[:] = 0
        shingle, wide = np.uint64(0), np.uint64(0)  # of the last five tokens, of the last nine: rolling hashes
        least, second, third = _NONE, _NONE, _NONE
        before = np.uint64(0)
        before_ideogram = False
        while True:
            token, kind, start, position = next_span(data, position, end)
            if kind == END:
                break
            taken = add_token(packed, memory, taken, token, kind)
            if kind == MARK:
                marks += 1
                if marks <= 24:
                    layout = mixed(layout ^ token)
                before_ideogram = False
                continue
            whole = (whole ^ token) * _STEP
            feature = token
            weight = np.int32(0)
            length, half = SHINGLE, 2
            if kind == WORD:
                # Letters past ASCII take two bytes, or three where one stands for a syllable.
                letters = position - start if data[start] < 128 else (position - start) >> 1
                weight = _LENGTH[min(letters, 6)]
            elif kind == NUMBER:
                token = feature = NUMBER_HASH
                weight = _NUMERAL
            else:
                length, half = SHINGLE_IDEOGRAMS, 1
                if before_ideogram:
                    feature = mixed(before * np.uint64(3) ^ token)
                    weight = _PAIR
            before = token
            before_ideogram = kind == IDEOGRAM
            dimension = int(np.int64(feature >> np.uint64(20))) & (DIMENSIONS - 1)
            sign = np.int32((feature >> np.uint64(49)) & np.uint64(2)) - np.int32(1)
            vector[dimension] += weight * sign
            if begun < OPENING:
                first = (first ^ token) * _STEP
                begun += half
            shingle = shingle * _STEP + token - ring[(count - SHINGLE) & (_RING - 1)] * _PAST
            wide = wide * _STEP + token - ring[(count - SHINGLE_IDEOGRAMS) & (_RING - 1)] * _PAST_IDEOGRAMS
            ring[count & (_RING - 1)] = token
            halves[count & (_RING - 1)] = half
            count += 1
            if count >= length:
                found = mixed(wide if kind == IDEOGRAM else shingle)
                if found in (least, second, third):
                    found = _NONE
                third = min(third, max(second, found))
                second = min(second, max(least, found))
                least = min(least, found)
        finish(packed, scale, bias, memory, taken, wants[text])
        prompt[text] = mixed(whole)
        opening[text] = mixed(first) if begun >= OPENING else np.uint64(0)
        last = np.uint64(17)
        filled = back = 0
        while filled < CLOSING and back < min(count, _RING):
            back += 1
            last = (last ^ ring[(count - back) & (_RING - 1)]) * _STEP
            filled += halves[(count - back) & (_RING - 1)]
        closing[text] = mixed(last) if filled >= CLOSING else np.uint64(0)
        shape[text] = layout if marks >= SHAPE else np.uint64(0)
        for place, found in enumerate((least, second, third)):
            phrases[text, place] = found if found != _NONE else np.uint64(0)
        norm = 0.0
        for dimension in range(DIMENSIONS):
            norm += np.float64(vector[dimension]) ** 2
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
        model.packed, model.scale, model.bias,
    )  # fmt: skip
    made.wants[made.prompt == 0] = 0
    return made
