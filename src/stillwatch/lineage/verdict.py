"""One verdict from several tests: `distilled`, `no evidence` or `cannot tell`. Pure.

How evidence is combined, and why it may be:
- Tests of different keys are multiplied. The chance in a keyed test (a dye, canaries) is the drawing of its secret key;
  given all answers of the suspect and all other keys, its e-value still has mean <= 1 under the null. That is what a
  product needs (Vovk and Wang, 2021, section 4), though the tests look at the same answers.
- Tests of one key depend on each other: they are averaged, which needs no assumption (section 3).
- Tests without a key (behaviour) are averaged among themselves and multiplied in: their e-value is a function of the
  answers, given which the keyed ones still have mean <= 1. It is at most the number of controls + 1, so that behaviour
  alone never reaches 1/alpha unless there are 1/alpha controls.
- Campaigns are alternatives: the evidence that there is any is the mean over all that were tried, and one is named if
  its own evidence holds after division by their number.
A test that has a p-value only is turned into an e-value by the calibrator in `e_values`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from stillwatch.errors import MaterialError, UsageError
from stillwatch.lineage.e_values import calibrated, mean, product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stillwatch.lineage import behaviour, canaries
    from stillwatch.lineage.material import Material

RESULT: Final = "stillwatch.lineage-result/1"
RADIOACTIVITY: Final = "stillwatch.radioactivity/1"
_MOST_LOG10: Final = 300.0
ENOUGH: Final = 0.8  # power without which nothing found is no evidence of anything


@dataclass(frozen=True, slots=True)
class Strand:
    """What one test says of one campaign.

    Attributes:
        test: its name.
        campaign: whose key; empty for a test without a key.
        key: commitment of the key, or the campaign's name; empty for a test without one.
        e_value: evidence; None if the test gives a p-value only.
        p_value: None if it gives an e-value only.
        power: probability that it would have found what `power_says`; None if it does not know.
        power_says: what would have been found, in words.
        needed: what would be needed to find it with probability 0.8, in words; empty if it had that.

    """

    test: str
    campaign: str = ""
    key: str = ""
    e_value: float | None = None
    p_value: float | None = None
    power: float | None = None
    power_says: str = ""
    needed: str = ""

    @property
    def evidence(self) -> float:
        """Its e-value, or that of its p-value.

        Raises:
            UsageError: it has neither, or one that cannot be.

        """
        if self.e_value is not None:
            if not self.e_value >= 0.0:
                raise UsageError(f"{self.test}: an e-value cannot be {self.e_value}")
            return self.e_value
        if self.p_value is None or not 0.0 <= self.p_value <= 1.0:
            raise UsageError(f"{self.test}: needs an e-value, or a p-value from 0 to 1")
        return calibrated(self.p_value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """All tests together.

    Attributes:
        verdict: what they say.
        e_value: evidence that the suspect learnt from any campaign.
        threshold: what it must reach: 1 / alpha.
        campaigns: evidence by campaign, keyed tests only.
        named: campaigns whose evidence holds by itself, corrected for all that were tried.
        why: in words.
        needed: what would be needed to tell.
        strands: what was combined.
        alpha: chance of a false `distilled` that is taken.

    """

    verdict: Literal["distilled", "no evidence", "cannot tell"]
    e_value: float
    threshold: float
    campaigns: dict[str, float]
    named: list[str]
    why: list[str]
    needed: list[str]
    strands: list[Strand]
    alpha: float


def combine(strands: Sequence[Strand], alpha: float = 0.01) -> Verdict:
    """Combine; the order of the strands changes nothing.

    Raises:
        UsageError: there are none, or alpha is no chance.

    """
    if not strands:
        raise UsageError("there is nothing to combine")
    if not 0.0 < alpha < 1.0:
        raise UsageError(f"alpha must be above 0 and below 1, not {alpha}")
    ordered = sorted(strands, key=lambda each: (each.campaign, each.test, each.key, -each.evidence))
    campaigns = {name: _of_campaign(ordered, name) for name in sorted({each.campaign for each in ordered if each.key})}
    unkeyed = mean(sorted(each.evidence for each in ordered if not each.key))
    together = product([mean(list(campaigns.values())), unkeyed])
    threshold = 1.0 / alpha
    named = [name for name, each in campaigns.items() if each >= threshold * len(campaigns)]
    verdict, why, needed = _concluded(ordered, together, threshold, alpha)
    return Verdict(verdict, together, threshold, campaigns, named, why, needed, ordered, alpha)


def _of_campaign(strands: Sequence[Strand], campaign: str) -> float:
    by_key: dict[str, list[float]] = {}
    for each in strands:
        if each.key and each.campaign == campaign:
            by_key.setdefault(each.key, []).append(each.evidence)
    return product([mean(each) for each in by_key.values()])


def _concluded(
    strands: Sequence[Strand], together: float, threshold: float, alpha: float
) -> tuple[Literal["distilled", "no evidence", "cannot tell"], list[str], list[str]]:
    powers = [
        f"{each.power_says} would have been found with probability {each.power:.2f} ({each.test})"
        for each in strands
        if each.power is not None and each.power_says
    ]
    powers = list(dict.fromkeys(powers))
    needed = list(dict.fromkeys(each.needed for each in strands if each.needed))
    if together >= threshold:
        return (
            "distilled",
            [f"the evidence, {together:.3g}, comes up by chance with probability {1 / together:.2g} at most"],
            [],
        )
    alone = [each for each in strands if each.p_value is not None and each.p_value <= alpha / len(strands)]
    if alone:
        why = [f"{each.test} {each.campaign}: p = {each.p_value:.2g}".replace(" :", ":") for each in alone]
        return (
            "cannot tell",
            [*why, f"but all tests together give {together:.3g} of the {threshold:.3g} needed"],
            needed,
        )
    if max((each.power or 0.0 for each in strands if each.key), default=0.0) >= ENOUGH:
        return "no evidence", powers, needed
    why = powers or ["no test with a key says what it would have found"]
    return "cannot tell", why, needed or ["a test with a key: dyed answers, or canaries"]


def figures(found: Verdict) -> dict[str, Any]:
    """Give every figure in plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def strands_of_canaries(found: canaries.CanaryTest) -> list[Strand]:
    """What a test of canaries says, by campaign."""
    enough = found.power >= ENOUGH
    needed = "" if enough else f"{found.needed} canaries that the suspect answers with one of their choices"
    return [
        Strand("canaries", each.campaign, each.commitment, each.e_value, each.p_value, found.power,
               "a fifth of a campaign's canaries", needed)
        for each in found.agreements
    ]  # fmt: skip


def strands_of_behaviour(found: behaviour.Behaviour) -> list[Strand]:
    """What a test of behaviour says; its p-value is that over the controls."""
    needed = f"behaviour: {found.why}" if found.verdict == "cannot tell" else ""
    p_value = None if found.verdict == "cannot tell" else found.p_controls
    return [Strand("behaviour", e_value=found.e_value, p_value=p_value, needed=needed)]


def read_strands(material: Material) -> list[Strand]:
    """Read the strands of a result: `stillwatch.lineage-result/1`, or `stillwatch.radioactivity/1` (a dye).

    Raises:
        MaterialError: another format or version, or a field is wrong.

    """
    try:
        document = msgspec.json.decode(material.data)
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema == RADIOACTIVITY:
            return _of_dye(msgspec.convert(document, _Radioactivity))
        if schema != RESULT:
            raise MaterialError(f"is neither {RESULT} nor {RADIOACTIVITY}", path=material.name, field="schema")
        strands = msgspec.convert(document.get("strands"), list[Strand])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MaterialError(f"no result of a test: {error}", path=material.name) from error
    if not strands:
        reason = "is of a test that says nothing about descent"
        raise MaterialError(reason, path=material.name, field="strands")
    return strands


class _DyeSettings(msgspec.Struct):
    effect: float


class _Dyed(msgspec.Struct):
    campaign: str
    p_value: float | None
    e_value_log10: float | None
    power: float


class _Radioactivity(msgspec.Struct):
    settings: _DyeSettings
    campaigns: list[_Dyed]
    tokens_needed: int | None = None


def _of_dye(found: _Radioactivity) -> list[Strand]:
    says = f"a dye with an effect of {found.settings.effect:g}"
    return [
        Strand(
            "dye",
            each.campaign,
            f"dye {each.campaign}",
            10.0 ** min(each.e_value_log10, _MOST_LOG10) if each.e_value_log10 is not None else 0.0,
            each.p_value,
            each.power,
            says,
            f"{found.tokens_needed:,} tokens of the suspect" if each.power < ENOUGH and found.tokens_needed else "",
        )
        for each in found.campaigns
    ]
