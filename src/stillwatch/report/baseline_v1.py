"""The baseline on file, `stillwatch.baseline/1`: JSON that a person can read. Touches the file that it is given.

For every signal and size of cohort the file holds scores of ordinary cohorts and how many cohorts lie at or above each:
no account, no mark, no text. Long references are thinned towards the innocent side, where p-values are large anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stillwatch.errors import BaselineError
from stillwatch.report.output_file import write_whole
from stillwatch.stats import Reference
from stillwatch.verdicts.baseline import SIZES, Baseline
from stillwatch.verdicts.signals import SIGNALS

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "stillwatch.baseline/1"
POINTS = 400  # that a reference is thinned to


class _Points(msgspec.Struct, frozen=True):
    scores: list[float]
    at_or_above: list[float]


class _Signal(msgspec.Struct, frozen=True):
    guilt: list[_Points]
    innocence: list[_Points]


class _File(msgspec.Struct, frozen=True):
    schema: str
    name: str
    cohorts: int
    size_classes: list[int]
    strengths: _Points
    signals: dict[str, _Signal]


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    content = _File(
        schema=SCHEMA,
        name=f"{baseline.cohorts:,} cohorts of the baseline {path.name}",
        cohorts=baseline.cohorts,
        size_classes=list(SIZES),
        strengths=_thinned(baseline.strengths),
        signals={
            signal.id: _Signal(
                [_thinned(reference) for reference in baseline.guilt[signal.id]],
                [_thinned(reference) for reference in baseline.innocence[signal.id]],
            )
            for signal in SIGNALS
        },
    )
    write_whole(path, msgspec.json.format(msgspec.json.encode(content), indent=1))


def load_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BaselineError: the file cannot be read, is broken, of another version, or lacks a signal.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror}") from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BaselineError(f"{path}: no {SCHEMA}: {error}") from error
    if content.schema != SCHEMA or content.size_classes != list(SIZES):
        raise BaselineError(
            f"{path}: of another version ({content.schema}); fit it again with `stillwatch baseline fit`"
        )
    missing = [signal.id for signal in SIGNALS if signal.id not in content.signals]
    if missing:
        raise BaselineError(
            f"{path}: $.signals: lacks {', '.join(missing)}; fit it again with `stillwatch baseline fit`"
        )
    guilt, innocence = {}, {}
    for signal in SIGNALS:
        held = content.signals[signal.id]
        if len(held.guilt) != len(SIZES) or len(held.innocence) != len(SIZES):
            raise BaselineError(f"{path}: $.signals.{signal.id}: needs {len(SIZES)} size classes")
        guilt[signal.id] = tuple(
            _reference(points, path, f"$.signals.{signal.id}.guilt[{index}]") for index, points in enumerate(held.guilt)
        )
        innocence[signal.id] = tuple(
            _reference(points, path, f"$.signals.{signal.id}.innocence[{index}]")
            for index, points in enumerate(held.innocence)
        )
    return Baseline(content.name, content.cohorts, guilt, innocence, _reference(content.strengths, path, "$.strengths"))


def _thinned(reference: Reference) -> _Points:
    """At most `POINTS` scores, dense at the top; mass between two kept scores counts at the upper one."""
    size = len(reference.scores)
    if size <= POINTS:
        kept = np.arange(size)
    else:
        ranks = np.unique(np.rint(np.geomspace(1, size, POINTS)).astype(np.int64))
        kept = np.sort(size - ranks)
    below = np.r_[0, kept[:-1] + 1] if len(kept) else kept
    return _Points(
        reference.scores[kept].tolist(),
        reference.mass[below].tolist(),
    )


def _reference(points: _Points, path: Path, where: str) -> Reference:
    scores, mass = np.array(points.scores, np.float64), np.array(points.at_or_above, np.float64)
    if len(scores) != len(mass) or (np.diff(scores) < 0).any() or (np.diff(mass) > 0).any() or (mass < 0).any():
        raise BaselineError(f"{path}: {where}: scores must ascend and at_or_above must descend, one for one")
    return Reference(scores, np.r_[mass, 0.0])
