"""`stillwatch policy explain`: which rules fire on given facts, and what happens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import console_on
from stillwatch.errors import FactsError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--facts", "facts_file", type=FILE, required=True, metavar="FACTS", help="Facts as JSON; `-` is stdin.")
def explain(file: str, facts_file: Path) -> None:
    """Show which rules of a policy fire on facts of a request, and what is done.

    FILE is as for `check`. FACTS is JSON: {"request": {"country": "DE"}, "account": {"tier": "free"}}; what is left
    out is not known.
    """
    import msgspec

    from stillwatch.decisions.decide import decide
    from stillwatch.decisions.facts import facts_from
    from stillwatch.guard.policy_file import load_policy
    from stillwatch.report.policy import print_ruling

    policy = load_policy(file)
    try:
        facts = facts_from(msgspec.json.decode(_read(facts_file)))
    except msgspec.DecodeError as error:
        raise FactsError(f"{facts_file}: not readable as JSON: {error}") from error
    except FactsError as error:
        raise FactsError(f"{facts_file}: {error}") from error
    print_ruling(policy, decide(policy, facts), console_on(sys.stdout))


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise FactsError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
