"""Sightings: what we say back to whoever gave a tip that met one of our campaigns. Pure; touches nothing.

"We saw this too, first on this date, about so many exchanges": days and rounded counts, nothing else. A sighting bears
the strictest of the export's marking and the tip's, so that nothing that was told is passed on further than it may be.
Where our own traffic does not bear a tip out, an opinion says so (STIX 2.1, section 4.15), so that others see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.errors import ShareError
from stillwatch.intel import rounding
from stillwatch.intel.ids import object_id
from stillwatch.intel.marking import definition, strictest
from stillwatch.intel.stix import confidence_of, provider_id, provider_identity
from stillwatch.verdicts.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from stillwatch.intel.stix import StixObject, Terms
    from stillwatch.intel.tip import Tip
    from stillwatch.verdicts.evidence import Finding, Findings

EXPLANATION: Final = "Our own traffic does not bear this out."


def sightings(
    findings: Findings, tips: Sequence[Tip], terms: Terms, *, now: datetime, disputed: Iterable[str] = ()
) -> list[StixObject]:
    """Give a sighting for every tip whose mark one of our campaigns bears, and an opinion for every tip we dispute.

    Args:
        findings: of a scan; made with the group's key where tips are named under it.
        tips: received.
        terms: as whom, and how marked at the least.
        now: when this is said.
        disputed: ids of tips, or of the campaigns that they are about.

    Raises:
        ShareError: a tip that is to be disputed was not received.

    """
    made: list[StixObject] = []
    for tip in tips:
        ours = [each for each in findings.campaigns if each.verdict is Verdict.CAMPAIGN and _bears(each, tip)]
        if ours and tip.holds(now):
            made.append(_sighting(tip, ours, terms, now))
    for ref in dict.fromkeys(disputed):
        about = [tip for tip in tips if ref in {tip.id, tip.about}]
        if not about:
            raise ShareError(f"no tip was received that is {ref}, or is about it")
        made.append(_opinion(ref, about, terms, now))
    if not made:
        return []
    markings = sorted({ref for each in made for ref in each["object_marking_refs"]})
    definitions = [each for each in map(definition, type(terms.marking)) if each["id"] in markings]
    return [*definitions, provider_identity(terms.provider), *made]


def _bears(finding: Finding, tip: Tip) -> bool:
    named = {(mark.family, name) for mark in finding.marks for name in (mark.mark, *mark.shared.values())}
    return any((mark.family, mark.mark) in named for mark in tip.marks)


def _sighting(tip: Tip, ours: Sequence[Finding], terms: Terms, now: datetime) -> StixObject:
    return _object(
        "sighting",
        tip.id,
        (tip,),
        terms,
        now,
        first_seen=rounding.written(rounding.day(min(each.first_seen for each in ours))),
        last_seen=rounding.written(rounding.day_after(max(each.last_seen for each in ours))),
        count=rounding.about(sum(each.exchanges for each in ours)),
        confidence=max(map(confidence_of, ours)),
        sighting_of_ref=tip.id,
        where_sighted_refs=[provider_id(terms.provider)],
    )


def _opinion(ref: str, about: Sequence[Tip], terms: Terms, now: datetime) -> StixObject:
    return _object("opinion", ref, about, terms, now, explanation=EXPLANATION, opinion="disagree", object_refs=[ref])


def _object(kind: str, ref: str, about: Sequence[Tip], terms: Terms, now: datetime, **values: object) -> StixObject:
    author = provider_id(terms.provider)
    begun = rounding.day(min(each.received_at for each in about))  # stays the same however often it is said anew
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": object_id(kind, author, ref),
        "created_by_ref": author,
        "created": rounding.written(begun),
        "modified": rounding.written(max(begun, now.replace(second=0, microsecond=0))),
        **values,
        "object_marking_refs": [strictest((terms.marking, *(tip.marking for tip in about))).id],
    }
