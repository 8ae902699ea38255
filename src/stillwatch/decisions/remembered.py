"""Conditions that remember what they told. Pure, but for that memory.

The facts that a policy's conditions speak of (tiers, places, kinds of networks) take few combinations of values in
practice, and conditions tell the same of the same values; to look that up takes a tenth of the time of asking.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stillwatch.decisions.condition import ConditionSet, Fired
    from stillwatch.decisions.facts import FactValue

_MOST: Final = 8_192  # combinations
_LONGEST: Final = 256  # characters, or things, of one value: what a client makes larger is not kept


class RememberedConditions:
    """Conditions, and what they told of the values that came last.

    Args:
        conditions: what is asked.

    """

    def __init__(self, conditions: ConditionSet) -> None:
        self._conditions = conditions
        self.names = conditions.names
        self._told: dict[Any, Fired] = {}
        names = sorted(conditions.names)
        self._of: Callable[[Mapping[str, FactValue]], Any] = itemgetter(*names) if names else lambda _: ()

    def fired(self, values: Mapping[str, FactValue]) -> Fired:
        """Tell which conditions are true of these facts."""
        key = self._of(values)
        try:
            found = self._told.get(key)
        except TypeError:  # shares of owners are a mapping, which cannot be looked up by
            return self._conditions.fired(values)
        if found is None:
            found = self._conditions.fired(values)
            if _is_small(key):
                if len(self._told) >= _MOST:
                    self._told.clear()
                self._told[key] = found
        return found


def _is_small(key: object) -> bool:
    values = key if isinstance(key, tuple) else (key,)
    return all(not isinstance(value, str | tuple) or _size(value) <= _LONGEST for value in values)


def _size(value: str | tuple[Any, ...]) -> int:
    return len(value) if isinstance(value, str) else sum(_size(str(each)) + 1 for each in value)
