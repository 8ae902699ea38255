"""The tokeniser: UTF-8 bytes to words, numbers, ideograms and structural punctuation, one token at a time.

Written for the text kernels, which call `next_token` in a loop over Arrow's string buffers and never hold a string.
What it sees:

    WORD      a run of letters, case folded; apostrophes, hyphens, digits and underscores end it
              ("tool_call2" is "tool", "call", 2)
    NUMBER    a run of digits of any script, with single '.' and ',' between digits ("1,000.5" is one number)
    IDEOGRAM  one character of a script that puts no spaces between words: Han, kana, Thai, Lao, Khmer, Myanmar
    MARK      punctuation that shows how a text is built: see `STRUCTURE`
    END       nothing is left

Everything else (spaces, commas, full stops, emoji, bytes that are no UTF-8) only separates. Text should have gone
through `normalise` first.
Hashes are plain, not keyed: whoever stores one keys it.

Touches nothing. Imports nothing but `compiled`.
"""

from __future__ import annotations

import unicodedata
from typing import TypeAlias

import numpy as np

from stillwatch.compiled import inlined

Bytes: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint8]]
"""UTF-8, one dimension."""

END = 0
WORD = 1
NUMBER = 2
IDEOGRAM = 3
MARK = 4

STRUCTURE = (
    "\n",  # the start of a line; a run of line ends and blanks is one token
    "- ",  # the start of a line with a bullet or a number ("-", "*", "1.", "2)"): the number itself follows as a token
    "<a>",  # the start of an opening tag, followed by its name
    "</a>",  # the start of a closing tag, followed by its name
    "{{",  # a placeholder opens: "{{" or "[["
    "}}",  # a placeholder closes
    "{",
    "}",
    "[",
    "]",
    ":",
    "?",
    "!",
    "|",
    "#",  # a run of them is one token; so also for the three that follow
    "`",
    "*",
    "=",
    '"',
)
"""What a MARK can be; the token's hash is `STRUCTURE_HASHES` at the same place."""


def _mixed(value: int) -> int:
    """Return `value` with its 64 bits mixed (the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


STRUCTURE_HASHES = np.array([_mixed(place + 1) for place in range(len(STRUCTURE))], dtype=np.uint64)
NUMBER_HASH = np.uint64(_mixed(1000))
"""A hash for "some number", for whoever masks numbers; `next_token` itself hashes the digits."""

# Places in STRUCTURE.
_LINE, _ITEM, _OPEN_TAG, _CLOSE_TAG, _OPEN_SLOT, _CLOSE_SLOT = 0, 1, 2, 3, 4, 5
_FIRST_SINGLE = 6
_FIRST_RUN = 14

# Classes of bytes. Letters and digits have their folded code point as class instead, so these stay below "0".
_SEPARATOR, _MULTIBYTE, _NEWLINE, _BLANK, _PUNCTUATION, _ANGLE = 0, 1, 2, 3, 4, 5
_ZERO, _NINE = 48, 57

_SEED = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_CASE = np.uint64(0x2020202020202020)
HIGH_BITS = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_TO_A = np.uint64(0x1F1F1F1F1F1F1F1F)  # lifts "a" to 128
_PAST_Z = np.uint64(0x0505050505050505)  # lifts what follows "z" to 128
_ONE, _SEVEN, _FIFTY_SIX = np.uint64(1), np.uint64(7), np.uint64(56)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)


def _fold_table() -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """Return, for every code point up to U+FFFF, its folded letter, its digit as "0" to "9", or 0 for a separator."""
    table = np.zeros(0x10000, dtype=np.uint16)
    for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA48C), (0xAC00, 0xD7A3)):  # letters without case
        table[first : last + 1] = np.arange(first, last + 1)
    for code in (
        *range(0x3400),
        *range(0x4DC0, 0x4E00),
        *range(0xA48D, 0xAC00),
        *range(0xD7A4, 0xD800),
        *range(0xF900, 0x10000),
    ):
        character = chr(code)
        category = unicodedata.category(character)
        if category[0] in "LM":
            lower = character.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
        elif category == "Nd":
            table[code] = _ZERO + unicodedata.digit(character)
        elif category == "Nl":  # the Han zero and its like
            table[code] = code
    return table


def _byte_table() -> Bytes:
    table = np.zeros(256, dtype=np.uint8)
    table[128:] = _MULTIBYTE
    table[[10, 13]] = _NEWLINE
    table[[9, 32]] = _BLANK
    for mark in STRUCTURE[_FIRST_SINGLE:]:
        table[ord(mark)] = _PUNCTUATION
    table[ord("<")] = _ANGLE
    table[:128] += FOLD[:128].astype(np.uint8)
    return table


def _place_table() -> Bytes:
    table = np.zeros(128, dtype=np.uint8)
    for place in range(_FIRST_SINGLE, len(STRUCTURE)):
        table[ord(STRUCTURE[place])] = place
    return table


FOLD = _fold_table()
BYTE = _byte_table()
_PLACE = _place_table()


@inlined
def mixed(value: np.uint64) -> np.uint64:
    """Return `value` with its 64 bits mixed, as a token's hash is before it is handed out."""
    value = (value ^ (value >> _SHIFT_1)) * _MIX_1
    value = (value ^ (value >> _SHIFT_2)) * _MIX_2
    return value ^ (value >> _SHIFT_3)


@inlined
def next_character(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """Decode the character at `position`, which starts with a byte of 128 or more: `(code point, bytes)`.

    What is no UTF-8 (RFC 3629: neither overlong forms nor surrogates are) is U+FFFD of one byte; nothing at `end` or
    after is read.
    """
    lead = int(data[np.uintp(position)])
    if lead < 0xC2 or lead > 0xF4:
        return 0xFFFD, 1
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if position + size > end:
        return 0xFFFD, 1
    code = lead & (0x7F >> size)
    for offset in range(1, size):
        following = int(data[np.uintp(position + offset)])
        if following & 0xC0 != 0x80:
            return 0xFFFD, 1
        code = (code << 6) | (following & 0x3F)
    if (size == 3 and (code < 0x800 or code >> 11 == 0x1B)) or (size == 4 and not 0x10000 <= code <= 0x10FFFF):
        return 0xFFFD, 1
    return code, size


@inlined
def folded_character(code: int) -> int:
    """Return the folded letter of a code point, its digit as "0" to "9", or 0 where it only separates."""
    if code < 0x10000:
        return int(FOLD[code])
    # Beyond the basic plane: Han extensions and rare scripts are letters, emoji and symbols are not.
    return code if code < 0x1D000 or 0x20000 <= code < 0x40000 else 0


@inlined
def is_ideogram(code: int) -> bool:
    """Whether a letter belongs to a script that puts no spaces between words."""
    if code < 0x0E00:
        return False
    return (
        code < 0x0F00  # Thai, Lao
        or 0x1000 <= code < 0x10A0  # Myanmar
        or 0x1780 <= code < 0x1800  # Khmer
        or 0x2E80 <= code < 0x3130  # radicals, kana, bopomofo
        or 0x31A0 <= code < 0x3200
        or 0x3400 <= code < 0xA000  # Han
        or 0xF900 <= code < 0xFB00
        or code >= 0x20000
    )


@inlined
def next_token(data: Bytes, position: int, end: int) -> tuple[np.uint64, int, int]:
    """Find the first token at or after `position`: `(hash, kind, where to go on)`.

    Args:
        data: UTF-8 bytes; a slice or the whole buffer of an Arrow array.
        position: where to start, in bytes.
        end: where the text ends; no byte at or after it is read.

    Returns:
        A 64-bit hash; one of WORD, NUMBER, IDEOGRAM, MARK, END; the position after the token. At END that position is
        `end` and the hash 0.

    """
    token, kind, _, after = next_span(data, position, end)
    return token, kind, after


@inlined
def next_span(  # noqa: C901, PLR0912  # a dispatch over byte classes; one branch a class is the clearest form
    data: Bytes, position: int, end: int
) -> tuple[np.uint64, int, int, int]:
    """Find the first token as `next_token` does, and where it begins: `(hash, kind, start, where to go on)`."""
    token, kind, start, after = np.uint64(0), END, end, end
    while position < end:
        byte = int(data[np.uintp(position)])
        group = int(BYTE[byte])
        start = position
        if group in (_SEPARATOR, _BLANK):
            position += 1
            continue
        if group > _NINE:
            token, kind, after = _word(data, position, end)
        elif group >= _ZERO:
            token, kind, after = _number(data, position, end)
        elif group == _MULTIBYTE:
            code, size = next_character(data, position, end)
            letter = folded_character(code)
            if letter == 0:
                position += size
                continue
            if letter <= _NINE:
                token, kind, after = _number(data, position, end)
            elif is_ideogram(letter):
                token, kind, after = mixed((_SEED ^ np.uint64(letter)) * _STEP), IDEOGRAM, position + size
            else:
                token, kind, after = _word(data, position, end)
        elif group == _NEWLINE:
            token, kind, after = _line(data, position, end)
        elif group == _ANGLE:
            position += 1
            if position >= end:
                continue
            following = int(data[np.uintp(position)])
            if BYTE[following] > _NINE:
                token, kind, after = STRUCTURE_HASHES[_OPEN_TAG], MARK, position
            elif following == 47:  # "/"
                token, kind, after = STRUCTURE_HASHES[_CLOSE_TAG], MARK, position + 1
            else:
                continue
        else:
            token, kind, after = _punctuation(data, position, end)
        break
    return token, kind, start, after


@inlined
def eight_bytes(data: Bytes, position: int) -> np.uint64:
    """Return the eight bytes at `position`, the first lowest; one load on a little-endian machine."""
    chunk = np.uint64(0)
    for offset in range(8):
        chunk |= np.uint64(data[np.uintp(position + offset)]) << np.uint64(8 * offset)
    return chunk


@inlined
def _word(data: Bytes, position: int, end: int) -> tuple[np.uint64, int, int]:
    """Hash a run of letters: ASCII ones eight at a time, others one at a time."""
    state = _SEED
    while position < end:
        if position + 8 <= end:
            # All eight bytes at once; the high bit of each byte is its flag, set where the byte is no ASCII letter.
            chunk = eight_bytes(data, position)
            folded = chunk | _CASE
            low = folded & ~HIGH_BITS
            flags = ~((low + _TO_A) & ~(low + _PAST_Z) & ~chunk) & HIGH_BITS
            # Ones for all bytes before the first flag; where there is none, 0 - 1 yields ones for all eight.
            before = ((flags & (~flags + _ONE)) >> _SEVEN) - _ONE
            letters = int(np.int64(((before & _ONES) * _ONES) >> _FIFTY_SIX))
            folded &= before
        else:
            folded, letters = np.uint64(0), 0
            while position + letters < end and letters < 8:
                letter = np.uint64(BYTE[data[np.uintp(position + letters)]])
                if letter <= np.uint64(_NINE):
                    break
                folded |= letter << np.uint64(8 * letters)
                letters += 1
        if letters:
            state = (state ^ folded) * _STEP
            state ^= state >> _SHIFT_3
            position += letters
            if letters == 8:
                continue
        if position >= end or data[np.uintp(position)] < 128:
            break
        code, size = next_character(data, position, end)
        other = folded_character(code)
        if other <= _NINE or is_ideogram(other):
            break
        state = (state ^ np.uint64(other)) * _STEP
        position += size
    return mixed(state), WORD, position


@inlined
def _number(data: Bytes, position: int, end: int) -> tuple[np.uint64, int, int]:
    state = ~_SEED
    while position < end:
        byte = int(data[np.uintp(position)])
        digit = int(BYTE[byte])
        size = 1
        if digit == _MULTIBYTE:
            code, size = next_character(data, position, end)
            digit = folded_character(code)
        elif byte in (46, 44) and position + 1 < end:  # "." or "," between digits
            following = int(BYTE[data[np.uintp(position + 1)]])
            if _ZERO <= following <= _NINE:
                digit, size = following, 2
                state = (state ^ np.uint64(byte)) * _STEP
        if digit < _ZERO or digit > _NINE:
            break
        state = (state ^ np.uint64(digit)) * _STEP
        position += size
    return mixed(state), NUMBER, position


@inlined
def _line(data: Bytes, position: int, end: int) -> tuple[np.uint64, int, int]:
    while position < end and (BYTE[data[np.uintp(position)]] == _NEWLINE or BYTE[data[np.uintp(position)]] == _BLANK):
        position += 1
    place = _LINE
    if position + 1 < end:
        byte = data[np.uintp(position)]
        if byte in (45, 42):  # "-" or "*", then a blank
            if BYTE[data[np.uintp(position + 1)]] == _BLANK:
                place = _ITEM
                position += 1
        else:
            digits = position
            while digits < end and digits < position + 3 and 48 <= data[digits] <= 57:
                digits += 1
            if digits > position and digits < end and (data[digits] == 46 or data[digits] == 41):  # "." or ")"
                after = digits + 1
                if after == end or not 48 <= data[after] <= 57:
                    place = _ITEM
    return STRUCTURE_HASHES[place], MARK, position


@inlined
def _punctuation(data: Bytes, position: int, end: int) -> tuple[np.uint64, int, int]:
    byte = data[np.uintp(position)]
    place = int(_PLACE[byte])
    position += 1
    if place >= _FIRST_RUN:
        while position < end and data[np.uintp(position)] == byte:
            position += 1
    elif place < 10 and position < end and data[np.uintp(position)] == byte:  # "{", "}", "[" or "]", twice
        place = _OPEN_SLOT if byte in (123, 91) else _CLOSE_SLOT
        position += 1
    return STRUCTURE_HASHES[place], MARK, position
