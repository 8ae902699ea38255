"""`stillwatch share report`: a document for an agency."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from stillwatch.cli.share_options import (
    FINDINGS,
    SHARED_KEY,
    approvable,
    require_approval,
    shared_key_in,
    write_approved,
)

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.intel.marking import Marking


@click.command()
@FINDINGS
@click.option(
    "--template", type=click.Choice(["advisory"]), default="advisory", show_default=True, help="How it is laid out."
)
@click.option("--format", "form", type=click.Choice(["html", "json"]), help="Default: html, or what -o ends in.")
@SHARED_KEY
@approvable
def report(
    *,
    findings: Path,
    template: str,  # noqa: ARG001  the only one there is
    form: str | None,
    shared_key: Path | None,
    marking: Marking,
    provider: str | None,
    output: Path | None,
    approver: str,
    dry_run: bool,
) -> None:
    """Write a report on the campaigns of FINDINGS for an agency.

    It tells conduct, purpose, scale, indicators and confidence, keeps fact and inference apart, and says what speaks
    against each campaign. The page loads nothing and prints on A4. --dry-run prints the same as JSON,
    and writes nothing.
    """
    require_approval(output, approver, dry_run=dry_run, read=(findings, shared_key))

    from stillwatch.cli.ledger_options import print_json
    from stillwatch.intel import advisory, stix
    from stillwatch.intel.advisory_html import to_html
    from stillwatch.marks.key import name_key
    from stillwatch.report.findings_v1 import from_either

    key = name_key(shared_key_in(shared_key)) if shared_key is not None else ""
    terms = stix.Terms(marking, provider or stix.UNNAMED, key)
    document = findings.read_bytes() if str(findings) != "-" else sys.stdin.buffer.read()
    made = advisory.advisory(from_either(document, path=str(findings)), terms, document=document, on=datetime.now(UTC))
    if dry_run or output is None:
        print_json(advisory.to_json(made))
        return
    as_json = form == "json" or (form is None and output.suffix.lower() == ".json")
    text = advisory.to_json(made) if as_json else to_html(made)
    write_approved(output, text, approver=approver, what="report", marking=marking)
