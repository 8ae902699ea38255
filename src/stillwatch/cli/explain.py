"""`stillwatch explain`: why a verdict is what it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stillwatch.cli.findings_file import findings_in
from stillwatch.cli.options import FILE
from stillwatch.cli.output import console_on
from stillwatch.cli.with_examples import WITH_EXAMPLES, TakesExamples
from stillwatch.errors import NoExamplesError, UsageError
from stillwatch.exchanges.source import LogSource

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.report.examples import Examples
    from stillwatch.verdicts.evidence import Findings


@click.command(cls=TakesExamples)
@click.argument("name", metavar="CAMPAIGN|ACCOUNT")
@click.argument("findings_file", type=FILE, metavar="FINDINGS")
@WITH_EXAMPLES
@click.option("--logs", multiple=True, metavar="PATH", help="Logs to take examples from; as often as need be.")
@click.option("--dialect", metavar="NAME", help="How those logs are written; recognised if not given.")
@click.option("--key-file", type=FILE, metavar="FILE", help="Key that the findings' marks were made with.")
def explain(
    *,
    name: str,
    findings_file: Path,
    with_examples: int | None,
    logs: tuple[str, ...],
    dialect: str | None,
    key_file: Path | None,
) -> None:
    """Show how a verdict came about, bit by bit.

    Give the id of a campaign or cohort (its beginning is enough), or an account: why is it in, or why not?
    FINDINGS is what `scan -o findings.json` wrote; `-` reads it from stdin.
    """
    if with_examples is None and (logs or dialect or key_file):
        raise UsageError("--logs, --dialect and --key-file serve --with-examples, which is not given")

    from stillwatch.report.explain import explain as print_explanation

    findings = findings_in(findings_file)
    examples = None
    if with_examples is not None:
        examples = _examples(findings, name, with_examples, LogSource(logs, dialect), key_file)
    print_explanation(findings, name, console_on(sys.stdout), examples)


def _examples(findings: Findings, name: str, at_most: int, source: LogSource, key_file: Path | None) -> Examples:
    """Examples of the cohorts that the name leads to, or of the account in them that it names."""
    from stillwatch import api
    from stillwatch.report.explain import in_question
    from stillwatch.report.key_file import default_key_path, load_or_make_key

    if not source.logs:
        raise NoExamplesError("findings hold no prompts; name the logs that were scanned with --logs")
    path = default_key_path() if key_file is None else key_file
    if not path.exists():  # a new key would match no mark
        raise NoExamplesError(
            f"which exchanges belong is known by keyed marks, and there is no key {path}; "
            "name the key that the scan used with --key-file"
        )
    asked, account = in_question(findings, name)
    return api.examples(source, asked, key=load_or_make_key(path), at_most=at_most, account=account)
