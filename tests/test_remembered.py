from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from stillwatch.decisions.cel import Cel
from stillwatch.decisions.remembered import _MOST, RememberedConditions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stillwatch.decisions.condition import Fired
    from stillwatch.decisions.facts import FactValue

CONDITIONS = ("request.n > 2", 'request.model == "a"', "request.temperature < 0.5", "10 / request.n > 4")
KINDS: dict[str, object] = {"request.n": int, "request.model": str, "request.temperature": float}


class Counting:
    """Conditions that count how often they are asked."""

    def __init__(self) -> None:
        self._compiled = Cel().compiled(CONDITIONS, KINDS)
        self.names, self.asked = self._compiled.names, 0

    def fired(self, values: Mapping[str, FactValue]) -> Fired:
        self.asked += 1
        return self._compiled.fired(values)


facts = st.fixed_dictionaries(
    {
        "request.n": st.integers(-3, 6),
        "request.model": st.sampled_from(["a", "b", "a\0", "", "a" * 1000]),
        "request.temperature": st.floats(allow_nan=True),
    }
)


@given(st.lists(facts, max_size=30))
def test_what_is_remembered_is_what_would_be_told(asked: list[dict[str, FactValue]]) -> None:
    plain = Cel().compiled(CONDITIONS, KINDS)
    remembered = RememberedConditions(Cel().compiled(CONDITIONS, KINDS))
    for values in [*asked, *asked]:
        assert remembered.fired(values) == plain.fired(values)


def test_the_same_values_are_asked_once_in_whatever_order_they_stand() -> None:
    counting = Counting()
    remembered = RememberedConditions(counting)
    values: dict[str, FactValue] = {"request.n": 1, "request.model": "a", "request.temperature": 0.1}
    first = remembered.fired(values)
    assert remembered.fired(dict(reversed(values.items()))) == first
    assert counting.asked == 1


def test_memory_is_bounded_in_combinations_and_in_what_a_client_makes_long() -> None:
    remembered = RememberedConditions(Counting())
    for number in range(_MOST + 10):
        remembered.fired({"request.n": number, "request.model": "a", "request.temperature": 0.1})
    assert len(remembered._told) <= _MOST
    before = len(remembered._told)
    remembered.fired({"request.n": 1, "request.model": "m" * 1_000_000, "request.temperature": 0.1})
    assert len(remembered._told) == before


def test_mappings_and_no_facts_at_all_are_asked_as_ever() -> None:
    shares = RememberedConditions(Cel().compiled(['"CN" in owner.shares'], {"owner.shares": dict[str, float]}))
    assert shares.fired({"owner.shares": {"CN": 0.4}}).true == (0,)
    assert shares.fired({"owner.shares": {}}).true == ()
    assert RememberedConditions(Cel().compiled(["true"], {})).fired({}).true == (0,)
