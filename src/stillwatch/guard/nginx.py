"""Beside nginx: its `auth_request` asks about each request by its headers, the body is not sent. An ASGI application.

nginx knows two answers, go on (2xx) and no (401, 403); everything else is an error of the one that was asked. So a
refusal is always 403 here, and says in headers what it is: `x-stillwatch-status`, `x-stillwatch-body` (the body as
clients expect it, on one line), `x-stillwatch-reason`, `retry-after`. docs/beside.md has the lines that hand these on.

Source: https://nginx.org/en/docs/http/ngx_http_auth_request_module.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.guard.asgi import respond
from stillwatch.guard.incoming import Incoming

if TYPE_CHECKING:
    from stillwatch.guard.asgi import Receive, Scope, Send
    from stillwatch.guard.door import Door

PATH: Final = "auth"
_METHOD: Final = b"x-original-method"
_URI: Final = b"x-original-uri"


class AuthRequest:
    """Answers nginx's subrequests.

    Args:
        door: what decides.

    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one."""
        del receive
        asked = Incoming(scope["method"], scope["path"], scope["headers"], (scope.get("client") or ("",))[0], b"")
        path, _, query = asked.header(_URI).partition("?")
        if not path or not self._door.trusts(asked.client):
            await respond(send, 404)
            return
        headers = [each for each in scope["headers"] if each[0] not in (_METHOD, _URI, b"content-length")]
        method = asked.header(_METHOD).upper() or "POST"
        incoming = Incoming(method, path, headers, asked.client, b"", query.encode("latin-1"), True, editable=False)
        admission = await self._door.admit(incoming)
        if admission.served:
            await self._door.close(admission, status=200, said=None)
            await respond(send, 204, admission.headers)
            return
        status, headers, body = admission.refused()
        await self._door.close(admission, status=status, said=None)
        kept = [each for each in headers if each[0] not in (b"content-length", b"content-type")]
        told = [(b"x-stillwatch-status", str(status).encode()), (b"x-stillwatch-body", _one_line(body))]
        await respond(send, 403, [*kept, *told, (b"content-length", b"0")])


def _one_line(body: bytes) -> bytes:
    """Give JSON as a header may hold it: ASCII, and no line's end."""
    text = body.decode("utf-8")
    return "".join(each if " " <= each <= "~" else _escaped(each) for each in text).encode("ascii")


def _escaped(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
