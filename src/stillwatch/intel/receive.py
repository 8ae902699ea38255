"""From received STIX objects to tips. Pure; touches nothing.

Whatever comes from others may be wrong or meant ill. Objects are read one by one, and what cannot be used is passed
over and counted with its reason: one bad object costs nobody the others. A pattern is compared with the one form that
is known here; none is ever run. An object that says two things under one id and version is not believed in either.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from stillwatch.intel import extension
from stillwatch.intel.marking import marking_of
from stillwatch.intel.rounding import later
from stillwatch.intel.shareable import LEAVE
from stillwatch.intel.tip import Tip, TipMark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NAMELESS: Final = "a source that does not say who it is"
UNSURE: Final = 50  # confidence of a source that tells none
AHEAD: Final = timedelta(days=1)  # by which others' clocks may be fast
LONGEST: Final = timedelta(days=365)  # that a tip holds, whatever it says
OLDEST: Final = timedelta(days=5 * 365)  # before it was written down that something may have been seen
PATTERN_MOST: Final = 8_192  # characters
MARKS_MOST: Final = 64  # alternatives of one pattern
NAME_MOST: Final = 200  # characters of a source's name that are kept

Time = Annotated[datetime, Meta(tz=True)]
Ref = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,100}--[0-9a-fA-F-]{36}$", max_length=150)]

_MARK: Final = re.compile(
    rf"{extension.MARK}:family = '([a-z]{{1,20}})' AND {extension.MARK}:value = '([a-z2-7]{{16}})'"
)
_DISSENT: Final = frozenset({"disagree", "strongly-disagree"})


class _Version(Struct):
    """What tells an object and its versions apart."""

    type: Annotated[str, Meta(max_length=100)]
    id: Ref
    created_by_ref: Ref | None = None
    created: Time | None = None
    modified: Time | None = None
    revoked: bool = False


class _Named(_Version):
    name: str = ""


class _Indicator(_Version):
    pattern: Annotated[str, Meta(max_length=PATTERN_MOST)] = ""
    pattern_type: str = ""
    valid_from: Time | None = None
    valid_until: Time | None = None
    confidence: Annotated[int, Meta(ge=0, le=100)] | None = None
    object_marking_refs: list[str] = []


class _Relationship(_Version):
    relationship_type: str = ""
    source_ref: str = ""
    target_ref: str = ""


class _Opinion(_Version):
    opinion: str = ""
    object_refs: list[str] = []


_READ: Final[Mapping[str, type[_Version]]] = {
    "identity": _Named,
    "indicator": _Indicator,
    "relationship": _Relationship,
    "opinion": _Opinion,
}


@dataclass(frozen=True, slots=True)
class Handed:
    """Objects that somebody handed over.

    Attributes:
        via: who: a file, or a member whom a server has recognised.
        objects: each as JSON.
        received_at: when.
    """

    via: str
    objects: Sequence[msgspec.Raw | bytes]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Received:
    """What came of it.

    Attributes:
        tips: in the order in which they came.
        passed_over: how many objects for each reason.
    """

    tips: tuple[Tip, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)


def received(handed: Iterable[Handed]) -> Received:
    """Read what was handed over, the earliest first; an object that came before is not taken again from another."""
    reading = _Reading()
    for each in handed:
        reading.take(each)
    return reading.received()


class _Reading:
    """What has been read so far."""

    def __init__(self) -> None:
        self._passed: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._about: dict[str, str] = {}
        self._indicators: dict[str, tuple[_Indicator, Handed]] = {}
        self._dissent: dict[str, set[str]] = defaultdict(set)

    def take(self, handed: Handed) -> None:
        """Read one hand-over."""
        held: dict[str, tuple[_Version, bytes]] = {}
        for raw in handed.objects:
            each = self._read(bytes(raw))
            if each is None:
                continue
            before = held.get(each.id)
            if before is None or _later(each, before[0]):
                held[each.id] = (each, bytes(raw))
            elif before[0].modified == each.modified and before[1] != bytes(raw):
                self._passed["one id and version says two things"] += 1
                held[each.id] = (_Version(each.type, each.id, revoked=True, modified=each.modified), b"")
            else:
                self._passed["said before"] += 1
        for each, _ in held.values():
            self._keep(each, handed)

    def received(self) -> Received:
        """Give the tips."""
        tips = [tip for each, handed in self._indicators.values() if (tip := self._tip(each, handed)) is not None]
        return Received(tuple(tips), dict(sorted(self._passed.items())))

    def _read(self, raw: bytes) -> _Version | None:
        try:
            kind = msgspec.json.decode(raw, type=_Version).type
            shape = _READ.get(kind)
            return None if shape is None else msgspec.json.decode(raw, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._passed["no object of STIX 2.1"] += 1
            return None

    def _keep(self, each: _Version, handed: Handed) -> None:
        reason = _untimely(each, handed.received_at)
        if reason:
            self._passed[reason] += 1
        elif isinstance(each, _Named):
            self._names.setdefault(each.id, each.name[:NAME_MOST])
        elif isinstance(each, _Relationship):
            if each.relationship_type == "indicates":
                self._about.setdefault(each.source_ref, each.target_ref)
        elif isinstance(each, _Opinion):
            if each.opinion in _DISSENT:
                for ref in each.object_refs:
                    self._dissent[ref].add(each.created_by_ref or "")
        elif isinstance(each, _Indicator):
            known = self._indicators.get(each.id)
            if known is None or (known[1].via == handed.via and _later(each, known[0])):
                self._indicators[each.id] = (each, handed)
            else:
                self._passed["said before"] += 1

    def _tip(self, each: _Indicator, handed: Handed) -> Tip | None:
        marks = _marks(each.pattern) if each.pattern_type == "stix" else ()
        if not marks:
            self._passed["its pattern names no mark that is known here"] += 1
            return None
        begin = each.valid_from or each.created or handed.received_at
        until = later(begin, LONGEST)
        if each.valid_until is not None and each.valid_until < until:
            until = each.valid_until
        about = self._about.get(each.id, "")
        return Tip(
            id=each.id,
            source=self._name(each.created_by_ref),
            via=handed.via,
            marking=marking_of(each.object_marking_refs),
            confidence=UNSURE if each.confidence is None else each.confidence,
            marks=marks,
            first=each.valid_from,
            expires=until,
            received_at=handed.received_at,
            about=about,
            disputed_by=tuple(
                sorted(self._name(who) for who in self._dissent[each.id] | self._dissent[about or each.id])
            ),
        )

    def _name(self, who: str | None) -> str:
        return self._names.get(who or "", "") or who or NAMELESS


def _later(each: _Version, before: _Version) -> bool:
    return each.modified is not None and (before.modified is None or each.modified > before.modified)


def _untimely(each: _Version, now: datetime) -> str:
    """Why an object's times cannot be believed, or its maker has taken it back; empty where neither is so."""
    begin = getattr(each, "valid_from", None)
    until = getattr(each, "valid_until", None)
    if each.revoked:
        return "taken back, or contradicts itself"
    if any(time is not None and time > later(now, AHEAD) for time in (each.created, each.modified, begin)):
        return "from the future"
    if each.created is not None and each.modified is not None and each.modified < each.created:
        return "changed before it was made"
    if begin is not None and each.created is not None and each.created - begin > OLDEST:
        return "back-dated by years"
    if begin is not None and until is not None and until <= begin:
        return "ends before it begins"
    return ""


def _marks(pattern: str) -> tuple[TipMark, ...]:
    """Read the marks of a pattern of the one form that is known here; every step is linear in its length."""
    if not (pattern.startswith("[") and pattern.endswith("]")):
        return ()
    parts = pattern[1:-1].split("] OR [", MARKS_MOST)
    found = [_MARK.fullmatch(part) for part in parts]
    if len(parts) > MARKS_MOST or not all(found):
        return ()
    marks = [TipMark(each[1], each[2]) for each in found if each is not None]
    return tuple(mark for mark in marks if mark.family in LEAVE)
