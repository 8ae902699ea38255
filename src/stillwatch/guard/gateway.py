"""The gateway: a guard around a reverse proxy, for those who have no server to put the middleware into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stillwatch.guard.app import Guard
from stillwatch.guard.proxy import Proxy
from stillwatch.guard.traces import configure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from stillwatch.guard.settings import GuardSettings

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Gateway:
    """Makes the application, in each worker its own.

    Attributes:
        upstream: URL of the model's API; None where the guard only stands beside another gateway.
        settings: of the guard.
    """

    upstream: str | None
    settings: GuardSettings

    def __call__(self) -> Guard:
        """Make it.

        Raises:
            UsageError: the upstream's URL, the settings or the policy cannot be used.
            InputError: a file that the settings name cannot be read.

        """
        configure()
        if self.upstream is None:
            return Guard(_nothing_behind, settings=self.settings)
        return Guard(Proxy(self.upstream, trusted_proxies=self.settings.trusted_proxies), settings=self.settings)


async def _nothing_behind(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Serve nothing: another gateway asks, and passes requests on itself."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
