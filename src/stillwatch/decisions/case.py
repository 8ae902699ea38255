"""What stands for and against one subject. Pure; touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stillwatch.decisions.decision import Appeal
from stillwatch.decisions.ladder import LADDER, Ladder, decayed
from stillwatch.decisions.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from stillwatch.decisions.allowance import Allowance
    from stillwatch.decisions.decision import Decision


@dataclass(frozen=True, slots=True)
class Case:
    """One subject's decisions and the allowances that protect it.

    Attributes:
        decisions: all that were ever taken against it and whose end is not written down, in the order of their making.
        allowances: of the subject, and of those that it belongs to or that belong to it.
        overturned: findings that an appeal has spoken it free of.

    """

    decisions: tuple[Decision, ...] = ()
    allowances: tuple[Allowance, ...] = ()
    overturned: frozenset[str] = frozenset()

    def in_force(self, now: datetime, ladder: Ladder = LADDER) -> tuple[Decision, ...]:
        """Give what holds at this moment, strongest first; of decisions that have ended, what followed them.

        While an allowance protects the subject, all but `observe` rests.
        """
        left = (decayed(each, now, ladder) for each in self.decisions)
        spared = bool(self.protecting(now))
        held = (each for each in left if each is not None and not (spared and each.step is not Step.OBSERVE))
        return tuple(sorted(held, key=lambda each: -each.step.height))

    def protecting(self, now: datetime) -> tuple[Allowance, ...]:
        """Give the allowances that hold at this moment."""
        return tuple(each for each in self.allowances if each.stands(now))


def overturned(decisions: Iterable[Decision]) -> frozenset[str]:
    """Give the findings on which one of these decisions was taken that an appeal has overturned."""
    return frozenset(
        each.grounds.finding for each in decisions if each.appeal is Appeal.UPHELD and each.grounds is not None
    )
