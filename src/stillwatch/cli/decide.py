"""`stillwatch decide`: findings in, decisions out, as far as the ladder goes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stillwatch.cli.findings_file import findings_in
from stillwatch.cli.ledger_options import APPROVERS, FORM, LEDGER, SPAN, STEPS, opened, print_json
from stillwatch.cli.options import FILE
from stillwatch.cli.output import console_on, say
from stillwatch.errors import NoLedgerError

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from stillwatch.decisions.policy import Policy
    from stillwatch.ledger.ledger import Ledger


@click.command()
@click.argument("findings_file", type=FILE, metavar="FINDINGS")
@click.option("--policy", "policy_source", metavar="FILE|NAME", help="Go as far as this policy says under `decide`.")
@click.option("--step", type=STEPS, help="Go as far as this against campaigns; observe if neither is given.")
@click.option("--cohorts", is_flag=True, help="One decision against each cohort, not one against each account.")
@click.option("--successors", is_flag=True, help="Besides, one against each cohort, for accounts of it to come.")
@click.option("--lasts", type=SPAN, metavar="SPAN", help="How long, e.g. 7d; as long as the ladder says if not given.")
@APPROVERS
@click.option("--dry-run", is_flag=True, help="Only tell what would be decided.")
@LEDGER
@FORM
def decide(
    *,
    findings_file: Path,
    policy_source: str | None,
    step: str | None,
    cohorts: bool,
    successors: bool,
    lasts: timedelta | None,
    approvers: tuple[str, ...],
    dry_run: bool,
    place: str,
    form: str,
) -> None:
    """Decide what to do about the campaigns in FINDINGS.

    FINDINGS is what `scan -o findings.json` wrote; `-` reads it from stdin. Unless told otherwise, campaigns are
    observed, which changes nothing for anybody. The ladder has the last word: where it does not allow the step, the
    step that it decays to is taken instead, and the reasons are given.
    """
    if policy_source is not None and step is not None:
        raise click.UsageError("--step and --policy both say how far to go; give one of them")
    findings = findings_in(findings_file)

    from stillwatch.decisions.propose import asked_of, by_policy, up_to
    from stillwatch.decisions.step import Step
    from stillwatch.ledger import decisions_v1
    from stillwatch.report.decisions import print_outcomes
    from stillwatch.report.findings_v1 import finding_digest

    chooser = up_to(Step(step or "observe")) if policy_source is None else by_policy(_policy(policy_source))
    asked = asked_of(
        findings.campaigns,
        chooser,
        digest=finding_digest,
        approvers=approvers,
        cohorts=cohorts,
        successors=successors,
        lasts=lasts,
    )
    with _rehearsing(place) if dry_run else opened(place, create=True) as ledger:
        found = ledger.decide(asked, dry_run=dry_run)
    if form == "json":
        print_json(decisions_v1.outcomes(found, dry_run=dry_run))
        return
    made = [(each.granted, each.decision) for each in found]
    print_outcomes(made, console_on(sys.stdout), ledger=ledger.place, policy=chooser.version, dry_run=dry_run)
    if any(each.decision for each in found) and not dry_run:
        say("next: stillwatch decisions list")


def _policy(source: str) -> Policy:
    from stillwatch.guard.policy_file import load_policy

    return load_policy(source)


def _rehearsing(place: str) -> Ledger:
    """Give the ledger to be asked what would be decided; an empty one where there is none, which is not made."""
    from stillwatch.ledger.ledger import rehearsal

    try:
        return opened(place)
    except NoLedgerError:
        return rehearsal()
