"""The findings that a command is given."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stillwatch.errors import FindingsError

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.verdicts.evidence import Findings


def findings_in(path: Path) -> Findings:
    """Read findings from a file, or from stdin if it is `-`; JSON or JSON lines.

    Raises:
        FindingsError: it cannot be read, or holds no findings.

    """
    from stillwatch.report.findings_v1 import from_either

    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise FindingsError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    return from_either(data, path=str(path))
