"""The report for an agency, laid out by what the law and the advisories ask for. Pure; touches nothing.

    conduct       controls circumvented, false credentials, terms violated
    purpose       as inferred from volume, structure, coordination, concentration of capabilities, timing
    scale, indicators, confidence
    facts         what was counted            inference    what is concluded from it
    against       what speaks against it, and what could not be seen
    hashes        of the findings and of each finding, so that what is shown later can be held against this

What it holds is bounded like an export: no account, address, card, prompt or answer; counts to two significant digits;
whole days; sentences of ours only. `stillwatch.advisory/1` is its form in JSON.
"""

from __future__ import annotations

import hashlib
from datetime import datetime  # noqa: TC003  the format is read from the fields' types
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct

from stillwatch.errors import ShareError
from stillwatch.intel import rounding
from stillwatch.intel.shareable import may_be_named, sorted_out
from stillwatch.intel.stix import SOUGHT, confidence_of
from stillwatch.intel.techniques import techniques_for
from stillwatch.intel.wording import is_ours
from stillwatch.marks.families import BY_NAME
from stillwatch.report.findings_v1 import finding_digest
from stillwatch.verdicts.evidence import Family, Verdict
from stillwatch.verdicts.innocent import EXPLANATIONS
from stillwatch.verdicts.signals import BY_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.intel.stix import Terms
    from stillwatch.verdicts.evidence import Evidence, Finding, Findings

VERSION: Final = "stillwatch.advisory/1"
SLIGHT: Final = 0.5  # bits; less is not worth a line

CONDUCT: Final[Mapping[str, tuple[str, ...]]] = {
    "Controls circumvented": (
        "shared-exits",
        "many-addresses",
        "continuation",
        "succession",
        "over-plan",
        "even-dealing",
        "replayed-handles",
    ),
    "False credentials": ("sign-up-burst", "disposable-mail", "shared-mail", "shared-cards", "succession"),
    "Terms violated": (
        "training-data",
        "trace-cleaning",
        "reasoning-elicitation",
        "rubric-work",
        "tool-trajectories",
        "next-token-sweep",
        "technique-sweep",
    ),
}
PURPOSE: Final[Mapping[str, tuple[str, ...]]] = {
    "Volume": ("heavy-output", "over-plan"),
    "Structure": ("exchangeability", "partition", "fresh-prompts", "alike-lengths", "no-follow-up"),
    "Coordination": ("even-dealing", "in-step", "shared-cards", "shared-exits", "shared-mail", "continuation"),
    "Capability concentration": (
        "reasoning-elicitation",
        "rubric-work",
        "trace-cleaning",
        "tool-trajectories",
        "training-data",
        "next-token-sweep",
        "technique-sweep",
    ),
    "Timing": ("no-night", "no-sessions", "in-step", "no-ramp", "model-pivot", "sign-up-burst", "succession"),
}
_READINGS: Final[Mapping[str, str]] = {
    "Controls circumvented": "The work is spread over accounts and ways in so that limits and blocks do not meet it.",
    "False credentials": "The accounts do not belong to the separate customers that they present themselves as.",
    "Terms violated": "Answers are gathered for training another model, which terms of use commonly forbid.",
    "Volume": "More is taken than the use of answers by readers explains.",
    "Structure": "The prompts are one queue of work, not the questions of separate people.",
    "Coordination": "The accounts are worked by one operator.",
    "Capability concentration": "What is asked for is what a model is trained with.",
    "Timing": "The accounts run as machines do, and start or change together.",
}
_NOTHING: Final = "No signal of this kind stands out."
METHOD: Final = (
    "Cohorts of accounts that share marks are tested, never single accounts. Each signal asks one question of a "
    "cohort's requests and answers in bits: the log2 of how much likelier the answer is for one operator than for "
    "ordinary cohorts of the same provider. Bits are capped by family. A campaign needs evidence on what is asked and "
    "on how accounts act as one, and is held against all cohorts tested, so that few findings in a hundred are false."
)
LIMITS: Final = (
    "The findings rest on a request log alone. They say that accounts act as one and gather answers; they do not "
    "say who the operator is, nor what became of the answers. Purpose is inferred. An innocent reading is given for "
    "every sign."
)


class Point(Struct, frozen=True):
    """One sign: what was measured, what it weighs, and how honest users come to look like it."""

    signal: str
    bits: float
    measured: str
    innocent_reading: str


class Section(Struct, frozen=True):
    """One heading of conduct or purpose: the reading, which is inference, and the signs, which are fact."""

    title: str
    inference: str
    facts: list[Point]


class Indicator(Struct, frozen=True):
    """A mark, as a keyed hash."""

    family: str
    mark: str
    says: str
    accounts: int
    exchanges: int


class Technique(Struct, frozen=True):
    """A technique of MITRE ATLAS."""

    id: str
    name: str


class Confidence(Struct, frozen=True):
    """How sure the finding is."""

    level: Literal["high", "moderate", "low"]
    score: int
    bits: float
    p_value: float
    q_value: float
    says: str


class Scale(Struct, frozen=True):
    """How much; rounded."""

    accounts: int
    exchanges: int
    input_tokens: int
    output_tokens: int
    first_day: str
    last_day: str
    days: int


class Campaign(Struct, frozen=True):
    """One campaign."""

    id: str
    sha256: str
    summary: str
    scale: Scale
    conduct: list[Section]
    purpose: list[Section]
    sought: list[str]
    indicators: list[Indicator]
    techniques: list[Technique]
    confidence: Confidence
    facts: list[str]
    inferences: list[str]
    against: list[str]


class Period(Struct, frozen=True):
    """What was looked at; rounded."""

    first_day: str
    last_day: str
    exchanges: int
    accounts: int
    cohorts_tested: int


class Advisory(Struct, frozen=True):
    """The whole report."""

    schema: Literal["stillwatch.advisory/1"]
    template: Literal["advisory"]
    marking: str
    prepared_by: str
    prepared_on: str
    looked_at: Period
    campaigns: list[Campaign]
    not_seen: list[str]
    method: str
    limits: str
    findings_sha256: str
    watched: int
    cleared: int


def advisory(findings: Findings, terms: Terms, *, document: bytes, on: datetime) -> Advisory:
    """Lay out the campaigns of some findings.

    Args:
        findings: of a scan.
        terms: as whom, and to whom it may be passed on.
        document: the findings as they are kept, for their hash.
        on: the day of the report.

    Raises:
        ShareError: there is no campaign to report, or one has an id that no scan makes.

    """
    campaigns = [each for each in findings.campaigns if each.verdict is Verdict.CAMPAIGN]
    if not campaigns:
        raise ShareError("these findings hold no campaign; what is watched or cleared is not reported")
    scan = findings.scan
    begin, end = scan.first or campaigns[0].first_seen, scan.last or campaigns[0].last_seen
    verdicts = [each.verdict for each in findings.campaigns]
    return Advisory(
        schema=VERSION,
        template="advisory",
        marking=terms.marking.value,
        prepared_by=terms.provider,
        prepared_on=_day(on),
        looked_at=Period(
            _day(begin),
            _day(end),
            rounding.about(scan.exchanges),
            rounding.about(scan.accounts),
            rounding.about(scan.cohorts_tested),
        ),
        campaigns=[_campaign(each, terms) for each in campaigns],
        not_seen=[BY_ID[name].question for name in map(_signal_of, scan.blind_to) if name in BY_ID],
        method=METHOD,
        limits=LIMITS,
        findings_sha256=hashlib.sha256(document).hexdigest(),
        watched=verdicts.count(Verdict.WATCH),
        cleared=verdicts.count(Verdict.CLEARED),
    )


def to_json(report: Advisory) -> bytes:
    """Write a report as JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def _campaign(finding: Finding, terms: Terms) -> Campaign:
    if not may_be_named(finding):
        raise ShareError("a campaign in these findings has an id that no scan makes; it is not reported")
    known = [each for each in finding.evidence if each.signal in BY_ID]
    scale = _scale(finding)
    leaving, staying = sorted_out(finding, terms.key)
    sought = [each for each in finding.seeks if each in SOUGHT] or ["answers"]
    conduct, purpose = _sections(CONDUCT, known), _sections(PURPOSE, known)
    return Campaign(
        id=finding.id,
        sha256=finding_digest(finding),
        summary=(
            f"About {scale.accounts:,} accounts acted as one over {scale.days:,} days and took about "
            f"{scale.output_tokens:,} tokens of answers in about {scale.exchanges:,} exchanges."
        ),
        scale=scale,
        conduct=conduct,
        purpose=purpose,
        sought=sought,
        indicators=[
            Indicator(
                each.family,
                each.name,
                BY_NAME[each.family].says,
                rounding.about(each.accounts),
                rounding.about(each.exchanges),
            )
            for each in leaving
        ],
        techniques=[Technique(each.id, each.name) for each in techniques_for((e.signal, e.bits) for e in known)],
        confidence=_confidence(finding),
        facts=_facts(scale, known, len(staying), sought),
        inferences=[f"{each.title}: {each.inference}" for each in (*conduct, *purpose) if each.facts],
        against=_against(finding, known),
    )


def _scale(finding: Finding) -> Scale:
    days = (rounding.day(finding.last_seen) - rounding.day(finding.first_seen)).days + 1
    return Scale(
        rounding.about(len(finding.accounts)),
        rounding.about(finding.exchanges),
        rounding.about(finding.input_tokens),
        rounding.about(finding.output_tokens),
        _day(finding.first_seen),
        _day(finding.last_seen),
        max(days, 1),
    )


def _sections(headings: Mapping[str, tuple[str, ...]], known: Sequence[Evidence]) -> list[Section]:
    sections = []
    for title, signals in headings.items():
        points = [_point(each) for each in known if each.signal in signals and each.bits >= SLIGHT]
        points.sort(key=lambda each: -each.bits)
        sections.append(Section(title, _READINGS[title] if points else _NOTHING, points))
    return sections


def _point(evidence: Evidence) -> Point:
    return Point(
        evidence.signal, rounding.bits(evidence.bits), _measured(evidence), BY_ID[evidence.signal].innocent_reading
    )


def _measured(evidence: Evidence) -> str:
    return evidence.says if is_ours(evidence.says) else f"{BY_ID[evidence.signal].question} It weighs so many bits."


def _confidence(finding: Finding) -> Confidence:
    score = confidence_of(finding)
    strong = finding.bits >= 20.0 and finding.q_value <= 0.01
    level: Literal["high", "moderate", "low"] = "high" if strong else "moderate" if finding.q_value <= 0.05 else "low"
    false = rounding.chance(finding.q_value)
    return Confidence(
        level,
        score,
        rounding.bits(finding.bits),
        rounding.chance(finding.p_value),
        false,
        f"Of findings as strong as this, about {100 * false:.2g} in 100 would be false. Nobody is taken to be surer "
        f"than {score} in 100 of what was inferred from a log.",
    )


def _facts(scale: Scale, known: Sequence[Evidence], kept: int, sought: Sequence[str]) -> list[str]:
    """What was counted or measured, without what it means."""
    facts = [
        f"About {scale.accounts:,} accounts bear marks of the cohort and passed its tests one by one.",
        f"About {scale.exchanges:,} of their exchanges bear its marks, from {scale.first_day} to {scale.last_day}.",
        f"About {scale.input_tokens:,} tokens went in and {scale.output_tokens:,} came out.",
    ]
    if list(sought) != ["answers"]:
        facts.append(f"At least a quarter of its requests ask for each of: {', '.join(sought)}.")
    facts += [_sentence(_measured(each)) for each in sorted(known, key=lambda one: -one.bits) if each.bits >= SLIGHT]
    if kept:
        facts.append(f"{kept} of its marks stay with the provider, because they could tell of a person or a customer.")
    return facts


def _against(finding: Finding, known: Sequence[Evidence]) -> list[str]:
    """What speaks against it: signs that weigh against, explanations, who was left out, and innocent readings."""
    explained = {each.id: each.says for each in EXPLANATIONS}
    speaks = [
        f"{_sentence(_measured(each))} This takes {abs(rounding.bits(each.bits))} bits away."
        for each in known
        if each.bits <= -SLIGHT
    ]
    speaks += [_sentence(explained[each.signal]) for each in finding.evidence if each.signal in explained]
    if finding.left_out:
        number = rounding.about(len(finding.left_out))
        speaks.append(
            f"About {number:,} more accounts bear its marks and were left out, since they do not act like the others: "
            "honest users can bear them too."
        )
    strong = sorted((each for each in known if each.bits >= SLIGHT), key=lambda one: -one.bits)
    readings = dict.fromkeys(BY_ID[each.signal].innocent_reading for each in strong)
    speaks += [f"Innocent reading: {each}." for each in readings]
    missing = {Family.WORK, Family.ASKING, Family.DEALING, Family.LINKAGE} - {each.family for each in strong}
    speaks += [f"Nothing stands out in the family of signs called {each.value}." for each in Family if each in missing]
    return speaks


def _signal_of(blind: str) -> str:
    return blind.partition(":")[0]


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."


def _day(time: datetime) -> str:
    return rounding.day(time).date().isoformat()
