"""The law behind every p-value: among ordinary cohorts, a p-value of at most a comes up in a share a of them."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from stillwatch import api

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.verdicts.baseline import Baseline

FITTED, HELD_OUT = 41, (42, 43)
SCALE = 0.25


@cache
def quiet(folder: Path, seed: int) -> Path:
    """The folder of a quiet log."""
    made = folder / f"quiet-{seed}"
    api.simulate("quiet", made, seed=seed, scale=SCALE)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibration")


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Baseline:
    log = quiet(folder, FITTED)
    return api.fit_baseline([log / "exchanges"], accounts=log / "accounts.parquet")


def bound(share: float, cohorts: int) -> float:
    """A share that chance exceeds once in some ten thousand logs, were the cohorts independent.

    Four standard errors, of the cohorts tested and of as many that the baseline was fitted on; and half as much again,
    since apps and offices differ from log to log as a whole.
    """
    return 1.5 * share + 4.0 * math.sqrt(2.0 * share * (1.0 - share) / cohorts)


@pytest.mark.parametrize("seed", HELD_OUT)
def test_small_p_values_are_as_rare_as_they_say(seed: int, baseline: Baseline, folder: Path) -> None:
    log = quiet(folder, seed)
    found = api.cohort_p_values([log / "exchanges"], accounts=log / "accounts.parquet", baseline=baseline)
    assert len(found) >= 100
    assert all(0.0 < cohort.p_value <= 1.0 for cohort in found)
    for share in (0.01, 0.05, 0.1, 0.25):
        under = sum(cohort.p_value <= share for cohort in found) / len(found)
        assert under <= bound(share, len(found)), share
    # a test that gave everybody a large p-value would pass the above, and find nobody
    assert sum(cohort.p_value <= 0.5 for cohort in found) / len(found) >= 0.25


def test_more_strength_never_means_a_larger_p_value(baseline: Baseline, folder: Path) -> None:
    log = quiet(folder, HELD_OUT[0])
    found = api.cohort_p_values([log / "exchanges"], accounts=log / "accounts.parquet", baseline=baseline)
    ordered = sorted(found, key=lambda cohort: cohort.strength)
    assert all(one.p_value >= other.p_value for one, other in pairwise(ordered))
