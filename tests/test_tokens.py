from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.compiled import compiled
from stillwatch.marks.tokens import (
    BYTE,
    END,
    FOLD,
    IDEOGRAM,
    MARK,
    NUMBER,
    STRUCTURE,
    STRUCTURE_HASHES,
    WORD,
    Bytes,
    is_ideogram,
    next_token,
)


@compiled
def all_tokens(data: Bytes, start: int, end: int) -> list[tuple[np.uint64, int, int]]:
    found = []
    position = start
    while True:
        token, kind, position = next_token(data, position, end)
        found.append((token, kind, position))
        if kind == 0:
            return found


def raw_tokens(text: bytes) -> list[tuple[np.uint64, int, int]]:
    return all_tokens(np.frombuffer(text, dtype=np.uint8), 0, len(text))


def kinds(text: str) -> list[int]:
    return [kind for _, kind, _ in raw_tokens(text.encode())][:-1]


def hashes(text: str, *wanted: int) -> list[int]:
    return [int(token) for token, kind, _ in raw_tokens(text.encode()) if kind in (wanted or (WORD, NUMBER, IDEOGRAM))]


def marks(text: str) -> list[str]:
    places = {int(value): name for value, name in zip(STRUCTURE_HASHES, STRUCTURE, strict=True)}
    return [places[value] for value in hashes(text, MARK)]


def spelled(text: str) -> list[tuple[str, int]]:
    """Words, numbers and ideograms of a text, slowly and without hashes."""
    found: list[tuple[str, int]] = []
    joined = False
    for place, character in enumerate(text):
        code = ord(character)
        category = unicodedata.category(character)
        lower = character.lower() if len(character.lower()) == 1 else character
        last = found[-1] if found and joined else ("", END)
        digit_near = (
            last[1] == NUMBER
            and character in ".,"
            and "0" <= text[place - 1] <= "9"
            and text[place + 1 : place + 2] in set("0123456789")
        )
        if category == "Nd" and code < 0x10000:
            digit = str(unicodedata.digit(character))
            found[-1 if last[1] == NUMBER else len(found) :] = [
                ((last[0] if last[1] == NUMBER else "") + digit, NUMBER)
            ]
            joined = True
        elif digit_near:
            found[-1] = (last[0] + character, NUMBER)
        elif code >= 0x10000 or category[0] in "LM" or category == "Nl":
            if code >= 0x10000 and not (code < 0x1D000 or 0x20000 <= code < 0x40000):
                joined = False
            elif is_ideogram(code):
                found.append((lower, IDEOGRAM))
                joined = False
            else:
                before = last[0] if last[1] == WORD else ""
                found[-1 if before else len(found) :] = [(before + lower, WORD)]
                joined = True
        else:
            joined = False
    return found


@given(st.text(max_size=60))
@settings(max_examples=400, deadline=None)
def test_agrees_with_a_slow_tokeniser(text: str) -> None:
    found = [(int(token), kind) for token, kind, _ in raw_tokens(text.encode()) if kind not in (MARK, END)]
    expected = spelled(text)
    assert [kind for _, kind in found] == [kind for _, kind in expected]
    for (left, left_kind), (left_text, _) in zip(found, expected, strict=True):
        for (right, right_kind), (right_text, _) in zip(found, expected, strict=True):
            assert (left == right) == (left_text == right_text and left_kind == right_kind)


@given(st.text(alphabet="abcXYZ é9.,-<>{}[]:\n語다я", max_size=80), st.integers(0, 9), st.binary(max_size=9))
@settings(max_examples=300, deadline=None)
def test_reads_nothing_outside_its_slice(text: str, shift: int, after: bytes) -> None:
    encoded = text.encode()
    data = np.frombuffer(b"x" * shift + encoded + after, dtype=np.uint8)
    inside = [(token, kind, place - shift) for token, kind, place in all_tokens(data, shift, shift + len(encoded))]
    assert inside == raw_tokens(encoded)


@given(st.binary(max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_bytes_end_and_positions_only_grow(text: bytes) -> None:
    found = raw_tokens(text)
    positions = [0, *(position for _, _, position in found)]
    assert all(left < right for left, right in pairwise(positions[:-1]))
    assert found[-1][1:] == (END, len(text))


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=40))
@settings(deadline=None)
def test_case_does_not_matter(word: str) -> None:
    assert hashes(word.upper()) == hashes(word.lower()) == hashes(word)


@pytest.mark.parametrize(
    ("upper", "lower"), [("ÀÉÑ", "àéñ"), ("ПРИВЕТ", "привет"), ("ΛΟΓΟΣ", "λογοσ"), ("VIỆT", "việt")]
)
def test_case_is_folded_beyond_ascii(upper: str, lower: str) -> None:
    assert hashes(upper) == hashes(lower)
    assert kinds(upper) == [WORD]


def test_kinds_of_scripts() -> None:
    assert kinds("two words") == [WORD, WORD]
    assert kinds("请一步") == [IDEOGRAM] * 3
    assert kinds("ひらカナ") == [IDEOGRAM] * 4
    assert kinds("ไทย") == [IDEOGRAM] * 3
    assert kinds("단계별 설명") == [WORD, WORD]
    assert kinds("شرح كامل") == [WORD, WORD]
    assert kinds("हिन्दी में") == [WORD, WORD]
    assert kinds("GPT模型4") == [WORD, IDEOGRAM, IDEOGRAM, NUMBER]


def test_words_end_at_what_is_no_letter() -> None:
    assert hashes("tool_call2") == hashes("tool call 2")
    assert hashes("don't") == hashes("don\u2019t") == hashes("don t")
    assert hashes("abcdefgh") != hashes("abcdefg h")
    assert len(hashes("abcdefghijklmnopq")) == 1


def test_numbers() -> None:
    assert kinds("1,000.50") == [NUMBER]
    assert kinds("3, 4") == [NUMBER, NUMBER]
    assert kinds("end 3.") == [WORD, NUMBER]
    assert hashes("٤٢") == hashes("42")
    assert hashes("42") != hashes("43")


def test_structure() -> None:
    assert marks("a\n \n b") == ["\n"]
    assert marks("list:\n- one\n2. two\n3) three\n4.5 no\n-5 no") == [":", *["- "] * 3, "\n", "\n"]
    assert marks("<think>x</think> 1 < 2") == ["<a>", "</a>"]
    assert marks('{"a": [1]}') == ["{", '"', '"', ":", "[", "]", "}"]
    assert marks("{{name}} [[x]]") == ["{{", "}}", "{{", "}}"]
    assert marks("## h ```py``` **b** why?") == ["#", "`", "`", "*", "*", "?"]


def test_emoji_and_symbols_only_separate() -> None:
    assert kinds("😀 ☕ → © ،。、") == []


def test_tables_hold_every_letter_of_the_basic_plane() -> None:
    for code in range(0x10000):
        category = unicodedata.category(chr(code))
        letter = category[0] in "LM" or category in {"Nd", "Nl"}
        assert (FOLD[code] > 0) == letter, hex(code)
    assert set(np.unique(FOLD[np.array([c for c in range(0x10000) if unicodedata.category(chr(c)) == "Nd"])])) <= set(
        range(48, 58)
    )
    assert BYTE[ord("A")] == BYTE[ord("a")] == ord("a")
