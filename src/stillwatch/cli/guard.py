"""`stillwatch guard`: a policy, enforced in front of a model's API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.guard.settings import GuardSettings


@click.command()
@click.option("--upstream", metavar="URL", help="The model's API: http://host:port or https://...")
@click.option("--beside", is_flag=True, help="No upstream: Envoy, nginx or LiteLLM ask about each request.")
@click.option("--policy", metavar="FILE|NAME", help="What is allowed to whom; a file, or a policy of stillwatch's.")
@click.option("--ledger", metavar="PATH|URL", envvar="STILLWATCH_LEDGER", show_envvar=True, help="Decisions to follow.")
@click.option(
    "--settings",
    "settings_file",
    type=FILE,
    envvar="STILLWATCH_GUARD",
    show_envvar=True,
    help="Everything else, as one YAML file.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0 for any.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--drain", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds to end in.")
@click.option("--certificate", type=FILE, help="Serve TLS with it.")
@click.option("--private-key", type=FILE, help="Of the certificate.")
def guard(
    *,
    upstream: str | None,
    beside: bool,
    policy: str | None,
    ledger: str | None,
    settings_file: Path | None,
    host: str,
    port: int,
    workers: int,
    drain: float,
    certificate: Path | None,
    private_key: Path | None,
) -> None:
    """Stand before a model's API and apply a policy to what is asked of it.

    Clients of OpenAI's and Anthropic's APIs work through it unchanged. Start with `--policy observe`: it changes
    nothing, and counts what it would do (http://HOST:PORT/stillwatch/metrics).
    """
    from stillwatch.guard.gateway import Gateway
    from stillwatch.guard.opening import check
    from stillwatch.guard.serve import Serving, run

    if (upstream is None) is not beside:
        raise click.UsageError("give --upstream, the API that is guarded, or --beside if another gateway asks")
    settings = _settings(settings_file, policy, ledger)
    loaded = check(settings)
    if workers > 1 and settings.state is None:
        say(f"each of the {workers} workers counts for itself; name a server in `state` for limits that they share")
    mode = "observes, and changes nothing" if loaded.document.mode == "observe" else "enforces"
    what = f"{upstream} is served" if upstream else "other gateways are answered"
    say(f"policy {loaded.document.name} {mode}; {what} on http{'s' * bool(certificate)}://{host}:{port}")
    files = (None if path is None else str(path) for path in (certificate, private_key))
    run(Gateway(upstream, settings), Serving(host, port, workers, drain, 75.0, *files))


def _settings(file: Path | None, policy: str | None, ledger: str | None) -> GuardSettings:
    import msgspec

    from stillwatch.guard.settings import GuardSettings, load_settings

    settings = GuardSettings() if file is None else load_settings(file)
    given = {"policy": policy, "ledger": ledger}
    settings = msgspec.structs.replace(settings, **{name: value for name, value in given.items() if value})
    if settings.policy is None:
        raise click.UsageError(
            "no policy: give --policy, or name one in the settings; `--policy observe` only looks on"
        )
    return settings
