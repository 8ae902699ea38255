"""Decisions for a person at a terminal, or in a pipe. Writes to the console that it is given and touches nothing else.

Names and reasons come from logs and from operators: all of them go through `figures.printable`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from stillwatch.decisions.decision import Appeal, Decision
from stillwatch.decisions.events import Allowed, Appealed, Decided, Expired, Judged, Lifted, Withdrawn
from stillwatch.decisions.step import Step
from stillwatch.report.figures import count, day, minute, plain, printable, probability, sentence
from stillwatch.report.terminal import heading, indented, pairs, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from rich.console import Console, RenderableType

    from stillwatch.decisions.allowance import Allowance
    from stillwatch.decisions.audit import Entry
    from stillwatch.decisions.events import Event
    from stillwatch.decisions.propose import Granted

REASONS_SHOWN: Final = 8

_FREE: Final = frozenset({"subject", "subjects", "state", "owner", "reason", "what"})

_STYLE: Final = {
    Step.OBSERVE: "green",
    Step.VERIFY: "yellow",
    Step.THROTTLE: "yellow",
    Step.NARROW: "bold yellow",
    Step.DYE: "bold yellow",
    Step.REFUSE: "bold red",
}


def print_outcomes(
    found: Sequence[tuple[Granted, Decision | None]], console: Console, *, ledger: str, policy: str, dry_run: bool
) -> None:
    """Print what was decided and what was not, and why not.

    Args:
        found: what the ladder granted of each thing asked, and the decision that was made of it.
        console: where to print.
        ledger: where the decisions are kept.
        policy: the version of the rules.
        dry_run: whether nothing was written.

    """
    made = [decision for _, decision in found if decision is not None]
    stand = sum(granted.stands is not None for granted, _ in found)
    show(console, heading("stillwatch decisions"))
    show(
        console,
        indented(pairs([("Ledger", Text(printable(ledger))), ("Rules", Text(printable(policy)))])),
    )
    show(console, Text())
    if not found:
        show(console, indented(Text("Nothing to decide: there is no campaign, and no cohort to watch.")))
        return
    verb = "would be made" if dry_run else "made"
    line = Text(f"{count(len(made), 'decision')} {verb}", style="bold")
    steps = Counter(each.step for each in made)
    line.append("".join(f"{', ' if n else ': '}{steps[step]:,} {step}" for n, step in enumerate(_in_order(steps))))
    line.append(f"; {stand:,} stood already" if stand else "")
    line.append(".")
    show(console, indented(line))
    if made:
        show(console, Text())
        show(console, indented(_made(made)))
    reasons = Counter(reason for granted, _ in found for reason in granted.why_not)
    if reasons:
        show(console, Text())
        show(console, heading("Not all that was asked"))
        show(console, indented(_why_not(reasons)))


def print_listing(
    decisions: Sequence[Decision],
    allowances: Sequence[Allowance],
    console: Console,
    *,
    in_force: Iterable[Decision],
    now: datetime,
) -> None:
    """Print decisions, then the allow-list; those that do not hold say why."""
    holding = {each.id for each in in_force}
    show(console, heading("Decisions"))
    if decisions:
        table = _table("id", "step", "subject", "until", "finding", "state")
        for each in decisions:
            table.add_row(
                printable(each.id),
                Text(each.step, style=_STYLE[each.step]),
                printable(str(each.subject)),
                day(each.expires_at),
                "" if each.grounds is None else printable(each.grounds.finding),
                _state(each, holds=each.id in holding, now=now),
            )
        show(console, indented(table))
    else:
        show(console, indented(Text("None.")))
    if allowances:
        show(console, Text())
        show(console, heading("Allow-list"))
        table = _table("id", "subject", "until", "state", "owner", "reason")
        for allowed in allowances:
            table.add_row(
                printable(allowed.id),
                printable(str(allowed.subject)),
                day(allowed.expires_at),
                _allowance_state(allowed, now),
                printable(allowed.owner),
                printable(allowed.reason),
            )
        show(console, indented(table))


def print_history(
    what: Decision | Allowance, history: Sequence[tuple[Entry, Event]], console: Console, *, holds: bool, now: datetime
) -> None:
    """Print one decision or allowance, and what became of it."""
    rows: list[tuple[str, RenderableType]]
    if isinstance(what, Decision):
        title, rows = f"Decision {printable(what.id)}", _decision_rows(what, holds=holds, now=now)
    else:
        title = f"Allowance {printable(what.id)}"
        rows = [
            ("Subject", Text(printable(str(what.subject)))),
            ("State", Text(_allowance_state(what, now))),
            ("Owner", Text(printable(what.owner))),
            ("Reason", Text(sentence(what.reason))),
            ("From", Text(f"{minute(what.made_at)} UTC")),
            ("Until", Text(f"{minute(what.expires_at)} UTC")),
        ]
    show(console, heading(title))
    show(console, indented(pairs(rows)))
    show(console, Text())
    show(console, heading("Audit trail"))
    table = _table("entry", "written (UTC)", "what", "hash")
    for entry, event in history:
        table.add_row(f"{entry.number:,}", printable(entry.at[:16].replace("T", " ")), _told(event), entry.hash[:12])
    show(console, indented(table))


def print_ended(ended: Sequence[tuple[Decision, Decision | None]], console: Console) -> None:
    """Print which decisions ended, and what follows each."""
    show(console, Text(f"{count(len(ended), 'decision')} ended."))
    for each, after in ended:
        then = "nothing follows" if after is None else f"{after.id} follows until {minute(after.expires_at)} UTC"
        show(console, indented(Text(f"{printable(each.id)} against {printable(str(each.subject))}: {printable(then)}")))


def _in_order(steps: Iterable[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: step.height)


def _made(made: Sequence[Decision]) -> Table:
    table = _table("finding", "step", "subjects", "until (UTC)")
    groups: dict[tuple[str, Step, datetime], list[Decision]] = {}
    for each in made:
        finding = "" if each.grounds is None else each.grounds.finding
        groups.setdefault((finding, each.step, each.expires_at), []).append(each)
    for (finding, step, until), members in groups.items():
        first = printable(str(members[0].subject))
        subjects = first if len(members) == 1 else f"{first} and {len(members) - 1:,} more"
        table.add_row(printable(finding) or "none", Text(step, style=_STYLE[step]), subjects, minute(until))
    return table


def _why_not(reasons: Counter[str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for reason, times in reasons.most_common(REASONS_SHOWN):
        table.add_row(count(times, "subject"), Text(sentence(reason, capital=False)))
    if len(reasons) > REASONS_SHOWN:
        table.add_row("", Text(f"and {count(len(reasons) - REASONS_SHOWN, 'more reason')}", style="dim"))
    return table


def _state(decision: Decision, *, holds: bool, now: datetime) -> str:
    if decision.appeal is Appeal.UPHELD:
        return "appeal upheld"
    if decision.lifted_at is not None:
        return "lifted"
    if now >= decision.expires_at:
        return "ended"
    appeal = {Appeal.OPEN: "appeal open", Appeal.REJECTED: "appeal rejected"}.get(decision.appeal, "")
    return ", ".join(part for part in ("stands" if holds else "rests (allow-list)", appeal) if part)


def _allowance_state(allowed: Allowance, now: datetime) -> str:
    if allowed.withdrawn_at is not None:
        return "withdrawn"
    return "stands" if allowed.stands(now) else "ended"


def _decision_rows(decision: Decision, *, holds: bool, now: datetime) -> list[tuple[str, RenderableType]]:
    grounds = decision.grounds
    evidence = "no finding; an operator's own"
    if grounds is not None:
        evidence = (
            f"{printable(grounds.finding)}, {grounds.verdict}: {plain(grounds.bits)} bits, "
            f"q-value {probability(grounds.q_value)}, membership {probability(grounds.membership)}"
        )
    return [
        ("Step", Text(decision.step, style=_STYLE[decision.step])),
        ("Subject", Text(printable(str(decision.subject)))),
        ("State", Text(_state(decision, holds=holds, now=now))),
        ("Reason", Text(sentence(decision.reason))),
        ("Evidence", Text(evidence)),
        *([] if grounds is None else [("Digest", Text(printable(grounds.digest)))]),
        ("Rules", Text(printable(decision.policy))),
        ("Approved", Text(", ".join(map(printable, decision.approvers)) or "by the rules alone")),
        ("From", Text(f"{minute(decision.made_at)} UTC")),
        ("Until", Text(f"{minute(decision.expires_at)} UTC")),
        *(
            [("Appeal", Text(f"stillwatch decisions appeal {printable(decision.id)} --by NAME --reason WHY"))]
            if holds
            else []
        ),
    ]


def _told(event: Event) -> Text:
    """Say in a line what an entry records."""
    match event:
        case Decided(decision):
            said = f"{decision.id} made: {decision.step} until {minute(decision.expires_at)}"
        case Lifted(name, by, reason):
            said = f"{name} lifted by {by}: {reason}"
        case Appealed(name, by, reason):
            said = f"appeal against {name} opened by {by}: {reason}"
        case Judged(name, by, reason, upheld):
            said = f"appeal against {name} {'upheld' if upheld else 'rejected'} by {by}: {reason}"
        case Expired(name):
            said = f"{name} ended"
        case Allowed(allowance):
            said = f"{allowance.id} made by {allowance.owner}: {allowance.reason}"
        case Withdrawn(name, by, reason):
            said = f"{name} withdrawn by {by}: {reason}"
    return Text(printable(said))


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in names:
        free = name in _FREE  # names and words may be broken where they are too long; what is short may not
        table.add_column(name, overflow="fold", no_wrap=not free)
    return table
