"""Conditions in CEL, the Common Expression Language, by its C++ implementation. Pure.

Crossing from Python to C++ and back costs more than a condition does. So all conditions of a policy are compiled into
one expression, whose value is a whole number with one bit a condition (`bench/policy.py` measures it: a fifth of the
time of one call a condition). Where one condition fails, so does the number; then each is asked on its own.

The language: https://github.com/google/cel-spec. It has no loops but over given lists, and no effects.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from stillwatch.errors import UsageError

try:
    from cel_expr_python import cel
except ModuleNotFoundError as error:  # an extra, since it comes as wheels for some platforms only
    raise UsageError("policies need the package cel-expr-python: pip install 'stillwatch[guard]'") from error

from stillwatch.decisions.condition import Fault, Fired
from stillwatch.decisions.facts import SHARES, STRINGS
from stillwatch.typed_yaml import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stillwatch.decisions.facts import FactValue

_BITS = 48  # conditions in one number; CEL's have 64 bits
_ODD = "\N{REPLACEMENT CHARACTER}"
_REMEMBERED = 1024  # few combinations of rules fire in practice
_KINDS: Mapping[object, Any] = {
    bool: cel.Type.BOOL,
    int: cel.Type.INT,
    float: cel.Type.DOUBLE,
    str: cel.Type.STRING,
    STRINGS: cel.Type.List(cel.Type.STRING),
    SHARES: cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
}
_NOTHING: Mapping[object, object] = {bool: False, int: 0, float: 0.0, str: "", STRINGS: [], SHARES: {}}
_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \||\nERROR|\s*\[INVALID_ARGUMENT\]|\Z)", re.DOTALL)
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_NO_NAMES = re.compile(  # comments, raw strings and other strings
    r"""//[^\n]*
    |(?:[bB]?[rR]|[rR][bB])(?:"{3}.*?"{3}|'{3}.*?'{3}|"[^"]*"|'[^']*')
    |(?:"{3}(?:\\.|.)*?"{3}|'{3}(?:\\.|.)*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""",
    re.DOTALL | re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Cel:
    """CEL as a language of conditions."""

    def faults(self, condition: str, kinds: Mapping[str, object]) -> tuple[Fault, ...]:
        """Say everything that is wrong with a condition: as syntax, as types, as names of facts."""
        try:
            expression = environment(kinds).compile(condition)
        except RuntimeError as error:
            return tuple(_faults(str(error), condition, kinds))
        if (kind := expression.return_type()) != cel.Type.BOOL:
            return (Fault(1, 1, f"a condition is true or false; this is of type {kind.name().lower()}"),)
        answer = expression.eval(data={name: _NOTHING[kind] for name, kind in kinds.items()}).value()
        if not isinstance(answer, bool):
            return (Fault(1, 1, f"cannot be told where a fact is not known: {_plain(str(answer))}"),)
        return ()

    def compiled(self, conditions: Sequence[str], kinds: Mapping[str, object]) -> CelConditions:
        """Compile conditions that have no faults."""
        compiler = environment(kinds)
        each = tuple(compiler.compile(condition) for condition in conditions)
        names = frozenset(name for condition in conditions for name in _names(condition, kinds))
        lists, texts = (tuple(name for name in sorted(names) if kinds[name] == kind) for kind in (STRINGS, str))
        return CelConditions(names, lists, texts, each, tuple(_packed(compiler, tuple(enumerate(conditions)))))


@dataclass(frozen=True, slots=True)
class CelConditions:
    """Conditions in CEL, compiled one by one and together."""

    names: frozenset[str]
    _lists: tuple[str, ...]
    _texts: tuple[str, ...]
    _each: tuple[Any, ...]
    _packs: tuple[tuple[Any, tuple[int, ...]], ...]

    def fired(self, values: Mapping[str, FactValue]) -> Fired:
        """Tell which conditions are true."""
        data: Mapping[str, object] = values
        if self._lists:  # CEL takes no tuples
            data = {**values, **{name: _listed(values[name]) for name in self._lists}}
        for name in self._texts:
            text = cast("str", values[name])
            if text and "\0" in text:  # the package would end the text there
                data = {**data, name: text.replace("\0", _ODD)}
        true: tuple[int, ...] = ()
        failed: tuple[int, ...] = ()
        for expression, numbers in self._packs:
            bits = _value(expression, data)
            if type(bits) is int:
                true += _numbers_of(bits, numbers)
            else:
                told = self._each_apart(numbers, data)
                true, failed = true + told.true, failed + told.failed
        return Fired(true, failed)

    def _each_apart(self, numbers: tuple[int, ...], data: Mapping[str, object]) -> Fired:
        """Ask conditions one by one; what a client made too large, or no text, is first made what CEL takes."""
        sane = {name: _sane(value) for name, value in data.items()}
        told = {number: _value(self._each[number], sane) for number in numbers}
        return Fired(
            tuple(number for number, value in told.items() if value is True),
            tuple(number for number, value in told.items() if not isinstance(value, bool)),
        )


def _listed(value: FactValue) -> list[str]:
    return [text.replace("\0", _ODD) for text in cast("tuple[str, ...]", value)]


def _value(expression: Any, data: Mapping[str, object]) -> object:  # noqa: ANN401  the package has no types
    """Ask an expression; None where it cannot be told."""
    try:
        value: object = expression.eval(data=data).value()
    except (RuntimeError, UnicodeError, ValueError, TypeError, OverflowError):
        return None
    return value


def _sane(value: object) -> object:
    """Bring a whole number into 64 bits, and text into Unicode."""
    match value:
        case bool():
            return value
        case int():
            return min(max(value, -(1 << 63)), (1 << 63) - 1)
        case str():
            return value.encode(errors="replace").decode()
        case list():
            return [_sane(each) for each in value]
        case dict():
            return {_sane(key): each for key, each in value.items()}
        case _:
            return value


@functools.lru_cache(maxsize=_REMEMBERED)
def _numbers_of(bits: int, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Give the numbers whose bits are set."""
    return tuple(number for bit, number in enumerate(numbers) if bits >> bit & 1)


def environment(kinds: Mapping[str, object]) -> Any:  # noqa: ANN401  the package has no types
    """Give a compiler that knows these facts."""
    return cel.NewEnv(variables={name: _KINDS[kind] for name, kind in kinds.items()})


def _packed(compiler: Any, numbered: tuple[tuple[int, str], ...]) -> Iterator[tuple[Any, tuple[int, ...]]]:  # noqa: ANN401  the same
    """Put conditions together as long as they fit; CEL bounds how deep an expression may be nested."""
    if not numbered:
        return
    if len(numbered) <= _BITS:
        terms = [f"({condition}\n) ? {1 << bit} : 0" for bit, (_, condition) in enumerate(numbered)]
        try:
            yield compiler.compile(_sum(terms)), tuple(number for number, _ in numbered)
        except RuntimeError:
            if len(numbered) == 1:
                raise
        else:
            return
    half = len(numbered) // 2
    yield from _packed(compiler, numbered[:half])
    yield from _packed(compiler, numbered[half:])


def _sum(terms: Sequence[str]) -> str:
    if len(terms) == 1:
        return f"({terms[0]})"
    half = len(terms) // 2
    return f"({_sum(terms[:half])} + {_sum(terms[half:])})"


def _names(condition: str, kinds: Mapping[str, object]) -> Mapping[str, object]:
    """Find the facts that a condition speaks of: never too few, now and then one too many."""
    found = {
        name: kinds[name]
        for written in _NAME.findall(_NO_NAMES.sub(" ", condition))
        for name in itertools.accumulate(re.split(r"\s*\.\s*", written), "{}.{}".format)
        if name in kinds
    }
    try:
        environment(found).compile(condition)
    except RuntimeError:  # it speaks of others still
        return kinds
    return found


def _faults(message: str, condition: str, kinds: Mapping[str, object]) -> Iterator[Fault]:
    found = _ERROR.findall(message)
    if not found:
        yield Fault(1, 1, message.strip())
    seen: set[str] = set()
    for line, column, reason in found:
        if reason in seen and int(line) < 1:
            continue
        seen.add(reason)
        if unknown := _UNDECLARED.match(reason):
            name = unknown[1]
            if condition.split("\n")[int(line) - 1][int(column) - 1 : int(column)] == "(":
                yield Fault(int(line), int(column) - len(name), f"no such function: `{name}`")
            else:
                at = _begin(condition, int(line), int(column), name)
                yield Fault(int(line), at, f"`{name}`: {unknown_name(name, kinds, what='fact')}")
        else:
            yield Fault(max(int(line), 1), max(int(column), 1), reason.strip())


def _begin(condition: str, line: int, column: int, name: str) -> int:
    """Give the column where a name begins; CEL points at its last dot."""
    before, above = condition.split("\n")[line - 1][: column - 1], name.rpartition(".")[0]
    return column - len(above) if before.endswith(above) else column


def _plain(message: str) -> str:
    return re.sub(r"^[A-Z_]+: ", "", message).strip().splitlines()[0]
