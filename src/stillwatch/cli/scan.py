"""`stillwatch scan`: logs in, findings out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stillwatch.cli.key import key_in
from stillwatch.cli.options import FILE, KEY_FILE, QUIET, reads_logs
from stillwatch.cli.output import form_of, print_report, require_writable, say, write_report
from stillwatch.cli.progress import progress_shown
from stillwatch.cli.share_options import shared_key_in, tips_told
from stillwatch.cli.with_examples import WITH_EXAMPLES, TakesExamples
from stillwatch.errors import StillwatchError, UsageError

if TYPE_CHECKING:
    from stillwatch.exchanges.source import LogSource
    from stillwatch.report.examples import Examples
    from stillwatch.verdicts.evidence import Findings

FAIL_ON_MET: Final = 1


@click.command(cls=TakesExamples)
@reads_logs
@KEY_FILE
@click.option("--baseline", type=FILE, metavar="FILE", help="What ordinary traffic looks like (see `baseline fit`).")
@click.option(
    "--format",
    "form",
    type=click.Choice(["human", "json", "jsonl"]),
    help="Default: human, or what the name given with -o ends in.",
)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write the findings here, whole or not at all.")
@click.option("--fail-on", type=click.Choice(["campaign", "watch"]), help="Exit with 1 if there is one (or worse).")
@click.option(
    "--tips",
    "tips",
    type=FILE,
    metavar="PATH",
    multiple=True,
    help="Bundles from others (a file or folder): move the odds cohorts start from, a little.",
)
@click.option(
    "--shared-key",
    "shared_keys",
    type=FILE,
    metavar="FILE",
    multiple=True,
    help="Name marks under this key too, which a group shares.",
)
@WITH_EXAMPLES
@QUIET
def scan(
    *,
    source: LogSource,
    accounts: Path | None,
    limit_memory: int | None,
    key_file: Path | None,
    baseline: Path | None,
    form: str | None,
    output: Path | None,
    fail_on: str | None,
    tips: tuple[Path, ...],
    shared_keys: tuple[Path, ...],
    with_examples: int | None,
    quiet: bool,
) -> None:
    """Scan request logs and report the campaigns in them.

    LOGS are files, folders or globs, here or in an object store (s3://, gs://, abfs://, hdfs://): Parquet, JSON
    lines (plain, .gz, .zst) or CSV. With -o, the findings are written to a file and the report for people is
    printed as well (not with --quiet).
    """
    if output == Path("-"):
        output = None  # as everywhere: stdout
    form = form or form_of(output)
    read = (*source.logs, accounts, baseline, key_file, *tips, *shared_keys)
    require_writable(output, read=read)
    require_writable(source.rejects, read=(*read, output))
    key = key_in(key_file)
    group = [shared_key_in(path) for path in shared_keys]
    if key in group:
        raise UsageError("the key to share is the provider's own; whoever has it can try guesses against every mark")
    told = tips_told(tips, quiet=quiet) if tips else ()

    from stillwatch import api

    with progress_shown(quiet=quiet) as progress:
        findings = api.scan(
            source,
            accounts=accounts,
            baseline=baseline,
            key=key,
            limit_memory=limit_memory,
            progress=progress,
            note=None if quiet else say,
            tips=told,
            shared_keys=group,
        )
    examples = None if with_examples is None else _examples(source, findings, key, with_examples, quiet=quiet)
    if output is None:
        print_report(findings, form, examples=examples)
    else:
        write_report(findings, form, output, examples=examples)
        if not quiet:
            if form != "human":
                print_report(findings, "human", saved_as=str(output), examples=examples)
            say(f"findings written to {output}")
    if _fails(findings, fail_on):
        raise click.exceptions.Exit(FAIL_ON_MET)


def _examples(source: LogSource, findings: Findings, key: bytes, at_most: int, *, quiet: bool) -> Examples:
    """Examples of campaigns and watched cohorts; want of them is said, and costs nobody the findings."""
    from stillwatch import api
    from stillwatch.verdicts.evidence import Verdict

    asked = [finding for finding in findings.campaigns if finding.verdict is not Verdict.CLEARED]
    if not asked:
        return {}
    try:
        with progress_shown(quiet=quiet) as progress:
            return api.examples(source, asked, key=key, at_most=at_most, progress=progress)
    except StillwatchError as error:
        say(str(error))
        return {}


def _fails(findings: Findings, fail_on: str | None) -> bool:
    from stillwatch.verdicts.evidence import Verdict

    failing = {"campaign": {Verdict.CAMPAIGN}, "watch": {Verdict.CAMPAIGN, Verdict.WATCH}}.get(fail_on or "", set())
    return any(finding.verdict in failing for finding in findings.campaigns)
