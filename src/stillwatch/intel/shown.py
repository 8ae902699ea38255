"""What would leave, printed for the person who approves it. Writes to the console that it is given."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from stillwatch.report.figures import count, printable
from stillwatch.report.terminal import heading, indented, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from stillwatch.intel.leaving import Row
    from stillwatch.intel.shareable import Kept

_LONGEST = 60


def print_leaving(rows: Sequence[Row], kept: Sequence[Kept], title: str, console: Console) -> None:
    """Print every field that would leave and why it may, then the marks that stay and why.

    Args:
        rows: of what would leave.
        kept: marks that stay.
        title: what it is and how it is marked.
        console: where to print.

    """
    show(console, heading(title))
    show(console, indented(Text("Nothing was written. A person approves what leaves: --approver NAME", style="dim")))
    for kind, fields in groupby(sorted(rows, key=lambda row: row.kind), key=lambda row: row.kind):
        show(console, Text())
        table = Table(
            title=Text(kind, style="bold"), title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False
        )
        table.add_column("field", overflow="fold", ratio=3)
        table.add_column("times", justify="right", no_wrap=True)
        table.add_column("for example", overflow="fold", ratio=4)
        table.add_column("why it may leave", overflow="fold", ratio=4)
        for row in fields:
            example = printable(row.example)
            shown = example if len(example) <= _LONGEST else f"{example[:_LONGEST]}..."
            table.add_row(Text(printable(row.field)), f"{row.values:,}", Text(shown), Text(row.why))
        show(console, indented(table))
    if kept:
        show(console, Text())
        table = Table(title=Text("Marks that stay", style="bold"), title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in ("family", "marks", "why"):
            table.add_column(column)
        for each, number in sorted(Counter(kept).items()):
            table.add_row(each.family, count(number), each.why)
        show(console, indented(table))
    show(console, Text())
    show(
        console,
        indented(Text("Accounts, organizations, addresses, cards, prompts, answers and examples never leave.")),
    )
