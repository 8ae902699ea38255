"""Facts: everything that a policy can know about a request, its account and where it is served. Pure.

Every fact always has a value: one that is not known has the value that `FACTS` names for it, so that no condition can
fail for want of a fact. Two kinds of facts are worked out here rather than looked up:

- whether a place is in one of the policy's lists of places (`request.places.sanctioned`), where an owner is in a list
  once the shares of all owners in it add up to the list's bound;
- whether two places differ (`request.abroad`), which they do only where both are known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import msgspec

from stillwatch.decisions.step import Step
from stillwatch.errors import FactsError
from stillwatch.typed_yaml import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FactValue = bool | int | float | str | tuple[str, ...] | dict[str, float]


class Fact(NamedTuple):
    """One fact: its kind, its value where it is not known, and what it means."""

    kind: type[bool | int | float | str] | object
    unknown: FactValue
    means: str


STRINGS = tuple[str, ...]
SHARES = dict[str, float]

FACTS: Mapping[str, Fact] = {
    "request.operation": Fact(str, "chat", "`chat`, `completion`, `embeddings`, `fine-tune`, `batch`"),
    "request.model": Fact(str, "", "the model that is asked for"),
    "request.country": Fact(str, "", "where it comes from, ISO 3166-1: `DE`"),
    "request.region": Fact(str, "", "the same more closely, ISO 3166-2: `UA-43`"),
    "request.network": Fact(str, "", "the network it comes from, as a prefix: `192.0.2.0/24`"),
    "request.asn": Fact(int, 0, "number of the autonomous system it comes from"),
    "request.hosting": Fact(bool, False, "it comes from a hosting provider"),
    "request.vpn": Fact(bool, False, "it comes from an exit of a VPN"),
    "request.tor": Fact(bool, False, "it comes from an exit of Tor"),
    "request.residential_proxy": Fact(bool, False, "it comes from a residential proxy"),
    "request.input_tokens": Fact(int, 0, "tokens of the prompt, as estimated before it is served"),
    "request.output_tokens": Fact(int, 0, "tokens of one answer, as estimated before it is served"),
    "request.max_tokens": Fact(int, 0, "the most tokens that the answer may have; 0 where the client sets no bound"),
    "request.cost": Fact(float, 0.0, "what it will cost, as estimated before it is served"),
    "request.prompt": Fact(str, "", "a keyed digest of the prompt, by which distinct prompts are counted"),
    "request.turns": Fact(int, 0, "messages in it"),
    "request.tools": Fact(int, 0, "tools that it offers"),
    "request.stream": Fact(bool, False, "the answer is asked for as a stream"),
    "request.n": Fact(int, 1, "answers asked for"),
    "request.logprobs": Fact(bool, False, "log probabilities are asked for"),
    "request.top_logprobs": Fact(int, 0, "alternatives asked for at each token"),
    "request.logit_bias": Fact(int, 0, "tokens that are biased"),
    "request.logit_bias_magnitude": Fact(float, 0.0, "the largest bias, without its sign"),
    "request.bias_tokens": Fact(STRINGS, (), "the tokens that are biased, by which distinct ones are counted"),
    "request.seed": Fact(bool, False, "a seed is given"),
    "request.temperature": Fact(float, 1.0, "sampling temperature"),
    "request.reasoning": Fact(bool, False, "raw reasoning is asked for"),
    "account.id": Fact(str, "", "the account"),
    "account.key": Fact(str, "", "the API key, as a keyed digest"),
    "account.organization": Fact(str, "", "the organization that it names"),
    "account.cohort": Fact(str, "", "the cohort that it belongs to, if a scan found one"),
    "account.tier": Fact(str, "", "its tier or plan"),
    "account.verified": Fact(bool, False, "who it belongs to has been verified"),
    "account.researcher": Fact(bool, False, "it belongs to a verified evaluator or safety researcher"),
    "account.age_days": Fact(int, 0, "whole days since it was made"),
    "account.payment": Fact(str, "", "kind of its payment: `card`, `invoice`, `prepaid`"),
    "account.country": Fact(str, "", "its country, ISO 3166-1"),
    "account.region": Fact(str, "", "the same more closely, ISO 3166-2"),
    "account.step": Fact(str, Step.OBSERVE.value, "the step of the ladder that was decided for it"),
    "owner.shares": Fact(SHARES, {}, "what share of its owner belongs to which country, from 0 to 1: `{CN: 0.6}`"),
    "deployment.cloud": Fact(str, "", "the cloud that would serve the request"),
    "deployment.region": Fact(str, "", "the cloud's region that would serve it"),
    "deployment.tenant": Fact(str, "", "the tenant that it would be served from"),
}

DERIVED: Mapping[str, Fact] = {
    "request.abroad": Fact(bool, False, "its country and the account's are known and differ"),
    "owner.country": Fact(str, "", "the country that owns most of the account's owner"),
    "owner.share": Fact(float, 0.0, "how much that is, from 0 to 1"),
    "owner.abroad": Fact(bool, False, "the owner's country and the account's are known and differ"),
}

PLACES: Mapping[str, str] = {
    "request.places": "its country or region is in the list",
    "account.places": "its country or region is in the list",
    "owner.places": "the shares of its owners in the list add up to `owned_from` or more",
}


_UNKNOWN: Mapping[str, FactValue] = {name: fact.unknown for name, fact in FACTS.items()}


class FactSource(Protocol):
    """Whatever knows the facts of one request."""

    def look_up(self, name: str) -> FactValue:
        """Give a fact of `FACTS`, or its value for what is not known."""


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """Facts that are all known beforehand; the others have the values of what is not known."""

    known: Mapping[str, FactValue] = field(default_factory=dict)

    def look_up(self, name: str) -> FactValue:
        """Give a fact."""
        return self.known[name] if name in self.known else _UNKNOWN[name]


def facts_from(content: object) -> KnownFacts:
    """Check facts that come from outside: names with dots, or mappings in mappings.

    Raises:
        FactsError: no fact has that name, or its value is of another kind; names the fact.

    """
    if not isinstance(content, dict):
        raise FactsError('facts are a mapping of names to values, such as {"request.country": "DE"}')
    known: dict[str, FactValue] = {}
    for name, value in _flat(content, ""):
        if name not in FACTS:
            raise FactsError(f"{name}: {unknown_name(name, FACTS, what='fact')}")
        try:
            known[name] = msgspec.convert(value, cast("Any", FACTS[name].kind))
        except msgspec.ValidationError as error:
            raise FactsError(f"{name}: {str(error)[:1].lower()}{str(error)[1:]}") from error
    if "account.step" in known and known["account.step"] not in list(Step):
        raise FactsError(f"account.step: {unknown_name(str(known['account.step']), list(Step), what='step')}")
    return KnownFacts(known)


def _flat(content: Mapping[Any, Any], above: str) -> Iterable[tuple[str, object]]:
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and name not in FACTS:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


# ---------------------------------------------------------------- facts that are worked out


@dataclass(frozen=True, slots=True)
class PlaceSet:
    """A list of places, ready to be asked: countries (ISO 3166-1) and regions (ISO 3166-2)."""

    places: frozenset[str]
    owned_from: float


class Readable(Protocol):
    """Puts values of some facts where they are wanted."""

    def __call__(self, facts: FactSource, values: dict[str, FactValue], /) -> None:
        """Look up what is needed, and add the facts to the values."""


def reader(names: frozenset[str], places: Mapping[str, PlaceSet]) -> Readable:
    """Give what reads these facts and no others; what several of them need is looked up once.

    Args:
        names: of `FACTS`, of `DERIVED`, or lists of `places`.
        places: the policy's lists of places, by name.

    """
    plain = tuple(sorted(names & FACTS.keys()))
    parts: list[Readable] = []
    for above in ("request", "account"):
        asked = _listed(f"{above}.places", names, places)
        if asked:
            parts.append(_place_reader(above, asked))
    if "request.abroad" in names:
        parts.append(_read_abroad)
    owned = _listed("owner.places", names, places)
    if owned or any(name in names for name in ("owner.country", "owner.share", "owner.abroad")):
        parts.append(_owner_reader(owned, names))

    def read(facts: FactSource, values: dict[str, FactValue]) -> None:
        look_up = facts.look_up
        for name in plain:
            values[name] = look_up(name)
        for part in parts:
            part(facts, values)

    return read


def _listed(above: str, names: frozenset[str], places: Mapping[str, PlaceSet]) -> list[tuple[str, PlaceSet]]:
    return [(f"{above}.{name}", listed) for name, listed in places.items() if f"{above}.{name}" in names]


def _place_reader(above: str, asked: list[tuple[str, PlaceSet]]) -> Readable:
    country_fact, region_fact = f"{above}.country", f"{above}.region"

    def read(facts: FactSource, values: dict[str, FactValue]) -> None:
        country, region = facts.look_up(country_fact), facts.look_up(region_fact)
        for name, listed in asked:
            values[name] = country in listed.places or region in listed.places

    return read


def _read_abroad(facts: FactSource, values: dict[str, FactValue]) -> None:
    values["request.abroad"] = _differ(facts.look_up("request.country"), facts.look_up("account.country"))


def _owner_reader(asked: list[tuple[str, PlaceSet]], names: frozenset[str]) -> Readable:
    def read(facts: FactSource, values: dict[str, FactValue]) -> None:
        shares = cast("dict[str, float]", facts.look_up("owner.shares"))
        for name, listed in asked:
            values[name] = bool(shares) and _share_in(listed.places, shares) >= listed.owned_from
        country, share = min(shares.items(), key=lambda item: (-item[1], item[0])) if shares else ("", 0.0)
        if "owner.country" in names:
            values["owner.country"] = country
        if "owner.share" in names:
            values["owner.share"] = share
        if "owner.abroad" in names:
            values["owner.abroad"] = _differ(country, facts.look_up("account.country"))

    return read


def _share_in(places: frozenset[str], shares: Mapping[str, float]) -> float:
    """Add up shares; to nine digits, so that 0.3 and 0.2 are a half."""
    return round(sum(share for place, share in shares.items() if place in places), 9)


def _differ(one: FactValue, other: FactValue) -> bool:
    return bool(one) and bool(other) and one != other
