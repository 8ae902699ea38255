"""The tests by name, each from raw material and settings to figures: what a command runs, and what a check runs again.

Pure. A test of another module joins by an entry in `TESTS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stillwatch.errors import EvidenceError, UsageError
from stillwatch.lineage import behaviour, canaries, neutrality, safety, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stillwatch.lineage.material import Material
    from stillwatch.lineage.verdict import Strand


@dataclass(frozen=True, slots=True)
class Result:
    """What a test gave.

    Attributes:
        figures: all of them, in plain values.
        strands: what it adds to a verdict; none for a test that is not about descent.
        commitments: of the keys that it used.

    """

    figures: dict[str, Any]
    strands: Sequence[Strand] = ()
    commitments: Sequence[str] = ()


def _alpha(settings: Mapping[str, Any]) -> float:
    alpha = settings.get("alpha", 0.01)
    if not isinstance(alpha, float) or not 0.0 < alpha < 0.5:
        raise UsageError(f"alpha must be above 0 and below 0.5, not {alpha}")
    return alpha


def _safety(materials: Mapping[str, Material], settings: Mapping[str, Any]) -> Result:
    return Result(safety.figures(safety.audit(materials, msgspec.convert(settings, safety.AuditSettings))))


def _neutrality(materials: Mapping[str, Material], settings: Mapping[str, Any]) -> Result:
    return Result(neutrality.figures(neutrality.neutrality(materials, _alpha(settings))))


def _canaries(materials: Mapping[str, Material], settings: Mapping[str, Any]) -> Result:
    found = canaries.canary_test(materials, _alpha(settings))
    commitments = [each.commitment for each in found.agreements]
    return Result(canaries.figures(found), verdict.strands_of_canaries(found), commitments)


def _behaviour(materials: Mapping[str, Material], settings: Mapping[str, Any]) -> Result:
    found = behaviour.behaviour(materials, _alpha(settings))
    return Result(behaviour.figures(found), verdict.strands_of_behaviour(found))


def _verdict(materials: Mapping[str, Material], settings: Mapping[str, Any]) -> Result:
    strands = [strand for each in materials.values() for strand in verdict.read_strands(each)]
    keys = sorted({each.key for each in strands if each.key})
    return Result(verdict.figures(verdict.combine(strands, _alpha(settings))), (), keys)


TESTS: Final[dict[str, Callable[[Mapping[str, Material], Mapping[str, Any]], Result]]] = {
    "safety": _safety,
    "neutrality": _neutrality,
    "canaries": _canaries,
    "behaviour": _behaviour,
    "verdict": _verdict,
}


def compute(test: str, materials: Mapping[str, Material], settings: Mapping[str, Any]) -> Result:
    """Run a test.

    Raises:
        EvidenceError: there is no test of that name, or it has no such setting.
        MaterialError, UsageError: as the test itself.

    """
    if test not in TESTS:
        raise EvidenceError(f"there is no test called {test!r}")
    try:
        return TESTS[test](materials, settings)
    except msgspec.ValidationError as error:
        raise EvidenceError(f"{test}: settings: {error}") from error
