"""A port of its own for the metrics of one worker, where several workers share the port of the guard.

Touches a socket. Speaks as much HTTP as scrapers need: one GET or HEAD a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from functools import partial
from typing import TYPE_CHECKING, Final

from stillwatch.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stillwatch.guard.metrics import Metrics

PATH: Final = "/metrics"
_PATIENCE: Final = 5.0  # seconds for a whole request to come
_LONGEST: Final = 16 << 10  # bytes of its head


async def listen(metrics: Metrics, host: str, ports: Iterable[int]) -> asyncio.Server:
    """Serve metrics on the first of these ports that is free, so that each worker finds one for itself.

    Raises:
        OutputError: none is free, or the host is not of this machine.

    """
    answer = partial(_answer, metrics)
    tried = 0
    for port in ports:
        tried += 1
        try:
            return await asyncio.start_server(answer, host, port, limit=_LONGEST, reuse_port=False)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OutputError(f"metrics cannot be served on {host}:{port}: {error.strerror or error}") from error
    raise OutputError(f"metrics cannot be served on {host}: none of {tried} ports is free")


async def _answer(metrics: Metrics, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            writer.write(_answered(metrics, await reader.readuntil(b"\r\n\r\n")))
            await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # whoever asked is gone, slow or no scraper
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _answered(metrics: Metrics, head: bytes) -> bytes:
    request, *lines = head.decode("latin-1").split("\r\n")
    method, target, *_ = [*request.split(" "), "", ""]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    accept = headers.get("accept", "")
    if target.partition("?")[0] != PATH:
        status, kind, body = "404 Not Found", "text/plain", b"metrics are at /metrics\n"
    elif method not in {"GET", "HEAD"}:
        status, kind, body = "405 Method Not Allowed", "text/plain", b"GET or HEAD\n"
    else:
        status, kind, body = "200 OK", metrics.content_type(accept), metrics.render(accept)
    told = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return told.encode() + (b"" if method == "HEAD" else body)
