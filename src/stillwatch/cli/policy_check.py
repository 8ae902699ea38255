"""`stillwatch policy check`: is a policy right, and what does it say?"""

from __future__ import annotations

import sys

import click

from stillwatch.cli.output import console_on


@click.command()
@click.argument("file", metavar="FILE")
def check(file: str) -> None:
    """Check a policy and print what it says in sentences.

    FILE is a file, or the name of a policy that comes with stillwatch: observe, strict. Everything that is wrong is
    said at once, each with line, column and field.
    """
    from stillwatch.guard.policy_file import load_policy
    from stillwatch.report.policy import print_policy

    print_policy(load_policy(file), console_on(sys.stdout))
