"""The evidence file, `stillwatch.lineage/1`: JSON. Every input by its hash, and every figure. Touches no file.

`seal` is the SHA-256 of everything else in it, in canonical form, so that one hash in a letter, or a time stamp on it,
stands for prompts, answers, keys' commitments, versions and figures. Readers pass over keys that they do not know;
whatever changes or takes away a key makes it version 2.
"""

from __future__ import annotations

import hashlib
import math
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from stillwatch.decisions.audit import canonical
from stillwatch.errors import EvidenceError, InputError, UsageError
from stillwatch.lineage.material import Material
from stillwatch.lineage.recompute import compute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stillwatch.lineage.recompute import Result

SCHEMA: Final = "stillwatch.lineage/1"
_NEAR: Final = 1e-9  # relative; other processors round the last digits otherwise


class Input(msgspec.Struct, frozen=True):
    """A file that a test was made on."""

    role: str
    name: str
    sha256: str
    bytes: int


class TestRecord(msgspec.Struct, frozen=True):
    """One test: what it was made on, how, and what it gave.

    `seeds` are of randomness that it used; none of the tests here uses any.
    """

    __test__ = False  # no test of pytest's

    test: str
    made: str
    settings: dict[str, Any]
    inputs: list[Input]
    figures: dict[str, Any]
    versions: dict[str, str]
    commitments: list[str] = []
    seeds: list[int] = []


class Difference(msgspec.Struct, frozen=True):
    """A figure that is not what the file says: which test, where in it, what is said, what was found."""

    test: str
    where: str
    said: Any
    found: Any


def versions() -> dict[str, str]:
    """Versions of all that figures come from."""
    return {"stillwatch": version("stillwatch"), "python": platform.python_version(), "numpy": np.__version__}


def recorded(
    test: str, made: str, settings: Mapping[str, Any], materials: Sequence[Material], result: Result
) -> TestRecord:
    """Put a test on record; `made` is when, RFC 3339."""
    inputs = [Input(each.role, each.name, each.sha256, len(each.data)) for each in materials]
    return TestRecord(
        test, made, dict(settings), inputs, result.figures, versions(), commitments=list(result.commitments)
    )


def to_json(records: Sequence[TestRecord]) -> bytes:
    """Write an evidence file."""
    document: dict[str, Any] = {"schema": SCHEMA, "tests": msgspec.to_builtins(records)}
    return msgspec.json.format(msgspec.json.encode(document | {"seal": _seal(document)}), indent=2) + b"\n"


def from_json(data: bytes, name: str) -> list[TestRecord]:
    """Read an evidence file and see that its seal holds.

    Raises:
        EvidenceError: no evidence file, another version, or it was changed after it was sealed.

    """
    try:
        document = msgspec.json.decode(data)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise EvidenceError(f"{name}: is not {SCHEMA}")
        seal = document.pop("seal", None)
        records = msgspec.convert(document.get("tests"), list[TestRecord])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise EvidenceError(f"{name}: no evidence file: {error}") from error
    if seal != _seal(document):
        raise EvidenceError(f"{name}: was changed after it was sealed")
    if not records:
        raise EvidenceError(f"{name}: holds no test")
    return records


def seal_of(data: bytes) -> str:
    """Give the seal of an evidence file that was just written."""
    return str(msgspec.json.decode(data)["seal"])


def _seal(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(dict(document)).encode()).hexdigest()


def check(records: Sequence[TestRecord], by_hash: Mapping[str, bytes]) -> list[Difference]:
    """Do every test again from its raw material, and give each figure that differs.

    Raises:
        EvidenceError: material is missing, or a test is not known here.

    """
    found: list[Difference] = []
    for record in records:
        materials = {each.role: _material(record, each, by_hash) for each in record.inputs}
        try:
            result = compute(record.test, materials, record.settings)
        except (InputError, UsageError) as error:
            raise EvidenceError(f"{record.test}: cannot be done again: {error}") from error
        found += [Difference(record.test, *each) for each in _apart("figures", record.figures, result.figures)]
        if sorted(record.commitments) != sorted(result.commitments):
            found.append(Difference(record.test, "commitments", record.commitments, list(result.commitments)))
    return found


def _material(record: TestRecord, wanted: Input, by_hash: Mapping[str, bytes]) -> Material:
    data = by_hash.get(wanted.sha256)
    if data is None:
        raise EvidenceError(f"{record.test}: no file has the hash of {wanted.name} ({wanted.role}): {wanted.sha256}")
    return Material(wanted.role, wanted.name, data)


def _apart(where: str, said: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401  any JSON value
    if isinstance(said, dict) and isinstance(found, dict):
        for key in sorted(said.keys() | found.keys()):
            yield from _apart(f"{where}.{key}", said.get(key), found.get(key))
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for index, (one, two) in enumerate(zip(said, found, strict=True)):
            yield from _apart(f"{where}[{index}]", one, two)
    elif not _same(said, found):
        yield where, said, found


def _same(said: Any, found: Any) -> bool:  # noqa: ANN401  any JSON value
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (said, found))
    return math.isclose(said, found, rel_tol=_NEAR) if numbers else type(said) is type(found) and said == found
