"""Server logs in plain text, as vLLM writes them unless it is told otherwise. Touches the log file, reading.

    INFO 07-14 10:00:00 [logger.py:43] Received request cmpl-...: prompt: '...', params: SamplingParams(...), ...
    (APIServer pid=71) INFO 07-14 10:00:01 [logger.py:72] Generated response cmpl-...: output: '...', ...

Such a line becomes the record that vLLM's JSON formatter would have written of it, for the dialect to read. All other
lines (uvicorn's access log, statistics, tracebacks) tell of no request and are passed over. A time in front, as
container platforms put it, counts before the server's own, which has no year. Where no year is written, it follows
from the file's last change: lines are older than that, and by less than a year.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from stillwatch.errors import DialectError
from stillwatch.exchanges.files import read_blocks
from stillwatch.exchanges.rows import HEAD_ROWS, Conversion
from stillwatch.exchanges.server_line import record_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from stillwatch.exchanges.dialects.dialect import Row
    from stillwatch.exchanges.files import Block, LogFile
    from stillwatch.exchanges.rows import Intake, Rows

_TELLING: Final = ("Received request ", "Request ", "Generated response ")
_WITHOUT_YEAR: Final = len("07-14")
_DAY: Final = timedelta(days=1)

_Item = tuple[int, dict[str, object], bytes, bool]  # line, record, as it stood, whether its year is not written


def read_server_log(file: LogFile, intake: Intake) -> Iterator[Rows]:
    """Read the requests of a server log.

    Raises:
        LogError: after the last readable row, where the file breaks off.
        DialectError: it holds no request, or none that could ever be an exchange.

    """
    conversion: Conversion | None = None
    for block in read_blocks(file, intake.progress):
        items = list(_items(block, file, intake))
        if conversion is None and items:
            head: list[Row] = [row for _, row, _, _ in items[:HEAD_ROWS]]
            conversion = Conversion(intake.known(head), intake.refuse)
            if any(dated for _, _, _, dated in items):
                intake.note(f"{file.name}: times bear no year; it was taken from the file's last change")
        if conversion is not None:
            for line, row, raw, _ in items:
                conversion.add(row, line, raw)
            yield conversion.rows(last=block.last)
    if conversion is None:
        raise DialectError(
            f"{file.name}: a server log that tells of no request; vLLM logs them if started with --enable-log-requests"
        )


def _items(block: Block, file: LogFile, intake: Intake) -> Iterator[_Item]:
    """Yield the lines of a block that tell of requests, as records."""
    whole = block.data.endswith(b"\n")
    lines = block.data.split(b"\n")
    for place, raw in enumerate(lines):
        match = record_in(raw)
        if match is None or not match["message"].startswith(_TELLING):
            continue
        if block.last and not whole and place == len(lines) - 1:
            intake.cut(block.first_line + place, raw)  # nothing tells whether the line goes on
            continue
        dated = not match["stamp"] and len(match["date"]) == _WITHOUT_YEAR
        date = _dated(match["date"], file.modified) if dated else match["date"]
        row = {
            "asctime": match["stamp"] or f"{date} {match['clock']}",
            "levelname": match["level"],
            "message": match["message"],
        }
        yield block.first_line + place, row, raw, dated


def _dated(date: str, modified: datetime) -> str:
    """Give a date its year."""
    latest = modified + _DAY  # clocks and time zones differ
    year = latest.year if date <= f"{latest:%m-%d}" else latest.year - 1
    return f"{year}-{date}"
