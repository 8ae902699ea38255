"""What is decided about a subject, as frozen types: grounds, decisions. Pure; touches nothing.

No reason and no end, no decision: `Decision` refuses to be made without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from stillwatch.decisions.step import Step
    from stillwatch.decisions.subject import Subject
    from stillwatch.verdicts.evidence import KnownBy, Verdict


class Appeal(StrEnum):
    """What became of the subject's objection."""

    NONE = "none"
    OPEN = "open"
    UPHELD = "upheld"  # the subject was right: the decision is lifted
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class KeyedMark:
    """A mark of the finding, carried along so that a gateway can know the cohort's traffic: its keyed hash."""

    family: str
    mark: str


@dataclass(frozen=True, slots=True)
class Grounds:
    """The evidence that a decision rests on.

    Attributes:
        finding: the finding's id.
        digest: SHA-256 of the finding in its canonical form, in hexadecimal: what it said when it was acted on.
        verdict: the finding's, as are `bits` and `q_value`.
        membership: probability that the subject belongs to the finding's cohort; 1 for the cohort itself.

    """

    finding: str
    digest: str
    verdict: Verdict
    bits: float
    q_value: float
    membership: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One step against one subject, for a time.

    Attributes:
        id: `d-` and the number of the audit entry that made it; what follows when it ends adds its step, as
            `d-7.throttle`.
        grounds: None where an operator decided without a finding.
        marks: of the finding.
        policy: version of the rules that it was made by.
        approvers: operators who approved it; none where the policy alone decides.
        lifted_at: when it was taken back, if it was.
        known_by: of the finding, where its whole cohort is meant: by what a gateway knows accounts that come later.

    Raises:
        ValueError: it has no reason or no policy, or its times are not in order or without a zone.

    """

    id: str
    subject: Subject
    step: Step
    reason: str
    grounds: Grounds | None
    marks: tuple[KeyedMark, ...]
    policy: str
    approvers: tuple[str, ...]
    made_at: datetime
    expires_at: datetime
    appeal: Appeal = Appeal.NONE
    lifted_at: datetime | None = None
    known_by: KnownBy | None = None

    def __post_init__(self) -> None:
        if not (self.reason.strip() and self.policy):
            raise ValueError(f"a decision needs a reason and a policy: {self.id}")
        if self.made_at.tzinfo is None or self.expires_at.tzinfo is None or self.expires_at <= self.made_at:
            raise ValueError(f"a decision ends after it begins, in times with a zone: {self.id}")

    @property
    def root(self) -> str:
        """Id of the decision that this one follows from, through however many endings; its own if from none."""
        return self.id.partition(".")[0]

    def stands(self, now: datetime) -> bool:
        """Whether it holds at this moment; one made by a clock that is ahead holds at once."""
        return self.lifted_at is None and now < self.expires_at
