"""Facts of one request: what its connection, its body, its account and the ledger tell. Pure.

A fact is worked out when a condition or a limit asks for it, and once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from stillwatch.decisions.facts import FACTS, FactValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stillwatch.guard.settings import Prices
    from stillwatch.guard.wire.asked import Asked

MILLION: Final = 1e6
_UNKNOWN: Final = {name: fact.unknown for name, fact in FACTS.items()}
_NETWORK: Final = {"country", "region", "network", "asn", "hosting", "vpn", "tor", "residential_proxy"}
_OWN: Final = {"request.prompt", "request.output_tokens", "request.cost"}  # what takes more than the body to tell
_ELSEWHERE: Final = {  # what no body tells
    name: value
    for name, value in _UNKNOWN.items()
    if not name.startswith("request.") or name.removeprefix("request.") in _NETWORK
}


class RequestFacts:
    """Facts of one request.

    Args:
        known: facts that were known before the body was read: of the account, the network and the deployment.
        asked: the request; None where it could not be read.
        digest: of a prompt, by which distinct ones are counted.
        output_estimate: tokens of an answer whose length the client does not bound.
        prices: of models.

    Attributes:
        look_up: gives a fact, or its value for what is not known.
    """

    __slots__ = ("_prices", "look_up")

    def __init__(
        self,
        known: Mapping[str, FactValue],
        asked: Asked | None,
        *,
        digest: Callable[[str], str],
        output_estimate: int,
        prices: Mapping[str, Prices],
    ) -> None:
        self._prices = prices
        values = _Values(_ELSEWHERE)
        values.update(known)
        values.asked, values.digest, values.output_estimate, values.cost = asked, digest, output_estimate, self.cost
        self.look_up: Callable[[str], FactValue] = values.__getitem__  # a dict's own: it is asked fifty times a request

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """Give what so many tokens of the request's model cost; nothing where its price is not known."""
        if not self._prices:
            return 0.0
        price = self._prices.get(cast("str", self.look_up("request.model")))
        if price is None:
            return 0.0
        return (input_tokens * price.input + output_tokens * price.output) / MILLION


class _Values(dict[str, FactValue]):
    """Facts, worked out when they are first asked for."""

    __slots__ = ("asked", "cost", "digest", "output_estimate")
    asked: Asked | None
    digest: Callable[[str], str]
    output_estimate: int
    cost: Callable[[float, float], float]

    def __missing__(self, name: str) -> FactValue:
        asked = self.asked
        if asked is None:
            found = None
        elif name in _OWN:
            found = self._worked_out(asked, name)
        else:
            found = asked.fact(name)
        if found is None:
            found = _UNKNOWN[name]
        self[name] = found
        return found

    def _worked_out(self, asked: Asked, name: str) -> FactValue:
        if name == "request.prompt":
            text = asked.prompt_text()
            return self.digest(text) if text else ""
        if name == "request.output_tokens":
            return self._output()
        answers = max(cast("int", self["request.n"]), 1)
        return self.cost(cast("int", self["request.input_tokens"]), self._output() * answers)

    def _output(self) -> int:
        """Give tokens of one answer: as many as the client allows."""
        if self["request.operation"] == "embeddings":
            return 0
        return cast("int", self["request.max_tokens"]) or self.output_estimate
