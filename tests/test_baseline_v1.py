from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.traffic import KEY, named

from stillwatch import api
from stillwatch.cohorts.survey import Surveyor
from stillwatch.engine.local import populate_from
from stillwatch.errors import BaselineError, OutputError
from stillwatch.exchanges.read import conform
from stillwatch.marks.digest import NEEDED
from stillwatch.report.baseline_v1 import POINTS, _reference, _thinned, load_baseline, save_baseline
from stillwatch.stats import Reference
from stillwatch.verdicts.baseline import SIZES, Baseline, fit
from stillwatch.verdicts.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from stillwatch.cohorts.survey import Figures, Survey

ROUNDED = 2e-6  # scores and masses are written with six decimals

Document = dict[str, Any]


@cache
def surveyed() -> tuple[Baseline, Figures]:
    """A baseline, and the figures of a log that it was not fitted on."""
    fitted, other = (_survey(seed) for seed in (6, 7))
    return fit(fitted, name=lambda cohorts: f"{cohorts} cohorts"), other.figures


def _survey(seed: int) -> Survey:
    log = named("quiet", seed=seed, scale=0.1)
    batches = conform(log.exchanges).to_batches(max_chunksize=65_536)
    return Surveyor(populate_from((batch.select(NEEDED) for batch in batches), log.accounts)).survey()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    save_baseline(surveyed()[0], path)
    return path


# ---- what is written is what is read


def test_a_baseline_on_file_scores_as_it_did_or_lower(written: Path) -> None:
    baseline, figures = surveyed()
    held = load_baseline(written)
    assert held.cohorts == baseline.cohorts
    assert written.name in held.name
    for signal in SIGNALS:
        for side in ("guilt", "innocence"):
            before, after = getattr(baseline, side)[signal.id], getattr(held, side)[signal.id]
            scores = getattr(signal, side)(figures)
            for one, other in zip(before, after, strict=True):
                require_close_above(one, other, scores)
    require_close_above(baseline.strengths, held.strengths, np.linspace(-20.0, 40.0, 601))
    assert np.abs(baseline.score(figures).signals - held.score(figures).signals).max() < 0.5  # bits


def require_close_above(before: Reference, after: Reference, scores: NDArray[np.float64]) -> None:
    """Thinning never makes a p-value smaller, and hardly larger; the rounding of scores apart."""
    p_values = before.p_values(scores)
    assert (after.p_values(scores - ROUNDED) >= p_values - ROUNDED).all()
    assert (after.p_values(scores + ROUNDED) <= 1.1 * p_values + 0.01).all()


def test_rounding_too_errs_on_the_innocent_side() -> None:
    # shares such as 1/3 tie in many cohorts; rounded down, all of them fall below the cohort that is asked about
    score = 1.0 / 3.0
    reference = Reference.of(np.r_[np.zeros(90), np.full(10, score)], np.ones(100))
    points = _thinned(reference)
    read = Reference(np.array(points.scores), np.r_[points.at_or_above, 0.0])
    asked = np.array([score])
    assert read.p_values(asked) >= reference.p_values(asked) - ROUNDED


def test_saving_again_what_was_read_changes_nothing_but_the_name(written: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    save_baseline(load_baseline(written), again)
    one, other = json.loads(written.read_text()), json.loads(again.read_text())
    assert one.pop("name") != other.pop("name")
    assert one == other


@given(st.integers(0, 2**32), st.integers(1, 3000), st.booleans())
def test_thinning_errs_on_the_innocent_side(seed: int, size: int, whole: bool) -> None:
    chance = np.random.default_rng(seed)
    scores = chance.normal(size=size)
    scores = np.rint(2 * scores) if whole else scores  # with ties
    reference = Reference.of(scores, chance.uniform(0.1, 1.0, size))
    points = _thinned(reference)
    assert len(points.scores) <= POINTS
    asked = np.r_[scores, chance.normal(size=200) * 2]
    thinned = Reference(np.array(points.scores), np.r_[points.at_or_above, 0.0])
    before, after = reference.p_values(asked), thinned.p_values(asked - ROUNDED)
    assert (after >= before - ROUNDED).all()
    assert thinned.total == pytest.approx(reference.total, abs=ROUNDED)


def test_a_reference_that_is_empty_stays_so(written: Path) -> None:
    points = _thinned(Reference.of(np.empty(0), np.empty(0)))
    assert (points.scores, points.at_or_above) == ([], [])
    assert _reference(points, written, "$").p_values(np.array([3.0])).tolist() == [1.0]


def test_a_baseline_that_is_used_is_named_in_the_findings(written: Path, tmp_path: Path) -> None:
    log = named("tiny", seed=1, scale=1.0)
    folder = tmp_path / "logs"
    api.simulate("tiny", folder, seed=1)
    by_path = api.scan([folder / "exchanges"], accounts=folder / "accounts.parquet", baseline=written, key=KEY)
    assert by_path.scan.baseline == load_baseline(written).name
    assert by_path.campaigns == log.scan(baseline=load_baseline(written)).campaigns


# ---- what is not one


def _at(*keys: str | int) -> Callable[[Document, object], None]:
    def put(document: Document, value: object) -> None:
        inner: Any = document
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return put


SIGNAL = SIGNALS[0].id
BROKEN: dict[str, tuple[Callable[[Document, object], None], object, str]] = {
    "version": (_at("schema"), "stillwatch.baseline/2", "of another version (stillwatch.baseline/2)"),
    "size classes": (_at("size_classes"), [0, 10], "of another version"),
    "cohorts no number": (_at("cohorts"), "many", "$.cohorts"),
    "no signals": (_at("signals"), {}, f"$.signals: lacks {SIGNAL}"),
    "signal of another shape": (_at("signals", SIGNAL), [], "$.signals[...]"),
    "too few size classes": (_at("signals", SIGNAL, "guilt"), [], f"$.signals.{SIGNAL}: needs {len(SIZES)}"),
    "scores not in order": (
        _at("signals", SIGNAL, "guilt", 1),
        {"scores": [2.0, 1.0], "at_or_above": [2.0, 1.0]},
        f"$.signals.{SIGNAL}.guilt[1]",
    ),
    "masses that rise": (
        _at("signals", SIGNAL, "innocence", 0),
        {"scores": [1.0, 2.0], "at_or_above": [1.0, 2.0]},
        f"$.signals.{SIGNAL}.innocence[0]",
    ),
    "masses below nothing": (_at("strengths"), {"scores": [1.0], "at_or_above": [-1.0]}, "$.strengths"),
    "one mass too many": (_at("strengths"), {"scores": [1.0], "at_or_above": [2.0, 1.0]}, "$.strengths"),
    "a mass but no score": (_at("strengths"), {"scores": [], "at_or_above": [1.0]}, "$.strengths"),
    "a score that is null": (_at("strengths", "scores"), [None], "$.strengths.scores[0]"),
    "a part that is missing": (_at("strengths"), {"scores": []}, "$.strengths"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_baseline_is_refused_by_path_and_field(kind: str, written: Path) -> None:
    put, value, says = BROKEN[kind]
    document = json.loads(written.read_text())
    put(document, value)
    written.write_text(json.dumps(document))
    with pytest.raises(BaselineError) as raised:
        load_baseline(written)
    assert str(raised.value).startswith(f"{written}: ")
    assert says in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": "stillwatch.findings/1"}'])
def test_what_is_no_baseline_is_refused_by_path(content: bytes, written: Path) -> None:
    written.write_bytes(content)
    with pytest.raises(BaselineError, match=r"no stillwatch\.baseline/1") as raised:
        load_baseline(written)
    assert str(raised.value).startswith(f"{written}: ")


def test_a_file_cut_short_is_refused(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-20])
    with pytest.raises(BaselineError, match="truncated"):
        load_baseline(written)


def test_a_baseline_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(BaselineError) as raised:
            load_baseline(path)
        assert str(raised.value).startswith(f"{path}: ")


def test_a_scan_with_a_baseline_of_another_version_is_refused(written: Path, tmp_path: Path) -> None:
    written.write_text(written.read_text().replace("stillwatch.baseline/1", "stillwatch.baseline/0"))
    folder = tmp_path / "logs"
    api.simulate("tiny", folder, seed=1, scale=0.3)
    with pytest.raises(BaselineError, match=r"stillwatch\.baseline/0.*fit it again"):
        api.scan([folder / "exchanges"], baseline=written, key=KEY)


def test_a_baseline_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing"):
        save_baseline(surveyed()[0], tmp_path / "missing" / "baseline.json")
    assert list(tmp_path.iterdir()) == []
