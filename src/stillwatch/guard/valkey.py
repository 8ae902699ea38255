"""State that several guards share over a Valkey or Redis server. Touches: sockets.

Each method is one Lua script and one round trip (`valkey.lua`), on the server's clock: so all limits of a request are
charged together or not at all, whatever other guards do at the same time, and the clocks of guards do not matter.

Keys begin with `{stillwatch:NAME}:1:`: the braces put all keys of one deployment on one node of a cluster, and 1 is the
version of what is kept. Who a limit belongs to is in them as a 128-bit digest, things in sets as a 64-bit one: nothing
of them can be read there, though what can be guessed can be recognised. All keys go by themselves.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from base64 import b64encode
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stillwatch.decisions.limit import DISTINCT, Pace
from stillwatch.errors import StateError
from stillwatch.guard.counters import ESTIMATED, Exceeded, Grant
from stillwatch.guard.link import Link, read_place
from stillwatch.guard.tally import amount_of, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stillwatch.decisions.ruling import Charge

_VERSION: Final = 1
_MEASURES: Final = {name: number for number, name in enumerate(sorted(ESTIMATED), start=1)}
_SCRIPT: Final = resources.files("stillwatch.guard").joinpath("valkey.lua").read_text(encoding="utf-8")
_SLACK: Final = 1.0  # seconds that keys outlive what they are needed for
_SLACK_BY_HAND: Final = 86_400.0  # the same, where time is told by hand: the server's own goes on
_KINDS: Final = {"pace": 1, "cap": 2, "distinct": 3}


class ValkeyState:
    """What guards count and remember together. For one event loop; connects when it is first used.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`; see `read_place`.
        name: of the deployment; guards share what they count under one name.
        timeout: seconds that a call may take. While the server is away, calls fail at once.
        hold: seconds after which an estimate that nobody settled counts as used; the same for all guards.
        clock: for tests, seconds since 1970; the server's clock if None.

    Raises:
        StateError: the URL or the name is not one. Every method: the server cannot be reached, does not answer in
            time, or refuses; whether it has done what was asked is then not known.

    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "default",
        timeout: float = 0.05,
        hold: float = 900.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        place = read_place(url)
        if not name or not set(name).isdisjoint("{}") or not name.isprintable():
            raise StateError("a deployment's name is printable and has no braces", place=str(place))
        self._prefix = f"{{stillwatch:{name}}}:{_VERSION}:"
        self._clock_key, self._grants_key = self._prefix.encode() + b"clock", self._prefix.encode() + b"grants"
        self._clock, self._hold = clock, hold
        self._link = Link(place, timeout=timeout, script=_SCRIPT, probe=("SET", f"{self._prefix}probe", "", "PX", 1000))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._prefix!r})"

    @property
    def trouble(self) -> str:
        """Why the server cannot be asked now; empty if it can, as far as is known."""
        return self._link.trouble

    async def connect(self) -> None:
        """Connect now rather than at first use."""
        await self._link.connect()

    async def charge(self, charges: Sequence[Charge]) -> Grant | Exceeded:
        """Charge limits, all or none; of several that have no room, tell the one that takes longest."""
        if not charges:
            return Grant()
        keys, told, things = [], [], list[bytes]()
        for quota, subject, amount, items in charges:
            bound, digests = quota.bound, tuple[bytes, ...]()
            if isinstance(bound, Pace):
                kind, one, other = "pace", bound.per_second, bound.burst
            else:
                kind, one, other = "distinct" if quota.of in DISTINCT else "cap", bound.most, bound.seconds
                digests = _digests(items) if kind == "distinct" else ()
            keys.append(_key(self._prefix, kind, quota.id, subject))
            told.append((_KINDS[kind], one, other, amount_of(amount), _MEASURES.get(quota.of, 0), len(digests)))
            things += digests
        answer = await self._run("charge", keys, (os.urandom(9).hex(), told), things)
        if isinstance(answer, bytes):
            return Grant(answer)
        number, wait = answer
        charge = charges[number - 1]
        return Exceeded(charge.quota, charge.subject, float(wait) if wait else None)

    async def settle(self, grant: Grant, used: Mapping[str, float]) -> None:
        """Say what was really used, once; after `hold` seconds it changes nothing. Any guard may do it."""
        if not grant.token:
            return
        amounts = {number: amount_of(used[name]) for name, number in _MEASURES.items() if name in used}
        told = {number: amount for number, amount in amounts.items() if amount < math.inf}
        await self._run("settle", (), told, (grant.token,))

    async def add(self, sums: Mapping[str, float], *, keep: float) -> Mapping[str, float]:
        """Add to running sums, all at once, and give the totals."""
        if not sums:
            return {}
        keys = [_key(self._prefix, "sum", name, "") for name in sums]
        totals = await self._run("add", keys, (keep, tuple(map(float, sums.values()))), ())
        return dict(zip(sums, struct.unpack(f"<{len(sums)}d", totals), strict=True))

    async def once(self, key: str, items: Sequence[str], *, keep: float) -> tuple[bool, ...]:
        """Put things into a set, and tell of each whether it was new to it."""
        digests = [digest_of(item).to_bytes(8) for item in items]
        new = set(await self._run("once", (_key(self._prefix, "once", key, ""),), (keep,), tuple(set(digests))))
        return tuple(_taken(new, digest) for digest in digests)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._link.aclose()

    async def _run(self, operation: str, keys: Sequence[bytes], arguments: object, things: Sequence[bytes]) -> Any:  # noqa: ANN401  whatever the script gives
        now, slack = ("", _SLACK) if self._clock is None else (repr(self._clock()), _SLACK_BY_HAND)
        told: tuple[bytes | str | float, ...] = (
            operation,
            now,
            slack,
            self._hold,
            msgspec.msgpack.encode(arguments),
            *things,
        )
        return await self._link.run((self._clock_key, self._grants_key, *keys), told)


def _digests(items: Sequence[str]) -> tuple[bytes, ...]:
    """Give what stands for things, each once."""
    return tuple({digest_of(item).to_bytes(8): None for item in items})


def _taken(new: set[bytes], digest: bytes) -> bool:
    """Tell whether a thing is new, the first time that it is asked for."""
    if digest not in new:
        return False
    new.remove(digest)
    return True


@lru_cache(maxsize=65_536)
def _key(prefix: str, kind: str, name: str, subject: str) -> bytes:
    """Name a key: what is counted may be read, whose it is may not; names of sums and sets may not either."""
    if kind in _KINDS:
        shown, hidden = f"{kind}:{name}:", subject
    else:
        shown, hidden = f"{kind}:", name
    digest = b64encode(hashlib.blake2b(hidden.encode(errors="surrogatepass"), digest_size=16).digest(), b"-_")[:22]
    return (prefix + shown).encode(errors="surrogatepass") + digest
