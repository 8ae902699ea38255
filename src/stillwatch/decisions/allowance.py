"""The allow-list: who is not to be acted against, for whom, why, and until when. Pure; touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from stillwatch.decisions.subject import Subject

AT_MOST: Final = timedelta(days=366)  # then somebody has to look at it again


@dataclass(frozen=True, slots=True)
class Allowance:
    """One entry of the allow-list: a verified evaluator, a safety researcher, a customer whose use is agreed.

    While it stands, nothing but `observe` may be decided against its subject, and what was decided before rests.

    Attributes:
        id: `a-` and the number of the audit entry that made it.
        owner: who answers for it and is asked when it is due.
        withdrawn_at: when it was taken back, if it was.

    Raises:
        ValueError: it has no owner or no reason, its times are not in order or without a zone, or it lasts too long.

    """

    id: str
    subject: Subject
    owner: str
    reason: str
    made_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None = None

    def __post_init__(self) -> None:
        if not (self.owner.strip() and self.reason.strip()):
            raise ValueError(f"an allowance needs an owner and a reason: {self.id}")
        if self.made_at.tzinfo is None or self.expires_at.tzinfo is None or self.expires_at <= self.made_at:
            raise ValueError(f"an allowance ends after it begins, in times with a zone: {self.id}")
        if self.expires_at - self.made_at > AT_MOST:
            raise ValueError(f"an allowance lasts {AT_MOST.days} days at most: {self.id}")

    def stands(self, now: datetime) -> bool:
        """Whether it holds at this moment; one made by a clock that is ahead holds at once."""
        return self.withdrawn_at is None and now < self.expires_at
