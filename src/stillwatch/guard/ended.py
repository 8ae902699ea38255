"""What is left of a request that is over: a row of the exchange log, and what limits are settled by. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.guard.exchange_log import ruling_columns

if TYPE_CHECKING:
    from stillwatch.guard.admission import Admission
    from stillwatch.guard.facts import RequestFacts
    from stillwatch.guard.wire.said import Said

_FAILED: Final = 400  # from this status on an answer used nothing


def row_of(admission: Admission, status: int, said: Said | None) -> dict[str, object]:
    """Give a request as a row of the exchange log."""
    caller, look_up, asked = admission.caller, admission.facts.look_up, admission.asked
    row: dict[str, object] = {} if asked is None else asked.columns()
    row |= {
        "request_id": admission.id,
        "time": admission.at,
        "account": caller.account or "anonymous",
        "organization": look_up("account.organization") or None,
        "api_key": caller.key or None,
        "ip": caller.address or None,
        "asn": look_up("request.asn") or None,
        "country": look_up("request.country") or None,
        "ja4": caller.ja4 or None,
        "user_agent": caller.user_agent or None,
        "status": status,
    }
    if said is not None:
        row |= {
            "response": said.response,
            "answer": said.answer,
            "input_tokens": said.input_tokens,
            "output_tokens": said.output_tokens,
            "finish_reason": said.finish_reason,
        }
    return row | ruling_columns(admission.ruling, admission.refusal, admission.id)


def used_by(facts: RequestFacts, status: int, said: Said | None) -> dict[str, float]:
    """Tell what an answer used; what it did not say stays as it was estimated."""
    if status >= _FAILED:
        return {"input_tokens": 0.0, "output_tokens": 0.0, "spend": 0.0}
    if said is None:
        return {}
    told = {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}
    used = {name: float(value) for name, value in told.items() if value is not None}
    if len(used) == len(told):
        used["spend"] = facts.cost(used["input_tokens"], used["output_tokens"])
    return used
