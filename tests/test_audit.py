from __future__ import annotations

import math
from dataclasses import asdict, fields, replace
from itertools import accumulate

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stillwatch.decisions.audit import (
    GENESIS,
    Broken,
    Damage,
    Entry,
    Head,
    canonical,
    chained,
    digest,
    hash_of,
    verify,
)

texts = st.text(max_size=8)
contents = st.lists(st.tuples(texts, texts, texts, texts, texts), min_size=1, max_size=8)


def trail(parts: list[tuple[str, str, str, str, str]]) -> list[Entry]:
    def after(last: Entry, part: tuple[str, str, str, str, str]) -> Entry:
        at, action, about, subject, content = part
        head = Head(last.number, last.hash)
        return chained(head, at=at, action=action, about=about, subject=subject, content=content)

    nothing = Entry(0, "", "", "", "", "", "", GENESIS)
    return list(accumulate(parts, after, initial=nothing))[1:]


trails = contents.map(trail)
SAMPLE = trail([(f"2026-07-0{day}", "lift", "d-1", '"account:a"', "{}") for day in range(1, 6)])


def broken(entries: list[Entry], expected: Head | None = None) -> Broken:
    found = verify(entries, expected).broken
    assert found is not None
    return found


# ---- laws


@given(trails)
def test_a_trail_as_it_was_made_is_whole(entries: list[Entry]) -> None:
    found = verify(entries)
    assert found.broken is None
    assert found.head == Head(len(entries), entries[-1].hash)
    for entry in entries:  # whatever was once its head is still in it
        assert verify(entries, Head(entry.number, entry.hash)).broken is None
    assert verify(entries, Head()).broken is None


@given(trails, st.data())
def test_any_alteration_of_any_field_is_found_at_that_entry(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    field = data.draw(st.sampled_from([field.name for field in fields(Entry)]))
    was = getattr(entries[place], field)
    value = data.draw(st.integers(-3, 12) if field == "number" else texts)
    assume(value != was)
    altered = [*entries[:place], Entry(**{**asdict(entries[place]), field: value}), *entries[place + 1 :]]
    found = verify(altered)
    assert found.broken is not None
    assert found.broken.number == place + 1
    assert found.head.number == place  # what comes before it is whole


@given(trails, st.data())
def test_an_entry_hashed_anew_is_found_by_the_next_or_by_the_head(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    forged = replace(entries[place], content=entries[place].content + "x")
    forged = replace(forged, hash=hash_of(forged))
    head = Head(entries[-1].number, entries[-1].hash)
    found = broken([*entries[:place], forged, *entries[place + 1 :]], head)
    assert (found.number, found.damage) == (place + 1, Damage.ALTERED)


@given(trails, st.data())
def test_any_deletion_is_found(entries: list[Entry], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(entries) - 1))
    last = data.draw(st.integers(first + 1, len(entries)))
    left = entries[:first] + entries[last:]
    found = broken(left, Head(entries[-1].number, entries[-1].hash))
    assert (found.number, found.damage) == (first + 1, Damage.TRUNCATED if last == len(entries) else Damage.MISSING)
    if last < len(entries):
        assert broken(left) == found  # a hole needs no head to be seen


@given(trails, st.data())
def test_any_other_order_is_found(entries: list[Entry], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(entries))
    assume(shuffled != entries)
    found = broken(shuffled)
    first = next(n for n, (entry, was) in enumerate(zip(shuffled, entries, strict=True), 1) if entry != was)
    assert (found.number, found.damage) == (first, Damage.REORDERED)


@given(trails, st.data())
def test_a_repeated_entry_is_found(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    assert broken([*entries[: place + 1], *entries[place:]]).damage is Damage.REORDERED


@given(trails, trails)
def test_a_trail_made_anew_is_found_by_a_noted_head(entries: list[Entry], other: list[Entry]) -> None:
    noted = entries[-1]
    assume(len(other) < len(entries) or other[len(entries) - 1].hash != noted.hash)
    assert broken(other, Head(noted.number, noted.hash)).damage in {Damage.ALTERED, Damage.TRUNCATED}


@given(st.dictionaries(texts, texts | st.integers() | st.none() | st.booleans(), max_size=4))
def test_canonical_json_is_a_function_of_the_value(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical(value) == canonical(turned)
    assert canonical(value).isascii()
    assert digest(value) == digest(turned)


# ---- what is said


def test_what_is_broken_is_said_in_a_sentence() -> None:
    one, two, three, four, five = SAMPLE
    head = Head(5, five.hash)
    said = [
        broken([one, replace(two, content="{ }"), three]).says,
        broken([one, three, four]).says,
        broken([one, three, two]).says,
        broken([one, replace(three, number=2), replace(two, number=3)]).says,
        broken([one, two, three], head).says,
        broken([], head).says,
        broken([replace(one, previous="f" * 64)]).says,
    ]
    assert said == [
        "entry 2 is not what was hashed",
        "entry 2 is missing; after 1 comes 3",
        "in the place of entry 2 stands entry 3",
        "in the place of entry 2 stands what was entry 3",
        "entries 4 to 5 are cut off: the head was noted as 5, and the last entry is 3",
        "entries 1 to 5 are cut off: the head was noted as 5, and the last entry is 0",
        "entry 1 is not what was hashed",
    ]


def test_an_empty_trail_is_whole() -> None:
    assert verify([]).head == Head()
    assert verify([]).broken is None


def test_the_hash_is_over_the_other_fields_and_pinned() -> None:
    assert SAMPLE[0].hash == digest(
        {
            "number": 1,
            "at": "2026-07-01",
            "action": "lift",
            "about": "d-1",
            "subject": '"account:a"',
            "content": "{}",
            "previous": GENESIS,
        }
    )
    assert SAMPLE[0].hash == "9abf1e0f3ac81dc2fe85a16aa10779257b090776e85fe5f31e47bb70ac366266"


@pytest.mark.parametrize("text", ["", "5", "5:ab", f"-1:{GENESIS}", f"x:{GENESIS}", f"5:{'g' * 64}", f"²:{GENESIS}"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no head; write it as `ledger verify` prints it"):
        Head.parsed(text)


@given(st.integers(0, 2**62), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_head_reads_back(number: int, hashed: str) -> None:
    assert Head.parsed(str(Head(number, hashed))) == Head(number, hashed)


def test_numbers_that_are_none_have_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"bits": math.nan})
