"""One line of vLLM's server log, with whatever a container platform or a terminal puts around it. Pure."""

from __future__ import annotations

import re
from typing import Final

_STAMP: Final = r"(?:(?P<stamp>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) (?:std(?:out|err) [FP] )?)?"
_PROCESS: Final = r"(?:\([^()]*\) )?"
_CLOCK: Final = r"(?P<date>(?:\d{4}-)?\d\d-\d\d) (?P<clock>\d\d:\d\d:\d\d(?:[.,]\d+)?)"
_RECORD: Final = re.compile(
    rf"{_STAMP}{_PROCESS}(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) +{_CLOCK} \[?[\w./-]+:\d+\] (?P<message>.*)"
)
_COLOUR: Final = re.compile(rb"\x1b\[[\d;]*m")


def record_in(line: bytes) -> re.Match[str] | None:
    """Return the record that a line is: `stamp` (in front, by the platform), `level`, `date`, `clock`, `message`."""
    if b"\x1b" in line:
        line = _COLOUR.sub(b"", line)
    return _RECORD.match(line.decode("utf-8", "replace").rstrip("\r"))


def is_server_log(beginning: bytes) -> bool:
    """Whether a file that begins so is a server log: any line of it is a record."""
    return any(record_in(line) for line in beginning.split(b"\n"))
