from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from stillwatch.errors import YamlError
from stillwatch.typed_yaml import Part, complaints, field_name, read_yaml, unknown_name


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Inner(Part, frozen=True):
    size: Annotated[int, Meta(ge=1)]
    colour: Colour = Colour.RED


class Outer(Part, frozen=True):
    name: Annotated[str, Meta(pattern="^[a-z]+$", description="a name of small letters")]
    parts: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = msgspec.field(default_factory=dict)
    either: Literal["strip"] | Inner | None = None


def said(content: object) -> list[str]:
    return [str(each) for each in complaints(content, Outer)]


def test_what_fits_gives_no_complaint_and_converts() -> None:
    content = {"name": "a", "parts": [{"size": 1}], "by_name": {"x": {"size": 2}}, "either": {"size": 3}}
    assert said(content) == []
    assert msgspec.convert(content, Outer).by_name["x"].size == 2


def test_every_complaint_comes_at_once() -> None:
    content = {"parts": [{"size": 0}, {"colour": "gren"}], "by_name": {"x": {"sise": 2}}, "either": 3, "nam": "a"}
    assert said(content) == [
        "nam: no such field; did you mean `name`?",
        "name: is missing",
        "parts[0].size: expected `int` >= 1",
        "parts[1].size: is missing",
        "parts[1].colour: invalid enum value 'gren'; did you mean `green`?",
        "by_name.x.sise: no such field; did you mean `size`?",
        "by_name.x.size: is missing",
        "either: expected `str | object | null`, got `int`",
    ]


def test_a_pattern_is_told_in_words() -> None:
    assert said({"name": "A B"}) == ["name: expected a name of small letters, got `A B`"]


def test_names_far_from_all_others_get_them_listed() -> None:
    assert unknown_name("zzz", ["one", "two"], what="field") == "no such field; known here: one, two"
    assert unknown_name("zzz", [f"n{n}" for n in range(99)], what="field").endswith("n15, ...")


def test_paths_are_written_as_people_do() -> None:
    assert field_name(("rules", 0, "then")) == "rules[0].then"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a: [", 1, "not readable as YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "key `a` is given twice"),
        ("a: !!python/object:os.system {}\n", 1, "could not determine a constructor"),
        ("a: 2026-02-31\n", None, "day is out of range"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, line: int | None, why: str) -> None:
    with pytest.raises(YamlError, match=why) as caught:
        read_yaml(text)
    assert caught.value.line == line


def test_positions_are_those_of_values_and_of_keys() -> None:
    written = read_yaml("a: 1\nb:\n  - {c: 2}\n  - d:  xyz\n")
    assert written.position(("b", 1, "d")) == (4, 9)
    assert written.position(("b", 1, "d"), key=True) == (4, 5)
    assert written.position(("b", 0, "missing")) == (3, 5)
    assert written.position(("nowhere",)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("w: abc == d\n", 1, 5, (1, 8)),
        ('w: "abc == d"\n', 1, 5, (1, 9)),
        ("w: 'abc == ''d'' x'\n", 1, 12, (1, 18)),
        ('w: "\\"abc\\" x"\n', 1, 7, (1, 13)),
        ("w: |\n  abc\n    == d\n", 2, 3, (3, 5)),
        ("w: >-\n  abc\n  == d\n", 1, 5, (3, 3)),
        ("w: abc\n   == d\n", 1, 5, (2, 4)),
    ],
)
def test_a_place_within_a_scalar_is_found_however_it_is_written(
    text: str, line: int, column: int, expected: tuple[int, int]
) -> None:
    assert read_yaml(text).position_within(("w",), line, column) == expected


@given(st.text("ab \"'\\:#=|&\n", min_size=1, max_size=40), st.data())
def test_a_place_within_any_scalar_lies_within_the_text(value: str, data: st.DataObject) -> None:
    text = yaml.safe_dump({"w": value})
    lines = value.split("\n")
    line = data.draw(st.integers(1, len(lines)))
    column = data.draw(st.integers(1, len(lines[line - 1]) + 1))
    found = read_yaml(text).position_within(("w",), line, column)
    shown = text.split("\n")
    assert 1 <= found.line <= len(shown)
    assert 1 <= found.column <= len(shown[found.line - 1]) + 1
