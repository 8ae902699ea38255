"""Findings held against a made log's truth: found, missed, falsely accused. Reads the truth's file.

For demos, drills and what-if questions only: of a real log nobody has the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from pyarrow import ArrowException
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from stillwatch.errors import LogError
from stillwatch.report.figures import count, percent, printable
from stillwatch.report.terminal import heading, indented, show
from stillwatch.verdicts.evidence import Findings, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Truth:
    """What was made: account -> its campaign (empty where it has none), and account -> the kind of its cohort."""

    campaign: dict[str, str]
    kind: dict[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one campaign of the truth.

    Attributes:
        name: the campaign, as the scenario names it.
        accounts: how many it has.
        accused: how many of them a finding `campaign` names.
        watched: how many of them a finding `watch` names, and none `campaign`.
        findings: ids of the findings `campaign` that name any of them, or else of those `watch`; most accounts first.

    """

    name: str
    accounts: int
    accused: int
    watched: int
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Findings held against the truth.

    Attributes:
        campaigns: what became of each campaign, in the order of their names.
        innocent: accounts of the truth that have no campaign.
        falsely_accused: those of them that a finding `campaign` names: account -> the kind of its cohort.

    """

    campaigns: tuple[Outcome, ...]
    innocent: int
    falsely_accused: dict[str, str]


def read_truth(path: Path) -> Truth:
    """Give the truth of a made log: a Parquet file with the columns account, kind and campaign.

    Raises:
        LogError: it cannot be read, or has other columns.

    """
    try:
        table = pq.read_table(path, columns=["account", "kind", "campaign"])
    except (OSError, ArrowException) as error:
        raise LogError(f"no truth of a made log: {error}", path=str(path)) from error
    accounts, kinds, campaigns = (table.column(name).to_pylist() for name in ("account", "kind", "campaign"))
    return Truth(
        campaign={account: campaign or "" for account, campaign in zip(accounts, campaigns, strict=True)},
        kind={account: kind or "" for account, kind in zip(accounts, kinds, strict=True)},
    )


def compare(findings: Findings, truth: Truth) -> Comparison:
    """Hold findings against the truth. An account that the truth does not know counts as falsely accused."""
    accused = _named(findings, Verdict.CAMPAIGN)
    watched = _named(findings, Verdict.WATCH)
    members: dict[str, set[str]] = {}
    for account, campaign in truth.campaign.items():
        if campaign:
            members.setdefault(campaign, set()).add(account)
    outcomes = []
    for name, accounts in sorted(members.items()):
        naming = accounts & accused.keys()
        watching = (accounts & watched.keys()) - naming
        tally: dict[str, int] = {}
        for account in naming or watching:
            finding = accused[account] if naming else watched[account]
            tally[finding] = tally.get(finding, 0) + 1
        ordered = sorted(tally, key=lambda finding: (-tally[finding], finding))
        outcomes.append(Outcome(name, len(accounts), len(naming), len(watching), tuple(ordered)))
    wrong = {account: truth.kind.get(account, "") for account in accused if not truth.campaign.get(account)}
    innocent = sum(not campaign for campaign in truth.campaign.values())
    return Comparison(tuple(outcomes), innocent, dict(sorted(wrong.items())))


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print what was found, missed and falsely accused, in one short table."""
    show(console, heading("Held against the truth (the log was made, so it is known)"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("campaign", overflow="fold")
    table.add_column("accounts", justify="right", no_wrap=True)
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("outcome", overflow="fold")
    for each in comparison.campaigns:
        table.add_row(
            Text(printable(each.name)),
            count(each.accounts),
            f"{count(each.accused)} ({percent(each.accused / each.accounts)})",
            _outcome(each),
        )
    wrong = comparison.falsely_accused
    accused = Text("Falsely accused: ", style="dim")
    said = f"{len(wrong):,} of {count(comparison.innocent, 'innocent account')}{_kinds(wrong.values())}"
    accused.append(said, style="bold red" if wrong else "bold green")
    show(console, indented(Group(table, Text(), accused)))


def _named(findings: Findings, verdict: Verdict) -> dict[str, str]:
    """Account -> the id of the strongest finding of this verdict that names it."""
    named: dict[str, str] = {}
    for finding in findings.campaigns:
        if finding.verdict is verdict:
            for member in finding.accounts:
                named.setdefault(member.account, finding.id)
    return named


def _outcome(each: Outcome) -> Text:
    ids = ", ".join(map(printable, each.findings[:3])) + (" and more" if len(each.findings) > 3 else "")
    if each.accused:
        return Text(f"found as {ids}", style="green")
    if each.watched:
        return Text(f"watched only, as {ids}", style="yellow")
    return Text("missed", style="red")


def _kinds(kinds: Iterable[str]) -> str:
    tally: dict[str, int] = {}
    for kind in kinds:
        tally[kind or "unknown"] = tally.get(kind or "unknown", 0) + 1
    if not tally:
        return ""
    listed = ", ".join(f"{number:,} {printable(kind)}" for kind, number in sorted(tally.items(), key=lambda i: -i[1]))
    return f" ({listed})"
