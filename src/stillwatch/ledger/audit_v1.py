"""The wire format of an audit entry's content, `stillwatch.audit/1`, and of decisions in it. Touches no file.

The structures here are the format; `stillwatch.decisions` knows nothing of it. Times are RFC 3339 in UTC. Readers must
pass over keys that they do not know; whatever changes or takes away a key, or adds an action, makes it version 2.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from stillwatch.decisions.allowance import Allowance
from stillwatch.decisions.audit import canonical
from stillwatch.decisions.decision import Appeal, Decision, Grounds, KeyedMark
from stillwatch.decisions.events import Allowed, Appealed, Decided, Event, Expired, Judged, Lifted, Withdrawn
from stillwatch.decisions.step import Step  # noqa: TC001  the format is read from the fields' types
from stillwatch.decisions.subject import Subject, SubjectKind
from stillwatch.errors import LedgerError
from stillwatch.verdicts.evidence import BorneMark, KnownBy, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = "stillwatch.audit/1"


class WireSubject(Struct):
    """Whom it is about."""

    kind: SubjectKind
    value: str

    def read(self) -> Subject:
        """Give what was written."""
        return Subject(self.kind, self.value)


class WireGrounds(Struct):
    """The evidence that a decision rests on."""

    finding: str
    digest: str
    verdict: Verdict
    bits: float
    q_value: float
    membership: float

    def read(self) -> Grounds:
        """Give what was written."""
        return Grounds(self.finding, self.digest, self.verdict, self.bits, self.q_value, self.membership)


class WireMark(Struct):
    """A mark carried along."""

    family: str
    mark: str


class WireBorneMark(Struct):
    """A mark by which a gateway may know a cohort's traffic."""

    family: str
    mark: str
    accounts: int
    elsewhere: int


class WireKnownBy(Struct):
    """By what a gateway may know accounts that come later, and how rarely ordinary accounts agree as far."""

    since: datetime
    until: datetime
    ordinary: int
    agreeing: list[int]
    marks: list[WireBorneMark]

    def read(self) -> KnownBy:
        """Give what was written."""
        marks = (BorneMark(each.family, each.mark, each.accounts, each.elsewhere) for each in self.marks)
        return KnownBy(self.since, self.until, self.ordinary, tuple(self.agreeing), tuple(marks))


class WireDecision(Struct, omit_defaults=True):
    """One step against one subject."""

    id: str
    subject: WireSubject
    step: Step
    reason: str
    grounds: WireGrounds | None
    marks: list[WireMark]
    policy: str
    approvers: list[str]
    made_at: datetime
    expires_at: datetime
    appeal: Appeal
    lifted_at: datetime | None
    known_by: WireKnownBy | None = None

    def read(self) -> Decision:
        """Give what was written."""
        grounds = self.grounds
        return Decision(
            self.id,
            self.subject.read(),
            self.step,
            self.reason,
            None if grounds is None else grounds.read(),
            tuple(KeyedMark(each.family, each.mark) for each in self.marks),
            self.policy,
            tuple(self.approvers),
            self.made_at,
            self.expires_at,
            self.appeal,
            self.lifted_at,
            None if self.known_by is None else self.known_by.read(),
        )


class WireAllowance(Struct):
    """One entry of the allow-list."""

    id: str
    subject: WireSubject
    owner: str
    reason: str
    made_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None

    def read(self) -> Allowance:
        """Give what was written."""
        return Allowance(
            self.id,
            self.subject.read(),
            self.owner,
            self.reason,
            self.made_at,
            self.expires_at,
            self.withdrawn_at,
        )


class _Version(Struct):
    schema: str = "none"


class _WireEvent(Struct, tag_field="action", kw_only=True):
    """What every event has: the version that it was written in, which is looked at once it is read."""

    schema: str | UnsetType = UNSET


class WireDecided(_WireEvent, tag="decide"):
    """A decision was made."""

    decision: WireDecision

    def read(self) -> Decided:
        """Give what was written."""
        return Decided(self.decision.read())


class WireLifted(_WireEvent, tag="lift"):
    """A decision was taken back."""

    decision: str
    by: str
    reason: str
    at: datetime

    def read(self) -> Lifted:
        """Give what was written."""
        return Lifted(self.decision, self.by, self.reason, self.at)


class WireAppealed(_WireEvent, tag="appeal"):
    """A decision was objected to."""

    decision: str
    by: str
    reason: str
    at: datetime

    def read(self) -> Appealed:
        """Give what was written."""
        return Appealed(self.decision, self.by, self.reason, self.at)


class WireJudged(_WireEvent, tag="judge"):
    """An appeal was judged."""

    decision: str
    by: str
    reason: str
    upheld: bool
    at: datetime

    def read(self) -> Judged:
        """Give what was written."""
        return Judged(self.decision, self.by, self.reason, self.upheld, self.at)


class WireExpired(_WireEvent, tag="expire"):
    """A decision ended."""

    decision: str
    at: datetime

    def read(self) -> Expired:
        """Give what was written."""
        return Expired(self.decision, self.at)


class WireAllowed(_WireEvent, tag="allow"):
    """A subject was put on the allow-list."""

    allowance: WireAllowance

    def read(self) -> Allowed:
        """Give what was written."""
        return Allowed(self.allowance.read())


class WireWithdrawn(_WireEvent, tag="withdraw"):
    """An allowance was taken back."""

    allowance: str
    by: str
    reason: str
    at: datetime

    def read(self) -> Withdrawn:
        """Give what was written."""
        return Withdrawn(self.allowance, self.by, self.reason, self.at)


WireEvent: TypeAlias = WireDecided | WireLifted | WireAppealed | WireJudged | WireExpired | WireAllowed | WireWithdrawn

_WIRE: Final[Mapping[type[Event], type[WireEvent]]] = {
    Decided: WireDecided,
    Lifted: WireLifted,
    Appealed: WireAppealed,
    Judged: WireJudged,
    Expired: WireExpired,
    Allowed: WireAllowed,
    Withdrawn: WireWithdrawn,
}


def action(event: Event) -> str:
    """Give the name that this kind of event has in the trail."""
    return str(_WIRE[type(event)].__struct_config__.tag)


def decision_out(decision: Decision) -> dict[str, Any]:
    """Give a decision as JSON's own types."""
    return _builtins(msgspec.convert(decision, WireDecision, from_attributes=True))


def allowance_out(allowance: Allowance) -> dict[str, Any]:
    """Give an allowance as JSON's own types."""
    return _builtins(msgspec.convert(allowance, WireAllowance, from_attributes=True))


def subject_out(subject: Subject) -> str:
    """Give a subject as JSON that every store can hold and compare."""
    return canonical(str(subject))


def to_content(event: Event) -> str:
    """Give an event as an entry's content.

    Raises:
        ValueError: a number is not finite.

    """
    return canonical({"schema": VERSION, **_builtins(msgspec.convert(event, _WIRE[type(event)], from_attributes=True))})


def from_content(content: str, *, where: str) -> Event:
    """Read an event.

    Args:
        content: what `to_content` wrote.
        where: which entry of which ledger, for messages.

    Raises:
        LedgerError: it is no such content; the text names the place in it.

    """
    try:
        wire: WireEvent = msgspec.json.decode(content, type=WireEvent)
        if wire.schema == VERSION:
            return wire.read()
        reason = ""
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        reason = str(error)
    try:  # what another version wrote may well be unknown here, and that is then what is to be said
        version = msgspec.json.decode(content, type=_Version).schema
    except (msgspec.DecodeError, UnicodeError):
        version = VERSION
    if version != VERSION:
        reason = f"$.schema: this is `{version}`; only `{VERSION}` can be read"
    raise LedgerError(f"{where}: {reason[:1].lower()}{reason[1:]}")


def _builtins(wire: Struct) -> dict[str, Any]:
    for name in wire.__struct_fields__:  # clocks of other zones are written in UTC
        value = getattr(wire, name)
        if isinstance(value, datetime):
            setattr(wire, name, value.astimezone(UTC))
        elif isinstance(value, Struct):
            _builtins(value)
    built: dict[str, Any] = msgspec.to_builtins(wire)
    return built
