"""Conditions: what must be true of a request for a rule to fire. Pure.

A language of conditions is two functions behind one protocol, so that another can take its place. What is asked of it:
conditions are checked against the types of the facts when a policy is loaded, they cannot loop for ever, and they
touch nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.decisions.facts import FactValue


class Fault(NamedTuple):
    """What is wrong with a condition, and where in it; line and column are counted from 1."""

    line: int
    column: int
    reason: str


class Fired(NamedTuple):
    """Which conditions are true, and which could not be told (a division by zero, say); by their numbers, in order."""

    true: tuple[int, ...]
    failed: tuple[int, ...]


class ConditionSet(Protocol):
    """Some conditions, compiled."""

    @property
    def names(self) -> frozenset[str]:
        """Facts that the conditions speak of."""

    def fired(self, values: Mapping[str, FactValue]) -> Fired:
        """Tell which conditions are true of these facts; there is a value for each of `names`."""


class ConditionLanguage(Protocol):
    """A way of writing conditions."""

    def faults(self, condition: str, kinds: Mapping[str, object]) -> tuple[Fault, ...]:
        """Say everything that is wrong with a condition.

        Args:
            condition: its text.
            kinds: the facts that it may speak of, each with its Python type.

        """

    def compiled(self, conditions: Sequence[str], kinds: Mapping[str, object]) -> ConditionSet:
        """Compile conditions that have no faults."""
