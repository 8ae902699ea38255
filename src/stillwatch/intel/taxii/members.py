"""Members: who may take part in sharing, and the token that each is known by. Touches the store and the clock.

A token is `swt_` with what it is looked up by and a secret of 256 random bits. Only a salted SHA-256 of the secret is
kept: nobody can guess 256 bits, so that a slow hash would keep out nobody and make every request dear.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stillwatch.errors import UnknownNameError, UsageError
from stillwatch.intel.moment import now_micros
from stillwatch.intel.taxii.store import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stillwatch.database.store import Database

_TOKEN: Final = re.compile(r"swt_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # no colon: it is the user's name in Basic
_NOBODY: Final = ("", "00" * 16, "00" * 32, 1)  # compared with, where there is no such token

_BY_TOKEN: Final = "SELECT name, salt, hash, revoked FROM stillwatch_taxii_members WHERE token = ?"  # noqa: S105
_BY_NAME: Final = "SELECT revoked FROM stillwatch_taxii_members WHERE name = ?"
_ADD: Final = "INSERT INTO stillwatch_taxii_members VALUES (?, ?, ?, ?, ?, 0)"
_RENEW: Final = (
    "UPDATE stillwatch_taxii_members SET token = ?, salt = ?, hash = ?, made = ?, revoked = 0 WHERE name = ?"
)
_REVOKE: Final = "UPDATE stillwatch_taxii_members SET revoked = ? WHERE name = ? AND revoked = 0"
_FORGET: Final = "DELETE FROM stillwatch_taxii_rights WHERE member = ?"
_GRANT: Final = "INSERT INTO stillwatch_taxii_rights VALUES (?, ?, ?, ?)"
_ALL: Final = "SELECT name, token, made, revoked FROM stillwatch_taxii_members ORDER BY name"
_RIGHTS: Final = "SELECT member, collection, can_read, can_write FROM stillwatch_taxii_rights ORDER BY collection"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a member, and what the token is looked up by."""

    member: str
    token: str


@dataclass(frozen=True, slots=True)
class Member:
    """A member as shown to whoever runs the server.

    Attributes:
        name: of the member; the user's name in HTTP Basic.
        token: what the token is looked up by, which is no secret.
        made: when the token was, in microseconds since 1970.
        revoked: when it was revoked; 0 if it was not.
        reads: collections that may be read, by alias.
        writes: collections that may be written.

    """

    name: str
    token: str
    made: int
    revoked: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def add_member(
    database: Database,
    name: str,
    *,
    reads: Collection[str] = (),
    writes: Collection[str] = (),
    clock: Callable[[], int] = now_micros,
) -> str:
    """Let a member in, and give the token, which is kept nowhere. A member whose token was revoked gets a new one.

    Raises:
        UsageError: the name cannot be used, there is such a member, or there is no such collection.

    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r}: a member's name is up to 64 letters, digits, dots, dashes and underscores")
    if unknown := sorted({*reads, *writes} - COLLECTIONS.keys()):
        raise UsageError(f"{unknown[0]!r}: no such collection; there are {', '.join(COLLECTIONS)}")
    if not reads and not writes:
        raise UsageError(f"{name}: a member with no right to any collection could do nothing; give one")
    number, secret, salt = secrets.token_hex(8), secrets.token_hex(32), secrets.token_hex(16)
    made = (number, salt, _hash(salt, secret), clock())
    with database.writing():
        known = database.rows(_BY_NAME, (name,))
        if known and not known[0][0]:
            raise UsageError(f"{name}: is a member already; revoke the token first to give a new one")
        if known:
            database.rows(_RENEW, (*made, name))
        else:
            database.rows(_ADD, (name, *made))
        database.rows(_FORGET, (name,))
        granted = sorted({*reads, *writes})
        database.append(_GRANT, [(name, each, int(each in reads), int(each in writes)) for each in granted])
    return f"swt_{number}_{secret}"


def revoke_member(database: Database, name: str, *, clock: Callable[[], int] = now_micros) -> None:
    """Take a member's token back; the next request with it is refused.

    Raises:
        UnknownNameError: there is no member of that name whose token stands.

    """
    with database.writing():
        known = database.rows(_BY_NAME, (name,))
        if not known or known[0][0]:
            raise UnknownNameError(f"{name}: there is no member of that name whose token stands")
        database.rows(_REVOKE, (clock(), name))


def members(database: Database) -> list[Member]:
    """Give all members, in the order of their names."""
    rights: dict[str, list[tuple[str, bool, bool]]] = {}
    for member, collection, can_read, can_write in database.rows(_RIGHTS):
        rights.setdefault(str(member), []).append((str(collection), bool(can_read), bool(can_write)))
    return [
        Member(
            str(name),
            str(token),
            int(made),
            int(revoked),
            tuple(each for each, can_read, _ in rights.get(str(name), ()) if can_read),
            tuple(each for each, _, can_write in rights.get(str(name), ()) if can_write),
        )
        for name, token, made, revoked in database.rows(_ALL)
    ]


def caller_of(database: Database, token: str, name: str | None = None) -> Caller | None:
    """Give who bears a token; None if nobody does, it was revoked, or it is another's than the one named.

    Takes the same steps whatever is wrong.
    """
    found = _TOKEN.fullmatch(token)
    number, secret = (found[1], found[2]) if found else ("", "")
    rows = database.rows(_BY_TOKEN, (number,))
    member, salt, kept, revoked = rows[0] if rows else _NOBODY
    right = hmac.compare_digest(_hash(str(salt), secret), str(kept))
    named = name is None or hmac.compare_digest(name.encode(), str(member).encode())
    return Caller(str(member), number) if right and named and not revoked else None


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode()).hexdigest()
