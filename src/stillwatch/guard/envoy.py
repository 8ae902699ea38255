"""Beside Envoy: its external authorization asks over gRPC about each request. Touches: a socket.

Envoy cannot have a body edited this way. What a policy would strip or clamp in a request is therefore refused, with the
parameter's name, and what it says of answers is not done; limits, borders, steps and instructions (as headers) are.
Bodies must be sent along (`with_request_body`), else only headers are asked.

Source: envoy.service.auth.v3.Authorization
(https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc.aio
from envoy.service.auth.v3 import external_auth_pb2 as wire
from envoy.service.auth.v3 import external_auth_pb2_grpc as service
from google.rpc import code_pb2

from stillwatch.errors import UsageError
from stillwatch.guard.incoming import Incoming
from stillwatch.guard.wire.edited import client_steering
from stillwatch.guard.wire.endpoint import endpoint

if TYPE_CHECKING:
    from stillwatch.guard.door import Door

_MARGIN: Final = 1 << 20  # bytes of a message besides the body


class Authorization(service.AuthorizationServicer):  # type: ignore[misc]  # generated, without types
    """Answers Envoy's questions.

    Args:
        door: what decides.

    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802  the name and the types are Envoy's
        """Answer one."""
        del context
        incoming = _incoming(request.attributes)
        admission = await self._door.admit(incoming)
        if admission.served:
            await self._door.close(admission, status=200, said=None)
            answer = wire.CheckResponse()
            answer.status.code = code_pb2.OK
            if self._door.enforces:
                told = {name for name, _ in admission.headers}  # Envoy removes after it adds
                answer.ok_response.headers_to_remove.extend(_steering(incoming, told))
            for name, value in admission.headers:
                _add(answer.ok_response.headers, name, value)
            return answer
        status, headers, body = admission.refused()
        await self._door.close(admission, status=status, said=None)
        answer = wire.CheckResponse()
        answer.status.code = code_pb2.PERMISSION_DENIED
        answer.denied_response.status.code = status
        answer.denied_response.body = body.decode("utf-8")
        for name, value in headers:
            if name != b"content-length":  # Envoy writes it
                _add(answer.denied_response.headers, name, value)
        return answer


async def serve_envoy(door: Door, host: str, port: int) -> tuple[grpc.aio.Server, int]:
    """Begin to answer Envoy; gives the server, to be stopped, and its port.

    Raises:
        UsageError: the address cannot be had.

    """
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", door.settings.body_limit + _MARGIN)])
    service.add_AuthorizationServicer_to_server(Authorization(door), server)
    try:
        found: int = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise UsageError(f"{host}:{port} cannot be listened on") from error
    await server.start()
    return server, found


def _incoming(attributes: Any) -> Incoming:  # noqa: ANN401  generated, without types
    http = attributes.request.http
    path, _, query = http.path.partition("?")
    named = [(name.lower().encode(), value.encode()) for name, value in http.headers.items() if name[:1] != ":"]
    if not named:
        named = [
            (each.key.lower().encode(), each.raw_value or each.value.encode())
            for each in http.header_map.headers
            if each.key[:1] != ":"
        ]
    body = http.raw_body or http.body.encode()
    unsent = not body and endpoint(http.method, path).read  # Envoy is not told to send bodies, or there is none
    return Incoming(
        http.method,
        path,
        named,
        attributes.source.address.socket_address.address,
        body,
        query.encode(),
        headers_only=unsent,
        editable=False,
    )


def _steering(incoming: Incoming, told: set[bytes]) -> list[str]:
    """Name the headers that a client may not bring, but for those that are overwritten."""
    return [name.decode("latin-1") for name, _ in incoming.headers if client_steering(name) and name not in told]


def _add(headers: Any, name: bytes, value: bytes) -> None:  # noqa: ANN401  generated, without types
    added = headers.add()
    added.header.key, added.header.value = name.decode("latin-1"), value.decode("latin-1")
    added.append_action = 2  # OVERWRITE_IF_EXISTS_OR_ADD: what a client sent under this name does not stand beside it
