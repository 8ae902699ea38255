"""Detection: who is found, who is wrongly accused, held against arenas with known truth.

    detect.py ARENA...                                     score ready arenas
    detect.py --generate open:11-20 --arena-source PATH    make ten arenas, one at a time, and score them
    detect.py ARENA... --ablate                            again without each family of signals in turn
    detect.py ARENA... --ablate signals                    and without each signal in turn
    detect.py ARENA... --without prompt --without ip,asn,payment,email_domain    again without these columns

A finding counts when its verdict is `campaign`. For each true campaign: the share of its accounts that is accused
(recall), over how many findings it is split, and how pure the largest of them is. For each run: precision over
accounts, innocent accounts accused and what they are, and findings that hold no guilty account at all.
`--score-with` runs another scoring script on the same findings and stops where any figure differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from arenas import Score, Specification, check_against, each_arena, read_truth, reduced, score
from scans import accused_in, scan_arena, signals_in
from stillwatch.verdicts.evidence import Family

ALL = "everything"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to scan an arena: signals or families switched off, columns taken away."""

    name: str
    signals_off: frozenset[str] = frozenset()
    columns_off: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Run:
    """One scan of one arena, scored."""

    arena: str
    variant: str
    seconds: float
    exchanges: int
    score: Score


def variants_of(ablate: str | None, without: list[str], signals: list[str]) -> list[Variant]:
    """What to scan with after the first scan, which has everything."""
    found = []
    if ablate is not None:
        found += [Variant(f"without family {f.value}", signals_off=frozenset({f.value})) for f in Family]
    if ablate == "signals":
        found += [Variant(f"without signal {s}", signals_off=frozenset({s})) for s in signals]
    found += [Variant(f"without columns {w}", columns_off=frozenset(w.split(","))) for w in without]
    return found


def run(arena: Path, name: str, variant: Variant, *, score_with: Path | None) -> tuple[Run, list[str]]:
    """Scan, score, and say which signals gave evidence."""
    with reduced(arena, variant.columns_off) as folder:
        begun = time.perf_counter()
        findings = scan_arena(folder, without=variant.signals_off)
        seconds = time.perf_counter() - begun
    accused = accused_in(findings)
    figures = score(accused, read_truth(arena))
    if score_with is not None:
        check_against(score_with, arena, accused, figures)
    return Run(name, variant.name, seconds, findings.scan.exchanges, figures), signals_in(findings)


def show(one: Run) -> None:
    """One run, a line a campaign."""
    figures = one.score
    print(f"\n{one.arena}, {one.variant}: {one.exchanges:,} exchanges in {one.seconds:.1f} s")
    for name, row in figures.campaigns.items():
        print(
            f"  {name:22} {row.accounts:6} accounts  recall {row.recall:.3f}  in {row.findings} findings  "
            f"largest holds {row.largest_share:.3f} at purity {row.largest_purity:.3f}"
        )
    kinds = ", ".join(f"{count} {kind}" for kind, count in figures.innocent_kinds) or "none"
    print(
        f"  precision {figures.precision:.4f}  innocent accused {figures.innocent_accused} "
        f"({figures.innocent_per_thousand:.3f} per thousand: {kinds})  "
        f"wholly false findings {figures.wholly_false_findings}  mean recall {figures.mean_recall:.3f}"
    )
    if figures.copied_accused:
        print(f"  accused because a campaign copied them: {figures.copied_accused} accounts")


def table(runs: list[Run]) -> list[dict[str, str | float | int]]:
    """Least and mean figures of each campaign over all arenas, a block a variant."""
    rows: list[dict[str, str | float | int]] = []
    for variant in dict.fromkeys(r.variant for r in runs):
        of_variant = [r.score for r in runs if r.variant == variant]
        for name in dict.fromkeys(c for s in of_variant for c in s.campaigns):
            scores = [s.campaigns[name] for s in of_variant if name in s.campaigns]
            recalls = [s.recall for s in scores]
            rows.append(
                {
                    "variant": variant,
                    "campaign": name,
                    "arenas": len(scores),
                    "least_recall": min(recalls),
                    "mean_recall": sum(recalls) / len(recalls),
                    "most_findings": max(s.findings for s in scores),
                    "least_purity": min(s.largest_purity for s in scores),
                }
            )
        precisions = [s.precision for s in of_variant]
        rows.append(
            {
                "variant": variant,
                "campaign": "",
                "arenas": len(of_variant),
                "least_precision": min(precisions),
                "mean_precision": sum(precisions) / len(precisions),
                "innocent_accused": sum(s.innocent_accused for s in of_variant),
                "wholly_false_findings": sum(s.wholly_false_findings for s in of_variant),
            }
        )
    return rows


def show_table(rows: list[dict[str, str | float | int]]) -> None:
    """The table of `table`, in columns."""
    print(f"\n{'variant':38} {'campaign':22} {'arenas':>6}  {'recall: least':>13} {'mean':>6}  findings  purity")
    for row in rows:
        lead = f"{row['variant']:38} {row['campaign'] or '(all)':22} {row['arenas']:6}  "
        if row["campaign"]:
            print(
                f"{lead}{row['least_recall']:13.3f} {row['mean_recall']:6.3f}  "
                f"{row['most_findings']:8}  {row['least_purity']:.3f}"
            )
        else:
            print(
                f"{lead}precision least {row['least_precision']:.4f} mean {row['mean_precision']:.4f}, "
                f"innocent accused {row['innocent_accused']}, wholly false findings {row['wholly_false_findings']}"
            )


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arenas", type=Path, nargs="*", metavar="ARENA")
    parser.add_argument("--generate", action="append", default=[], metavar="SUITE:SEED[-LAST][:SCALE]")
    parser.add_argument("--arena-source", type=Path, help="the script that makes arenas")
    parser.add_argument("--ablate", nargs="?", const="families", choices=("families", "signals"))
    parser.add_argument("--without", action="append", default=[], metavar="COLUMN,...")
    parser.add_argument("--score-with", type=Path, help="another scoring script, to agree with")
    parser.add_argument("--json", action="store_true", help="figures as JSON on stdout, nothing else")
    args = parser.parse_args()
    if not args.arenas and not args.generate:
        parser.error("name an arena, or use --generate")
    return args


def main() -> None:
    """Scan, score, print."""
    args = arguments()
    specifications = [s for text in args.generate for s in Specification.parse_many(text)]
    runs: list[Run] = []
    for name, arena in each_arena(args.arenas, specifications, args.arena_source):
        first, signals = run(arena, name, Variant(ALL), score_with=args.score_with)
        runs.append(first)
        if not args.json:
            show(first)
        for variant in variants_of(args.ablate, args.without, signals):
            runs.append(run(arena, name, variant, score_with=args.score_with)[0])
            if not args.json:
                show(runs[-1])
            sys.stdout.flush()
    rows = table(runs)
    if args.json:
        print(json.dumps({"runs": [asdict(r) for r in runs], "table": rows}))
    elif len(runs) > 1:
        show_table(rows)


if __name__ == "__main__":
    main()
