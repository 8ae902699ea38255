"""`stillwatch share serve`: a TAXII 2.1 server that members share through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import say
from stillwatch.cli.share_peers import SHARED

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.decisions.limit import Quota


@click.command()
@SHARED
@click.option("--title", default="stillwatch", show_default=True, help="The server's name, told to members.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8443, show_default=True, help="0 for any.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True,
              help="Requests a second and member, in the long run; each worker counts for itself.")  # fmt: skip
@click.option("--burst", type=click.IntRange(min=1), default=100, show_default=True, help="Requests at once.")
@click.option("--max-content", type=click.IntRange(1024, 1 << 30), default=16 << 20, show_default=True,
              help="Bytes of a request to add objects.")  # fmt: skip
@click.option("--access-log", type=FILE, help="Where requests are noted, a line of JSON each; stderr if not given.")
@click.option("--drain", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds to end in.")
@click.option("--certificate", type=FILE, help="Serve TLS with it.")
@click.option("--private-key", type=FILE, help="Of the certificate.")
def serve(
    *,
    place: str,
    title: str,
    host: str,
    port: int,
    workers: int,
    rate: float,
    burst: int,
    max_content: int,
    access_log: Path | None,
    drain: float,
    certificate: Path | None,
    private_key: Path | None,
) -> None:
    """Serve collections of STIX objects to members, over TAXII 2.1 (http://HOST:PORT/taxii2/).

    Let members in with `stillwatch share member add`. Tokens cross the network: serve TLS with --certificate, or stand
    behind a proxy that does.
    """
    from contextlib import closing

    from stillwatch.exchanges.url import without_secrets
    from stillwatch.guard.serve import Serving, run
    from stillwatch.intel.taxii.store import open_store

    with closing(open_store(place, create=True)) as database:
        shown = database.place
    if certificate is None and host not in {"127.0.0.1", "::1", "localhost"}:
        say(f"tokens cross the network in the clear from {host}: have a proxy in front that speaks TLS")
    say(f"{shown if '://' not in place else without_secrets(place)} is served on"
        f" http{'s' * bool(certificate)}://{host}:{port}/taxii2/")  # fmt: skip
    files = (None if path is None else str(path) for path in (certificate, private_key))
    server = SharingServer(place, title, rate, burst, max_content, None if access_log is None else str(access_log))
    run(server, Serving(host, port, workers, drain, 75.0, *files))


@dataclass(frozen=True, slots=True)
class SharingServer:
    """Makes the server in each worker.

    Attributes:
        place: of the store.
        title: of the server.
        rate: requests a second and member.
        burst: requests at once.
        largest: bytes of a body.
        access_log: a file; None for stderr.

    """

    place: str
    title: str
    rate: float
    burst: int
    largest: int
    access_log: str | None

    def __call__(self) -> Any:  # noqa: ANN401  an ASGI application
        """Make one."""
        from pathlib import Path

        from stillwatch.intel.taxii.access_log import AccessLog
        from stillwatch.intel.taxii.server import TaxiiServer

        access = AccessLog(None if self.access_log is None else Path(self.access_log))
        limits = RequestLimits(self.rate, self.burst)
        return TaxiiServer(self.place, limiter=limits, access=access, title=self.title, largest=self.largest)


class RequestLimits:
    """Counts requests as the guard does.

    Args:
        rate: requests a second, of a member.
        burst: requests at once. Requests with a token that nobody has: as many in a minute, from one address.

    """

    def __init__(self, rate: float, burst: int) -> None:
        from stillwatch.decisions.limit import Pace, Quota
        from stillwatch.guard.counters import Counters

        self._counters = Counters(most=100_000)
        self._member = Quota("member", "requests", "key", Pace(rate, float(burst)))
        self._stranger = Quota("stranger", "requests", "network", Pace(burst / 60.0, float(burst)))

    def member(self, token: str) -> float | None:
        """Count a request of a member."""
        return self._wait(self._member, token)

    def stranger(self, client: str) -> float | None:
        """Count a request with a token that nobody has."""
        return self._wait(self._stranger, client)

    def _wait(self, quota: Quota, subject: str) -> float | None:
        from stillwatch.decisions.ruling import Charge
        from stillwatch.guard.counters import Exceeded

        charged = self._counters.charge([Charge(quota, subject, 1.0)])
        return (charged.retry_after or 1.0) if isinstance(charged, Exceeded) else None
