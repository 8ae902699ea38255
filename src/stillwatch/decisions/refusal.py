"""Refusals: why a request is not served, and in what shape clients expect to be told. Pure.

The official clients of OpenAI and Anthropic choose their exception by the HTTP status and show the error's body, so
that each reason has a status and the words of both error bodies; they are written out where answers are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class RefusalReason(StrEnum):
    """Why a request is refused; machines read it."""

    UNSUPPORTED_REGION = "unsupported_region"
    SANCTIONED = "sanctioned"
    VERIFICATION_REQUIRED = "verification_required"
    ACCOUNT_SUSPENDED = "account_suspended"
    OPERATION_NOT_ALLOWED = "operation_not_allowed"
    PARAMETER_NOT_ALLOWED = "parameter_not_allowed"
    NOT_SERVED_HERE = "not_served_here"
    RATE_LIMITED = "rate_limited"
    SPEND_EXCEEDED = "spend_exceeded"
    POLICY_UNAVAILABLE = "policy_unavailable"


class ErrorShape(NamedTuple):
    """How a refusal looks to a client.

    OpenAI's body is `{"error": {"message", "type", "param": null, "code"}}`, Anthropic's
    `{"type": "error", "error": {"type", "message"}}`.
    """

    status: int
    message: str
    openai_type: str
    openai_code: str | None
    anthropic_type: str


_REGION = "Country, region, or territory not supported"

SHAPES: Mapping[RefusalReason, ErrorShape] = {
    RefusalReason.UNSUPPORTED_REGION: ErrorShape(
        403, _REGION, "request_forbidden", "unsupported_country_region_territory", "forbidden"
    ),
    RefusalReason.SANCTIONED: ErrorShape(  # outwardly the same: which list it was is nobody's business
        403, _REGION, "request_forbidden", "unsupported_country_region_territory", "forbidden"
    ),
    RefusalReason.VERIFICATION_REQUIRED: ErrorShape(
        403,
        "Your organization must be verified to go on",
        "invalid_request_error",
        "verification_required",
        "permission_error",
    ),
    RefusalReason.ACCOUNT_SUSPENDED: ErrorShape(
        403, "Access has been suspended", "access_terminated", "account_suspended", "permission_error"
    ),
    RefusalReason.OPERATION_NOT_ALLOWED: ErrorShape(
        403,
        "This operation is not available to this account",
        "invalid_request_error",
        "operation_not_allowed",
        "permission_error",
    ),
    RefusalReason.PARAMETER_NOT_ALLOWED: ErrorShape(
        400,
        "A parameter is not available to this account",
        "invalid_request_error",
        "unsupported_parameter",
        "invalid_request_error",
    ),
    RefusalReason.NOT_SERVED_HERE: ErrorShape(
        404, "The model is not served here", "invalid_request_error", "model_not_found", "not_found_error"
    ),
    RefusalReason.RATE_LIMITED: ErrorShape(
        429, "Rate limit reached", "requests", "rate_limit_exceeded", "rate_limit_error"
    ),
    RefusalReason.SPEND_EXCEEDED: ErrorShape(
        429, "The spending limit is reached", "insufficient_quota", "insufficient_quota", "rate_limit_error"
    ),
    RefusalReason.POLICY_UNAVAILABLE: ErrorShape(
        503, "The request cannot be checked at present", "server_error", "policy_unavailable", "api_error"
    ),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal.

    Attributes:
        reason: for machines.
        message: for whoever sent the request.
        by: the rule or step (`steps.verify`) that refused.
        parameter: the parameter that is not allowed, where it is one.
    """

    reason: RefusalReason
    message: str
    by: str
    parameter: str | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return SHAPES[self.reason].status
