"""`stillwatch replay`: past traffic in, what a policy would have done to it out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from stillwatch.cli.findings_file import findings_in
from stillwatch.cli.ledger_options import SPAN, STEPS, ledger_place, print_json
from stillwatch.cli.options import FILE, FORM, QUIET, reads_logs
from stillwatch.cli.output import console_on, say
from stillwatch.cli.progress import progress_shown
from stillwatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

    from stillwatch.decisions.facts import KnownFacts
    from stillwatch.exchanges.source import LogSource

KINDS: Final = ("hosting", "vpn", "tor", "residential_proxy")


class _Pair(click.ParamType[tuple[str, str]]):
    """Two words: `deployment.cloud=aws`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:  # noqa: ANN401  the signature is click's
        name, equals, rest = str(value).partition("=")
        if not (name and equals and rest):
            self.fail(f"{value!r} says nothing; write NAME=VALUE", param, ctx)
        return name, rest


@click.command()
@reads_logs
@click.option("--policy", required=True, metavar="FILE", help="The policy, or the name of one that comes with this.")
@click.option("--against", metavar="FILE", help="Another policy, to hold it against: the one in force, say.")
@click.option("--findings", type=FILE, metavar="FILE", help="Who is in a campaign: what `scan -o findings.json` wrote.")
@click.option("--truth", type=FILE, metavar="FILE", help="The same of a made log, from `simulate`.")
@click.option(
    "--ledger",
    metavar="PATH|URL",
    envvar="STILLWATCH_LEDGER",
    show_envvar=True,
    help="Take steps as they stood at the time.",
)
@click.option(
    "--decide-after",
    type=SPAN,
    metavar="SPAN",
    help="Take accounts of campaigns as decided on so long after they were first seen, e.g. 3d.",
)
@click.option("--step", type=STEPS, default="throttle", show_default=True, help="With --decide-after: how far to go.")
@click.option("--given", type=_Pair(), multiple=True, metavar="FACT=VALUE", help="A fact that the log does not tell.")
@click.option(
    "--database", "databases", type=FILE, multiple=True, metavar="FILE", help="Of networks, MaxMind's format."
)
@click.option("--network-list", "lists", type=_Pair(), multiple=True, metavar="KIND=FILE", help="Networks, one a line.")
@FORM
@QUIET
def replay(
    *,
    source: LogSource,
    accounts: Path | None,
    limit_memory: int | None,
    policy: str,
    against: str | None,
    findings: Path | None,
    truth: Path | None,
    ledger: str | None,
    decide_after: timedelta | None,
    step: str,
    given: Sequence[tuple[str, str]],
    databases: Sequence[Path],
    lists: Sequence[tuple[str, str]],
    form: str,
    quiet: bool,
) -> None:
    """Tell what a policy would have done to past traffic.

    LOGS are as for `scan`. The harvest that it stops stands beside the price that honest users pay: who of them it
    would have touched, by tier and by kind, and because of which rule. Nothing is changed anywhere.
    """
    by_kind = _lists(lists)
    known = None if findings is None else findings_in(findings)
    constants = _given(given)

    from stillwatch import api
    from stillwatch.decisions.step import Step
    from stillwatch.report.replay import print_replay
    from stillwatch.report.replay_v1 import to_json

    with progress_shown(quiet=quiet) as progress:
        replayed = api.replay(
            source,
            policy,
            against=against,
            accounts=accounts,
            findings=known,
            truth=truth,
            ledger=None if ledger is None else ledger_place(ledger),
            decide_after=decide_after,
            step=Step(step),
            given=constants,
            databases=databases,
            lists=by_kind,
            limit_memory=limit_memory,
            progress=progress,
            note=None if quiet else say,
        )
    if form == "json":
        print_json(to_json(replayed))
    else:
        print_replay(replayed, console_on(sys.stdout))


def _given(pairs: Sequence[tuple[str, str]]) -> KnownFacts | None:
    """Read facts: a value is JSON (`true`, `5`), or else text."""
    if not pairs:
        return None
    import msgspec

    from stillwatch.decisions.facts import facts_from

    values: dict[str, object] = {}
    for name, text in pairs:
        try:
            values[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            values[name] = text
    return facts_from(values)


def _lists(pairs: Sequence[tuple[str, str]]) -> Mapping[Any, Sequence[Path]]:
    from pathlib import Path

    found: dict[str, list[Path]] = {}
    for kind, file in pairs:
        if kind not in KINDS:
            raise UsageError(f"--network-list {kind}={file}: there are lists of {', '.join(KINDS)}")
        found.setdefault(kind, []).append(Path(file))
    return found
