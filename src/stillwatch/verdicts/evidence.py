"""What a scan concludes, as frozen types: evidence, members, findings. Pure; touches nothing.

No evidence, no finding: `Finding` refuses to be made without it, and `Evidence` without its innocent reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from stillwatch.marks.traits import LEAST, MOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Verdict(StrEnum):
    """What is thought of a cohort."""

    CAMPAIGN = "campaign"
    WATCH = "watch"
    CLEARED = "cleared"


class Family(StrEnum):
    """Signals inside a family repeat each other, so bits are capped by family."""

    WORK = "work"  # content side: what is asked, and how it is spread over accounts
    ASKING = "asking"  # content side: what is asked for
    DEALING = "dealing"  # coordination side: how requests are timed and shared out
    LINKAGE = "linkage"  # coordination side: what accounts have in common behind the scenes
    TAKE = "take"  # neither side: how much is taken, how soon


CONTENT_SIDE = frozenset({Family.WORK, Family.ASKING})
COORDINATION_SIDE = frozenset({Family.DEALING, Family.LINKAGE})


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal's answer about one cohort.

    Attributes:
        signal: the signal's id, e.g. `even-dealing`; also its anchor in the docs.
        family: the family that its bits are capped with.
        bits: log2 of the evidence for one operator against ordinary traffic; negative speaks for innocence.
        says: what was measured, with its figures, in a sentence.
        innocent_reading: how honest users come to look like this.
        calibrated_on: the cohorts that the bits are ranked against, e.g. "4,812 cohorts of this log".

    """

    signal: str
    family: Family
    bits: float
    says: str
    innocent_reading: str
    calibrated_on: str

    def __post_init__(self) -> None:
        if not (self.signal and self.says and self.innocent_reading and self.calibrated_on):
            raise ValueError(f"evidence needs a signal, what it says, an innocent reading and a calibration: {self}")


@dataclass(frozen=True, slots=True)
class AccountEvidence:
    """Why one account belongs, or does not: one reason and its bits."""

    reason: str
    bits: float
    says: str


@dataclass(frozen=True, slots=True)
class Member:
    """One account of a cohort.

    Attributes:
        membership: probability from 0 to 1 that it belongs to the cohort.
        bits: log2 odds that it is worked by the cohort's operator rather than by somebody else.
        exchanges: all its exchanges in the log.
        harvest_exchanges: those that bear the cohort's marks.
        evidence: what the bits are made of.

    """

    account: str
    membership: float
    bits: float
    first_seen: datetime
    last_seen: datetime
    exchanges: int
    harvest_exchanges: int
    evidence: tuple[AccountEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class MarkShare:
    """A mark that a cohort bears: its keyed hash, and how many accounts and exchanges bear it.

    Attributes:
        shared: its names under keys that groups of providers share, by the key's id; only where a scan was given some.

    """

    family: str
    mark: str
    accounts: int
    exchanges: int
    shared: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody else says about a cohort. It moves the odds that the cohort starts from, and is no evidence.

    Attributes:
        source: who says it, by its own account.
        via: who handed it over.
        tip: ids of what was received.
        bits: by how much the odds were moved; 0 for what does not count.
        says: which marks are meant, in a sentence.
        marking: the strictest label it was given under.
        disputed: whether somebody says that it is wrong.

    """

    source: str
    via: str
    tip: tuple[str, ...]
    bits: float
    says: str
    marking: str
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class BorneMark:
    """A mark by which a gateway may know a cohort's traffic.

    Attributes:
        family: of the mark.
        mark: its keyed hash.
        accounts: members that bear it.
        elsewhere: accounts that bear it and belong to no campaign.

    """

    family: str
    mark: str
    accounts: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class KnownBy:
    """By what a gateway may know accounts that come later, and how rarely ordinary accounts agree as far.

    Attributes:
        since: first moment of the log that was scanned; a gateway counts in spans as long as it.
        until: its last.
        ordinary: accounts of no campaign that counted: less those of very few exchanges, and those that had a say in
            which marks are used.
        agreeing: how many of them agree with the cohort in at least 2, 3 and 4 of `marks.traits.Trait`.
        marks: that are used.

    Raises:
        ValueError: the counts cannot be.

    """

    since: datetime
    until: datetime
    ordinary: int
    agreeing: tuple[int, ...]
    marks: tuple[BorneMark, ...]

    def __post_init__(self) -> None:
        counts = self.agreeing
        if len(counts) != MOST - LEAST + 1 or list(counts) != sorted(counts, reverse=True):
            raise ValueError(f"counts of those who agree are {MOST - LEAST + 1} and fall, unlike {list(counts)}")
        if counts[0] > self.ordinary or counts[-1] < 0 or self.until < self.since:
            raise ValueError(f"{counts[0]} of {self.ordinary} agree, from {self.since} to {self.until}: it cannot be")


@dataclass(frozen=True, slots=True)
class Finding:
    """One cohort and the verdict on it.

    Attributes:
        id: stable from scan to scan while the cohort keeps its marks.
        kind: `distillation` for campaigns and watched cohorts; for cleared ones the innocent kind.
        reason: the verdict in a sentence: what decided it.
        bits: sum of evidence, capped by family.
        p_value: probability that a cohort of ordinary traffic scores as high.
        q_value: false discovery rate at which it is reported, over all cohorts tested.
        seeks: capabilities sought, most frequent first.
        accounts: members past the bound, strongest first.
        left_out: accounts that bear its marks and were not accused, each with the reason.
        known_by: by what a gateway may know more of its accounts; None if it is no campaign.
        told: what others say about it; none of it is among the bits.

    """

    id: str
    verdict: Verdict
    kind: str
    reason: str
    bits: float
    p_value: float
    q_value: float
    first_seen: datetime
    last_seen: datetime
    exchanges: int
    input_tokens: int
    output_tokens: int
    seeks: tuple[str, ...]
    accounts: tuple[Member, ...]
    marks: tuple[MarkShare, ...]
    evidence: tuple[Evidence, ...]
    left_out: tuple[Member, ...] = ()
    known_by: KnownBy | None = None
    told: tuple[Told, ...] = ()

    def __post_init__(self) -> None:
        if not self.evidence:
            raise ValueError(f"no evidence, no finding: {self.id}")
        if not self.accounts:
            raise ValueError(f"a finding needs members: {self.id}")


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows that could not be read: how many, and how many for each reason."""

    rows: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scan:
    """What was read, and with what the findings were made.

    Attributes:
        columns_absent: columns of `exchange/1` that no row had.
        blind_to: what therefore could not be seen, in words, one a signal.
        baseline: what the p-values are held against.
        settings: every setting that can change a finding.

    """

    exchanges: int
    accounts: int
    first: datetime | None
    last: datetime | None
    rejected: Rejected
    columns_absent: tuple[str, ...]
    blind_to: tuple[str, ...]
    engine: str
    baseline: str
    cohorts_tested: int
    settings: dict[str, str | float | int | bool]


@dataclass(frozen=True, slots=True)
class Findings:
    """The outcome of one scan: campaigns first, then watched, then cleared, each strongest first."""

    scan: Scan
    campaigns: tuple[Finding, ...]
