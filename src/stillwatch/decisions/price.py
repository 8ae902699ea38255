"""What a policy would have done to past traffic: the harm it stops, and the price that honest users pay. Pure.

Tokens are output tokens of exchanges that were served at the time: they are what a campaign takes. Whoever is in no
campaign and not watched is honest, as far as anybody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Tried = Literal["whole", "in part", "not"]
"""How far a log tells what a rule asks for."""


@dataclass(frozen=True, slots=True)
class Toll:
    """What becomes of some accounts.

    Attributes:
        accounts: how many there are.
        touched: those of whom any request is refused, meets a full limit, or is edited.
        refused: those of whom any request is not served.
        exchanges: what was served to them.
        stopped: of these, what would not have been.
        edited: of these, what would have been served with a change that the log can tell.
        tokens: what they got.
        tokens_stopped: what they would not have got.

    """

    accounts: int = 0
    touched: int = 0
    refused: int = 0
    exchanges: int = 0
    stopped: int = 0
    edited: int = 0
    tokens: int = 0
    tokens_stopped: int = 0

    @property
    def untouched(self) -> int:
        """Accounts that would have noticed nothing."""
        return self.accounts - self.touched

    @property
    def share_touched(self) -> float:
        """Of the accounts."""
        return self.touched / self.accounts if self.accounts else 0.0

    @property
    def share_stopped(self) -> float:
        """Of the tokens."""
        return self.tokens_stopped / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, slots=True)
class FirstTouch:
    """When a policy first touches a campaign.

    Attributes:
        exchange: the campaign's how-manieth exchange it is, from 1.
        after: seconds since its first exchange.
        tokens: what it had taken by then.

    """

    exchange: int
    after: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Held:
    """What becomes of one campaign.

    Attributes:
        name: the finding's id, or what the truth calls it.
        toll: what becomes of its accounts; its tokens are the harvest.
        first: None where it is never touched.

    """

    name: str
    toll: Toll
    first: FirstTouch | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What one rule does to the exchanges of some accounts.

    Attributes:
        fires: how often its condition holds.
        refuses: how often it refuses, or is the first of those that do.
        limits: how often its limit has no room.
        edits: how often it changes a request that is served, or cuts its answer, as far as the log can tell.
        marks: how many answers it has dyed or watermarked.
        accounts: how many it refuses, limits or edits.

    """

    fires: int = 0
    refuses: int = 0
    limits: int = 0
    edits: int = 0
    marks: int = 0
    accounts: int = 0

    @property
    def stops(self) -> int:
        """Exchanges that are not served because of it."""
        return self.refuses + self.limits


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """What one rule does, or one action of a step.

    Attributes:
        id: the rule's, or `steps.throttle[0]`.
        says: what it does, in a sentence.
        tried: whether the log tells what it asks for; what is not tried is left out.
        untold: the facts that it asks for and the log does not tell.
        campaign: to campaigns.
        watched: to watched cohorts.
        honest: to everybody else.

    """

    id: str
    says: str
    tried: Tried
    untold: tuple[str, ...]
    campaign: Effect
    watched: Effect
    honest: Effect


@dataclass(frozen=True, slots=True)
class Price:
    """What one policy would have done.

    Attributes:
        name: the policy's.
        version: the same.
        mode: the policy's; one that observes is replayed as if it were enforced.
        harvest: all campaigns together.
        campaigns: each, largest harvest first.
        watched: accounts that are watched, and neither honest nor accused.
        honest: everybody else.
        by_tier: of the honest; the tier is empty where it is not known.
        by_kind: of the honest; the innocent kind of a cleared cohort, else `other`.
        rules: each rule, then the actions of the steps that were taken.
        untold: facts that the policy asks for and the log does not tell.

    """

    name: str
    version: str
    mode: Literal["observe", "enforce"]
    harvest: Toll
    campaigns: tuple[Held, ...]
    watched: Toll
    honest: Toll
    by_tier: Mapping[str, Toll]
    by_kind: Mapping[str, Toll]
    rules: tuple[RuleEffect, ...]
    untold: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """Past traffic under one policy, or under two.

    Attributes:
        exchanges: requests that were put to the policy.
        failed: those of them that were answered with an error at the time: limits count them, and nothing else does.
        accounts: who sent them.
        first: time of the first; None where there is none.
        last: time of the last.
        known: where it is known from who is in a campaign: `findings`, `truth`, or nothing.
        decisions: where the steps of the ladder come from, in words; empty where there are none.
        assumed: facts that the log does not tell and that were taken as given.
        columns_absent: columns that the policies would have needed and no row has.
        asked: what the policy would have done.
        against: the same of the policy that it is held against.

    """

    exchanges: int
    failed: int
    accounts: int
    first: datetime | None
    last: datetime | None
    known: Literal["findings", "truth", ""]
    decisions: str
    assumed: Mapping[str, str]
    columns_absent: tuple[str, ...]
    asked: Price
    against: Price | None = None
