"""The wire format of findings, `stillwatch.findings/1`: JSON, and JSON lines. Touches no file.

The structures here are the format; `stillwatch.verdicts.evidence` knows nothing of it. What is written is a function of
the findings alone: keys come in the order of the structures, settings in the order of their names, times are RFC 3339
in UTC, bits have two decimals, p- and q-values three significant digits, membership four decimals. Readers must
pass over keys that they do not know; whatever changes or takes away a key makes it `stillwatch.findings/2`.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from stillwatch.decisions.audit import digest
from stillwatch.errors import FindingsError
from stillwatch.verdicts.evidence import (
    AccountEvidence,
    BorneMark,
    Evidence,
    Family,
    Finding,
    Findings,
    KnownBy,
    MarkShare,
    Member,
    Rejected,
    Scan,
    Told,
    Verdict,
)

if TYPE_CHECKING:
    from stillwatch.report.examples import Examples

VERSION: Final = "stillwatch.findings/1"

Name = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, UTC")]
Bits = Annotated[float, Meta(description="log2 of the evidence: positive speaks for one operator, negative against")]


class WireRejected(Struct):
    """Rows that could not be read."""

    rows: Count
    reasons: dict[str, Count]


class WireScan(Struct, rename={"first": "from", "last": "to"}):
    """What was read, and with what the findings were made."""

    exchanges: Count
    accounts: Count
    first: Annotated[Time | None, Meta(description="time of the first exchange; null when none was read")]
    last: Annotated[Time | None, Meta(description="time of the last exchange; null when none was read")]
    rejected: WireRejected
    columns_absent: Annotated[list[str], Meta(description="columns of exchange/1 that no row had")]
    blind_to: Annotated[list[str], Meta(description="what therefore could not be seen")]
    engine: str
    baseline: Annotated[str, Meta(description="what the p-values are held against")]
    cohorts_tested: Count
    settings: Annotated[
        dict[str, bool | int | float | str], Meta(description="every setting that can change a finding")
    ]


class WireAccountEvidence(Struct):
    """One reason why an account belongs, or does not."""

    reason: str
    bits: Bits
    says: str


class WireMember(Struct):
    """One account of a cohort."""

    account: str
    membership: Annotated[Share, Meta(description="probability that the account belongs to the cohort")]
    bits: Bits
    first_seen: Time
    last_seen: Time
    exchanges: Annotated[Count, Meta(description="all its exchanges in the log")]
    harvest_exchanges: Annotated[Count, Meta(description="those that bear the cohort's marks")]
    evidence: list[WireAccountEvidence]


class WireMark(Struct):
    """A mark of the cohort: a keyed hash, and how many bear it."""

    family: str
    mark: str
    accounts: Count
    exchanges: Count
    shared: Annotated[
        dict[str, str] | UnsetType,
        Meta(description="its names under keys that providers share, by the key's id; absent unless asked for"),
    ] = UNSET


class WireTold(Struct):
    """What somebody else says about the cohort; there only where a scan was given tips."""

    source: str
    via: Annotated[str, Meta(description="who handed it over")]
    tip: Annotated[list[str], Meta(description="ids of what was received")]
    bits: Annotated[float, Meta(description="by how much the odds it starts from were moved; never evidence")]
    says: str
    marking: Annotated[str, Meta(description="TLP label it was given under")]
    disputed: bool


class WireBorneMark(Struct):
    """A mark by which a gateway may know the cohort's traffic: a keyed hash, and how many bear it."""

    family: str
    mark: str
    accounts: Annotated[Count, Meta(description="members that bear it")]
    elsewhere: Annotated[Count, Meta(description="accounts that bear it and belong to no campaign")]


class WireKnownBy(Struct):
    """By what a gateway may know accounts that come later, and how rarely ordinary accounts agree as far."""

    since: Annotated[Time, Meta(description="first moment of the log that was scanned")]
    until: Annotated[Time, Meta(description="its last")]
    ordinary: Annotated[Count, Meta(description="ordinary accounts that were counted")]
    agreeing: Annotated[
        list[Count],
        Meta(
            min_length=3,
            max_length=3,
            description="how many of them agree in at least 2, 3 and 4 of: content, client, network, sign-up",
        ),
    ]
    marks: list[WireBorneMark]

    def __post_init__(self) -> None:
        self.read()  # what cannot be is refused here, where the place in the file is known

    def read(self) -> KnownBy:
        """Give what was written."""
        marks = (BorneMark(each.family, each.mark, each.accounts, each.elsewhere) for each in self.marks)
        return KnownBy(self.since, self.until, self.ordinary, tuple(self.agreeing), tuple(marks))


class WireEvidence(Struct):
    """One signal's answer about the cohort."""

    signal: Name
    family: Family
    bits: Bits
    says: Name
    innocent_reading: Annotated[Name, Meta(description="how honest users come to look like this")]
    calibrated_on: Annotated[Name, Meta(description="the cohorts that the bits are ranked against")]


class WireExample(Struct):
    """One prompt of the harvest, shortened to one line; there only where examples were asked for."""

    account: str
    time: Time
    prompt: str


class WireFinding(Struct):
    """One cohort and the verdict on it."""

    id: Annotated[Name, Meta(description="stable from scan to scan")]
    verdict: Verdict
    kind: Annotated[str, Meta(description="distillation, or the innocent kind of a cleared cohort")]
    reason: Annotated[str, Meta(description="the verdict in a sentence")]
    bits: Annotated[Bits, Meta(description="the sum of the evidence, capped by family")]
    p_value: Annotated[Share, Meta(description="probability that a cohort of ordinary traffic scores as high")]
    q_value: Annotated[Share, Meta(description="false discovery rate over all cohorts tested")]
    first_seen: Time
    last_seen: Time
    exchanges: Count
    input_tokens: Count
    output_tokens: Count
    seeks: Annotated[list[str], Meta(description="capabilities sought, most frequent first")]
    accounts: Annotated[list[WireMember], Meta(min_length=1, description="members past the bound, strongest first")]
    left_out: Annotated[list[WireMember], Meta(description="accounts that bear its marks and were not accused")]
    marks: list[WireMark]
    evidence: Annotated[list[WireEvidence], Meta(min_length=1)]
    told: Annotated[list[WireTold] | UnsetType, Meta(description="what others say about it; absent without tips")] = (
        UNSET
    )
    examples: Annotated[
        list[WireExample] | UnsetType, Meta(description="prompts of the harvest; absent unless they were asked for")
    ] = UNSET
    known_by: Annotated[
        WireKnownBy | UnsetType, Meta(description="by what a gateway may know a campaign's further accounts")
    ] = UNSET


class WireFindings(Struct):
    """The outcome of one scan."""

    schema: Literal["stillwatch.findings/1"]
    scan: WireScan
    campaigns: Annotated[list[WireFinding], Meta(description="campaigns, then watched, then cleared cohorts")]


class WireHead(Struct):
    """The first line of the JSON lines form; every later line is a finding."""

    schema: Literal["stillwatch.findings/1"]
    scan: WireScan


class _Version(Struct):
    schema: str


def to_json(findings: Findings, examples: Examples | None = None) -> bytes:
    """Write findings as one indented JSON document, ending in a line feed.

    Args:
        findings: what a scan found.
        examples: prompts of findings, by their id; without them the document has none.

    Raises:
        ValueError: a number is not finite or a time has no zone; neither can be written, and both are our defects.

    """
    wire = WireFindings(
        VERSION, _scan_out(findings.scan), [_finding_out(each, examples) for each in findings.campaigns]
    )
    return msgspec.json.format(msgspec.json.encode(wire), indent=2) + b"\n"


def to_json_lines(findings: Findings, examples: Examples | None = None) -> bytes:
    """Write findings as JSON lines: the scan (with the schema), then one finding a line. Arguments as for `to_json`.

    Raises:
        ValueError: as `to_json`.

    """
    head = WireHead(VERSION, _scan_out(findings.scan))
    found = [_finding_out(each, examples) for each in findings.campaigns]
    return msgspec.json.Encoder().encode_lines([head, *found])


def from_json(data: bytes, *, path: str) -> Findings:
    """Give findings from a JSON document.

    Args:
        data: what `to_json` wrote, or somebody else in the same format.
        path: where it came from, for messages.

    Raises:
        FindingsError: it is no such document; the text names the path and the place, as `$.campaigns[1].bits`.

    """
    _require_version(data, where=path)
    return _findings_in(_decode(data, WireFindings, where=path))


def from_json_lines(data: bytes, *, path: str) -> Findings:
    """Read findings from JSON lines.

    Raises:
        FindingsError: as `from_json`; the text names the line too.

    """
    head: WireHead | None = None
    campaigns: list[Finding] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        if head is None:
            _require_version(line, where=where)
            head = _decode(line, WireHead, where=where)
        else:
            campaigns.append(_finding_in(_decode(line, WireFinding, where=where)))
    if head is None:
        raise FindingsError(f"{path}: the file is empty")
    return Findings(_scan_in(head.scan), tuple(campaigns))


def from_either(data: bytes, *, path: str) -> Findings:
    """Read findings from JSON or JSON lines, whichever it is: only lines have a whole document on the first line.

    Raises:
        FindingsError: it is neither.

    """
    first, _, rest = data.lstrip().partition(b"\n")
    try:
        head = msgspec.json.decode(first, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return from_json(data, path=path)
    if rest.strip() or ("scan" in head and "campaigns" not in head):
        return from_json_lines(data, path=path)
    return from_json(data, path=path)


def finding_digest(finding: Finding) -> str:
    """Give the SHA-256 of a finding's canonical form: its JSON as written here, without examples, keys sorted.

    A finding has the same digest before it is written and after it is read.

    Raises:
        ValueError: as `to_json`.

    """
    return digest(msgspec.to_builtins(_finding_out(finding, None)))


def json_schema() -> dict[str, Any]:
    """Give the format as a JSON Schema document (draft 2020-12), made from the structures above."""
    schema = json.loads(json.dumps(msgspec.json.schema(WireFindings)).replace("Wire", ""))  # our prefix, not theirs
    root = schema["$defs"].pop("Findings")
    renamed = {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "title": VERSION}
    return {**renamed, "$defs": dict(sorted(schema["$defs"].items()))}


# ---- domain -> wire


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"findings hold finite numbers only, not {number}")
    return number + 0.0  # so that -0.0 is written as 0.0


def _bits(bits: float) -> float:
    return _finite(round(_finite(bits), 2))


def _probability(probability: float) -> float:
    return float(f"{_finite(probability):.3g}")


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"a time of the findings has no zone: {time}")
    return time.astimezone(UTC)


def _scan_out(scan: Scan) -> WireScan:
    reasons = sorted(scan.rejected.reasons.items(), key=lambda item: (-item[1], item[0]))
    for value in scan.settings.values():
        if isinstance(value, float):
            _finite(value)
    return WireScan(
        exchanges=scan.exchanges,
        accounts=scan.accounts,
        first=None if scan.first is None else _utc(scan.first),
        last=None if scan.last is None else _utc(scan.last),
        rejected=WireRejected(scan.rejected.rows, dict(reasons)),
        columns_absent=list(scan.columns_absent),
        blind_to=list(scan.blind_to),
        engine=scan.engine,
        baseline=scan.baseline,
        cohorts_tested=scan.cohorts_tested,
        settings=dict(sorted(scan.settings.items())),
    )


def _finding_out(finding: Finding, examples: Examples | None) -> WireFinding:
    prompts = None if examples is None else examples.get(finding.id)
    return WireFinding(
        id=finding.id,
        verdict=finding.verdict,
        kind=finding.kind,
        reason=finding.reason,
        bits=_bits(finding.bits),
        p_value=_probability(finding.p_value),
        q_value=_probability(finding.q_value),
        first_seen=_utc(finding.first_seen),
        last_seen=_utc(finding.last_seen),
        exchanges=finding.exchanges,
        input_tokens=finding.input_tokens,
        output_tokens=finding.output_tokens,
        seeks=list(finding.seeks),
        accounts=[_member_out(member) for member in finding.accounts],
        left_out=[_member_out(member) for member in finding.left_out],
        marks=[
            WireMark(mark.family, mark.mark, mark.accounts, mark.exchanges, dict(mark.shared) or UNSET)
            for mark in finding.marks
        ],
        evidence=[
            WireEvidence(
                each.signal, each.family, _bits(each.bits), each.says, each.innocent_reading, each.calibrated_on
            )
            for each in finding.evidence
        ],
        told=[_told_out(each) for each in finding.told] or UNSET,
        examples=UNSET if prompts is None else [WireExample(e.account, _utc(e.time), e.prompt) for e in prompts],
        known_by=UNSET if finding.known_by is None else _known_by_out(finding.known_by),
    )


def _known_by_out(known: KnownBy) -> WireKnownBy:
    return WireKnownBy(
        since=_utc(known.since),
        until=_utc(known.until),
        ordinary=known.ordinary,
        agreeing=list(known.agreeing),
        marks=[WireBorneMark(each.family, each.mark, each.accounts, each.elsewhere) for each in known.marks],
    )


def _told_out(told: Told) -> WireTold:
    return WireTold(
        told.source, told.via, list(told.tip), _bits(told.bits), told.says, told.marking, disputed=told.disputed
    )


def _member_out(member: Member) -> WireMember:
    return WireMember(
        account=member.account,
        membership=_finite(round(_finite(member.membership), 4)),
        bits=_bits(member.bits),
        first_seen=_utc(member.first_seen),
        last_seen=_utc(member.last_seen),
        exchanges=member.exchanges,
        harvest_exchanges=member.harvest_exchanges,
        evidence=[WireAccountEvidence(each.reason, _bits(each.bits), each.says) for each in member.evidence],
    )


# ---- wire -> domain

_Wire = TypeVar("_Wire")
_PLACE = re.compile(r" - at `(?:key in )?(?P<place>\$.*)`\Z", re.DOTALL)


def _decode(data: bytes, kind: type[_Wire], *, where: str) -> _Wire:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        message = str(error)
        found = _PLACE.search(message)
        if found is None:
            raise FindingsError(f"{where}: $: {_lower(message)}") from error
        raise FindingsError(f"{where}: {found['place']}: {_lower(message[: found.start()])}") from error
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        if not data.strip():
            reason = "the file is empty"
        elif "truncated" in reason:
            reason = "the file ends in the middle of the document"
        raise FindingsError(f"{where}: no JSON: {reason}") from error
    except UnicodeDecodeError as error:
        raise FindingsError(f"{where}: no JSON: text that is not UTF-8 near byte {error.start}") from error
    except RecursionError as error:
        raise FindingsError(f"{where}: nested too deeply for findings") from error


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _require_version(data: bytes, *, where: str) -> None:
    version = _decode(data, _Version, where=where).schema
    if version != VERSION:
        raise FindingsError(f"{where}: $.schema: this is `{version}`; only `{VERSION}` can be read")


def _findings_in(wire: WireFindings) -> Findings:
    return Findings(_scan_in(wire.scan), tuple(_finding_in(each) for each in wire.campaigns))


def _scan_in(wire: WireScan) -> Scan:
    return Scan(
        exchanges=wire.exchanges,
        accounts=wire.accounts,
        first=wire.first,
        last=wire.last,
        rejected=Rejected(wire.rejected.rows, dict(wire.rejected.reasons)),
        columns_absent=tuple(wire.columns_absent),
        blind_to=tuple(wire.blind_to),
        engine=wire.engine,
        baseline=wire.baseline,
        cohorts_tested=wire.cohorts_tested,
        settings=dict(wire.settings),
    )


def _finding_in(wire: WireFinding) -> Finding:
    return Finding(
        id=wire.id,
        verdict=wire.verdict,
        kind=wire.kind,
        reason=wire.reason,
        bits=wire.bits,
        p_value=wire.p_value,
        q_value=wire.q_value,
        first_seen=wire.first_seen,
        last_seen=wire.last_seen,
        exchanges=wire.exchanges,
        input_tokens=wire.input_tokens,
        output_tokens=wire.output_tokens,
        seeks=tuple(wire.seeks),
        accounts=tuple(_member_in(member) for member in wire.accounts),
        left_out=tuple(_member_in(member) for member in wire.left_out),
        marks=tuple(
            MarkShare(mark.family, mark.mark, mark.accounts, mark.exchanges, mark.shared or {}) for mark in wire.marks
        ),
        evidence=tuple(
            Evidence(each.signal, each.family, each.bits, each.says, each.innocent_reading, each.calibrated_on)
            for each in wire.evidence
        ),
        known_by=None if isinstance(wire.known_by, UnsetType) else wire.known_by.read(),
        told=tuple(
            Told(each.source, each.via, tuple(each.tip), each.bits, each.says, each.marking, disputed=each.disputed)
            for each in wire.told or ()
        ),
    )


def _member_in(wire: WireMember) -> Member:
    return Member(
        account=wire.account,
        membership=wire.membership,
        bits=wire.bits,
        first_seen=wire.first_seen,
        last_seen=wire.last_seen,
        exchanges=wire.exchanges,
        harvest_exchanges=wire.harvest_exchanges,
        evidence=tuple(AccountEvidence(each.reason, each.bits, each.says) for each in wire.evidence),
    )
