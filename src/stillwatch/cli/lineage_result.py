"""What the tests of `stillwatch lineage` share: read, test, print, and put on record."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from stillwatch.cli.ledger_options import print_json
from stillwatch.cli.options import FILE
from stillwatch.cli.output import console_on, require_writable, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from stillwatch.lineage.material import Material
    from stillwatch.lineage.recompute import Result

ALPHA: Final = click.option(
    "--alpha",
    type=click.FloatRange(0.0, 0.5, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Chance of a false finding that is taken.",
)
EVIDENCE: Final = click.option(
    "--evidence",
    type=FILE,
    metavar="FILE",
    help="Put the test on record in an evidence file; added to one that is there.",
)


def given(**files: Path | None) -> list[Material]:
    """Read the files that were named, by role."""
    from stillwatch.lineage.material import read_material

    return [read_material(role, path) for role, path in files.items() if path is not None]


def several(role: str, paths: Sequence[Path]) -> list[Material]:
    """Read files that play one role together: `control 1`, `control 2`, ..., in the order of their names."""
    from stillwatch.lineage.material import read_material

    return [read_material(f"{role} {number}", path) for number, path in enumerate(paths, 1)]


def tested(
    test: str,
    materials: Sequence[Material],
    settings: Mapping[str, Any],
    *,
    form: str,
    evidence: Path | None,
    lines: Callable[[dict[str, Any]], Sequence[str]],
) -> None:
    """Run a test, print what it gave, and put it on record where that is asked for."""
    from stillwatch.lineage.recompute import compute

    require_writable(evidence)
    result = compute(test, {each.role: each for each in materials}, settings)
    if evidence is not None:
        _record(evidence, test, materials, settings, result)
    if form == "json":
        print_json(_document(test, result))
        return
    console = console_on(sys.stdout)
    for line in lines(result.figures):
        console.print(line, soft_wrap=True)


def _document(test: str, result: Result) -> bytes:
    import msgspec

    from stillwatch.lineage.verdict import RESULT

    document = {"schema": RESULT, "test": test, "figures": result.figures, "strands": result.strands}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _record(path: Path, test: str, materials: Sequence[Material], settings: Mapping[str, Any], result: Result) -> None:
    from datetime import UTC, datetime

    from stillwatch.lineage.evidence import from_json, recorded, seal_of, to_json
    from stillwatch.report.output_file import write_whole

    before = from_json(path.read_bytes(), str(path)) if path.exists() else []
    made = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    data = to_json([*before, recorded(test, made, settings, materials, result)])
    write_whole(path, data, private=True)
    say(f"put on record in {path}, sealed {seal_of(data)}; keep the files that were read, or nobody can check it")


def percent(share: float) -> str:
    """Say a share in percent."""
    return f"{100.0 * share:.1f} %"


def span(interval: Mapping[str, float]) -> str:
    """Say an estimate with its bounds."""
    return f"{percent(interval['estimate'])} ({percent(interval['low'])} to {percent(interval['high'])})"
