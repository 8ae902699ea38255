"""Facts of one request: what its connection, its body, its account and the ledger tell. Pure.

A fact is worked out when a condition or a limit asks for it, and once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from stillwatch.decisions.facts import FACTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stillwatch.decisions.facts import FactValue
    from stillwatch.guard.settings import Prices
    from stillwatch.guard.wire.asked import Asked

MILLION: Final = 1e6
_UNKNOWN: Final = {name: fact.unknown for name, fact in FACTS.items()}


class RequestFacts:
    """Facts of one request.

    Args:
        known: facts that were known before the body was read: of the account, the network and the deployment.
        asked: the request; None where it could not be read.
        digest: of a prompt, by which distinct ones are counted.
        output_estimate: tokens of an answer whose length the client does not bound.
        prices: of models.

    """

    __slots__ = ("_asked", "_digest", "_known", "_output_estimate", "_prices")

    def __init__(
        self,
        known: dict[str, FactValue],
        asked: Asked | None,
        *,
        digest: Callable[[str], str],
        output_estimate: int,
        prices: Mapping[str, Prices],
    ) -> None:
        self._known, self._asked = known, asked
        self._digest, self._output_estimate, self._prices = digest, output_estimate, prices

    def look_up(self, name: str) -> FactValue:
        """Give a fact, or its value for what is not known."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._worked_out(name)
        return found

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """Give what so many tokens of the request's model cost; nothing where its price is not known."""
        price = self._prices.get(cast("str", self.look_up("request.model")))
        if price is None:
            return 0.0
        return (input_tokens * price.input + output_tokens * price.output) / MILLION

    def _worked_out(self, name: str) -> FactValue:
        if self._asked is not None and name.startswith("request."):
            if name == "request.prompt":
                text = self._asked.prompt_text()
                return self._digest(text) if text else ""
            if name == "request.output_tokens":
                return self._output()
            if name == "request.cost":
                answers = max(cast("int", self.look_up("request.n")), 1)
                tokens = cast("int", self.look_up("request.input_tokens"))
                return self.cost(tokens, self._output() * answers) if self._prices else 0.0
            found = self._asked.fact(name)
            if found is not None:
                return found
        return _UNKNOWN[name]

    def _output(self) -> int:
        """Give tokens of one answer: as many as the client allows."""
        if self.look_up("request.operation") == "embeddings":
            return 0
        return cast("int", self.look_up("request.max_tokens")) or self._output_estimate
