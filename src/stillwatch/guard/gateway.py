"""The gateway: a guard around a reverse proxy, for those who have no server to put the middleware into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stillwatch.guard.app import Guard
from stillwatch.guard.asgi import respond
from stillwatch.guard.proxy import Proxy
from stillwatch.guard.traces import configure

if TYPE_CHECKING:
    from stillwatch.guard.asgi import Receive, Scope, Send
    from stillwatch.guard.settings import GuardSettings


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


async def _nothing_behind(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve nothing: another gateway asks, and passes requests on itself."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await respond(send, 404)
