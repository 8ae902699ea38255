"""Findings for a person at a terminal, or in a pipe. Writes to the console that it is given and touches nothing else.

Everything that comes out of a log is shown through `figures.printable` and never read as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stillwatch.report.figures import (
    bar,
    count,
    day,
    minute,
    odds,
    percent,
    plain,
    printable,
    probability,
    sentence,
    signed,
    window,
)
from stillwatch.verdicts.evidence import Evidence, Finding, Findings, MarkShare, Member, Scan, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stillwatch.report.examples import Example, Examples

MEMBERS_SHOWN: Final = 8
MARKS_SHOWN: Final = 6
WATCHED_SHOWN: Final = 10
CLEARED_SHOWN: Final = 4  # of each kind; a large log clears thousands

KINDS: Final = {
    "app": "users of one app",
    "office": "people of one office",
    "class": "a class with one assignment",
    "evaluators": "evaluators who run the same test",
    "pipeline": "one customer's batch jobs",
    "reseller": "customers of a reseller",
    "agent": "users of one agent",
    "crowd": "paid workers of one crowd",
    "people": "people who have little else in common",
}

_VERDICT_STYLE: Final = {Verdict.CAMPAIGN: "bold red", Verdict.WATCH: "bold yellow", Verdict.CLEARED: "bold green"}


def print_findings(
    findings: Findings, console: Console, *, saved_as: str = "", examples: Examples | None = None
) -> None:
    """Print the report: what was read, campaigns, watched cohorts, cleared ones, and what could not be seen.

    Args:
        findings: what a scan found.
        console: where to print.
        saved_as: the file that the findings were written to, so that the report can say how to go on from there.
        examples: prompts of campaigns and watched cohorts, by id, where they were asked for.

    """
    campaigns = _with(findings, Verdict.CAMPAIGN)
    watched = _with(findings, Verdict.WATCH)
    cleared = _with(findings, Verdict.CLEARED)

    show(console, _header(findings.scan))
    show(console, Text())
    show(console, indented(_summary(campaigns, watched, cleared, tested=findings.scan.cohorts_tested)))
    for finding in campaigns:
        show(console, Text())
        show(console, _campaign(finding, console, (examples or {}).get(finding.id, ())))
    for finding in watched[:WATCHED_SHOWN]:
        show(console, Text())
        show(console, _watched(finding, console, (examples or {}).get(finding.id, ())))
    if len(watched) > WATCHED_SHOWN:
        rest = f"and {count(len(watched) - WATCHED_SHOWN, 'more cohort')} to watch, weaker than these; JSON lists all"
        show(console, Text())
        show(console, indented(Text(rest, style="dim")))
    if cleared:
        show(console, Text())
        show(console, _cleared(cleared))
    if findings.scan.blind_to:
        show(console, Text())
        show(console, _blind(findings.scan, nothing_found=not campaigns and not watched))
    if findings.campaigns:
        show(console, Text())
        show(console, _next(findings.campaigns[0], saved_as))


def show(console: Console, what: RenderableType) -> None:
    """Print without reading markup or emoji into what is printed; in a pipe, without blanks at the ends of lines."""
    if console.is_terminal or console.record:
        console.print(what, markup=False, highlight=False, emoji=False)
        return
    with console.capture() as captured:
        console.print(what, markup=False, highlight=False, emoji=False)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().removesuffix("\n").split("\n")))


def heading(title: str, *, style: str = "bold") -> Rule:
    """Give a ruled line with its title on the left."""
    return Rule(Text(title, style=style), align="left", style="dim")


def pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Labels on the left, what they say on the right."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def indented(what: RenderableType, by: int = 2) -> Padding:
    """Set in from the left."""
    return Padding(what, (0, 0, 0, by), expand=False)


def strength(finding: Finding) -> list[tuple[str, RenderableType]]:
    """Bits, p and q of a finding, each with what it means."""
    chance = odds(finding.p_value)
    ordinary = "ordinary cohorts never score as high" if chance == "never" else f"ordinary traffic scores this {chance}"
    false = f"{percent(finding.q_value)} of findings this strong (q={probability(finding.q_value)})"
    return [
        ("Strength", Text(f"{plain(finding.bits)} bits; {ordinary} (p={probability(finding.p_value)})")),
        ("False alarms", Text(false)),
    ]


def told_by(finding: Finding) -> list[tuple[str, RenderableType]]:
    """Who else speaks of a finding, what they say, and how far it moved the odds; nothing where nobody does."""
    return [
        (
            "Told" if place == 0 else "",
            Text(
                f"by {printable(each.source)} ({printable(each.via)}, {printable(each.marking)}): "
                f"{printable(each.says)}. It is no evidence, and lowered what a campaign needs by "
                f"{plain(each.bits)} bits."
            ),
        )
        for place, each in enumerate(finding.told)
    ]


def says(evidence: Evidence) -> Group:
    """Give what a signal measured, and how honest users come to look like it."""
    innocent = Text("Innocent reading: ", style="dim")
    innocent.append(sentence(evidence.innocent_reading, capital=False), style="not dim")
    return Group(Text(sentence(evidence.says)), innocent)


def prompts(examples: Sequence[Example]) -> RenderableType:
    """Give example prompts: whose and when on a line of its own, the prompt set in below it."""
    parts: list[RenderableType] = [Text("Examples of its prompts, from the log", style="underline")]
    for each in examples:
        parts.append(Text(f"{printable(each.account)}, {minute(each.time)} UTC", style="dim"))
        parts.append(indented(Text(printable(each.prompt))))
    return Group(*parts)


def _with(findings: Findings, verdict: Verdict) -> list[Finding]:
    return [finding for finding in findings.campaigns if finding.verdict is verdict]


def _header(scan: Scan) -> RenderableType:
    rows: list[tuple[str, RenderableType]] = [
        ("Log", Text(f"{count(scan.exchanges, 'exchange')} of {count(scan.accounts, 'account')}")),
        ("Time", Text(window(scan.first, scan.last))),
        ("Judged", Text(f"{count(scan.cohorts_tested, 'cohort')}, held against {printable(scan.baseline)}")),
    ]
    if scan.rejected.rows:
        reasons = sorted(scan.rejected.reasons.items(), key=lambda item: (-item[1], item[0]))
        shown = "; ".join(f"{printable(reason)} ({number:,})" for reason, number in reasons[:4])
        more = f"; {count(len(reasons) - 4, 'more reason')}" if len(reasons) > 4 else ""
        rows.append(("Rejected", Text(f"{count(scan.rejected.rows, 'row')}: {shown}{more}")))
    if scan.columns_absent:
        rows.append(("Absent", Text(f"columns {', '.join(map(printable, scan.columns_absent))}")))
    return Group(heading("stillwatch findings"), indented(pairs(rows)))


def _summary(
    campaigns: Sequence[Finding], watched: Sequence[Finding], cleared: Sequence[Finding], *, tested: int
) -> RenderableType:
    line = Text()
    if campaigns:
        accused = len({member.account for finding in campaigns for member in finding.accounts})
        line.append(count(len(campaigns), "campaign"), style=_VERDICT_STYLE[Verdict.CAMPAIGN])
        line.append(f" with {count(accused, 'account')}")
    else:
        line.append("No campaign found", style="bold green")
    line.append("; ")
    line.append(f"{count(len(watched), 'cohort')} to watch" if watched else "none to watch")
    line.append(f"; {count(len(cleared), 'cohort')} cleared." if cleared else "; none cleared.")
    if not tested:
        line.append(" No cohort was tested: no accounts share enough to be judged together.")
    return line


def _campaign(finding: Finding, console: Console, examples: Sequence[Example]) -> RenderableType:
    parts: list[RenderableType] = [
        heading(f"Campaign {printable(finding.id)}", style=_VERDICT_STYLE[Verdict.CAMPAIGN]),
        indented(Text(sentence(finding.reason), style="bold")),
        Text(),
        indented(pairs(_numbers(finding) + strength(finding) + told_by(finding))),
        Text(),
        indented(Text("Evidence for one operator, in bits (each bit doubles the odds)", style="underline")),
        *(indented(each) for each in _chart(finding.evidence, console, with_words=True)),
        indented(Text(_calibration(finding), style="dim")),
    ]
    if examples:
        parts += [Text(), indented(prompts(examples))]
    if finding.marks:
        parts += [Text(), indented(_marks(finding.marks))]
    parts += [Text(), indented(_members(finding.accounts))]
    return Group(*parts)


def _watched(finding: Finding, console: Console, examples: Sequence[Example]) -> RenderableType:
    parts: list[RenderableType] = [
        heading(f"Watch {printable(finding.id)}", style=_VERDICT_STYLE[Verdict.WATCH]),
        indented(Text(sentence(finding.reason), style="bold")),
        Text(),
        indented(pairs(_numbers(finding) + strength(finding) + told_by(finding))),
        Text(),
        *(indented(each) for each in _chart(finding.evidence, console, with_words=False)),
    ]
    if examples:
        parts += [Text(), indented(prompts(examples))]
    return Group(*parts)


def _numbers(finding: Finding) -> list[tuple[str, RenderableType]]:
    left_out = len(finding.left_out)
    members = count(len(finding.accounts))
    if left_out:
        members += f" ({left_out:,} more {'bears' if left_out == 1 else 'bear'} its marks and stayed out)"
    return [
        ("Accounts", Text(members)),
        ("Exchanges", Text(count(finding.exchanges))),
        ("Tokens", Text(f"{finding.input_tokens:,} in, {finding.output_tokens:,} out")),
        ("Active", Text(window(finding.first_seen, finding.last_seen))),
        ("Sought", Text(", ".join(map(printable, finding.seeks)) or "nothing in particular")),
    ]


def _chart(evidence: Sequence[Evidence], console: Console, *, with_words: bool) -> list[RenderableType]:
    """Give a bar a signal, strongest first; with words, what it says stands below it."""
    ordered = sorted(evidence, key=lambda each: -each.bits)
    widest = max(len(printable(each.signal)) for each in ordered)
    widest = min(widest, console.width // 3)
    longest = max(abs(each.bits) for each in ordered) or 1.0
    room = min(40, console.width - 2 - widest - 2 - 6 - 2)
    rows: list[RenderableType] = []
    for each in ordered:
        ascii_only = console.options.ascii_only
        drawn = bar(0.0, abs(each.bits), low=0.0, high=longest, width=room, ascii_only=ascii_only)
        if each.bits < 0:
            drawn = drawn.replace("█", "▒").replace("#", "-")
        line = Table.grid(padding=(0, 2))
        line.add_column(width=widest, overflow="fold")
        line.add_column(width=6, justify="right", no_wrap=True)
        line.add_column(no_wrap=True)
        line.add_row(
            Text(printable(each.signal), style="bold"),
            Text(signed(each.bits)),
            Text(drawn, style="red" if each.bits > 0 else "green"),
        )
        rows.append(line)
        if with_words:
            rows += [indented(says(each)), Text(" ")]
    return rows


def _calibration(finding: Finding) -> str:
    sources = list(dict.fromkeys(printable(each.calibrated_on) for each in finding.evidence))
    line = f"Bits are ranked against {' and '.join(sources)}."
    together = sum(each.bits for each in finding.evidence)
    if together - finding.bits >= 0.05:
        line += (
            f" Together they are {plain(together)}; {plain(finding.bits)} count, because signals of one family repeat"
            " each other and are capped."
        )
    return line


def _marks(marks: Sequence[MarkShare]) -> RenderableType:
    table = _table("Marks that it bears, as keyed hashes")
    table.add_column("family", no_wrap=True)
    table.add_column("mark", overflow="fold")
    table.add_column("accounts", justify="right", no_wrap=True)
    table.add_column("exchanges", justify="right", no_wrap=True)
    for mark in marks[:MARKS_SHOWN]:
        table.add_row(
            Text(printable(mark.family)), Text(printable(mark.mark)), count(mark.accounts), f"{mark.exchanges:,}"
        )
    return _with_rest(table, len(marks) - MARKS_SHOWN, "mark")


def _members(members: Sequence[Member]) -> RenderableType:
    table = _table("Accounts, strongest first" if len(members) > 1 else "Account")
    table.add_column("account", overflow="fold", min_width=16)
    table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("belongs", justify="right", no_wrap=True)
    table.add_column("harvest", justify="right", no_wrap=True)
    table.add_column("first seen", no_wrap=True)
    table.add_column("last seen", no_wrap=True)
    for each in members[:MEMBERS_SHOWN]:
        table.add_row(
            Text(printable(each.account)),
            signed(each.bits),
            percent(each.membership),
            f"{each.harvest_exchanges:,} of {each.exchanges:,}",
            day(each.first_seen),
            day(each.last_seen),
        )
    return _with_rest(table, len(members) - MEMBERS_SHOWN, "account")


def _table(title: str) -> Table:
    return Table(
        title=Text(title, style="underline"),
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
        pad_edge=False,
    )


def _with_rest(table: Table, rest: int, noun: str) -> RenderableType:
    if rest <= 0:
        return table
    return Group(table, Text(f"and {count(rest, 'more ' + noun)}", style="dim"))


def _cleared(cleared: Sequence[Finding]) -> RenderableType:
    groups: dict[str, list[Finding]] = {}
    for finding in cleared:
        groups.setdefault(finding.kind, []).append(finding)
    widest = max(len(printable(finding.id)) for finding in cleared)
    parts: list[RenderableType] = []
    for kind, found in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        found.sort(key=lambda finding: (-len(finding.accounts), finding.id))
        table = Table.grid(padding=(0, 2))
        table.add_column(width=min(max(widest, 16), 24), overflow="fold")
        table.add_column(width=15, justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for finding in found[:CLEARED_SHOWN]:
            table.add_row(
                Text(printable(finding.id)),
                count(len(finding.accounts), "account"),
                Text(sentence(finding.reason)),
            )
        if len(found) > CLEARED_SHOWN:
            table.add_row(Text(f"and {len(found) - CLEARED_SHOWN:,} more", style="dim"), "", "")
        parts += [Text(), indented(_group_says(kind, found)), indented(table, 4)]
    title = f"Cleared: {count(len(cleared), 'cohort')} that share marks and are no campaign"
    return Group(heading(title, style=_VERDICT_STYLE[Verdict.CLEARED]), *parts[1:])


def _group_says(kind: str, found: Sequence[Finding]) -> Text:
    line = Text(printable(kind) or "other", style="bold")
    meaning = f" ({KINDS[kind]})" if kind in KINDS else ""
    largest = count(len(found[0].accounts), "account")
    line.append(f"{meaning}: {count(len(found), 'cohort')}, the largest of {largest}", style="not bold")
    return line


def _blind(scan: Scan, *, nothing_found: bool) -> RenderableType:
    title = "What this scan could not have seen"
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for each in scan.blind_to:
        rows.add_row("-", Text(sentence(each)))
    parts: list[RenderableType] = [heading(title), indented(rows)]
    if nothing_found:
        parts.append(indented(Text("That nothing was found says nothing about these.", style="bold")))
    return Group(*parts)


def _next(finding: Finding, saved_as: str) -> RenderableType:
    lines = [Text(f"stillwatch explain {printable(finding.id)} {printable(saved_as) or 'findings.json'}")]
    if not saved_as:
        lines.insert(0, Text("stillwatch scan LOGS -o findings.json"))
    lines.append(Text("An account in place of the id tells why it is in a finding, or why not.", style="dim"))
    return Group(heading("To see how a verdict came about"), *(indented(line) for line in lines))
