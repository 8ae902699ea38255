"""`stillwatch version`: of the program, and of the formats that it reads and writes."""

from __future__ import annotations

from importlib import metadata

import click


@click.command()
def version() -> None:
    """Show the versions of stillwatch and of the formats that it reads and writes."""
    from stillwatch.exchanges.schema import VERSION as LOG_VERSION
    from stillwatch.report.findings_v1 import VERSION as FINDINGS_VERSION

    click.echo(f"stillwatch {_installed_version()}")
    click.echo(f"reads  {LOG_VERSION}")
    click.echo(f"writes {FINDINGS_VERSION}")


def _installed_version() -> str:
    try:
        return metadata.version("stillwatch")
    except metadata.PackageNotFoundError:
        return "(run from its source, not installed)"
