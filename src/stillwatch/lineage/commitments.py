"""Commitments to keys, `stillwatch.commitments/1`: a file that only grows, in a hash chain. Touches that file.

One JSON object a line, an entry of the same chain as the ledger's (`decisions.audit`): its content is the commitment,
which shows neither key nor campaign, and the head that the ledger had at that moment where one is named. Whoever may
write the file could hash all of it anew; so its head is to be noted where others can see it (in a decision's reason,
with a notary, as an RFC 3161 time stamp), and `verify` holds the file against such a head.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stillwatch.decisions.audit import Entry, Head, canonical, chained, verify
from stillwatch.errors import ChainError, CommitmentError, LineageError, OutputError
from stillwatch.lineage.key_ring import WireKey
from stillwatch.lineage.keys import commitment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stillwatch.lineage.keys import DyeKey

VERSION: Final = "stillwatch.commitments/1"
REVEAL_VERSION: Final = "stillwatch.dye-reveal/1"
_ACTION: Final = "commit"


@dataclass(frozen=True, slots=True)
class Committed:
    """A commitment that stands in a file.

    Attributes:
        entry: where.
        commitment: to what, a SHA-256 in hexadecimal.
        ledger: the ledger's head at that moment, or empty.

    """

    entry: Entry
    commitment: str
    ledger: str = ""


class _Content(msgspec.Struct):
    schema: str
    commitment: str
    ledger: str = ""


class _Reveal(msgspec.Struct):
    schema: str
    key: WireKey
    entry: Entry


def read_commitments(path: Path, head: Head | None = None) -> tuple[Committed, ...]:
    """Read a file of commitments, and hold it against its own hashes.

    Args:
        path: the file.
        head: one that was noted earlier, which the file must hold.

    Raises:
        LineageError: it cannot be read, or is no such file.
        ChainError: an entry is not what it was.

    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise LineageError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    return _checked(lines, path, head)


def commit(
    path: Path, keys: Iterable[DyeKey], *, ledger: str = "", at: datetime | None = None
) -> tuple[Committed, ...]:
    """Commit to keys: an entry each, but for those that were committed to before; gives all of theirs.

    Args:
        path: the file; made where there is none.
        keys: to what.
        ledger: the ledger's head, so that the commitment is known to be no older than that.
        at: when; now if None.

    Raises:
        LineageError: the file holds something else.
        ChainError: it is not what it was; nothing is added to such a file.
        OutputError: it cannot be written.

    """
    when = f"{(at or datetime.now(UTC)).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    wanted = [commitment(key) for key in keys]
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # the chain must not fork
            file.seek(0)
            held = {each.commitment: each for each in _checked(file.read().splitlines(), path, None)}
            last = next(reversed(held.values()), None)
            head = Head() if last is None else Head(last.entry.number, last.entry.hash)
            for each in wanted:
                if each in held:
                    continue
                content = canonical({"schema": VERSION, "commitment": each, "ledger": ledger})
                entry = chained(head, at=when, action=_ACTION, about=each[:16], subject="null", content=content)
                held[each], head = Committed(entry, each, ledger), Head(entry.number, entry.hash)
                file.write(canonical(asdict(entry)).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
    return tuple(held[each] for each in wanted)


def committed_to(key: DyeKey, commitments: Iterable[Committed], *, place: str) -> Committed:
    """Find the commitment to a key.

    Raises:
        CommitmentError: there is none, so that the key, its dye or its campaign is another one than was committed to.

    """
    wanted = commitment(key)
    found = next((each for each in commitments if each.commitment == wanted), None)
    if found is None:
        raise CommitmentError(
            f"{place}: campaign {key.campaign!r}: nothing was committed to with this key, dye, tokenizer and campaign"
        )
    return found


def revealed(key: DyeKey, committed: Committed) -> bytes:
    """Write what others need to check a commitment, `stillwatch.dye-reveal/1`: it holds the key, and no other's."""
    reveal = {
        "schema": REVEAL_VERSION,
        "key": msgspec.to_builtins(WireKey.of(key)),
        "entry": asdict(committed.entry),
    }
    return json.dumps(reveal, indent=2).encode("ascii") + b"\n"


def verify_reveal(data: bytes, commitments: Iterable[Committed], *, place: str) -> tuple[DyeKey, Committed]:
    """Check what was revealed against commitments that were checked before.

    Raises:
        LineageError: it is no reveal.
        CommitmentError: its key was not committed to, or in another entry than it says.

    """
    try:
        reveal = msgspec.json.decode(data, type=_Reveal)
        if reveal.schema != REVEAL_VERSION:
            raise LineageError(f"{place}: this is `{reveal.schema}`; only `{REVEAL_VERSION}` can be read")
        key = reveal.key.read()
    except (msgspec.DecodeError, ValueError) as error:
        raise LineageError(f"{place}: no revealed key: {error}") from error
    found = committed_to(key, commitments, place=place)
    if found.entry != reveal.entry:
        raise CommitmentError(f"{place}: the entry in it is not entry {found.entry.number} of the commitments")
    return key, found


def _checked(lines: list[bytes], path: Path, head: Head | None) -> tuple[Committed, ...]:
    found = [_read(line, number, path) for number, line in enumerate(lines, start=1)]
    verified = verify((each.entry for each in found), head)
    if verified.broken is not None:
        raise ChainError(f"{path}: {verified.broken.damage}: {verified.broken.says}")
    return tuple(found)


def _read(line: bytes, number: int, path: Path) -> Committed:
    try:
        fields: dict[str, Any] = msgspec.json.decode(line, type=dict)
        entry = msgspec.convert(fields, Entry)
        content = msgspec.json.decode(entry.content, type=_Content)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LineageError(f"{path}:{number}: no commitment: {error}") from error
    if content.schema != VERSION:
        raise LineageError(f"{path}:{number}: this is `{content.schema}`; only `{VERSION}` can be read")
    return Committed(entry, content.commitment, content.ledger)
