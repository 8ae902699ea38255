"""Being told to end: a job scheduler or a closed terminal ends a command as Ctrl-C does, with nothing half written.

Touches how this process takes signals.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from types import FrameType


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C asked the command to end.

    Attributes:
        number: the signal's.

    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop_cleanly() -> None:
    """Let SIGTERM and SIGHUP end the command through its own cleaning up; what is ignored (`nohup`) stays ignored."""
    for name in ("SIGTERM", "SIGHUP"):  # the latter is not everywhere
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> Never:
    del frame
    raise Stopped(number)
