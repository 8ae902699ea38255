"""`stillwatch version`: of the program, and of the formats that it reads and writes."""

from __future__ import annotations

from importlib import metadata

import click


@click.command()
def version() -> None:
    """Show the versions of stillwatch and of the formats that it reads and writes."""
    from stillwatch.exchanges.schema import VERSION as LOG_VERSION
    from stillwatch.ledger.audit_v1 import VERSION as AUDIT_VERSION
    from stillwatch.ledger.decisions_v1 import VERSION as DECISIONS_VERSION
    from stillwatch.report.findings_v1 import VERSION as FINDINGS_VERSION

    click.echo(f"stillwatch {_installed_version()}")
    click.echo(f"reads  {LOG_VERSION}")
    for written in (FINDINGS_VERSION, DECISIONS_VERSION, AUDIT_VERSION):
        click.echo(f"writes {written}")


def _installed_version() -> str:
    try:
        return metadata.version("stillwatch")
    except metadata.PackageNotFoundError:
        return "(run from its source, not installed)"
