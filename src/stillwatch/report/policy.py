"""Policies and rulings for the terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from stillwatch.decisions.ruling import Outcome
from stillwatch.decisions.sentences import of_action, of_charge, of_edit, of_instructions, of_rule
from stillwatch.decisions.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from stillwatch.decisions.policy import Policy
    from stillwatch.decisions.ruling import Ruling


def print_policy(policy: Policy, console: Console) -> None:
    """Print what a policy says: version, places, steps, and a sentence a rule."""
    document = policy.document
    _heading(console, f"Policy {document.name}", policy.version)
    if document.about:
        _line(console, document.about)
    acts = "it changes nothing, and says what it would do" if document.mode == "observe" else "it acts"
    _line(console, f"Mode {document.mode}: {acts}. In an outage requests are {_PAST[document.on_outage]}.")
    for name, listed in document.places.items():
        _line(console, f"Places `{name}`: {', '.join(listed.of)}; owned from {listed.owned_from:.0%}.")
    asked = document.decide
    _line(console, f"Decides: {asked.campaign} against campaigns, {asked.watch} against watched cohorts, at most.")
    _heading(console, "Steps")
    for step in Step:
        said = "; ".join(of_action(action) for action in document.steps.of(step))
        _line(console, f"{step:<9} {said or 'nothing'}.", hang=10)
    _heading(console, f"Rules ({len(document.rules)})")
    for rule in document.rules:
        _line(console, f"{rule.id}  {of_rule(rule)}" + (f" {rule.reason}" if rule.reason else ""))


def print_ruling(policy: Policy, ruling: Ruling, console: Console) -> None:
    """Print which rules fire, and what happens."""
    would = ruling.would
    told = ruling if would is None else would
    outcome = "allow" if told.refusal is None else f"refuse with {told.refusal.status} {told.refusal.reason}"
    _heading(console, f"Policy {policy.document.name}", policy.version)
    _line(
        console,
        f"Outcome  {outcome}" if would is None else f"Outcome  allow, unchanged; enforced it would be: {outcome}",
    )
    if told.refusal is not None:
        _line(console, f"By       {told.refusal.by}: {told.refusal.message}", hang=9)
    _line(console, f"Step     {told.step}")
    rules = {rule.id: rule for rule in policy.document.rules}
    _block(console, "Rules that fire", (f"{name}  {of_rule(rules[name])}" for name in told.fired))
    _block(console, "Rules that could not be told", told.failed)
    _block(console, "Withheld, since the account is a researcher's", told.withheld)
    if told.outcome is Outcome.ALLOW:
        _block(console, "Edits", map(of_edit, told.edits))
        _block(console, "Limits", map(of_charge, told.charges))
        _block(console, "Instructions to the engine", of_instructions(told.instructions))


_PAST = {"allow": "allowed", "refuse": "refused"}


def _block(console: Console, title: str, lines: Iterable[str]) -> None:
    found = list(lines)
    if found:
        _heading(console, title)
        for each in found:
            _line(console, each)


def _heading(console: Console, title: str, more: str = "") -> None:
    console.print(f"\n{title}" + (f"  {more}" if more else ""), soft_wrap=True)


def _line(console: Console, text: str, hang: int = 2) -> None:
    width = max(console.width - 2, 40)
    wrapped = textwrap.wrap(text, width, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False)
    for line in wrapped:
        console.print(f"  {line}", soft_wrap=True)
