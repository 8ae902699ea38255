"""Provenance without a dye: does the suspect answer as ours does, more than models of its kind do? Pure.

For every prompt and model: how like its answer is to ours (shared word triples and, where there are few words, letter
triples; Jaccard). Two questions are kept apart:
- Are these prompts enough? Sign test of the suspect against each control, prompt by prompt (exact, one-sided). It must
  beat every control, so the largest p-value counts and needs no correction; Holm's are told for each one.
- Are these controls enough? An innocent suspect would be as another control, so it is first of K + 1 by chance in
  1 of K + 1 cases: that is the p-value, and no number of prompts makes it smaller. The e-value is a soft rank among
  them, at most K + 1.

After model provenance testing (Nikolic, Baluta and Saxena, 2025: agreement against the best control), with the
controls' own number taken into account. The controls must be as an innocent suspect would be: of the same size, base
and years, none taught by ours. That is a judgement; it is no statistic, and it is where to attack this test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from stillwatch.errors import UsageError
from stillwatch.lineage.answers import MOST_MISSING, missing, read_texts, shared
from stillwatch.lineage.e_values import soft_rank
from stillwatch.lineage.exact import holm, sign_test
from stillwatch.lineage.prompts import prompt_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.lineage.material import Material

LEAST_CONTROLS: Final = 5
LEAST_PROMPTS: Final = 100
_FEW_WORDS: Final = 6
_TRIPLE: Final = 3


@dataclass(frozen=True, slots=True)
class AgainstControl:
    """Prompts on which the suspect is nearer to ours than a control, and the other way; ties are left out."""

    control: str
    nearer: int
    farther: int
    p_value: float
    adjusted: float


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What was found.

    Attributes:
        verdict: `nearer than every control`, `no nearer` or `cannot tell`.
        why: in words.
        prompts: answered by all.
        similarity: mean likeness to ours, by model.
        controls: the suspect against each.
        p_prompts: that it is nearer than the best control is luck of the prompts.
        p_controls: that it is nearer is luck of the controls; at least 1 / (controls + 1).
        e_value: evidence against an innocent suspect; at most controls + 1.
        alpha: of the test over prompts.

    """

    verdict: Literal["nearer than every control", "no nearer", "cannot tell"]
    why: str
    prompts: int
    similarity: dict[str, float]
    controls: list[AgainstControl]
    p_prompts: float
    p_controls: float
    e_value: float
    alpha: float


def behaviour(materials: Mapping[str, Material], alpha: float = 0.01) -> Behaviour:
    """Test the `suspect` against `reference` (ours) and all roles that begin with `control`.

    Raises:
        MaterialError: a file says something wrong.
        UsageError: a file is missing.

    """
    controls = sorted(role for role in materials if role.startswith("control"))
    if not {"suspect", "reference"} <= set(materials) or not controls:
        raise UsageError("behaviour needs answers of the suspect, of the reference, and of controls")
    said = {role: read_texts(materials[role]) for role in ("reference", "suspect", *controls)}
    ids = shared(said)
    ours = {each: _triples(said["reference"][each]) for each in ids}
    like = {role: [likeness(ours[each], _triples(texts[each])) for each in ids] for role, texts in said.items()}
    return nearness(like["suspect"], {role: like[role] for role in controls}, alpha, missing=missing(said))


def nearness(
    suspect: Sequence[float], controls: Mapping[str, Sequence[float]], alpha: float, *, missing: int = 0
) -> Behaviour:
    """Do the same with likenesses that were measured, prompt by prompt."""
    rows = []
    for name, theirs in sorted(controls.items()):
        nearer = sum(mine > other for mine, other in zip(suspect, theirs, strict=True))
        farther = sum(mine < other for mine, other in zip(suspect, theirs, strict=True))
        rows.append((name, nearer, farther, sign_test(nearer, farther)))
    adjusted = holm([row[3] for row in rows])
    prompts = len(suspect)
    means = {"suspect": _mean(suspect), **{name: _mean(each) for name, each in sorted(controls.items())}}
    others = [means[name] for name in sorted(controls)]
    as_high = sum(each >= means["suspect"] for each in others)
    p_prompts = max((row[3] for row in rows), default=1.0)
    found = Behaviour(
        verdict="no nearer",
        why=f"some control is as near to ours as the suspect is, on {prompts} prompts",
        prompts=prompts,
        similarity=means,
        controls=[AgainstControl(*row, after) for row, after in zip(rows, adjusted, strict=True)],
        p_prompts=p_prompts,
        p_controls=(1.0 + as_high) / (1.0 + len(others)),
        e_value=soft_rank(means["suspect"], others),
        alpha=alpha,
    )
    return _concluded(found, missing / max(1, prompts + missing))


def figures(found: Behaviour) -> dict[str, Any]:
    """Give every figure in plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _concluded(found: Behaviour, share_missing: float) -> Behaviour:
    reasons = []
    if len(found.controls) < LEAST_CONTROLS:
        reasons.append(f"{len(found.controls)} controls; {LEAST_CONTROLS} are the least")
    if found.prompts < LEAST_PROMPTS:
        reasons.append(f"{found.prompts} prompts answered by all; {LEAST_PROMPTS} are the least")
    if share_missing > MOST_MISSING:
        reasons.append(
            f"{share_missing:.0%} of the prompts lack an answer of some model; at most {MOST_MISSING:.0%} may"
        )
    if reasons:
        # what cannot tell must not weigh: an e-value of 1 is always one
        return replace(found, verdict="cannot tell", why="; ".join(reasons), e_value=1.0)
    if found.p_prompts <= found.alpha:
        why = (
            f"nearer to ours than all {len(found.controls)} controls (p = {found.p_prompts:.2g} over prompts);"
            f" by luck of the controls once in {len(found.controls) + 1}"
        )
        return replace(found, verdict="nearer than every control", why=why)
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def likeness(one: frozenset[str], two: frozenset[str]) -> float:
    """Share of triples that two answers have in common, of all that either has (Jaccard); two empty ones are alike."""
    together = len(one | two)
    return len(one & two) / together if together else 1.0


def _triples(text: str) -> frozenset[str]:
    plain = prompt_key(text).casefold()
    words = plain.split(" ")
    if len(words) >= _FEW_WORDS:
        return frozenset(" ".join(words[at : at + _TRIPLE]) for at in range(len(words) - _TRIPLE + 1))
    return (
        frozenset(plain[at : at + _TRIPLE] for at in range(max(1, len(plain) - _TRIPLE + 1))) if plain else frozenset()
    )
