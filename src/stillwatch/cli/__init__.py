"""The command line: arguments to `api`, results to stdout, all else to stderr. Touches clock, terminal and files.

Exit codes: 0 done; 1 `--fail-on` is met; 2 wrong usage; 3 failure; 130, 143, 129 interrupted,
terminated, hung up; 141 the reader of stdout went away.
One file a command; whatever is slow to import is imported where it is used, so that `--help` answers at once.
"""

from __future__ import annotations

from stillwatch.cli.commands import commands
from stillwatch.cli.stopped import stop_cleanly


def main() -> None:
    """Run the command `stillwatch`."""
    stop_cleanly()
    commands(prog_name="stillwatch")
