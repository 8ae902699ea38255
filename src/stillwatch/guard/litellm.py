"""Beside LiteLLM's proxy: its `generic_guardrail_api` asks before each call and tells of each answer. An ASGI app.

LiteLLM says who asks by the names that it has given out (key, user, team, organization), and sends messages, model and
tools, but no parameters: what a policy says of log probabilities, seeds and the like cannot be asked here. It can be
told `NONE` or `BLOCKED`.

Source: https://docs.litellm.ai/docs/adding_provider/generic_guardrail_api
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from stillwatch.guard.asgi import respond_json
from stillwatch.guard.caller import Caller
from stillwatch.guard.incoming import Incoming
from stillwatch.guard.wire.estimate import tokens
from stillwatch.guard.wire.said import Said

if TYPE_CHECKING:
    from stillwatch.guard.admission import Admission
    from stillwatch.guard.asgi import Receive, Scope, Send
    from stillwatch.guard.door import Door

PATH: Final = "beta/litellm_basic_guardrail_api"
_OPEN: Final = 100_000  # calls whose answers are waited for
_LONGEST: Final = 900.0  # seconds for which one is waited for
_HIDDEN: Final = "[present]"  # what LiteLLM puts in the place of a header's value that it does not show


class _Whose(msgspec.Struct, frozen=True):
    """Who asks, as LiteLLM knows them."""

    user_api_key_hash: str | None = None
    user_api_key_user_id: str | None = None
    user_api_key_team_id: str | None = None
    user_api_key_org_id: str | None = None
    user_api_key_end_user_id: str | None = None


class _Question(msgspec.Struct, frozen=True):
    """What LiteLLM sends; fields that are not known here are passed over."""

    input_type: Literal["request", "response"]
    request_data: _Whose = _Whose()
    litellm_call_id: str | None = None
    structured_messages: list[dict[str, Any]] | None = None
    texts: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    model: str | None = None
    request_headers: dict[str, str] | None = None


class LiteLLMGuardrail:
    """Answers LiteLLM's questions.

    Args:
        door: what decides.

    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._open: OrderedDict[str, Admission] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one."""
        peer = (scope.get("client") or ("",))[0]
        body = await _body(receive, self._door.settings.body_limit)
        if not self._door.trusts(peer) or scope["method"] != "POST":
            await respond_json(send, 404, {"detail": "not found"})
            return
        try:
            question = msgspec.json.decode(body, type=_Question)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await respond_json(send, 400, {"detail": str(error)})
            return
        if question.input_type == "response":
            await self._answered(question)
            await respond_json(send, 200, {"action": "NONE"})
        else:
            await respond_json(send, 200, await self._asked(question, peer))

    async def _asked(self, question: _Question, peer: str) -> dict[str, object]:
        await self._forget()
        incoming = _incoming(question, peer)
        admission = await self._door.admit(incoming, _caller(question, incoming))
        if not admission.served:
            status, _, _ = admission.refused()
            await self._door.close(admission, status=status, said=None)
            refusal, unreadable = admission.refusal, admission.unreadable
            why = refusal.message if refusal is not None else unreadable.message if unreadable is not None else ""
            return {"action": "BLOCKED", "blocked_reason": f"{why} ({admission.id})"}
        if question.litellm_call_id:
            self._open[question.litellm_call_id] = admission
        else:
            await self._door.close(admission, status=200, said=None)
        return {"action": "NONE"}

    async def _answered(self, question: _Question) -> None:
        admission = self._open.pop(question.litellm_call_id or "", None)
        if admission is not None:
            text = "\n".join(question.texts or ())
            read = admission.facts.look_up("request.input_tokens")
            said = Said(
                read if isinstance(read, int) else None, tokens(text), None, text if self._door.keeps_text else None
            )
            await self._door.close(admission, status=200, said=said)

    async def _forget(self) -> None:
        """Close calls whose answers LiteLLM does not tell of: it need not be configured to."""
        now = time.time()
        while self._open:
            name, oldest = next(iter(self._open.items()))
            if len(self._open) < _OPEN and now - oldest.at < _LONGEST:
                return
            del self._open[name]
            await self._door.close(oldest, status=200, said=None)


def _incoming(question: _Question, peer: str) -> Incoming:
    """Give the call as a request, as far as LiteLLM shows it."""
    messages = question.structured_messages
    if messages is None:
        messages = [{"role": "user", "content": text} for text in question.texts or ()]
    body: dict[str, object] = {"model": question.model or "", "messages": messages}
    if question.tools:
        body["tools"] = question.tools
    shown = {name.lower(): value for name, value in (question.request_headers or {}).items() if value != _HIDDEN}
    headers = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in shown.items()]
    return Incoming("POST", "/v1/chat/completions", headers, peer, msgspec.json.encode(body), editable=False)


def _caller(question: _Question, incoming: Incoming) -> Caller:
    whose = question.request_data
    key = whose.user_api_key_hash or ""
    return Caller(
        address="",
        key=key,
        account=whose.user_api_key_user_id or whose.user_api_key_team_id or (f"key-{key}" if key else ""),
        organization=whose.user_api_key_org_id or whose.user_api_key_team_id or "",
        country="",
        ja4="",
        user_agent=incoming.header(b"user-agent"),
    )


async def _body(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False) or size > limit:
            return b"".join(parts)
