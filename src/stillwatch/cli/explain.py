"""`stillwatch explain`: why a verdict is what it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import console_on
from stillwatch.errors import FindingsError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("name", metavar="CAMPAIGN|ACCOUNT")
@click.argument("findings_file", type=FILE, metavar="FINDINGS")
def explain(name: str, findings_file: Path) -> None:
    """Show how a verdict came about, bit by bit.

    Give the id of a campaign or cohort (its beginning is enough), or an account: why is it in, or why not?
    FINDINGS is what `scan -o findings.json` wrote; `-` reads it from stdin.
    """
    from stillwatch.report.explain import explain as print_explanation
    from stillwatch.report.findings_v1 import from_either

    findings = from_either(_read_findings(findings_file), path=str(findings_file))
    print_explanation(findings, name, console_on(sys.stdout))


def _read_findings(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise FindingsError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
