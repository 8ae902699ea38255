"""Normalising text before it is tokenised, so that texts that look the same to a reader are the same bytes.

What a sender can do at no cost to make one text look like many is undone here: full-width and other compatibility
forms (NFKC: Unicode Standard Annex 15), characters that take no room (zero-width, direction controls, soft hyphens,
variation selectors, tags), and Cyrillic or Greek letters put in place of their Latin look-alikes (Unicode Technical
Standard 39, section 4). Bytes that are no UTF-8 become U+001A, which only separates.

Touches nothing. Imports `compiled` and `tokens`.
"""

# ruff: noqa: RUF001  # look-alikes are what this file is about

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.compiled import compiled, inlined
from stillwatch.marks.tokens import HIGH_BITS, eight_bytes, folded_character, is_ideogram, next_character

if TYPE_CHECKING:
    from stillwatch.marks.tokens import Bytes

    Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

ROOMLESS = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),  # grapheme joiner
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # inherent vowels of Khmer
    (0x180B, 0x180F),  # Mongolian selectors and vowel separator
    (0x200B, 0x200F),  # zero-width space, joiners, direction marks
    (0x202A, 0x202E),  # direction embeddings
    (0x2060, 0x206F),  # word joiner, invisible operators, isolates
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # half-width Hangul filler
    (0xFFF9, 0xFFFB),  # interlinear annotation
    (0xE0000, 0xE0FFF),  # tags and further selectors
)
"""Ranges of characters that take no room on the page; both ends belong to them."""

LOOKALIKES = {
    "а": "a", "с": "c", "ԁ": "d", "е": "e", "һ": "h", "і": "i", "ј": "j", "ӏ": "l", "о": "o", "р": "p", "ԛ": "q",
    "ѕ": "s", "у": "y", "х": "x", "ԝ": "w", "А": "A", "В": "B", "С": "C", "Е": "E", "Н": "H", "І": "I", "Ј": "J",
    "К": "K", "М": "M", "О": "O", "Р": "P", "Ѕ": "S", "Т": "T", "У": "Y", "Х": "X", "Ԛ": "Q", "Ԝ": "W", "Ӏ": "I",
    "α": "a", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p", "υ": "u", "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z",
    "Η": "H", "Ι": "I", "Κ": "K", "Μ": "M", "Ν": "N", "Ο": "O", "Ρ": "P", "Τ": "T", "Υ": "Y", "Χ": "X",
}  # fmt: skip
"""Cyrillic and Greek letters, and the Latin letter that each looks like."""

_SLOW = 255
_SUBSTITUTE = 0x1A
_PAST_LATIN, _FIRST_GREEK, _PAST_CYRILLIC = 0x300, 0x370, 0x530


def _replacement_table() -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Return what every code point up to U+FFFF becomes by itself: up to three bytes, and their number in the top byte.

    A number of 255 says that it cannot be told without its neighbours, or takes more bytes than before: such text goes
    through the full algorithm.
    """
    codes = [code for code in range(0x80, 0x10000) if not 0xD800 <= code < 0xE000]
    characters = [chr(code) for code in codes]
    # Characters that may join the one before them: combining marks, and the second halves of all compositions.
    joining = {character for character in characters if unicodedata.combining(character)}
    joining.update(chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))
    for character in characters:
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            joining.add(chr(int(parts[1], 16)))
    becomes = pc.utf8_normalize(pa.array(characters), form="NFKC").to_pylist()
    table = np.zeros(0x10000, dtype=np.uint32)
    for code, character, after in zip(codes, characters, becomes, strict=True):
        encoded = after.encode()
        if not joining.isdisjoint(after) or len(encoded) > len(character.encode()) or character in joining:
            table[code] = _SLOW << 24
        else:
            table[code] = int.from_bytes(encoded, "little") | len(encoded) << 24
    for first, last in ROOMLESS:
        table[first : last + 1] = 0
    return table


def _lookalike_table() -> Bytes:
    table = np.zeros(_PAST_CYRILLIC - _FIRST_GREEK, dtype=np.uint8)
    for character, latin in LOOKALIKES.items():
        table[ord(character) - _FIRST_GREEK] = ord(latin)
    return table


_REPLACEMENT = _replacement_table()
_LOOKALIKE = _lookalike_table()


def normalise(array: pa.Array) -> pa.Array:
    """Normalise every text of a column.

    Args:
        array: of type string or large_string; nulls stay null. Its bytes need not be valid UTF-8.

    Returns:
        An array of the same type and length; `array` itself where all of it is ASCII.

    Raises:
        TypeError: the array holds no strings.

    """
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        raise TypeError(f"only text can be normalised, not {array.type}")
    offsets, data = text_buffers(array)
    if len(array) == 0 or int(offsets[-1]) == _past_ascii(data, int(offsets[0]), int(offsets[-1])):
        return array
    settled_offsets, settled, slow, mixed = _settled(offsets, data)
    result = _rebuilt(array, settled_offsets, settled)
    if slow.any():
        mask = pa.array(slow)
        composed = pc.utf8_normalize(result.filter(mask), form="NFKC")
        result = pc.replace_with_mask(result, mask, composed)
    if mixed.any():
        result = _rebuilt(array, *_latinised(*text_buffers(result), mixed))
        if (again := slow & mixed).any():  # a Latin letter may join a mark that its look-alike did not
            mask = pa.array(again)
            result = pc.replace_with_mask(result, mask, pc.utf8_normalize(result.filter(mask), form="NFKC"))
    return result


def normalised_text(text: str) -> tuple[Bytes, np.ndarray[Any, np.dtype[np.int32]]]:
    """Normalise one text as `normalise` does a column: its bytes and their bounds. Costs little where it is ASCII."""
    data, bounds = one_text(text)
    if text.isascii():
        return data, bounds
    offsets, settled, slow, mixed = _settled(bounds, data)
    if slow[0] or mixed[0]:
        offsets, settled = text_buffers(normalise(pa.array([text.encode(errors="replace").decode()])))
    offsets.flags.writeable = settled.flags.writeable = False
    return settled, offsets


def one_text(text: str) -> tuple[Bytes, np.ndarray[Any, np.dtype[np.int32]]]:
    """Give one text as `text_buffers` gives a column: bytes and bounds, both read-only. Half a pair becomes a "?"."""
    data = np.frombuffer(text.encode(errors="replace"), np.uint8)
    bounds = np.array((0, len(data)), np.int32)
    bounds.flags.writeable = False
    return data, bounds


def text_buffers(array: pa.Array) -> tuple[np.ndarray[Any, np.dtype[Any]], Bytes]:
    """Return a string array's offsets (one more than it has rows) and bytes, without copying.

    Row `i` is `data[offsets[i]:offsets[i + 1]]`. A null is empty as a rule, but Arrow lets it lie over bytes. Both
    are read-only.
    """
    width = np.dtype(np.int64 if pa.types.is_large_string(array.type) else np.int32)
    _, offsets, data = array.buffers()
    if offsets is None or offsets.size == 0:
        return np.zeros(1, dtype=width), np.zeros(0, dtype=np.uint8)
    places = np.frombuffer(offsets, dtype=width, count=len(array) + 1, offset=array.offset * width.itemsize)
    text = np.zeros(0, dtype=np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    # Some buffers of Arrow's may be written to and some not; a kernel would be compiled for each of the two.
    places.flags.writeable = text.flags.writeable = False
    return places, text


def _rebuilt(array: pa.Array, offsets: np.ndarray[Any, np.dtype[Any]], data: Bytes) -> pa.Array:
    """Make an array like `array`, null where it is null, of other text."""
    validity = pc.is_valid(array).buffers()[1] if array.null_count else None
    return pa.Array.from_buffers(array.type, len(array), [validity, pa.py_buffer(offsets), pa.py_buffer(data)])


@inlined
def _past_ascii(data: Bytes, position: int, end: int) -> int:
    """Return where the first byte of 128 or more is, or `end`; most text is ASCII, so it takes eight bytes a step."""
    while position + 8 <= end and not eight_bytes(data, position) & HIGH_BITS:
        position += 8
    while position < end and data[np.uintp(position)] < 128:
        position += 1
    return position


@inlined
def _copied(data: Bytes, position: int, end: int, out: Bytes, written: int) -> int:
    """Copy bytes to `out` at `written`; return where to write next."""
    for offset in range(end - position):
        out[np.uintp(written + offset)] = data[np.uintp(position + offset)]
    return written + end - position


@inlined
def _rare_replacement_length(code: int) -> int:
    """Return what becomes of a code point past U+FFFF: 0 bytes, its own 4, or 255 where it needs the full algorithm."""
    if 0x1F300 <= code < 0x1FB00 or 0x20000 <= code < 0x2F800:  # emoji; Han, less the compatibility forms
        return 4
    return 0 if 0xE0000 <= code < 0xE1000 else _SLOW


@compiled
def _settled(
    offsets: np.ndarray[Any, np.dtype[Any]], data: Bytes
) -> tuple[np.ndarray[Any, np.dtype[Any]], Bytes, Flags, Flags]:
    """Replace all characters that can be replaced by themselves.

    Returns the new offsets and bytes, which rows need the full algorithm, and which have any Greek or Cyrillic.
    """
    rows = len(offsets) - 1
    after = np.zeros_like(offsets)
    out = np.empty(offsets[rows] - offsets[0], dtype=np.uint8)
    slow = np.zeros(rows, dtype=np.bool_)
    mixed = np.zeros(rows, dtype=np.bool_)
    written = 0
    for row in range(rows):
        position, end = int(offsets[row]), int(offsets[row + 1])
        while position < end:
            if data[np.uintp(position)] < 128:
                plain = _past_ascii(data, position, end)
                written = _copied(data, position, plain, out, written)
                position = plain
                continue
            code, size = next_character(data, position, end)
            if size == 1:
                out[np.uintp(written)] = _SUBSTITUTE
                written += 1
                position += 1
                continue
            mixed[row] |= _FIRST_GREEK <= code < _PAST_CYRILLIC
            if code < 0x10000:
                replacement = _REPLACEMENT[code]
                length = replacement >> 24
            else:
                replacement = np.uint32(0)
                length = _rare_replacement_length(code)
            if length >= 4:
                slow[row] |= length == _SLOW
                for offset in range(size):
                    out[np.uintp(written + offset)] = data[np.uintp(position + offset)]
                written += size
            else:
                for _ in range(length):
                    out[np.uintp(written)] = replacement & 0xFF
                    replacement >>= 8
                    written += 1
            position += size
        after[row + 1] = written
    return after, out[:written], slow, mixed


@compiled
def _latinised(  # noqa: C901, PLR0912  # two loops over one cursor; split, they would hand eight variables about
    offsets: np.ndarray[Any, np.dtype[Any]], data: Bytes, mixed: Flags
) -> tuple[np.ndarray[Any, np.dtype[Any]], Bytes]:
    """Put Latin letters for their look-alikes, in words of nothing but Latin letters (at least one) and look-alikes.

    Only rows that are `mixed` hold any; the others are copied.
    """
    rows = len(offsets) - 1
    after = np.zeros_like(offsets)
    out = np.empty(offsets[rows] - offsets[0], dtype=np.uint8)
    written = 0
    for row in range(rows):
        position, end = int(offsets[row]), int(offsets[row + 1])
        if not mixed[row]:
            written = _copied(data, position, end, out, written)
            after[row + 1] = written
            continue
        word = position
        latin = lookalike = other = False
        while True:
            letter, code, size = 0, 0, 1
            if position < end:
                code = int(data[np.uintp(position)])
                if code >= 128:
                    code, size = next_character(data, position, end)
                letter = folded_character(code)
                if letter <= 57 or is_ideogram(letter):
                    letter = 0
            if letter:
                if code < _PAST_LATIN or 0x1E00 <= code < 0x1F00:
                    latin = True
                elif _FIRST_GREEK <= code < _PAST_CYRILLIC and _LOOKALIKE[code - _FIRST_GREEK]:
                    lookalike = True
                else:
                    other = True
                position += size
                continue
            fold = latin and lookalike and not other
            while word < position:
                byte = data[np.uintp(word)]
                if fold and 0xCD <= byte <= 0xD4:
                    hidden, _ = next_character(data, word, end)
                    out[np.uintp(written)] = _LOOKALIKE[hidden - _FIRST_GREEK]
                    word += 2
                else:
                    out[np.uintp(written)] = byte
                    word += 1
                written += 1
            latin = lookalike = other = False
            if position >= end:
                break
            for offset in range(size):
                out[np.uintp(written + offset)] = data[np.uintp(position + offset)]
            written += size
            position += size
            word = position
        after[row + 1] = written
    return after, out[:written]
