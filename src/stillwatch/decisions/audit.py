"""The audit trail: entries that each bear the hash of the one before, so that none can be changed unseen. Pure.

After Haber and Stornetta, "How to time-stamp a digital document", Journal of Cryptology 3, 1991: SHA-256 over an
entry's canonical JSON, in which the hash of the entry before it stands. Whoever can rewrite the whole trail can hash it
anew; so its head (number and hash of the last entry) should be noted elsewhere now and then, and verified against.

Canonical JSON: keys sorted, no blanks, all but ASCII escaped, so that it survives every store and encoding.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

GENESIS: Final = "0" * 64  # what the first entry bears in place of a hash
_DIGITS: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the trail.

    Attributes:
        number: counted from 1, without gaps.
        at: when, RFC 3339 in UTC.
        action: what was done; the keys of `events.ACTIONS`.
        about: id of the decision or allowance; of what followed from a decision, that decision's.
        subject: whom that is about, as JSON.
        content: the event, as canonical JSON.
        previous: hash of the entry before.
        hash: over all the other fields.

    """

    number: int
    at: str
    action: str
    about: str
    subject: str
    content: str
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry's number and hash, written `42:9f21...`; number 0 with `GENESIS` for an empty trail."""

    number: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"

    @classmethod
    def parsed(cls, text: str) -> Head:
        """Read what `str` wrote.

        Raises:
            ValueError: it is no head.

        """
        number, _, digest = text.strip().partition(":")
        if not (number.isascii() and number.isdecimal() and len(digest) == len(GENESIS) and _DIGITS.issuperset(digest)):
            raise ValueError(f"{text!r} is no head; write it as `ledger verify` prints it, NUMBER:HASH")
        return cls(int(number), digest)


class Damage(StrEnum):
    """How an entry is broken."""

    ALTERED = "altered"
    MISSING = "missing"
    REORDERED = "reordered"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry that is not what it was.

    Attributes:
        number: the entry's.
        damage: what was done to it.
        says: the same in a sentence without its full stop.

    """

    number: int
    damage: Damage
    says: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What verification found: the head of what is whole, and the first broken entry if there is one."""

    head: Head
    broken: Broken | None


def canonical(value: object) -> str:
    """Give JSON that is a function of the value alone.

    Raises:
        ValueError: a number in it is not finite.
        TypeError: something in it is no JSON.

    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: object) -> str:
    """Give the SHA-256 of a value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def hash_of(entry: Entry) -> str:
    """Give the hash that an entry ought to bear."""
    fields: dict[str, Any] = asdict(entry)
    del fields["hash"]
    return digest(fields)


def chained(head: Head, *, at: str, action: str, about: str, subject: str, content: str) -> Entry:
    """Give the entry that comes after this head."""
    entry = Entry(head.number + 1, at, action, about, subject, content, head.hash, "")
    return replace(entry, hash=hash_of(entry))


def verify(entries: Iterable[Entry], expected: Head | None = None) -> Verified:
    """Hold a trail against its own hashes, from the first entry to the last.

    Args:
        entries: the trail, in the order in which it is kept.
        expected: a head noted earlier; the trail must hold that entry, and may have grown since.

    Returns:
        The head, and the first entry that is altered, missing, out of order, or cut off.

    """
    head, rest = Head(), iter(entries)
    for entry in rest:
        broken = _broken(entry, head, rest)
        if broken is None and expected is not None and entry.number == expected.number and entry.hash != expected.hash:
            broken = Broken(
                entry.number,
                Damage.ALTERED,
                f"entry {entry.number} is not the one that was noted as the head; "
                "it, or an entry before it, was altered and all hashed anew",
            )
        if broken is not None:
            return Verified(head, broken)
        head = Head(entry.number, entry.hash)
    if expected is not None and head.number < expected.number:
        return Verified(
            head,
            Broken(
                head.number + 1,
                Damage.TRUNCATED,
                f"entries {head.number + 1} to {expected.number} are cut off: the head was noted as {expected.number}, "
                f"and the last entry is {head.number}",
            ),
        )
    return Verified(head, None)


def _broken(entry: Entry, head: Head, rest: Iterable[Entry]) -> Broken | None:
    """Tell what is wrong with an entry after this head; the rest is looked at only where something is."""
    number = head.number + 1
    if entry.number == number and entry.previous == head.hash and hash_of(entry) == entry.hash:
        return None
    if entry.number != number:
        return _misplaced(entry, number, rest)
    if hash_of(entry) != entry.hash:
        return _altered(entry, rest)
    return Broken(
        max(head.number, 1),
        Damage.ALTERED,
        f"entry {entry.number} was chained to another entry than {head.number or 'none'}, which was replaced",
    )


def _misplaced(entry: Entry, number: int, rest: Iterable[Entry]) -> Broken:
    if entry.number < number or any(later.number == number for later in rest):
        return Broken(number, Damage.REORDERED, f"in the place of entry {number} stands entry {entry.number}")
    return Broken(number, Damage.MISSING, f"entry {number} is missing; after {number - 1} comes {entry.number}")


def _altered(entry: Entry, rest: Iterable[Entry]) -> Broken:
    for number in {entry.number - 1, *(later.number for later in rest)} - {entry.number}:
        if hash_of(replace(entry, number=number)) == entry.hash:  # whole, but for its number
            return Broken(
                entry.number, Damage.REORDERED, f"in the place of entry {entry.number} stands what was entry {number}"
            )
    return Broken(entry.number, Damage.ALTERED, f"entry {entry.number} is not what was hashed")
