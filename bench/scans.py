"""The one place where the benchmarks call stillwatch: scans and baselines of arenas, with a fixed key.

Touches whatever `stillwatch.api` touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch import api
from stillwatch.verdicts.evidence import Findings, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEY = bytes(range(32))  # a benchmark's marks protect nobody, and a fixed key makes runs repeatable


def scan_arena(arena: Path, *, without: Iterable[str] = (), baseline: Path | None = None) -> Findings:
    """Scan an arena's log with its account file; `without` names signals or families that are switched off."""
    return api.scan(
        [str(arena / "exchanges")],
        accounts=arena / "accounts.parquet",
        baseline=baseline,
        key=KEY,
        settings=api.ScanSettings(without=frozenset(without)),
    )


def accused_in(findings: Findings) -> list[frozenset[str]]:
    """The accounts of each finding whose verdict is `campaign`, strongest first."""
    return [
        frozenset(member.account for member in finding.accounts)
        for finding in findings.campaigns
        if finding.verdict is Verdict.CAMPAIGN
    ]


def signals_in(findings: Findings) -> list[str]:
    """Ids of all signals that gave evidence in these findings, in the order of the alphabet."""
    return sorted({evidence.signal for finding in findings.campaigns for evidence in finding.evidence})


def fit_baseline(arena: Path, out: Path) -> Path:
    """Fit a baseline on an arena's log and write it to `out`, which is returned."""
    fitted = api.fit_baseline([str(arena / "exchanges")], accounts=arena / "accounts.parquet")
    api.save_baseline(fitted, out)
    return out


def cohort_p_values(arena: Path, *, baseline: Path | None) -> list[float]:
    """The p-value of every cohort of an arena that was tested, whether it was reported or not."""
    tested = api.cohort_p_values([str(arena / "exchanges")], accounts=arena / "accounts.parquet", baseline=baseline)
    return [cohort.p_value for cohort in tested]
