"""What is to be read and how: the one thing that everything over logs is asked for. Pure.

Imports nothing slow, so that the command line can make one before anything is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LogSource:
    """Request logs, and how they are read.

    Attributes:
        logs: files, folders and patterns, by path or by URL (`s3://`, `gs://`, `abfs://`, `hdfs://`, `file://`); their
            order does not matter.
        dialect: the format of every file; None to know each by its content.
        since: the earliest time that is read; without a zone it is UTC.
        until: the first time that is not read any more.
        strict: raise at the first row that cannot be read.
        rejects: a file that keeps the rows that cannot be read.

    """

    logs: Sequence[str | Path]
    dialect: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    strict: bool = False
    rejects: Path | None = None
