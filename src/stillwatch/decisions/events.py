"""What can happen to decisions and allowances: one frozen type for each kind of audit entry. Pure; touches nothing.

    decide     a decision is made           lift       it is taken back
    appeal     its subject objects          judge      the objection is upheld or rejected
    expire     its end is written down      allow      a subject is put on the allow-list
    withdraw   it is taken off again

Nothing is ever deleted, and every action has one that takes it back. How an event is written is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from stillwatch.decisions.allowance import Allowance
    from stillwatch.decisions.decision import Decision


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision was made."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Lifted:
    """A decision was taken back, for good; the subject may be decided on anew."""

    decision: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Appealed:
    """The subject, or somebody for it, objects to a decision."""

    decision: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Judged:
    """An appeal was upheld, which lifts the decision, or rejected."""

    decision: str
    by: str
    reason: str
    upheld: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Expired:
    """A decision reached its end; what follows it, if anything, is decided in the next entry."""

    decision: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Allowed:
    """A subject was put on the allow-list."""

    allowance: Allowance


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """An allowance was taken back."""

    allowance: str
    by: str
    reason: str
    at: datetime


Event: TypeAlias = Decided | Lifted | Appealed | Judged | Expired | Allowed | Withdrawn
