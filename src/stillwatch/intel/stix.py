"""From campaigns to STIX 2.1 objects. Pure; touches nothing.

    identity          who exports                     infrastructure   accounts, clients and exits, as kinds
    campaign          the cohort and its figures      indicator        a pattern over one keyed mark
    attack-pattern    MITRE ATLAS                     observed-data    the marks, seen so often
    sighting          that we saw it                  relationship     how these hang together
    grouping          all of one campaign             x-stillwatch-mark, extension-definition, marking-definition

Nothing is copied from a finding but what `leaving` allows: ids and marks that are keyed hashes, numbers rounded,
times to the day, names out of our own lists. Sentences are made here. Only campaigns leave; what is watched or cleared
is nobody else's business.

Source: OASIS, STIX Version 2.1, 2021. Ids are functions of the findings (`ids`), and so are times: an object that
changes keeps id and `created`, and `versions` gives it a later `modified`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stillwatch.errors import ShareError
from stillwatch.intel import extension, rounding
from stillwatch.intel.ids import object_id, observable_id
from stillwatch.intel.marking import Marking, definition
from stillwatch.intel.shareable import Kept, may_be_named, sorted_out
from stillwatch.intel.techniques import CASE, techniques_for
from stillwatch.verdicts.evidence import Verdict
from stillwatch.verdicts.signals import BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stillwatch.intel.shareable import Shared
    from stillwatch.intel.techniques import Technique
    from stillwatch.verdicts.evidence import Finding, Findings

StixObject: TypeAlias = dict[str, Any]

OWN_KEY: Final = "provider"  # in place of a key's id where a mark is named under the provider's own
UNNAMED: Final = "a provider that does not give its name"
SOUGHT: Final = frozenset(
    {"answers", "token probabilities", "reasoning", "grading", "traces", "tool use", "training data"}
)
CONFIDENCE_MOST: Final = 85  # nobody is surer than this of what was inferred from a log
INDICATOR_SAYS: Final = (
    "Requests that bear this mark belong to the campaign more often than not. It is a reason to look, never to refuse."
)
INFRASTRUCTURE_SAYS: Final = (
    "The accounts, client software and ways in by which the model was reached. None is named here."
)
_HIDING: Final = frozenset({"shared-exits", "many-addresses", "continuation"})


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms findings leave.

    Attributes:
        marking: to whom they may be passed on.
        provider: who exports, as it wants to be named.
        key: id of the key that the group shares and marks leave under; empty for the provider's own.
        lasts: how long an indicator holds after the campaign was last seen.
        dye_commitments: SHA-256 commitments to keys of marks put into answers.

    """

    marking: Marking = Marking.AMBER
    provider: str = UNNAMED
    key: str = ""
    lasts: timedelta = timedelta(days=90)
    dye_commitments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export is made of.

    Attributes:
        objects: in an order in which every object comes after those that it refers to.
        campaigns: how many.
        kept: marks that stay, each with the reason.
    """

    objects: list[StixObject]
    campaigns: int
    kept: tuple[Kept, ...] = field(default=())


def export(findings: Findings, terms: Terms) -> Exported:
    """Give what of the findings may be shared.

    Raises:
        ShareError: a campaign has an id that no scan made, or none of its marks is named under the key that was asked
            for.

    """
    campaigns = [each for each in findings.campaigns if each.verdict is Verdict.CAMPAIGN]
    if terms.key and campaigns and not any(terms.key in mark.shared for each in campaigns for mark in each.marks):
        raise ShareError(
            f"no mark in these findings is named under the key {terms.key}; "
            "scan the logs again with --shared-key, since marks cannot be named anew from findings"
        )
    made = [_Campaign(each, findings, terms) for each in campaigns]
    patterns = {each.id: each for one in made for each in one.techniques}
    objects = [
        definition(terms.marking),
        extension.author(),
        extension.extension_definition(),
        provider_identity(terms.provider),
        *(each.attack_pattern(extension.FIXED, extension.AUTHOR_ID) for each in patterns.values()),
    ]
    known: set[str] = set()
    for one in made:
        for each in one.objects():
            if each["id"] not in known:  # one mark may be two campaigns'
                known.add(each["id"])
                objects.append(each)
    return Exported(objects, len(made), tuple(kept for one in made for kept in one.staying))


def provider_id(name: str) -> str:
    """Give the id of a provider."""
    return object_id("identity", "provider", name)


def provider_identity(name: str) -> StixObject:
    """Give who exports."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": provider_id(name),
        "created": extension.FIXED,
        "modified": extension.FIXED,
        "name": name,
        "identity_class": "organization",
        "sectors": ["technology"],
    }


def confidence_of(finding: Finding) -> int:
    """Give how sure we are, 0 to 100: what is left after the rate of false findings, and never near certainty."""
    return max(0, min(CONFIDENCE_MOST, round(100 * (1.0 - finding.q_value))))


def pattern_of(family: str, mark: str) -> str:
    """Give the pattern (STIX 2.1, section 9) that meets one mark."""
    return f"[{extension.MARK}:family = '{family}' AND {extension.MARK}:value = '{mark}']"


def mark_observable(family: str, mark: str, key: str, marking: Marking) -> StixObject:
    """Give a mark as an observable."""
    return {
        "type": extension.MARK,
        "spec_version": "2.1",
        "id": observable_id(extension.MARK, family=family, value=mark),
        "object_marking_refs": [marking.id],
        "family": family,
        "value": mark,
        "scheme": extension.SCHEME,
        "key": key or OWN_KEY,
        "extensions": {extension.EXTENSION_ID: {"extension_type": "new-sco"}},
    }


class _Campaign:
    """One campaign's objects."""

    def __init__(self, finding: Finding, findings: Findings, terms: Terms) -> None:
        if not may_be_named(finding):
            raise ShareError("a campaign in these findings has an id that no scan makes; it is not exported")
        self._finding, self._terms = finding, terms
        self._leaving, self.staying = sorted_out(finding, terms.key)
        self._signals = [(each.signal, each.family, each.bits) for each in finding.evidence if each.signal in BY_ID]
        self.techniques: Sequence[Technique] = techniques_for((name, bits) for name, _, bits in self._signals)
        begun = rounding.day(finding.first_seen)
        self._first = rounding.written(begun)
        self._last = rounding.written(rounding.day_after(finding.last_seen))
        made = (findings.scan.last or finding.last_seen).replace(second=0, microsecond=0)
        self._modified = rounding.written(max(made, begun))
        self._author = provider_id(terms.provider)
        self.id = self._id("campaign")

    def objects(self) -> Iterator[StixObject]:
        """Yield them."""
        marks = [
            mark_observable(each.family, each.name, self._terms.key, self._terms.marking) for each in self._leaving
        ]
        yield from marks
        seen = [each["id"] for each in marks]
        everything = [self.id]
        yield self._campaign()
        for one in self._rest(seen):
            everything.append(one["id"])
            yield one
        yield self._object(
            "grouping",
            name=f"Campaign {self._finding.id}",
            context="suspicious-activity",
            object_refs=[*everything, *seen, *(each.object_id for each in self.techniques)],
        )

    def _rest(self, seen: list[str]) -> Iterator[StixObject]:
        infrastructure = self._infrastructure()
        yield infrastructure
        yield self._relationship(self.id, "uses", infrastructure["id"])
        for technique in self.techniques:
            yield self._relationship(self.id, "uses", technique.object_id)
        observed = [self._observed(seen)] if seen else []  # without marks there is nothing that could be observed
        yield from observed
        for mark in self._leaving:
            indicator = self._indicator(mark)
            yield indicator
            yield self._relationship(indicator["id"], "indicates", self.id)
        for each in observed:
            yield self._relationship(infrastructure["id"], "consists-of", each["id"])
        yield self._object(
            "sighting",
            first_seen=self._first,
            last_seen=self._last,
            count=rounding.about(self._finding.exchanges),
            sighting_of_ref=self.id,
            where_sighted_refs=[self._author],
            **({"observed_data_refs": [observed[0]["id"]]} if observed else {}),
        )

    def _campaign(self) -> StixObject:
        finding = self._finding
        sought = [each for each in finding.seeks if each in SOUGHT] or ["answers"]
        accounts = rounding.about(len(finding.accounts))
        return self._object(
            "campaign",
            name=f"Campaign {finding.id}",
            description=(
                f"About {accounts} accounts that act as one dealt a queue of prompts among them and gathered the "
                f"answers of a model, in about {rounding.about(finding.exchanges)} exchanges. Found by statistics over "
                "a request log; counts are rounded."
            ),
            first_seen=self._first,
            last_seen=self._last,
            objective=f"To gather answers: {', '.join(sought)}.",
            external_references=[CASE],
            confidence=confidence_of(finding),
            extensions=extension.figures(
                bits=rounding.bits(finding.bits),
                p_value=rounding.chance(finding.p_value),
                q_value=rounding.chance(finding.q_value),
                accounts=accounts,
                exchanges=rounding.about(finding.exchanges),
                input_tokens=rounding.about(finding.input_tokens),
                output_tokens=rounding.about(finding.output_tokens),
                **self._lists(),
            ),
        )

    def _lists(self) -> StixObject:
        """Lists of the campaign's figures; STIX allows none that is empty."""
        evidence = [
            {"signal": name, "family": family.value, "bits": rounding.bits(bits)}
            for name, family, bits in self._signals
        ]
        lists = {"evidence": evidence, "dye_commitments": list(self._terms.dye_commitments)}
        return {name: each for name, each in lists.items() if each}

    def _infrastructure(self) -> StixObject:
        hides = any(name in _HIDING and bits >= 1.0 for name, _, bits in self._signals)
        return self._object(
            "infrastructure",
            name=f"Accounts and clients of campaign {self._finding.id}",
            description=INFRASTRUCTURE_SAYS,
            infrastructure_types=["anonymization" if hides else "unknown"],
            first_seen=self._first,
            last_seen=self._last,
        )

    def _observed(self, seen: list[str]) -> StixObject:
        return self._object(
            "observed-data",
            first_observed=self._first,
            last_observed=self._last,
            number_observed=max(1, rounding.about(self._finding.exchanges)),
            object_refs=seen,
        )

    def _indicator(self, mark: Shared) -> StixObject:
        until = rounding.later(rounding.day_after(self._finding.last_seen), self._terms.lasts)
        return self._object(
            "indicator",
            mark.family,
            mark.name,
            name=f"Mark of campaign {self._finding.id}: {mark.family}",
            description=INDICATOR_SAYS,
            indicator_types=["malicious-activity"],
            pattern=pattern_of(mark.family, mark.name),
            pattern_type="stix",
            pattern_version="2.1",
            valid_from=self._first,
            valid_until=rounding.written(until),
            confidence=confidence_of(self._finding),
            extensions=extension.figures(
                family=mark.family,
                accounts=rounding.about(mark.accounts),
                exchanges=rounding.about(mark.exchanges),
            ),
        )

    def _relationship(self, source: str, kind: str, target: str) -> StixObject:
        return self._object(
            "relationship", source, kind, target, relationship_type=kind, source_ref=source, target_ref=target
        )

    def _id(self, kind: str, *parts: str) -> str:
        return object_id(kind, self._author, self._finding.id, *parts)

    def _object(self, kind: str, *parts: str, **values: Any) -> StixObject:  # noqa: ANN401  JSON
        return {
            "type": kind,
            "spec_version": "2.1",
            "id": self._id(kind, *parts),
            "created_by_ref": self._author,
            "created": self._first,
            "modified": self._modified,
            **values,
            "object_marking_refs": [self._terms.marking.id],
        }
