"""Beside Envoy: its external authorization asks over gRPC about each request. Touches: a socket.

Envoy cannot have a body edited this way. What a policy would strip or clamp in a request is therefore refused, with the
parameter's name, and what it says of answers is not done; limits, borders, steps and instructions (as headers) are.
Bodies must be sent along (`with_request_body`), else only headers are asked.

Source: envoy.service.auth.v3.Authorization
(https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from envoy_data_plane.envoy.config.core.v3 import HeaderValue, HeaderValueOption, HeaderValueOptionHeaderAppendAction
from envoy_data_plane.envoy.service.auth.v3 import CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode
from envoy_data_plane.google.rpc import Status

from stillwatch.errors import UsageError
from stillwatch.guard.incoming import Incoming
from stillwatch.guard.wire.edited import client_steering
from stillwatch.guard.wire.endpoint import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envoy_data_plane.envoy.service.auth.v3 import AttributeContext

    from stillwatch.guard.door import Door

_MARGIN: Final = 1 << 20  # bytes of a message besides the body
_OK: Final = Status(code=0)  # google.rpc.Code
_DENIED: Final = Status(code=7)
_SERVICE: Final = "envoy.service.auth.v3.Authorization"


async def serve_envoy(door: Door, host: str, port: int) -> tuple[grpc.aio.Server, int]:
    """Begin to answer Envoy; gives the server, to be stopped, and its port.

    Raises:
        UsageError: the address cannot be had.

    """

    async def check(request: CheckRequest, context: Any) -> CheckResponse:  # noqa: ANN401  gRPC's, without types
        del context
        return await checked(door, request)

    handler = grpc.unary_unary_rpc_method_handler(
        check, request_deserializer=CheckRequest.parse, response_serializer=bytes
    )
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", door.settings.body_limit + _MARGIN)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Check": handler}),))
    try:
        found: int = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise UsageError(f"{host}:{port} cannot be listened on") from error
    await server.start()
    return server, found


async def checked(door: Door, request: CheckRequest) -> CheckResponse:
    """Answer one question."""
    incoming = _incoming(request.attributes)
    admission = await door.admit(incoming)
    if admission.served:
        await door.close(admission, status=200, said=None)
        told = {name for name, _ in admission.headers}
        removed = _steering(incoming, told) if door.enforces else []  # Envoy removes after it adds
        allowed = OkHttpResponse(headers=_written(admission.headers), headers_to_remove=removed)
        return CheckResponse(status=_OK, ok_response=allowed)
    status, headers, body = admission.refused()
    await door.close(admission, status=status, said=None)
    kept = [each for each in headers if each[0] != b"content-length"]  # Envoy writes it
    refused = DeniedHttpResponse(status=HttpStatus(code=StatusCode(status)), headers=_written(kept), body=body.decode())
    return CheckResponse(status=_DENIED, denied_response=refused)


def _incoming(attributes: AttributeContext | None) -> Incoming:
    asked = None if attributes is None else attributes.request
    http = None if asked is None else asked.http
    if attributes is None or http is None:
        return Incoming("GET", "", [], "", b"", headers_only=True, editable=False)
    path, _, query = http.path.partition("?")
    named = [(name.lower().encode(), value.encode()) for name, value in http.headers.items() if name[:1] != ":"]
    if not named and http.header_map is not None:
        named = [
            (each.key.lower().encode(), each.raw_value or each.value.encode())
            for each in http.header_map.headers
            if each.key[:1] != ":"
        ]
    peer = None if attributes.source is None else attributes.source.address
    socket = None if peer is None else peer.socket_address
    body = http.raw_body or http.body.encode()
    unsent = not body and endpoint(http.method, path).read  # Envoy is not told to send bodies, or there is none
    return Incoming(
        http.method,
        path,
        named,
        "" if socket is None else socket.address,
        body,
        query.encode(),
        headers_only=unsent,
        editable=False,
    )


def _steering(incoming: Incoming, told: set[bytes]) -> list[str]:
    """Name the headers that a client may not bring, but for those that are overwritten."""
    return [name.decode("latin-1") for name, _ in incoming.headers if client_steering(name) and name not in told]


def _written(headers: Iterable[tuple[bytes, bytes]]) -> list[HeaderValueOption]:
    """Write headers so that what a client sent under one of these names does not stand beside it."""
    overwrite = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return [
        HeaderValueOption(
            header=HeaderValue(key=name.decode("latin-1"), value=value.decode("latin-1")), append_action=overwrite
        )
        for name, value in headers
    ]
