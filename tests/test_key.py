from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from stillwatch.marks.families import BY_NAME
from stillwatch.marks.key import name_cohort, name_mark

keys = st.binary(min_size=16, max_size=64)
marks = st.integers(0, 2**64 - 1)
families = st.sampled_from(sorted(BY_NAME))


@given(keys, families, marks)
def test_a_name_is_made_of_key_family_and_mark_alone(key: bytes, family: str, mark: int) -> None:
    name = name_mark(key, family, mark)
    assert name == name_mark(bytes(key), str(family), int(mark))
    assert re.fullmatch(r"[a-z2-7]{16}", name)
    cohort = name_cohort(key, family, mark)
    assert cohort == name_cohort(key, family, mark)
    assert re.fullmatch(r"c-[0-9a-f]{10}", cohort)


@given(keys, keys, families, marks)
def test_another_key_gives_another_name(key: bytes, other: bytes, family: str, mark: int) -> None:
    same = key == other
    assert (name_mark(key, family, mark) == name_mark(other, family, mark)) == same
    assert (name_cohort(key, family, mark) == name_cohort(other, family, mark)) == same


@given(keys, marks)
def test_families_do_not_meet(key: bytes, mark: int) -> None:
    assert len({name_mark(key, family, mark) for family in BY_NAME}) == len(BY_NAME)
    assert len({name_cohort(key, family, mark) for family in BY_NAME}) == len(BY_NAME)


@given(keys, families, marks, marks)
def test_other_marks_have_other_names(key: bytes, family: str, mark: int, other: int) -> None:
    assert (name_mark(key, family, mark) == name_mark(key, family, other)) == (mark == other)


@given(keys, families, marks)
def test_a_name_does_not_show_the_plain_hash(key: bytes, family: str, mark: int) -> None:
    # One bit of the mark changes about half of the bits of its name: nothing of the mark can be read off.
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    plain, changed = (
        sum(alphabet.index(letter) << 5 * place for place, letter in enumerate(name_mark(key, family, value)))
        for value in (mark, mark ^ 1)
    )
    assert 12 <= (plain ^ changed).bit_count() <= 68


def test_names_of_cohorts_and_of_marks_are_told_apart() -> None:
    key = bytes(range(32))
    assert name_cohort(key, "system", 7)[2:] not in name_mark(key, "system", 7)
    assert name_mark(key, "cohort/system", 7)[:10] != name_cohort(key, "system", 7)[2:]
