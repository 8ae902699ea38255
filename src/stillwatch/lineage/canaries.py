"""Canaries: answers of which several are as good, dealt to campaigns by key, and looked for in a suspect. Pure.

A canary has K choices (a wording, an order, an example). HMAC-SHA-256 (RFC 2104) of the canary's id under the
campaign's own key picks one; that campaign, and nobody else, is always given it. Campaign keys come from one master
key by HMAC as well, so that one can be shown without the others, and each is committed to, with the deck, before it is
used.

The null is exact: whatever a suspect prefers, and however its answers hang together, a model that never saw a
campaign's answers agrees with a choice that was drawn by a secret key with chance 1/K, each canary by itself. So the
number of agreements is Poisson-binomial, given all answers. The e-value is a likelihood ratio against a model that
copies a share q of its canaries, averaged over a fixed grid of q: each factor, 1 - q + q K [agrees], has mean 1.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from stillwatch.errors import MaterialError, UsageError
from stillwatch.lineage.e_values import MOST
from stillwatch.lineage.exact import holm, poisson_binomial, upper_tail
from stillwatch.lineage.prompts import prompt_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.lineage.material import Material

VERSION: Final = "stillwatch.canaries/1"
KEY_BYTES: Final = 32
LEAST_CANARIES: Final = 10
SHARES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)  # of canaries that a suspect may have learnt; fixed beforehand
_TOLD_SHARE: Final = 0.2  # the share that power is told for
_ENOUGH: Final = 0.8


@dataclass(frozen=True, slots=True)
class Canary:
    """One thing that can be said in several ways.

    Attributes:
        id: its name.
        prompt: what draws it out of a model.
        choices: two or more, none a part of another.

    """

    id: str
    prompt: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deal:
    """What a campaign is given.

    Attributes:
        campaign: whom.
        key: its key, in hexadecimal; secret until it is revealed.
        commitment: hash of key and deck, to be published before the first answer is given.
        choices: by canary, the index of its choice.

    """

    campaign: str
    key: str
    commitment: str
    choices: dict[str, int]


@dataclass(frozen=True, slots=True)
class Agreement:
    """A suspect against one campaign's choices.

    Attributes:
        campaign: whose.
        agreements: canaries on which both made the same choice.
        expected: how many by chance.
        p_value: exact.
        adjusted: after Holm, over all campaigns.
        e_value: evidence; its mean by chance is 1.
        commitment: of the key that was tested.

    """

    campaign: str
    agreements: int
    expected: float
    p_value: float
    adjusted: float
    e_value: float
    commitment: str


@dataclass(frozen=True, slots=True)
class CanaryTest:
    """A suspect against all campaigns.

    Attributes:
        canaries: how many told something: the suspect made one of the choices.
        silent: how many did not: no choice, or two as often.
        agreements: by campaign, strongest first.
        power: probability that a suspect with a fifth of its canaries from a campaign would have been found.
        needed: canaries that would give a power of 0.8.
        alpha: chance of any false find.

    """

    canaries: int
    silent: int
    agreements: list[Agreement]
    power: float
    needed: int
    alpha: float


def read_deck(material: Material) -> list[Canary]:
    """Read canaries: JSONL with `id`, `prompt` and `choices`.

    Raises:
        MaterialError: a field is wrong, an id comes twice, or one choice is a part of another.

    """
    deck: dict[str, Canary] = {}
    for line, row in material.rows():
        name, prompt = material.string(row, "id", line), material.string(row, "prompt", line)
        choices = row.get("choices")
        reason = ""
        if name in deck:
            raise MaterialError(f"{name!r} is there already", path=material.name, line=line, field="id")
        if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(each, str) for each in choices):
            reason = "must be a list of two texts or more"
        else:
            plain = [_plain(each) for each in choices]
            if not all(plain):
                reason = "a choice is empty"
            elif any(one in two for at, one in enumerate(plain) for other, two in enumerate(plain) if at != other):
                reason = "a choice is part of another, so that answers could not tell them apart"
        if reason:
            raise MaterialError(reason, path=material.name, line=line, field="choices")
        deck[name] = Canary(name, prompt, tuple(row["choices"]))
    return list(deck.values())


def deal(deck: Sequence[Canary], deck_hash: str, master: bytes, campaigns: Sequence[str]) -> list[Deal]:
    """Deal every campaign its choices.

    Raises:
        UsageError: the master key is too short, a campaign is named twice, or none is.

    """
    if len(master) < KEY_BYTES:
        raise UsageError(f"the key must have {KEY_BYTES} bytes or more")
    if not campaigns or len(set(campaigns)) < len(campaigns):
        raise UsageError("name one campaign or more, each once")
    made = []
    for campaign in campaigns:
        key = hmac.digest(master, f"{VERSION} campaign {campaign}".encode(), "sha256")
        made.append(Deal(campaign, key.hex(), _commitment(key, campaign, deck_hash), _choices(deck, key)))
    return made


def write_deals(deck_hash: str, deals: Sequence[Deal]) -> bytes:
    """Write deals as JSON. Secret: it holds the campaigns' keys."""
    document = {"schema": VERSION, "deck_sha256": deck_hash, "deals": deals}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read_deals(material: Material, deck: Sequence[Canary], deck_hash: str) -> list[Deal]:
    """Read deals and see that keys, commitments and choices agree with each other and with the deck.

    Raises:
        MaterialError: another version or deck, or something was changed.

    """
    try:
        document = msgspec.json.decode(material.data)
        known = isinstance(document, dict) and document.get("schema") == VERSION
        deals = msgspec.convert(document["deals"], list[Deal]) if known else []
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        raise MaterialError(f"no deals: {error}", path=material.name) from error
    if not known:
        raise MaterialError(f"is not {VERSION}", path=material.name, field="schema")
    if not deals or len({each.campaign for each in deals}) < len(deals):
        raise MaterialError("must name each campaign once", path=material.name, field="deals")
    if document.get("deck_sha256") != deck_hash:
        raise MaterialError("these choices were dealt from another deck", path=material.name, field="deck_sha256")
    for each in deals:
        _see_that_it_holds(each, deck, deck_hash, material)
    return deals


def _see_that_it_holds(dealt: Deal, deck: Sequence[Canary], deck_hash: str, material: Material) -> None:
    try:
        key = bytes.fromhex(dealt.key)
    except ValueError as error:
        raise MaterialError(f"{dealt.campaign}: not hexadecimal", path=material.name, field="key") from error
    if not hmac.compare_digest(_commitment(key, dealt.campaign, deck_hash), dealt.commitment):
        reason = f"{dealt.campaign}: does not match key and deck"
        raise MaterialError(reason, path=material.name, field="commitment")
    if _choices(deck, key) != dealt.choices:
        raise MaterialError(f"{dealt.campaign}: do not follow from the key", path=material.name, field="choices")


def _commitment(key: bytes, campaign: str, deck_hash: str) -> str:
    return hashlib.sha256(f"{VERSION}\0{campaign}\0{deck_hash}\0".encode() + key).hexdigest()


def _choices(deck: Sequence[Canary], key: bytes) -> dict[str, int]:
    # 256 bits modulo K: the bias is below K / 2^256
    return {each.id: int.from_bytes(hmac.digest(key, each.id.encode(), "sha256")) % len(each.choices) for each in deck}


def chosen(canary: Canary, answers: Sequence[str]) -> int | None:
    """Which choice a model makes: the one found in most of its answers; None where none is, or two are as often."""
    plain = [_plain(each) for each in answers]
    found: Counter[int] = Counter()
    for answer in plain:
        held = [index for index, choice in enumerate(canary.choices) if _plain(choice) in answer]
        if len(held) == 1:
            found[held[0]] += 1
    best = found.most_common(2)
    return None if not best or (len(best) > 1 and best[0][1] == best[1][1]) else best[0][0]


def _plain(text: str) -> str:
    return prompt_key(text).casefold()


def read_suspect(material: Material) -> dict[str, list[str]]:
    """Read a suspect's answers: JSONL with the canary's id as `id`, and `answer`; several of one canary are allowed.

    Raises:
        MaterialError: a field is missing or wrong.

    """
    answers: dict[str, list[str]] = {}
    for line, row in material.rows():
        answers.setdefault(material.string(row, "id", line), []).append(material.string(row, "answer", line))
    return answers


def canary_test(materials: Mapping[str, Material], alpha: float = 0.01) -> CanaryTest:
    """Hold a suspect's answers against every campaign's choices; needs `deck`, `deals` and `suspect`.

    Raises:
        MaterialError: a file says something wrong, or an answer is to no canary of the deck.
        UsageError: a file is missing.

    """
    if not {"deck", "deals", "suspect"} <= set(materials):
        raise UsageError("canaries need a deck, deals and answers of the suspect")
    deck = read_deck(materials["deck"])
    deals = read_deals(materials["deals"], deck, materials["deck"].sha256)
    answers = read_suspect(materials["suspect"])
    stray = sorted(set(answers) - {each.id for each in deck})
    if stray:
        raise MaterialError(f"{stray[0]!r} is no canary of the deck", path=materials["suspect"].name, field="id")
    made = {each.id: chosen(each, answers.get(each.id, ())) for each in deck}
    return agreements(deck, deals, made, alpha)


def agreements(
    deck: Sequence[Canary], deals: Sequence[Deal], made: Mapping[str, int | None], alpha: float
) -> CanaryTest:
    """Do the same with choices that were read."""
    told = [each for each in deck if made.get(each.id) is not None]
    kinds = [len(each.choices) for each in told]
    mass = poisson_binomial([1.0 / kind for kind in kinds])
    rows = []
    for each in deals:
        agrees = [made[canary.id] == each.choices[canary.id] for canary in told]
        rows.append((each, sum(agrees), upper_tail(mass, sum(agrees)), _evidence(agrees, kinds)))
    adjusted = holm([p for _, _, p, _ in rows])
    expected = math.fsum(1.0 / kind for kind in kinds)
    found = [
        Agreement(each.campaign, count, expected, p, after, e_value, each.commitment)
        for (each, count, p, e_value), after in zip(rows, adjusted, strict=True)
    ]
    found.sort(key=lambda each: (each.p_value, each.campaign))
    level = alpha / len(deals)
    typical = kinds or [len(each.choices) for each in deck]
    return CanaryTest(
        canaries=len(told),
        silent=len(deck) - len(told),
        agreements=found,
        power=_power(kinds, level),
        needed=_needed(typical, level),
        alpha=alpha,
    )


def figures(found: CanaryTest) -> dict[str, Any]:
    """Give every figure in plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _evidence(agrees: Sequence[bool], kinds: Sequence[int]) -> float:
    ratios = []
    for share in SHARES:
        factors = (1.0 - share + share * kind * agreed for agreed, kind in zip(agrees, kinds, strict=True))
        ratios.append(math.exp(min(math.log(MOST), math.fsum(map(math.log, factors)))))
    return math.fsum(each / len(ratios) for each in ratios)


def _power(kinds: Sequence[int], level: float) -> float:
    null = poisson_binomial([1.0 / kind for kind in kinds])
    tails = np.cumsum(null[::-1])[::-1]
    found = np.flatnonzero(tails <= level)
    if not found.size:
        return 0.0
    copied = poisson_binomial([_TOLD_SHARE + (1.0 - _TOLD_SHARE) / kind for kind in kinds])
    return upper_tail(copied, int(found[0]))


def _needed(kinds: Sequence[int], level: float) -> int:
    """Least number of canaries like these, in steps of a tenth, that give the power of 0.8."""
    number = LEAST_CANARIES
    while number < 100_000 and _power([kinds[each % len(kinds)] for each in range(number)], level) < _ENOUGH:
        number = max(number + 1, number * 11 // 10)
    return number
