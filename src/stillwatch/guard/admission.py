"""What was decided about one request, and how it is told. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stillwatch.guard.wire.refused import error_body, refusal_body

if TYPE_CHECKING:
    from stillwatch.decisions.refusal import Refusal
    from stillwatch.decisions.ruling import Edit, Ruling
    from stillwatch.guard.caller import Caller
    from stillwatch.guard.counters import Grant
    from stillwatch.guard.facts import RequestFacts
    from stillwatch.guard.incoming import Incoming
    from stillwatch.guard.standing import Held
    from stillwatch.guard.traces import GuardSpan
    from stillwatch.guard.wire.asked import Asked
    from stillwatch.guard.wire.endpoint import Api

REASON_HEADER: Final = b"x-stillwatch-reason"
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a request is turned away before any rule is asked: nobody could say what it asks for.

    Attributes:
        status: 400, 413 or 415.
        message: for whoever sent it.
    """

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Admission:
    """What was decided about one request.

    Attributes:
        id: names the request in its refusal, in the exchange log and in traces.
        api: in whose words it is answered.
        incoming: the request as it came.
        caller: who asks.
        asked: what it asks for; None if that could not be read.
        facts: by which it was ruled.
        held: what the ledger holds against it.
        ruling: what the policy says.
        refusal: why it is not served: the policy's refusal, or a limit's; None if it is served.
        would: the same where the policy only observes.
        unreadable: why it is turned away without a ruling; None if it is not.
        retry_after: seconds until a limit has room; None if it is no limit that refuses, or never has.
        limit: id of that limit.
        body: to be sent on.
        headers: to be sent on with it.
        grant: of the limits that were charged.
        span: of the request's trace; None where none is kept.
        at: when it came, in seconds since 1970.
        took: seconds that it took to decide.
    """

    id: str
    api: Api
    incoming: Incoming
    caller: Caller
    asked: Asked | None
    facts: RequestFacts
    held: Held
    ruling: Ruling
    refusal: Refusal | None
    would: Refusal | None
    unreadable: Unreadable | None
    retry_after: float | None
    limit: str | None
    body: bytes
    headers: tuple[Header, ...]
    grant: Grant | None
    span: GuardSpan | None
    at: float
    took: float

    @property
    def served(self) -> bool:
        """Whether it is sent on."""
        return self.refusal is None and self.unreadable is None

    @property
    def answer_edits(self) -> tuple[Edit, ...]:
        """Changes to the answer."""
        return tuple(edit for edit in self.ruling.edits if edit.on == "answer") if self.ruling.edits else ()

    def refused(self) -> tuple[int, list[Header], bytes]:
        """Give status, headers and body of the answer to a request that is not served."""
        if self.unreadable is not None:
            status = self.unreadable.status
            body = error_body(self.api, status, self.unreadable.message, id=self.id)
        elif self.refusal is not None:
            status = self.refusal.status
            body = refusal_body(self.api, self.refusal, id=self.id)
        else:
            raise ValueError(f"{self.id} is served")
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (REASON_HEADER, self.id.encode()),
        ]
        if self.retry_after is not None:
            headers.append((b"retry-after", str(max(1, math.ceil(self.retry_after))).encode()))
        return status, headers, body
