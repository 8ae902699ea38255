"""YAML that people write, checked against types: every complaint names the field, and where in the text it stands.

The types are msgspec structs. msgspec stops at the first thing that is wrong; here each field is converted on its own,
so that all complaints come at once. Pure; touches nothing.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml
from msgspec import Struct

from stillwatch.errors import YamlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Path = tuple[str | int, ...]
_AT_MOST = 16  # names that one message lists


class Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """A part of what people write: unknown keys are refused."""


class Position(NamedTuple):
    """A place in the text; line and column are counted from 1."""

    line: int
    column: int


class Complaint(NamedTuple):
    """What is wrong with which field, or with its key."""

    path: Path
    reason: str
    key: bool = False

    @property
    def field(self) -> str:
        """The field as people write it: `rules[0].then`."""
        return field_name(self.path)

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.path else self.reason


@dataclass(frozen=True, slots=True)
class Document:
    """YAML as read: its content, and where each part of it stands.

    Attributes:
        content: mappings, lists and scalars.
        text: what it was read from.
    """

    content: object
    text: str
    _root: yaml.Node | None

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Tell where a field's value stands, or its key; of one that is not there, what it should have been in."""
        node = self._node(path[:-1] if key else path)
        if key and isinstance(node, yaml.MappingNode):
            node = next((found for found, _ in node.value if found.value == path[-1]), node)
        mark = None if node is None else node.start_mark
        return Position(1, 1) if mark is None else Position(mark.line + 1, mark.column + 1)

    def position_within(self, path: Path, line: int, column: int) -> Position:
        """Tell where a line and column of a scalar's value stand in the text, however the scalar is quoted or folded.

        YAML folds line breaks and takes escapes away; what is neither space nor escape stands in the text in the same
        order as in the value, and by that the two are laid side by side.
        """
        node = self._node(path)
        if not isinstance(node, yaml.ScalarNode):
            return self.position(path)
        lines = node.value.split("\n")
        before = "\n".join((*lines[: line - 1], lines[line - 1][: column - 1])) if line <= len(lines) else node.value
        at, end = node.start_mark.index, node.end_mark.index
        if node.style in ("|", ">"):
            at = self.text.index("\n", at) + 1
        elif node.style is not None:
            at += 1  # the quote
        for sign in before.replace(" ", "").replace("\n", "").replace("\t", ""):
            found = self.text.find(sign, at, end)
            width = 2 if sign == node.style == "'" else 1  # a quote within quotes is written twice
            at = at if found < 0 else found + width
        while at < end and self.text[at].isspace():
            at += 1
        return Position(self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at))

    def _node(self, path: Path) -> yaml.Node | None:
        node = self._root
        for step in path:
            inner = _inside(node, step)
            if inner is None:
                break
            node = inner
        return node


def read_yaml(text: str) -> Document:
    """Read YAML without objects; a key that stands twice in one mapping is an error rather than a silent loss.

    Raises:
        YamlError: this is no YAML; carries the line where it is known.

    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        content = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise YamlError(f"not readable as YAML: {error.problem}", line=where[0], column=where[1]) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-02-31
        raise YamlError(f"not readable as YAML: {error}") from error
    finally:
        loader.dispose()
    return Document(content, text, root)


def complaints(content: object, kind: object, path: Path = ()) -> Iterator[Complaint]:
    """Find everything in some content that does not fit a type: unknown keys, missing fields, wrong values.

    If there are none, `msgspec.convert(content, kind)` succeeds.
    """
    if isinstance(content, dict) and (struct := _first(kind, Struct)) is not None:
        yield from _of_struct(content, struct, path)
    elif isinstance(content, dict) and (mapping := _first(kind, Mapping)) is not None:
        of_key, of_value = get_args(mapping)
        for key, value in content.items():
            yield from _of_scalar(key, of_key, (*path, str(key)))
            yield from complaints(value, of_value, (*path, str(key)))
    elif isinstance(content, list) and (listed := _first(kind, tuple)) is not None:
        for number, item in enumerate(content):
            yield from complaints(item, get_args(listed)[0], (*path, number))
    else:
        yield from _of_scalar(content, kind, path)


def unknown_name(name: str, known: Iterable[str], *, what: str) -> str:
    """Say that there is no such name, with the nearest that there is, or all of them."""
    names = list(known)
    if near := difflib.get_close_matches(name, names, 1, 0.55):
        return f"no such {what}; did you mean `{near[0]}`?"
    more = "" if len(names) <= _AT_MOST else ", ..."
    return f"no such {what}; known here: {', '.join(names[:_AT_MOST])}{more}"


def field_name(path: Path) -> str:
    """Write a path as people do: `rules[0].then`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, refusing keys given twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key `{key.value}` is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _inside(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        items: list[yaml.Node] = node.value
        return items[step] if step < len(items) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None


def _first(kind: object, wanted: type) -> Any:  # noqa: ANN401  a type, or an alias such as tuple[str, ...]
    """Find in a type or union the option of the wanted kind."""
    if get_origin(kind) is Annotated:
        return _first(get_args(kind)[0], wanted)
    if get_origin(kind) in (Union, types.UnionType):
        options = (_first(option, wanted) for option in get_args(kind))
        return next((option for option in options if option is not None), None)
    bare = get_origin(kind) or kind
    return kind if isinstance(bare, type) and issubclass(bare, wanted) else None


def _of_struct(content: dict[Any, Any], kind: type[Struct], path: Path) -> Iterator[Complaint]:
    hints = get_type_hints(kind, include_extras=True)
    fields = {item.name: item for item in msgspec.structs.fields(kind)}
    for key in content:
        if key not in fields:
            yield Complaint((*path, str(key)), unknown_name(str(key), fields, what="field"), key=True)
    for name, item in fields.items():
        if name in content:
            yield from complaints(content[name], hints[name], (*path, name))
        elif item.required:
            yield Complaint((*path, name), "is missing")


def _of_scalar(content: object, kind: object, path: Path) -> Iterator[Complaint]:
    try:
        msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        message = re.sub(r" - at .*$", "", str(error), flags=re.DOTALL)
        told = [meta.description for meta in _metas(kind) if meta.description]
        if "matching regex" in message and told:
            message = f"expected {told[0]}, got `{content}`"
        elif message.startswith("Invalid enum value") and (choices := [*_choices(kind)]):
            near = difflib.get_close_matches(str(content), choices, 1, 0.55)
            message += f"; did you mean `{near[0]}`?" if near else f"; known here: {', '.join(choices)}"
        yield Complaint(path, f"{message[:1].lower()}{message[1:]}")


def _metas(kind: object) -> Iterator[msgspec.Meta]:
    if get_origin(kind) in (Annotated, Union, types.UnionType):
        for part in get_args(kind):
            yield from (part,) if isinstance(part, msgspec.Meta) else _metas(part)


def _choices(kind: object) -> Iterator[str]:
    """Find the names that a type allows: those of an enumeration or a literal."""
    if get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield from (str(each.value) for each in kind)
    elif get_origin(kind) in (Annotated, Union, types.UnionType):
        for part in get_args(kind):
            yield from _choices(part)
