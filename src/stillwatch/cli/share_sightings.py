"""`stillwatch share sightings`: what we say back to whoever gave us tips."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from stillwatch.cli.output import say
from stillwatch.cli.share_options import FINDINGS, TIPS, approvable, require_approval, tips_told, write_approved

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.intel.marking import Marking


@click.command()
@FINDINGS
@TIPS
@click.option("--dispute", "disputed", multiple=True, metavar="ID", help="Say that this tip or campaign is wrong.")
@approvable
def sightings(
    *,
    findings: Path,
    tips: tuple[Path, ...],
    disputed: tuple[str, ...],
    marking: Marking,
    provider: str | None,
    output: Path | None,
    approver: str,
    dry_run: bool,
) -> None:
    """Tell others which of their tips met a campaign of ours.

    "We saw this too, first on this date, about so many exchanges": whole days and rounded counts. With --dispute, say
    that our own traffic does not bear a tip out. Nothing is passed on further than the tip's own marking allows.
    """
    require_approval(output, approver, dry_run=dry_run, read=(findings, *tips))

    from stillwatch.cli.findings_file import findings_in
    from stillwatch.intel import bundle, leaving, stix
    from stillwatch.intel.marking import marking_of, strictest
    from stillwatch.intel.sightings import sightings as seen
    from stillwatch.report.figures import count

    terms = stix.Terms(marking, provider or stix.UNNAMED)
    objects = seen(findings_in(findings), tips_told(tips), terms, now=datetime.now(UTC), disputed=disputed)
    if not objects:
        say("no campaign here bears a mark that anybody gave a tip about; there is nothing to say")
        return
    rows = leaving.held_to(objects, terms)
    if dry_run or output is None:
        from stillwatch.cli.output import console_on
        from stillwatch.intel.shown import print_leaving

        number = sum(each["type"] == "sighting" for each in objects)
        print_leaving(rows, (), f"What would leave: {count(number, 'sighting')}", console_on(sys.stdout))
        return
    borne = strictest(marking_of(each["object_marking_refs"]) for each in objects if "object_marking_refs" in each)
    write_approved(output, bundle.to_json(objects), approver=approver, what="sightings", marking=borne, left=rows)
