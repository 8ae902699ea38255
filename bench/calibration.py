"""Calibration: how often innocents are accused, against how often they may be.

    calibration.py --fit ARENA ARENA...                          a baseline from one quiet arena, tested on others
    calibration.py --arena-source PATH --seeds 101-105           the same with arenas made here: the first is fitted on

On logs without any campaign, every cohort that is tested is innocent, so the share of cohorts with p <= alpha should
be alpha or less. It is printed for alpha = 10 %, 5 % and 1 %, with a 95 % interval (Wilson's score interval, JASA 22,
1927), once with the baseline of another log and once with each log's own population. Cohorts of one log share
accounts, so the interval of all logs together is somewhat too narrow. Last comes what a user sees: findings whose
verdict is `campaign`, and the accounts in them.

Folders that `stillwatch simulate` wrote for its quiet scenario do as well as arenas: what is needed is `exchanges/`,
`accounts.parquet` and `truth/accounts.parquet`. A log with campaigns in it is refused: what is tested there is not
all innocent.
"""

from __future__ import annotations

import argparse
import json
import math
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from arenas import Specification, each_arena, read_truth
from scans import accused_in, cohort_p_values, fit_baseline, scan_arena

if TYPE_CHECKING:
    from collections.abc import Iterator

ALPHAS = (0.10, 0.05, 0.01)
Z = 1.959964  # 95 %, two-sided


@dataclass(frozen=True, slots=True)
class Rate:
    """Cohorts with p <= alpha, of those tested, with a 95 % interval of the share."""

    nominal: float
    tested: int
    below: int

    @property
    def realised(self) -> float:
        """The share of cohorts with p <= alpha."""
        return self.below / self.tested if self.tested else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of the share."""
        if not self.tested:
            return 0.0, 1.0
        n, share = self.tested, self.realised
        centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Calibration:
    """One log, tested against one null."""

    log: str
    null: str
    p_values: tuple[float, ...]
    findings: int
    accused: int


def rates(p_values: list[float]) -> list[Rate]:
    """One rate for each nominal level."""
    return [Rate(alpha, len(p_values), sum(p <= alpha for p in p_values)) for alpha in ALPHAS]


def calibrate(name: str, arena: Path, baselines: dict[str, Path | None]) -> list[Calibration]:
    """Test and scan one quiet log against each null.

    Raises:
        SystemExit: the log holds a campaign.
    """
    if read_truth(arena).guilty():
        raise SystemExit(f"{arena}: holds campaigns; calibration needs logs without any")
    found = []
    for null, baseline in baselines.items():
        accused = accused_in(scan_arena(arena, baseline=baseline))
        p_values = tuple(cohort_p_values(arena, baseline=baseline))
        found.append(Calibration(name, null, p_values, len(accused), len(frozenset[str]().union(*accused))))
    return found


def show(title: str, p_values: list[float], findings: int, accused: int) -> None:
    """Print one block."""
    cells = []
    for rate in rates(p_values):
        low, high = rate.interval
        cells.append(f"{rate.nominal:.0%}: {rate.realised:.2%} [{low:.2%}, {high:.2%}]")
    print(
        f"{title:40} {len(p_values):7,} cohorts  {'   '.join(cells)}   campaigns {findings}, accounts accused {accused}"
    )


def quiet_logs(args: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Name and folder of every quiet log; the first is fitted on. Those made here are deleted after their turn."""
    if args.fit is not None:
        yield from each_arena([args.fit], [], None)
    specifications = Specification.parse_many(f"quiet:{args.seeds}:{args.scale:g}") if args.seeds else []
    yield from each_arena(args.arenas, specifications, args.arena_source)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arenas", type=Path, nargs="*", metavar="ARENA", help="quiet arenas")
    parser.add_argument("--fit", type=Path, metavar="ARENA", help="fit on this one; else on the first of all")
    parser.add_argument("--arena-source", type=Path, help="the script that makes arenas")
    parser.add_argument("--seeds", metavar="FIRST[-LAST]")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Fit on the first log, test on the others."""
    args = arguments()
    found: list[Calibration] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="baseline-")))
        baseline: Path | None = None
        for name, arena in quiet_logs(args):
            if baseline is None:
                baseline = fit_baseline(arena, folder / "baseline.json")
                fitted_on = name
                continue
            found += calibrate(name, arena, {f"baseline of {fitted_on}": baseline, "own population": None})
            if not args.json:
                for one in found[-2:]:
                    show(f"{one.log}, {one.null}", list(one.p_values), one.findings, one.accused)
    if not found:
        raise SystemExit("two quiet logs are needed: one to fit on and one to test")
    if args.json:
        print(json.dumps([asdict(c) | {"rates": [asdict(r) for r in rates(list(c.p_values))]} for c in found]))
        return
    print()
    for null in dict.fromkeys(c.null for c in found):
        of_null = [c for c in found if c.null == null]
        together = [p for c in of_null for p in c.p_values]
        show(f"all, {null}", together, sum(c.findings for c in of_null), sum(c.accused for c in of_null))


if __name__ == "__main__":
    main()
