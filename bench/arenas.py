"""Arenas: request logs with known truth. What the other benchmarks share: reading, making, thinning, scoring.

An arena is a folder that holds

    exchanges/*.parquet       the log, `exchange/1`
    accounts.parquet          one row an account
    truth/accounts.parquet    account, cohort, kind, campaign ('' = part of none)
    truth/exchanges.parquet   request_id, campaign, harvest (optional; nothing here needs it)
    truth/copied.json         optional: innocent cohorts whose template or client a campaign copied

Touches files and starts the arena's own scripts; imports nothing of stillwatch.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Truth:
    """Who is who: account -> campaign ('' = none), cohort, kind; and the accounts that sent anything."""

    campaign: dict[str, str]
    cohort: dict[str, str]
    kind: dict[str, str]
    active: frozenset[str]
    copied: frozenset[str]

    def guilty(self) -> dict[str, set[str]]:
        """Active accounts of each campaign, by its name."""
        found: dict[str, set[str]] = {}
        for account, name in self.campaign.items():
            if name and account in self.active:
                found.setdefault(name, set()).add(account)
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class CampaignScore:
    """How well one true campaign was found.

    Attributes:
        accounts: its accounts that sent anything.
        recall: share of them that is accused, in whatever finding.
        findings: findings that hold at least one of them.
        largest_share: share of them in the finding that holds most of them.
        largest_purity: share of that finding's accounts that belong to this campaign.
    """

    accounts: int
    recall: float
    findings: int
    largest_share: float
    largest_purity: float


@dataclass(frozen=True, slots=True)
class Score:
    """One scan held against one arena's truth.

    Attributes:
        innocent_kinds: what the innocent accounts that were accused really are, most frequent first.
        copied_accused: of those, the accounts of cohorts whose template or client a campaign copied.
    """

    campaigns: dict[str, CampaignScore]
    accused: int
    innocent_accused: int
    unknown_accounts: int
    precision: float
    innocent_per_thousand: float
    wholly_false_findings: int
    mean_recall: float
    innocent_kinds: tuple[tuple[str, int], ...]
    copied_accused: int


def read_truth(arena: Path) -> Truth:
    """The truth of one arena."""
    rows = pq.read_table(arena / "truth" / "accounts.parquet").to_pylist()
    active = pq.read_table(arena / "exchanges", columns=["account"])["account"].unique().to_pylist()
    note = arena / "truth" / "copied.json"
    copied = frozenset(json.loads(note.read_text())) if note.exists() else frozenset()
    return Truth(
        {r["account"]: r["campaign"] for r in rows},
        {r["account"]: r["cohort"] for r in rows},
        {r["account"]: r["kind"] for r in rows},
        frozenset(active),
        copied,
    )


def score(accused: Sequence[frozenset[str]], truth: Truth) -> Score:
    """Hold the accounts of each finding whose verdict is `campaign` against the truth."""
    everyone = frozenset[str]().union(*accused)
    unknown = everyone - truth.campaign.keys()
    innocent = {a for a in everyone - unknown if not truth.campaign[a]}
    ordinary = sum(1 for a in truth.active if not truth.campaign[a])
    campaigns = {}
    for name, accounts in truth.guilty().items():
        touching = [f for f in accused if f & accounts]
        largest = max(touching, key=lambda f: len(f & accounts), default=frozenset[str]())
        shared = len(largest & accounts)
        campaigns[name] = CampaignScore(
            accounts=len(accounts),
            recall=len(everyone & accounts) / len(accounts),
            findings=len(touching),
            largest_share=shared / len(accounts),
            largest_purity=shared / len(largest) if largest else 0.0,
        )
    return Score(
        campaigns=campaigns,
        accused=len(everyone),
        innocent_accused=len(innocent),
        unknown_accounts=len(unknown),
        precision=(len(everyone) - len(innocent) - len(unknown)) / len(everyone) if everyone else 1.0,
        innocent_per_thousand=1000 * len(innocent) / max(1, ordinary),
        wholly_false_findings=sum(1 for f in accused if not any(truth.campaign.get(a) for a in f)),
        mean_recall=sum(c.recall for c in campaigns.values()) / len(campaigns) if campaigns else 1.0,
        innocent_kinds=tuple(Counter(truth.kind[a] for a in innocent).most_common()),
        copied_accused=sum(1 for a in innocent if truth.cohort[a] in truth.copied),
    )


def check_against(script: Path, arena: Path, accused: Sequence[frozenset[str]], ours: Score) -> None:
    """Run another scoring script on the same findings and insist on the same figures.

    Raises:
        SystemExit: a figure differs; the message names it.
    """
    with TemporaryDirectory() as folder:
        findings = Path(folder) / "findings.json"
        campaigns = [
            {"id": str(i), "verdict": "campaign", "accounts": [{"account": a} for a in sorted(f)]}
            for i, f in enumerate(accused)
        ]
        findings.write_text(json.dumps({"campaigns": campaigns}))
        command = [sys.executable, str(script), str(findings), str(arena), "--json"]
        theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - a script that the caller named
    mine = asdict(ours)
    for figure, value in theirs.items():
        # The two count innocents under other headings, so their totals are held against each other instead.
        if figure == "innocent_cohorts":
            if sum(count for _, count in value) > ours.innocent_accused:
                raise SystemExit(f"{arena}: innocents differ: {value} against {ours.innocent_kinds}")
        elif mine[figure] != value:
            raise SystemExit(f"{arena}: {figure} differs: {script} says {value}, this says {mine[figure]}")


@dataclass(frozen=True, slots=True)
class Specification:
    """An arena still to be made, written `SUITE:SEED[:SCALE]`."""

    suite: str
    seed: int
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Specification:
        """Read `SUITE:SEED[:SCALE]`; SEED may be a range such as `1-10` only in `parse_many`."""
        suite, seed, *scale = text.split(":")
        return cls(suite, int(seed), float(scale[0]) if scale else 1.0)

    @classmethod
    def parse_many(cls, text: str) -> list[Specification]:
        """Read `SUITE:FIRST-LAST[:SCALE]`, every seed in between included, or a single one."""
        suite, seeds, *scale = text.split(":")
        first, _, last = seeds.partition("-")
        return [cls.parse(":".join([suite, str(s), *scale])) for s in range(int(first), int(last or first) + 1)]

    @property
    def name(self) -> str:
        """What the arena is called in tables."""
        return f"{self.suite}-{self.seed}" + (f"@{self.scale:g}" if self.scale != 1.0 else "")


@contextmanager
def made(specification: Specification, source: Path) -> Iterator[Path]:
    """Make an arena with the script `source`, and delete it afterwards, so that disk use stays that of one arena."""
    with TemporaryDirectory(prefix="arena-") as folder:
        out = Path(folder) / specification.name
        command = [sys.executable, str(source), "--suite", specification.suite, "--out", str(out)]
        command += ["--seed", str(specification.seed), "--scale", str(specification.scale)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - a script that the caller named
        yield out


def each_arena(
    folders: Iterable[Path], specifications: Iterable[Specification], source: Path | None
) -> Iterator[tuple[str, Path]]:
    """Name and folder of every arena, ready ones first, made ones one at a time.

    Raises:
        SystemExit: arenas are to be made, and no script was named.
    """
    for folder in folders:
        if not (folder / "truth" / "accounts.parquet").exists():
            raise SystemExit(f"{folder}: no truth/accounts.parquet, so this is no arena")
        yield folder.name, folder
    for specification in specifications:
        if source is None:
            raise SystemExit("--generate needs --arena-source")
        with made(specification, source) as folder:
            yield specification.name, folder


def load_machinery(source: Path) -> tuple[Any, Any]:
    """The arena's own modules, `arena` and `suites`, imported from where they lie.

    Raises:
        SystemExit: the file is not there.
    """
    if not source.is_file():
        raise SystemExit(f"{source}: no such file")
    sys.path.insert(0, str(source.resolve().parent))
    try:
        return importlib.import_module(source.stem), importlib.import_module("suites")
    finally:
        sys.path.pop(0)


@contextmanager
def reduced(arena: Path, columns: frozenset[str]) -> Iterator[Path]:
    """A copy of an arena whose log and accounts lack `columns`; deleted afterwards."""
    if not columns:
        yield arena
        return
    with TemporaryDirectory(prefix="reduced-") as folder:
        out = Path(folder) / arena.name
        (out / "exchanges").mkdir(parents=True)
        shutil.copytree(arena / "truth", out / "truth")
        for path in sorted((arena / "exchanges").glob("*.parquet")):
            names = pq.read_schema(path).names
            table = pq.read_table(path, columns=[n for n in names if n not in columns])
            pq.write_table(table, out / "exchanges" / path.name, compression="zstd")
        people = pq.read_table(arena / "accounts.parquet")
        pq.write_table(people.select([n for n in people.column_names if n not in columns]), out / "accounts.parquet")
        yield out


def write_arena(out: Path, exchanges: pa.Table, accounts: pa.Table, truth: pa.Table, *, rows_per_file: int) -> None:
    """Write an arena that was put together here; `exchanges` is sorted by time first."""
    (out / "exchanges").mkdir(parents=True)
    (out / "truth").mkdir()
    ordered = exchanges.sort_by("time")
    for i, start in enumerate(range(0, ordered.num_rows, rows_per_file)):
        part = ordered.slice(start, rows_per_file)
        pq.write_table(part, out / "exchanges" / f"part-{i:05d}.parquet", compression="zstd")
    pq.write_table(accounts, out / "accounts.parquet")
    pq.write_table(truth, out / "truth" / "accounts.parquet")
