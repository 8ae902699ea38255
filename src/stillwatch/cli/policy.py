"""`stillwatch policy`: what a policy says, and what it does to a request."""

from __future__ import annotations

import click

from stillwatch.cli.policy_check import check
from stillwatch.cli.policy_explain import explain


@click.group()
def policy() -> None:
    """Check a policy, and try it on facts of a request."""


policy.add_command(check)
policy.add_command(explain)
