"""Time for counters: it never runs back, and a clock that leaps brings nobody forward. Touches: the clocks.

Computers have two clocks. The wall clock knows the date, and is set forwards and back; the steady one is not set, and
knows no date. `SteadyTime` begins at the wall clock's date and goes on with the steady clock. Where that one makes a
step of more than a second, both must have made it (nothing was asked for a while) or only a second is believed.
"""

from __future__ import annotations

import time
from typing import Protocol

_BELIEVED = 1.0  # seconds that the steady clock may step without the other


class Clock(Protocol):
    """Both clocks of a machine, in seconds."""

    def wall(self) -> float:
        """Seconds since 1970, UTC; may be set forwards and back."""

    def steady(self) -> float:
        """Seconds since some moment; meant to only go forwards."""


class SystemClock:
    """The clocks of this machine."""

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def steady(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()


class SteadyTime:
    """Seconds since 1970, UTC, that never run back and never leap.

    Args:
        clock: what is looked at.
        begin: where to begin if the wall clock is behind it: what was reached before a restart.

    """

    def __init__(self, clock: Clock, begin: float = 0.0) -> None:
        self._clock = clock
        self._wall, self._steady = clock.wall(), clock.steady()
        self._now = max(self._wall, begin)

    def now(self) -> float:
        """Look at the clocks. Not for several threads at once."""
        wall, steady = self._clock.wall(), self._clock.steady()
        step = steady - self._steady
        if step > _BELIEVED:
            step = min(step, max(wall - self._wall, _BELIEVED))
        self._wall, self._steady = wall, steady
        self._now += max(step, 0.0)
        return self._now
