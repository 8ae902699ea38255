"""The steps of the ladder, from looking on to refusing. Pure."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """What is done to a subject; each is graver than the one before it."""

    OBSERVE = "observe"  # nothing changes; it is looked at
    VERIFY = "verify"  # it is asked who it is
    THROTTLE = "throttle"  # it is answered more slowly
    NARROW = "narrow"  # its answers show less: no probabilities, no reasoning, fewer samples
    DYE = "dye"  # its answers bear a keyed mark, to be found in a suspect model
    REFUSE = "refuse"  # it is not answered

    @property
    def height(self) -> int:
        """How far up the ladder it is, from 0."""
        return _HEIGHT[self]


_HEIGHT = {step: height for height, step in enumerate(Step)}
