"""The ladder of steps, from looking on to refusing. Pure."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """What is done to an account or a cohort; each is graver than the one before it."""

    OBSERVE = "observe"
    VERIFY = "verify"
    THROTTLE = "throttle"
    NARROW = "narrow"
    DYE = "dye"
    REFUSE = "refuse"

    @property
    def height(self) -> int:
        """How far up the ladder it is, from 0."""
        return _HEIGHT[self]


_HEIGHT = {step: height for height, step in enumerate(Step)}
