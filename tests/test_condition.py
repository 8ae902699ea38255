from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies import rule, written

from stillwatch.decisions.cel import Cel
from stillwatch.decisions.condition import ConditionLanguage, Fault, Fired
from stillwatch.decisions.decide import decide
from stillwatch.decisions.facts import FACTS, FactValue, KnownFacts
from stillwatch.decisions.policy import parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

KINDS = {name: fact.kind for name, fact in FACTS.items()}
COMPARISONS = st.tuples(st.sampled_from(["<", "==", ">"]), st.integers(-5, 5))
UNKNOWN = {name: fact.unknown for name, fact in FACTS.items()}


def fired(conditions: Sequence[str], **known: FactValue) -> Fired:
    values = {**UNKNOWN, **{name.replace("__", "."): value for name, value in known.items()}}
    compiled = Cel().compiled(conditions, KINDS)
    return compiled.fired({name: values[name] for name in compiled.names})


@pytest.mark.parametrize(
    ("condition", "line", "column", "reason"),
    [
        ('request.cuntry == "X"', 1, 1, "`request.cuntry`: no such fact; did you mean `request.country`?"),
        ('true && request.cuntry == "X"', 1, 9, "`request.cuntry`: no such fact; did you mean `request.country`?"),
        ("request.n >\n zzz", 2, 2, "`zzz`: no such fact; known here: request.operation,"),
        ("request.n > ", 1, 13, "Syntax error"),
        ("request.n", 1, 1, "a condition is true or false; this is of type int"),
        ('request.n == "1"', 1, 11, "found no matching overload for '_==_' applied to '(int, string)'"),
        ("owner.shares['CN'] > 1", 1, 20, "found no matching overload for '_>_' applied to '(double, int)'"),
        ("true && foo(1)", 1, 9, "no such function: `foo`"),
        ("request.model.foo()", 1, 15, "no such function: `foo`"),
        ("owner.shares['CN'] > 0.5", 1, 1, "cannot be told where a fact is not known"),
        ("1 / request.turns > 0", 1, 1, "cannot be told where a fact is not known: divide by zero"),
        ("request.model.matches('[')", 1, 1, "cannot be told where a fact is not known: invalid regular expression"),
        ("true) || (true", 1, 5, "Syntax error"),
        ("", 1, 1, "Syntax error"),
    ],
)
def test_what_is_wrong_with_a_condition_is_told_with_its_place(
    condition: str, line: int, column: int, reason: str
) -> None:
    found = Cel().faults(condition, KINDS)[0]
    assert found[:2] == (line, column)
    assert found.reason.startswith(reason)


def test_every_fault_of_a_condition_is_told() -> None:
    assert len(Cel().faults("request.cuntry == 'X' && request.n > 'a' && account.teir == 'free'", KINDS)) == 3


def test_only_facts_that_a_condition_speaks_of_are_named() -> None:
    conditions = ['account.tier == "request.country" // request.model', "owner . shares.exists(c, c in ['DE'])"]
    assert Cel().compiled(conditions, KINDS).names == {"account.tier", "owner.shares"}


@pytest.mark.parametrize(
    "condition",
    [
        "request.n > 1 // don't\n && account.tier == 'x'",
        "request.n > 1 && r'\\d' != account.tier && 'request.model' != ''",
        'request.n > 1 && """a"b \\""" request.model""" != account.tier',
        "request.n > 1 && 'it\\'s request.model' != account.tier",
        "request\n . n > 1 && ''' ' request.model ''' != account.tier",
    ],
)
def test_no_quote_hides_a_fact(condition: str) -> None:
    assert Cel().faults(condition, KINDS) == ()
    assert Cel().compiled([condition], KINDS).names == {"request.n", "account.tier"}


def test_lists_and_maps_are_asked() -> None:
    conditions = ["'7' in request.bias_tokens", "owner.shares.exists(c, owner.shares[c] >= 0.5)", "request.n in [1, 2]"]
    assert fired(conditions) == Fired((2,), ())
    assert fired(conditions, request__bias_tokens=("7",), owner__shares={"CN": 0.5}) == Fired((0, 1, 2), ())


def test_a_condition_that_fails_takes_no_other_with_it() -> None:
    conditions = ["request.n == 1", "10 / request.n > 0", "request.n < 1"]
    assert fired(conditions, request__n=0) == Fired((2,), (1,))


def test_more_conditions_than_fit_one_number_keep_their_order() -> None:
    conditions = [f"request.n > {number}" for number in range(130)]
    assert fired(conditions, request__n=100) == Fired(tuple(range(100)), ())


def test_deep_conditions_are_compiled_apart() -> None:
    deep = "(" * 20 + "request.n == 1" + ")" * 20
    assert Cel().faults(deep, KINDS) == ()
    assert fired([deep] * 40) == Fired(tuple(range(40)), ())


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(["<", "==", ">"]), st.integers(-5, 5)), min_size=1, max_size=60),
    st.integers(-5, 5),
)
def test_together_they_say_what_each_says_alone(asked: list[tuple[str, int]], n: int) -> None:
    truth = {"<": int.__lt__, "==": int.__eq__, ">": int.__gt__}
    expected = tuple(number for number, (sign, bound) in enumerate(asked) if truth[sign](n, bound))
    assert fired([f"request.n {sign} {bound}" for sign, bound in asked], request__n=n) == Fired(expected, ())


@pytest.mark.parametrize(
    ("condition", "known"),
    [
        ("request.max_tokens > 4096", {"request__max_tokens": 10**30}),
        ("request.tools < 0", {"request__tools": -(10**30)}),
        ("request.model.startsWith('orion')", {"request__model": "orion\ud800"}),
        ("'7' in request.bias_tokens", {"request__bias_tokens": ("\ud800", "7")}),
        ("request.model != 'a'", {"request__model": "a\0b"}),
        ("!('7' in request.bias_tokens)", {"request__bias_tokens": ("7\0",)}),
        ("request.temperature >= 1.0", {"request__temperature": 1}),
        ("owner.shares['\u9999'] > 0.5", {"owner__shares": {"\u9999": 1}}),
    ],
)
def test_what_a_client_makes_odd_escapes_no_condition(condition: str, known: dict[str, FactValue]) -> None:
    assert fired(["request.n == 1", condition], **known) == Fired((0, 1), ())


# ---- another language in CEL's place


@dataclass(frozen=True)
class Named:
    """Conditions that are names of boolean facts."""

    conditions: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.conditions)

    def fired(self, values: Mapping[str, FactValue]) -> Fired:
        return Fired(tuple(number for number, name in enumerate(self.conditions) if values[name]), ())


class Names:
    def faults(self, condition: str, kinds: Mapping[str, object]) -> tuple[Fault, ...]:
        return () if kinds.get(condition) is bool else (Fault(1, 1, "no such name"),)

    def compiled(self, conditions: Sequence[str], kinds: Mapping[str, object]) -> Named:
        assert all(kinds[name] is bool for name in conditions)
        return Named(tuple(conditions))


def test_another_language_takes_its_place() -> None:
    language: ConditionLanguage = Names()
    text = written(rules=[rule({"refuse": "sanctioned"}, "request.tor")])
    ours = parse_policy(text, where="policy.yaml", language=language)
    assert decide(ours, KnownFacts({"request.tor": True})).fired == ("it",)
    assert decide(ours, KnownFacts()).fired == ()


# ---- what is looked up


class Counting:
    def __init__(self, look_up: Callable[[str], FactValue]) -> None:
        self.asked: set[str] = set()
        self._look_up = look_up

    def look_up(self, name: str) -> FactValue:
        self.asked.add(name)
        return self._look_up(name)


def test_only_facts_that_conditions_use_are_looked_up() -> None:
    facts = Counting(KnownFacts().look_up)
    decide(parse_policy(written(rules=[rule({"refuse": "sanctioned"}, "request.tor")]), where="x"), facts)
    assert facts.asked == {"request.tor", "account.step", "account.researcher"}
