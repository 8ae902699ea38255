"""`stillwatch share export`: campaigns as a STIX 2.1 bundle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stillwatch.cli.ledger_options import SPAN
from stillwatch.cli.options import FILE
from stillwatch.cli.share_options import (
    COMMITMENT,
    FINDINGS,
    SHARED_KEY,
    approvable,
    require_approval,
    shared_key_in,
    write_approved,
)

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from stillwatch.intel.marking import Marking


@click.command()
@FINDINGS
@approvable
@SHARED_KEY
@click.option("--previous", type=FILE, metavar="BUNDLE", help="The last export: what changed since is a new version.")
@click.option("--lasts", type=SPAN, default="90d", show_default=True, help="How long marks hold after they were seen.")
@click.option(
    "--dye-commitment", "dyes", type=COMMITMENT, multiple=True, metavar="SHA256", help="Commitment to a key of a dye."
)
def export(
    *,
    findings: Path,
    marking: Marking,
    provider: str | None,
    output: Path | None,
    approver: str,
    dry_run: bool,
    shared_key: Path | None,
    previous: Path | None,
    lasts: timedelta,
    dyes: tuple[str, ...],
) -> None:
    """Write the campaigns of FINDINGS as a STIX 2.1 bundle.

    What leaves is a closed list of fields: keyed hashes of marks, rounded counts, days, and names out of our own lists.
    There is no account, address, card, prompt or answer in it. --dry-run shows every field and why it may leave.
    """
    require_approval(output, approver, dry_run=dry_run, read=(findings, shared_key))

    from stillwatch.cli.findings_file import findings_in
    from stillwatch.intel import bundle, leaving, stix, versions
    from stillwatch.marks.key import name_key
    from stillwatch.report.figures import count

    terms = stix.Terms(
        marking,
        provider or stix.UNNAMED,
        name_key(shared_key_in(shared_key)) if shared_key is not None else "",
        lasts,
        dyes,
    )
    made = stix.export(findings_in(findings), terms)
    before = bundle.exported_before(previous) if previous is not None else {}
    objects = versions.versioned(made.objects, before)
    rows = leaving.held_to(objects, terms)  # what is taken over from the last export, too
    if dry_run or output is None:
        from stillwatch.cli.output import console_on
        from stillwatch.intel.shown import print_leaving

        title = f"What would leave, as {marking.value}: {count(made.campaigns, 'campaign')}"
        print_leaving(rows, made.kept, title, console_on(sys.stdout))
        return
    write_approved(output, bundle.to_json(objects), approver=approver, what="bundle", marking=marking, left=rows)
