"""Marks of one request, named as a scan names them: for whoever has to know a campaign before it is in any log.

The same kernels as for a log (`digest.py`, `text.py`) on arrays of one row. What recurs from request to request (system
prompts, clients with their parameters, addresses) is remembered, so that as a rule only the prompt is read.

Touches nothing but the memory of its own caches. Imports the kernels, which takes a second: import this late.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.marks.digest import MOST, PARAMETERS, TOLD
from stillwatch.marks.hashing import combine, hash_string
from stillwatch.marks.key import mark_hash
from stillwatch.marks.networks import hash_network
from stillwatch.marks.normalise import normalised_text
from stillwatch.marks.text import DIMENSIONS, PHRASES, read_bytes
from stillwatch.marks.traits import TRAITS
from stillwatch.marks.wants import WANTS, load_wants

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Name = tuple[str, bytes]  # family; the keyed hash, 10 bytes

_TEXTS: Final = frozenset({"opening", "closing", "shape", "phrase", "prompt"})
_CLIENT: Final = frozenset({"client", "harness", "parameters"})
_PLACE: Final = frozenset({"address", "network"})
_SIGN_UP: Final = frozenset({"card", "mail"})
_SYSTEMS, _OTHERS = 1024, 16_384  # of how many different ones the marks are remembered


class DoorMarks:
    """Names the marks of single requests.

    Args:
        key: the provider's, as for scans.
        families: which are wanted, of `TRAITS`; others are left out and cost nothing.

    """

    def __init__(self, key: bytes, families: Collection[str] = tuple(TRAITS)) -> None:
        self._hashes = {family: mark_hash(key, family) for family in TRAITS if family in families}
        self._texts = _TEXTS & self._hashes.keys()
        self._client, self._where, self._signed_up = (
            part & self._hashes.keys() for part in (_CLIENT, _PLACE, _SIGN_UP)
        )
        self._wants = load_wants()
        self._system = lru_cache(_SYSTEMS)(self._system_names)
        self._software = lru_cache(_OTHERS, typed=True)(self._software_names)  # 1 is not True
        self._place = lru_cache(_OTHERS)(self._place_names)
        self._account = lru_cache(_OTHERS)(self._account_names)

    def names(self, columns: Mapping[str, object], account: Mapping[str, object] | None = None) -> list[Name]:
        """Name the marks that a request bears.

        Args:
            columns: of `exchange/1`, typed as a log would have them; what is absent or None reveals nothing.
            account: of the accounts table, what is known of its account.

        """
        tell = columns.get
        found: list[Name] = []
        system, prompt = tell("system"), tell("prompt")
        if system and "system" in self._hashes:
            found += self._system(str(system))
        if prompt and self._texts:
            found += self._text_names(str(prompt))
        if self._client:
            found += self._software(tell("user_agent"), tell("ja4"), *map(tell, PARAMETERS))
        if self._where:
            found += self._place(tell("ip"), tell("asn"))
        if account is not None and self._signed_up:
            found += self._account(account.get("payment"), account.get("email_domain"))
        return found

    def _name(self, family: str, mark: int) -> tuple[Name, ...]:
        begun = self._hashes.get(family)
        if begun is None or not mark:
            return ()
        hashed = begun.copy()
        hashed.update(mark.to_bytes(8, "little"))
        return ((family, hashed.digest()),)

    def _text_names(self, text: str) -> list[Name]:
        marks = self._read(text)
        families = ("prompt", "opening", "closing", "shape", *("phrase",) * PHRASES)
        return [name for family, mark in zip(families, marks, strict=True) for name in self._name(family, mark)]

    def _system_names(self, text: str) -> tuple[Name, ...]:
        return self._name("system", self._read(text)[0])

    def _read(self, text: str) -> list[int]:
        """Plain hashes of a text: prompt, opening, closing, shape, phrases."""
        data, bounds = normalised_text(text)
        one = np.empty((4, 1), np.uint64)
        phrases = np.empty((1, PHRASES), np.uint64)
        read_bytes(
            data, bounds, one[0], one[1], one[2], one[3], phrases, np.empty((1, DIMENSIONS), np.int8),
            np.zeros((1, len(WANTS)), np.uint8), self._wants.packed, self._wants.scale, self._wants.bias,
        )  # fmt: skip
        marks: list[int] = one[:, 0].tolist() + phrases[0].tolist()
        return marks

    def _software_names(self, agent: object, fingerprint: object, *parameters: object) -> tuple[Name, ...]:
        parts = _hashed(agent), _hashed(fingerprint)
        client = _combined(*parts) if any(parts) else 0
        told = _parameters(*parameters)
        return (
            *self._name("client", client),
            *self._name("harness", _combined(client, told) if client and told else 0),
            *self._name("parameters", told),
        )

    def _place_names(self, address: object, system: object) -> tuple[Name, ...]:
        network = hash_network(str(address)) if address else 0
        if not network and isinstance(system, int) and system:
            network = _combined(system)
        return *self._name("address", _hashed(address)), *self._name("network", network)

    def _account_names(self, payment: object, domain: object) -> tuple[Name, ...]:
        return *self._name("card", _hashed(payment)), *self._name("mail", _hashed(domain))


def _hashed(value: object) -> int:
    return hash_string(str(value)) if value else 0


def _combined(*values: int) -> int:
    return int(combine(*(np.array((value,), np.uint64 if value >= 0 else np.int64) for value in values))[0])


def _parameters(*values: object) -> int:
    """Hash of the sampling parameters, as `digest.parameters_of` has it; 0 where none is told."""
    if all(value is None for value in values[:TOLD]):
        return 0
    numbers = [_number(value) for value in values]
    stream = values[6]
    return _combined(
        *(round(number * 1000) for number in numbers[:TOLD]),
        int(numbers[5] > 0),
        int(stream) if isinstance(stream, bool) else 2,
        int(numbers[7]),
    )


def _number(value: object) -> float:
    """A number between 0 and `MOST`; what is absent or no number counts 0."""
    if not isinstance(value, (int, float)) or value != value or value in (math.inf, -math.inf):  # noqa: PLR0124  # NaN
        return 0.0
    return float(min(max(value, 0), MOST))
