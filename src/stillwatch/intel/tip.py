"""A tip: what another provider or an agency says about marks. Pure; touches nothing.

A tip is somebody's word. It can raise the order in which cohorts are looked at and the odds they start from, within
bounds (`stillwatch.verdicts.hearsay`); it is never evidence, and it refuses nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from stillwatch.intel.marking import Marking


class TipMark(NamedTuple):
    """A mark as its sender named it: under a key that a group shares, or under the sender's own."""

    family: str
    mark: str


@dataclass(frozen=True, slots=True)
class Tip:
    """One indicator that was received.

    Attributes:
        id: of the object that says it, as its sender gave it.
        source: who says it, by its own account.
        via: who handed it over, as we know it: a file, or a member whom a server has recognised. What one of these can
            move is bounded, whatever names it gives itself.
        marking: to whom it may be passed on.
        confidence: 0 to 100, as the sender says.
        marks: any of which is meant.
        first: when the sender first saw it; None where it does not say.
        expires: from when it no longer counts.
        received_at: when we got it.
        about: the sender's campaign that it indicates; empty where there is none.
        disputed_by: who says that it is wrong.

    """

    id: str
    source: str
    via: str
    marking: Marking
    confidence: int
    marks: tuple[TipMark, ...]
    first: datetime | None
    expires: datetime
    received_at: datetime
    about: str = ""
    disputed_by: tuple[str, ...] = ()

    def holds(self, now: datetime) -> bool:
        """Whether it counts at this moment: not expired, and nobody disputes it."""
        return now < self.expires and not self.disputed_by
