"""How one verdict came about: a waterfall of bits. Writes to the console that it is given and touches nothing else.

After the waterfall chart of Splink (Linacre et al., 2022, "Splink: Free software for probabilistic record linkage at
scale"): log2 Bayes factors add up from zero to the verdict, one bar a step, so that each can be doubted by itself.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from stillwatch.errors import UnknownNameError
from stillwatch.report.figures import bar, count, percent, plain, printable, sentence, signed, window
from stillwatch.report.terminal import KINDS, heading, indented, pairs, prompts, says, show, strength, told_by
from stillwatch.verdicts.evidence import (
    CONTENT_SIDE,
    COORDINATION_SIDE,
    Evidence,
    Family,
    Finding,
    Findings,
    Member,
    Verdict,
)
from stillwatch.verdicts.innocent import EXPLANATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stillwatch.report.examples import Examples

# the families in the order in which they are told, with what each asks
FAMILIES: Final = {
    Family.WORK: "what is asked, and how it is spread over accounts",
    Family.ASKING: "what is asked for",
    Family.DEALING: "how requests are timed and shared out",
    Family.LINKAGE: "what accounts have in common behind the scenes",
    Family.TAKE: "how much is taken, and how soon",
}
VERDICTS: Final = {
    Verdict.CAMPAIGN: "Campaign",
    Verdict.WATCH: "To watch, not accused",
    Verdict.CLEARED: "Cleared",
}
Bounds: TypeAlias = Mapping[Family, tuple[float, float]]
"""Least and most bits that each family can give."""

_NEGLIGIBLE = 0.05  # bits; below what is shown, so a difference is rounding
_SHORTEST_PREFIX = 3
_EXPLANATIONS = frozenset(each.id for each in EXPLANATIONS)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a waterfall: its label, and the bits that it adds; a heading adds None."""

    label: str
    bits: float | None
    style: str = ""


@dataclass(frozen=True, slots=True)
class _Appearance:
    """An account in a finding: as a member, or left out of it."""

    finding: Finding
    member: Member
    accused: bool


def explain(findings: Findings, name: str, console: Console, examples: Examples | None = None) -> None:
    """Print how the verdict on a cohort came about, or why an account is in its findings or is not.

    Args:
        findings: what a scan found.
        name: a cohort's id or a prefix that only it has (three characters at least), or an account.
        console: where to print.
        examples: prompts of the cohorts in question (see `in_question`), by id, where they were asked for.

    Raises:
        UnknownNameError: `name` is written like the id of a cohort and there is none; the text lists near ones. An
            account that is in no finding is no error: that it bears no marks of any reported cohort is the answer.

    """
    found = _find(findings, name)
    if isinstance(found, Finding):
        _explain_finding(found, findings, console)
        _show_examples(found, console, examples)
        return
    if not found:
        _explain_absence(findings, name, console)
        return
    for position, appearance in enumerate(found):
        if position:
            show(console, Text())
        _explain_account(appearance, console)
        _show_examples(appearance.finding, console, examples)


def in_question(findings: Findings, name: str) -> tuple[list[Finding], str | None]:
    """Give the cohorts that an explanation of this name tells of, and the account if the name is one.

    Raises:
        UnknownNameError: as `explain`.

    """
    found = _find(findings, name)
    if isinstance(found, Finding):
        return [found], None
    return [appearance.finding for appearance in found], name


def campaign_steps(finding: Finding, bounds: Bounds) -> list[Step]:
    """Give the steps from 0 bits to the finding's: its signals by family, what the cap takes, what is explained away.

    Args:
        finding: the cohort.
        bounds: least and most bits that each family can give, as far as they are known. What they leave unexplained,
            and whatever else the findings do not tell, is one last step, so that nothing is hidden.

    """
    steps: list[Step] = []
    total = 0.0
    for family, asks in FAMILIES.items():
        signals, explanations = _of_family(finding.evidence, family)
        if not signals and not explanations:
            continue
        steps.append(Step(f"{family.value}: {asks}", None))
        steps += [Step(printable(each.signal), each.bits) for each in signals]
        subtotal = sum(each.bits for each in signals)
        capped = _bounded(subtotal, family, bounds)
        if abs(subtotal - capped) >= _NEGLIGIBLE:
            steps.append(Step(f"cap of {plain(abs(capped))} bits", capped - subtotal, "dim"))
        steps += [Step(printable(each.signal), each.bits) for each in explanations]
        total += capped + sum(each.bits for each in explanations)
    rest = finding.bits - total
    if abs(rest) >= _NEGLIGIBLE:
        label = "cap of each family" if rest < 0 and not bounds else "not told apart in the findings"
        steps += [Step("all families together", None), Step(label, rest, "dim")]
    return steps


def account_steps(member: Member) -> list[Step]:
    """Give the steps from 0 bits to the account's own."""
    steps = [Step(printable(each.reason), each.bits) for each in sorted(member.evidence, key=lambda each: -each.bits)]
    rest = member.bits - sum(each.bits for each in member.evidence)
    if abs(rest) >= _NEGLIGIBLE:
        steps.append(Step("not told apart in the findings", rest, "dim"))
    return steps


def _of_family(evidence: Sequence[Evidence], family: Family) -> tuple[list[Evidence], list[Evidence]]:
    """Give a family's signals, strongest first, and the innocent explanations that take away from it."""
    members = sorted((each for each in evidence if each.family is family), key=lambda each: -each.bits)
    return (
        [each for each in members if each.signal not in _EXPLANATIONS],
        [each for each in members if each.signal in _EXPLANATIONS],
    )


def _bounded(bits: float, family: Family, bounds: Bounds) -> float:
    least, most = bounds.get(family, (-math.inf, math.inf))
    return max(least, min(most, bits))


def _bounds(findings: Findings) -> Bounds:
    """Least and most bits of each family, where the findings tell both."""
    told = ((family, _setting(findings, f"floor_{family}"), _setting(findings, f"cap_{family}")) for family in Family)
    return {family: (least, most) for family, least, most in told if least is not None and most is not None}


def _setting(findings: Findings, name: str) -> float | None:
    value = findings.scan.settings.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


# ---- finding the name


def _find(findings: Findings, name: str) -> Finding | list[_Appearance]:
    for finding in findings.campaigns:
        if finding.id == name:
            return finding
    appearances = _appearances(findings, name)
    if appearances:
        return appearances
    ids = [finding.id for finding in findings.campaigns]
    if len(name) >= _SHORTEST_PREFIX:
        begun = [finding for finding in findings.campaigns if finding.id.startswith(name)]
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise UnknownNameError(
                f"`{printable(name)}` is the beginning of {count(len(begun), 'cohort')}:"
                f" {_listed(each.id for each in begun)}"
            )
    if _written_like_an_id(name, ids):
        near = difflib.get_close_matches(name, ids, n=5, cutoff=0.5)
        hint = f"; near it: {_listed(near)}" if near else ""
        raise UnknownNameError(f"no cohort `{printable(name)}` in these findings{hint}")
    return []


def _appearances(findings: Findings, account: str) -> list[_Appearance]:
    accused = [_Appearance(f, m, True) for f in findings.campaigns for m in f.accounts if m.account == account]
    left_out = [_Appearance(f, m, False) for f in findings.campaigns for m in f.left_out if m.account == account]
    return accused + left_out


def _written_like_an_id(name: str, ids: Sequence[str]) -> bool:
    """Ids are a short word, a hyphen and hexadecimal digits; a name that shares the word and has digits is meant so."""
    words = {each[: each.find("-") + 1] for each in ids}
    word = words.pop() if len(words) == 1 else ""
    if not word:
        return False
    longest = max(len(each) for each in ids)
    return len(name) <= longest and re.fullmatch(rf"{re.escape(word)}[0-9a-fA-F]*", name) is not None


def _listed(names: Iterable[str]) -> str:
    shown = [printable(name) for name in names]
    more = f" and {len(shown) - 8:,} more" if len(shown) > 8 else ""
    return ", ".join(shown[:8]) + more


# ---- showing it


def _explain_finding(finding: Finding, findings: Findings, console: Console) -> None:
    scan = findings.scan
    show(console, heading(f"{VERDICTS[finding.verdict]}: {printable(finding.id)}"))
    facts: list[tuple[str, RenderableType]] = [
        ("Accounts", Text(_members_said(finding))),
        ("Exchanges", Text(count(finding.exchanges))),
        ("Active", Text(window(finding.first_seen, finding.last_seen))),
    ]
    if finding.verdict is Verdict.CLEARED:
        meaning = f" ({KINDS[finding.kind]})" if finding.kind in KINDS else ""
        facts.append(("Kind", Text(f"{printable(finding.kind)}{meaning}")))
    show(console, indented(pairs(facts)))
    show(console, Text())
    show(console, heading("How the evidence adds up, in bits (each bit doubles the odds)"))
    show(console, indented(waterfall(campaign_steps(finding, _bounds(findings)), finding.bits, console)))
    show(console, Text())
    show(console, heading("Verdict"))
    show(console, indented(Text(sentence(finding.reason), style="bold")))
    show(console, indented(Text(_sides(finding, findings))))
    show(console, Text())
    held = ("Held against", Text(printable(scan.baseline)))
    show(console, indented(pairs([*strength(finding), *told_by(finding), held])))
    show(console, Text())
    show(console, heading("What each signal says, and how honest users come to look like it"))
    sources = {each.calibrated_on for each in finding.evidence}
    for each in _as_told(finding.evidence):
        line = Text(printable(each.signal), style="bold")
        line.append(f"  {signed(each.bits)} bits", style="not bold")
        show(console, indented(line))
        show(console, indented(says(each), 4))
        if len(sources) > 1:
            show(console, indented(Text(f"Ranked against {printable(each.calibrated_on)}.", style="dim"), 4))
        show(console, Text())
    if len(sources) == 1:
        show(console, indented(Text(f"All bits are ranked against {printable(sources.pop())}.", style="dim")))
    if finding.left_out:
        show(console, Text())
        show(console, heading("Bears its marks, and stayed out"))
        rows = [(printable(each.account), Text(_why_left_out(each))) for each in finding.left_out[:10]]
        show(console, indented(pairs(rows)))
        if len(finding.left_out) > len(rows):
            show(console, indented(Text(f"and {count(len(finding.left_out) - len(rows), 'more account')}", "dim")))


def _explain_account(appearance: _Appearance, console: Console) -> None:
    finding, member = appearance.finding, appearance.member
    name, cohort = printable(member.account), printable(finding.id)
    if appearance.accused:
        show(console, heading(f"Why {name} is in {cohort}"))
        verdict = f"{cohort} is {_verdict_said(finding)}"
    else:
        show(console, heading(f"Why {name} is not in {cohort}"))
        verdict = f"It bears marks of {cohort} and stayed out. {cohort} is {_verdict_said(finding)}"
    show(console, indented(Text(f"{verdict}: {sentence(finding.reason, capital=False)}", style="bold")))
    show(console, Text())
    harvest = f"{member.harvest_exchanges:,} of {member.exchanges:,} bear the cohort's marks"
    facts: list[tuple[str, RenderableType]] = [
        ("Exchanges", Text(harvest)),
        ("Active", Text(window(member.first_seen, member.last_seen))),
        ("Belongs", Text(f"with probability {percent(member.membership)}")),
    ]
    show(console, indented(pairs(facts)))
    show(console, Text())
    show(console, heading("How its own evidence adds up, in bits (each bit doubles the odds)"))
    if not member.evidence:
        show(console, indented(Text(f"The findings hold its total only: {signed(member.bits)} bits.")))
        return
    show(console, indented(waterfall(account_steps(member), member.bits, console)))
    show(console, Text())
    reasons: list[tuple[str, RenderableType]] = [
        (printable(each.reason), Text(sentence(each.says))) for each in sorted(member.evidence, key=lambda e: -e.bits)
    ]
    show(console, indented(pairs(reasons)))
    if not appearance.accused:
        show(console, Text())
        show(console, indented(Text(f"Why not this one: {_why_left_out(member)}", style="bold")))


def _show_examples(finding: Finding, console: Console, examples: Examples | None) -> None:
    found = (examples or {}).get(finding.id)
    if found:
        show(console, Text())
        show(console, indented(prompts(found)))


def _explain_absence(findings: Findings, name: str, console: Console) -> None:
    shown = printable(name)
    show(console, heading(f"Why {shown} is in no finding"))
    kinds = {verdict: sum(each.verdict is verdict for each in findings.campaigns) for verdict in Verdict}
    held = ", ".join(
        [
            count(kinds[Verdict.CAMPAIGN], "campaign"),
            count(kinds[Verdict.WATCH], "watched cohort"),
            count(kinds[Verdict.CLEARED], "cleared cohort"),
        ]
    )
    show(console, indented(Text(f"{shown} bears no marks of any reported cohort.", style="bold")))
    note = (
        f"These findings hold {held}; as an account it is in none of them, and none has this id."
        " Findings list only accounts that bear such marks, so they cannot tell whether the log has this one at all."
    )
    show(console, indented(Text(note)))


def waterfall(steps: Sequence[Step], total: float, console: Console) -> RenderableType:
    """Give steps as a table: what, how many bits, the total so far, and a bar from the total before to this one."""
    running = [0.0]
    for step in steps:
        running.append(running[-1] + (step.bits or 0.0))
    low, high = min(*running, total, 0.0), max(*running, total, 0.0)
    widest = max([len(step.label) + 2 for step in steps if step.bits is not None] + [7])
    widest = min(widest, max(12, console.width // 3))
    room = max(8, min(48, console.width - 2 - widest - 3 * 2 - 2 * 7 - 1))
    ascii_only = console.options.ascii_only

    parts: list[RenderableType] = []

    def row(label: Text, bits: str, after: str, drawn: Text) -> None:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=widest, overflow="fold")
        grid.add_column(width=6, justify="right", no_wrap=True)
        grid.add_column(width=6, justify="right", no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_row(label, bits, after, drawn)
        parts.append(grid)

    def drawing(start: float, end: float, style: str) -> Text:
        return Text(bar(start, end, low=low, high=high, width=room, ascii_only=ascii_only), style=style)

    row(Text("", style="dim"), "step", "total", Text())
    row(Text("start"), "", "0.0", Text())
    for position, step in enumerate(steps):
        before, after = running[position], running[position + 1]
        if step.bits is None:
            parts.append(Text(step.label, style="dim"))
            continue
        style = step.style or ("red" if step.bits > 0 else "green")
        row(Text(f"  {step.label}", style=step.style), signed(step.bits), plain(after), drawing(before, after, style))
    row(Text("total", style="bold"), "", plain(total), drawing(0.0, total, "bold"))
    return Group(*parts)


def _as_told(evidence: Sequence[Evidence]) -> list[Evidence]:
    order = list(FAMILIES)
    return sorted(evidence, key=lambda each: (order.index(each.family), -each.bits))


def _members_said(finding: Finding) -> str:
    if not finding.left_out:
        return count(len(finding.accounts))
    return f"{count(len(finding.accounts))} ({count(len(finding.left_out))} more with its marks stayed out)"


def _sides(finding: Finding, findings: Findings) -> str:
    bounds = _bounds(findings)

    def strongest(side: frozenset[Family]) -> str:
        bits = {}
        for family in side:
            signals, explanations = _of_family(finding.evidence, family)
            if signals or explanations:
                given = _bounded(sum(each.bits for each in signals), family, bounds)
                bits[family] = given + sum(each.bits for each in explanations)
        if not bits:
            return "nothing"
        family = max(bits, key=lambda each: bits[each])
        return f"{signed(bits[family])} bits ({family.value})"

    side, acting, total = (_setting(findings, name) for name in ("side", "acting", "total"))
    needed = (
        f": {plain(side)} bits of what is asked, {plain(acting)} of acting as one and {plain(total)} in all"
        if side is not None and acting is not None and total is not None
        else ""
    )
    return (
        f"A campaign needs both sides{needed}. What is asked gives {strongest(CONTENT_SIDE)};"
        f" acting as one gives {strongest(COORDINATION_SIDE)}."
    )


def _verdict_said(finding: Finding) -> str:
    if finding.verdict is Verdict.CAMPAIGN:
        return "a campaign"
    if finding.verdict is Verdict.WATCH:
        return "watched, not accused"
    return f"cleared as {printable(finding.kind)}" if finding.kind else "cleared"


def _why_left_out(member: Member) -> str:
    """Give the strongest reason against, which is why it stayed out; without one, too little speaks for it."""
    against = min(member.evidence, key=lambda each: each.bits, default=None)
    if against is None or against.bits >= 0:
        return f"too little evidence ({signed(member.bits)} bits)."
    return f"{printable(against.reason)}: {sentence(against.says, capital=False)}"
