"""`stillwatch decisions`: what is decided, and everything that can become of it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from stillwatch.cli.findings_file import findings_in
from stillwatch.cli.ledger_options import (
    APPROVERS,
    BY,
    FORM,
    LEDGER,
    REASON,
    SPAN,
    STEPS,
    SUBJECT,
    opened,
    print_json,
)
from stillwatch.cli.options import FILE
from stillwatch.cli.output import console_on, say
from stillwatch.errors import LadderError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from stillwatch.decisions.allowance import Allowance
    from stillwatch.decisions.decision import Decision
    from stillwatch.decisions.ladder import Asked
    from stillwatch.decisions.subject import Subject


@click.group()
def decisions() -> None:
    """Look at decisions, make them, take them back, and hear appeals against them."""


@decisions.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that no longer stand too.")
@click.option("--subject", type=SUBJECT, metavar="KIND:NAME", help="Those against this subject only.")
@LEDGER
@FORM
def list_decisions(*, everything: bool, subject: Subject | None, place: str, form: str) -> None:
    """List the decisions that stand, and the allow-list."""
    from stillwatch.ledger import decisions_v1
    from stillwatch.report.decisions import print_listing

    with opened(place) as ledger:
        book = ledger.book()
    now = datetime.now(UTC)
    in_force = book.in_force(now)
    allowances = [each for each in book.allowances.values() if everything or each.stands(now)]
    ids = {each.id for each in in_force}
    shown = list(in_force)
    if everything:
        shown = [*book.decisions.values(), *(each for each in in_force if each.id not in book.decisions)]
    else:  # what rests stands as soon as the allowance is gone, so it is no secret
        shown += [each for each in book.decisions.values() if each.stands(now) and each.id not in ids]
    if subject is not None:
        shown = [each for each in shown if each.subject == subject]
        allowances = [each for each in allowances if each.subject == subject]
    if form == "json":
        print_json(decisions_v1.listing(shown, allowances, in_force=in_force, now=now))
    else:
        print_listing(shown, allowances, console_on(sys.stdout), in_force=in_force, now=now)


@decisions.command("show")
@click.argument("name", metavar="ID")
@LEDGER
@FORM
def show_decision(*, name: str, place: str, form: str) -> None:
    """Show a decision (d-17) or an allowance (a-18): its evidence, its approval, its end, and its audit trail."""
    from stillwatch.ledger import decisions_v1
    from stillwatch.report.decisions import print_history

    with opened(place) as ledger:
        history = ledger.history(name)
        book = ledger.book()
    now = datetime.now(UTC)
    in_force = {each.id: each for each in book.in_force(now)}
    what = book.decisions.get(name) or book.allowances.get(name) or in_force.get(name)
    if what is None:
        raise UnknownNameError(f"{place}: no decision or allowance `{name}`")
    holds = name in in_force or (name in book.allowances and book.allowances[name].stands(now))
    if form == "json":
        print_json(decisions_v1.history(what, history, in_force=holds))
    else:
        print_history(what, history, console_on(sys.stdout), holds=holds, now=now)


@decisions.command("add")
@click.argument("subject", type=SUBJECT, metavar="KIND:NAME")
@click.option("--step", type=STEPS, required=True, help="What is to be done.")
@REASON
@APPROVERS
@click.option("--findings", "findings_file", type=FILE, metavar="FILE", help="Findings that it rests on.")
@click.option("--lasts", type=SPAN, metavar="SPAN", help="How long, e.g. 7d; as long as the ladder says if not given.")
@LEDGER
@FORM
def add_decision(
    *,
    subject: Subject,
    step: str,
    reason: str,
    approvers: tuple[str, ...],
    findings_file: Path | None,
    lasts: timedelta | None,
    place: str,
    form: str,
) -> None:
    """Decide on one subject: this step, or none if the ladder does not allow it.

    Without findings an operator may go as far as throttle. With findings, the subject must be an account in one of
    them, or one of the cohorts.
    """
    from stillwatch.decisions.ladder import LADDER, Asked
    from stillwatch.decisions.step import Step

    asked = Asked(subject, Step(step), reason, None, (), LADDER.version, approvers, lasts)
    if findings_file is not None:
        asked = _grounded(asked, findings_file)
    if not reason.strip():
        raise UsageError("--reason is blank")
    with opened(place, create=True) as ledger:
        (outcome,) = ledger.decide([asked], exactly=True)
    if outcome.decision is None:
        standing = outcome.granted.stands
        against = outcome.granted.why_not
        if standing is not None:
            against = (
                f"{standing.step} stands already: {standing.id}, until {standing.expires_at:%Y-%m-%d %H:%M} UTC",
            )
        raise LadderError(f"{subject}: {'; '.join(against)}")
    _print_one(outcome.decision, form, f"{outcome.decision.id}: {step} against {subject}")


@decisions.command("lift")
@click.argument("name", metavar="ID")
@BY
@REASON
@LEDGER
@FORM
def lift_decision(*, name: str, by: str, reason: str, place: str, form: str) -> None:
    """Take back a decision (d-17), or an allowance (a-18). The subject may be decided on anew."""
    with opened(place) as ledger:
        lifted: Decision | Allowance
        if name.startswith("a-"):
            lifted = ledger.withdraw(name, by=by, reason=reason)
        else:
            lifted = ledger.lift(name, by=by, reason=reason)
    _print_one(lifted, form, f"{lifted.id}: taken back")


@decisions.command("appeal")
@click.argument("name", metavar="ID")
@BY
@REASON
@click.option(
    "--uphold", "judgement", flag_value="uphold", help="The subject is right: lift what rests on the finding."
)
@click.option("--reject", "judgement", flag_value="reject", help="The decision stands.")
@LEDGER
@FORM
def appeal_decision(*, name: str, by: str, reason: str, judgement: str | None, place: str, form: str) -> None:
    """Open an appeal against a decision, or judge the open one with --uphold or --reject.

    Until it is judged nothing more is done to the subject. Who approved the decision cannot judge the appeal.
    """
    with opened(place) as ledger:
        if judgement is None:
            decision = ledger.appeal(name, by=by, reason=reason)
        else:
            decision = ledger.judge(name, by=by, reason=reason, upheld=judgement == "uphold")
    _print_one(decision, form, f"{decision.id}: appeal {decision.appeal}")


@decisions.command("allow")
@click.argument("subject", type=SUBJECT, metavar="KIND:NAME")
@click.option("--owner", metavar="NAME", required=True, help="Who answers for it.")
@REASON
@click.option("--lasts", type=SPAN, metavar="SPAN", required=True, help="How long, e.g. 180d; a year at most.")
@LEDGER
@FORM
def allow_subject(*, subject: Subject, owner: str, reason: str, lasts: timedelta, place: str, form: str) -> None:
    """Put a subject on the allow-list: nothing but observing is done to it, and what was decided rests."""
    with opened(place, create=True) as ledger:
        allowance = ledger.allow(subject, owner=owner, reason=reason, lasts=lasts)
    _print_one(allowance, form, f"{allowance.id}: {subject} is on the allow-list")


@decisions.command("expire")
@LEDGER
@FORM
def expire_decisions(*, place: str, form: str) -> None:
    """Write down which decisions have ended, and what follows each.

    Decisions end whether or not this is run; it keeps the audit trail complete.
    """
    from stillwatch.ledger import decisions_v1
    from stillwatch.report.decisions import print_ended

    with opened(place) as ledger:
        ended = ledger.expire()
    if form == "json":
        print_json(decisions_v1.followed(ended))
    else:
        print_ended(ended, console_on(sys.stdout))


def _grounded(asked: Asked, path: Path) -> Asked:
    """Give what is asked with the grounds of the strongest finding that its subject is in."""
    from dataclasses import replace

    from stillwatch.decisions.propose import Chooser, asked_of
    from stillwatch.decisions.subject import SubjectKind
    from stillwatch.report.findings_v1 import finding_digest

    everything = asked_of(
        findings_in(path).campaigns,
        Chooser(asked.policy, lambda _: asked.step),
        digest=finding_digest,
        cohorts=asked.subject.kind is SubjectKind.COHORT,
    )
    for each in everything:  # findings come strongest first
        if each.subject == asked.subject:
            return replace(asked, grounds=each.grounds, marks=each.marks, belongs_to=each.belongs_to)
    raise UnknownNameError(f"{path}: {asked.subject} is in no finding; only accounts and cohorts are")


def _print_one(what: Decision | Allowance, form: str, said: str) -> None:
    from stillwatch.ledger import decisions_v1
    from stillwatch.report.figures import minute, printable

    if form == "json":
        print_json(decisions_v1.one(what))
    else:
        click.echo(
            f"{printable(said)}{f', until {minute(what.expires_at)} UTC' if what.stands(datetime.now(UTC)) else ''}"
        )
        say(f"next: stillwatch decisions show {what.id}")
