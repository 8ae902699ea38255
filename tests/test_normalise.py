from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillwatch.marks.normalise import LOOKALIKES, ROOMLESS, normalise

TRICKY = (
    "aBz 9\u00e9\u0301\u0308\ufb01\u2026\u2460\u00bd\u00aa\uff21\uff0c\u3000\ud55c\u1112\u1161\u11ab\u304c\u304b\u3099"
    "\u200b\u00ad\ufe0f\u202e\u043f\u0440\u0441\u0430\u03bf\u0391\u8a9e\U0001f600\U000e0041\U0001d400\u0f71"
)


def one(text: str) -> str:
    (result,) = normalise(pa.array([text])).to_pylist()
    assert isinstance(result, str)
    return result


def slowly(text: str) -> str:
    """NFKC without what takes no room; for texts without look-alikes."""
    kept = [c for c in text if not any(first <= ord(c) <= last for first, last in ROOMLESS)]
    return unicodedata.normalize("NFKC", "".join(kept))


@given(st.text(alphabet=TRICKY, max_size=40))
@settings(max_examples=500, deadline=None)
def test_agrees_with_the_plain_algorithm(text: str) -> None:
    plain = "".join(c for c in text if c not in LOOKALIKES)
    assert one(plain) == slowly(plain)


@example(["A\N{GREEK CAPITAL LETTER OMICRON}\u3099\N{COMBINING CIRCUMFLEX ACCENT}"])
@given(st.lists(st.none() | st.text(max_size=30) | st.text(alphabet=TRICKY, max_size=30), max_size=8))
@settings(max_examples=300, deadline=None)
def test_twice_is_once_and_rows_do_not_touch_each_other(rows: list[str | None]) -> None:
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(rows, type=kind)
        once = normalise(array)
        once.validate(full=True)
        assert once.type == kind
        assert normalise(once).equals(once)
        assert once.to_pylist() == [None if row is None else one(row) for row in rows]


@given(st.lists(st.none() | st.text(alphabet=TRICKY, max_size=12), max_size=8), st.integers(0, 8), st.integers(0, 8))
@settings(max_examples=200, deadline=None)
def test_a_slice_is_normalised_like_the_whole(rows: list[str | None], start: int, length: int) -> None:
    array = pa.array(rows, type=pa.string())
    assert normalise(array.slice(start, length)).equals(normalise(array).slice(start, length))


@given(st.lists(st.text(alphabet=st.characters(codec="ascii"), max_size=20), max_size=5))
@settings(deadline=None)
def test_ascii_comes_back_as_the_same_object(rows: list[str]) -> None:
    array = pa.array(rows, type=pa.string())
    assert normalise(array) is array


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p\u0430ssw\u043erd", "password"),
        ("\u0391nswer", "Answer"),
        ("\u0430\u0441\u0435", "\u0430\u0441\u0435"),  # all of it Cyrillic: may well be a word
        (
            "C\u0442\u043e\u0438\u043c\u043e\u0441\u0442\u044c",
            "C\u0442\u043e\u0438\u043c\u043e\u0441\u0442\u044c",
        ),  # a slip in Russian
        ("\u043f\u0440\u0438\u0432\u0435\u0442 hello", "\u043f\u0440\u0438\u0432\u0435\u0442 hello"),
    ],
)
def test_lookalikes(text: str, expected: str) -> None:
    assert one(text) == expected


def test_what_takes_no_room_goes_and_what_is_wide_becomes_narrow() -> None:
    assert one("th\u200bi\u00adnk\ufe0f \u202estep") == "think step"
    assert one("\uff33\uff54\uff45\uff50\u3000\uff11\uff0c\uff1a") == "Step 1,:"
    assert one("cafe\u0301 \u1112\u1161\u11ab") == "caf\u00e9 \ud55c"


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_text_are_replaced_and_the_rest_is_kept(rows: list[bytes]) -> None:
    array = unchecked(rows)
    after = normalise(array)
    after.validate(full=True)
    readable = [row.decode() if one_text(row) else None for row in rows]
    assert [text for text, row in zip(after.to_pylist(), readable, strict=True) if row is not None] == [
        one(row) for row in readable if row is not None
    ]


def one_text(row: bytes) -> bool:
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True


def unchecked(rows: list[bytes]) -> pa.Array:
    binary = pa.array(rows, type=pa.binary())
    return pa.Array.from_buffers(pa.string(), len(rows), binary.buffers())


def test_a_broken_byte_leaves_its_neighbours() -> None:
    (text,) = normalise(unchecked([b"good \xff\xc3 text \xe4\xb8"])).to_pylist()
    assert text == "good \x1a\x1a text \x1a\x1a"


def test_only_text_is_taken() -> None:
    with pytest.raises(TypeError, match="int64"):
        normalise(pa.array([1]))
