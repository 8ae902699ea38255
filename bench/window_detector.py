"""The published window detector against stillwatch, on the same logs, at attacker shares from 1 % to 100 %.

    window_detector.py ARENA... --quiet ARENA [--campaign NAME] [--exchanges 100000] [--json]

The rival is the detector of "An Embarrassingly Simple Detector for Model Extraction Attacks in Large Language Model
API Traffic" (Liu, Guo, Dong; arXiv 2606.05725), written anew from its abstract and its authors' description.

Taken from the description:
- prompts are embedded; a window of traffic is compared with benign reference traffic by maximum mean discrepancy (MMD);
- the threshold comes from benign-against-benign comparisons alone, never from attacks;
- windows hold 1,500 prompts; mixed windows hold attacker shares from a few percent to all;
- it is meant for the traffic of one user and for the pooled traffic of many.

Chosen here, because the description does not say or because it is kinder to the rival:
- the kernel is exp(-d^2 / m), m the median squared distance of ordinary prompts; MMD^2 is the unbiased estimate of
  Gretton et al., "A Kernel Two-Sample Test" (JMLR 13, 2012), equation 3;
- the default embedding is hashed TF-IDF; the authors' is bge-small-en-v1.5. `--encoder FOLDER` takes any sentence
  encoder as ONNX (the authors report no need of a particular one), which is slow without an accelerator;
- the threshold is the 99th percentile, so that it may accuse as often as is allowed here; windows for it are runs of
  consecutive traffic rather than random draws, since those understate how ordinary traffic varies from hour to hour;
- pooled windows are consecutive traffic of the whole log; the last one reaches back so that it is full. A window that
  is flagged flags everything inside. One user's window is all that an account sent (10 to 1,500 prompts), with a
  threshold for each band of sizes.

Both read the same logs of a fixed size. The campaign is thinned to the wanted share, keeping at least 30 of its
accounts, or all; ordinary traffic is thinned by whole accounts. Both learn what is ordinary from the same quiet arena:
the rival its reference and thresholds, stillwatch its baseline. Share 0 is held-out ordinary traffic.

The figure of merit is the share of the campaign's exchanges that is flagged while at most 1 % of ordinary exchanges
is. For the rival it is given with the best threshold that anybody could set after seeing the truth, and for the better
of its two modes; for stillwatch as it comes. Its own measure, the share of windows flagged, is printed beside it: a
window counts as flagged by stillwatch if it holds an exchange of an accused account.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arenas import read_truth, write_arena
from embeddings import Encoder, HashedTfIdf, Matrix, SentenceEncoder
from scans import accused_in, fit_baseline, scan_arena

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0)
WINDOW = 1_500
REFERENCE = 3_000  # ordinary prompts that every window is compared with
ALLOWED = 0.01  # share of ordinary traffic that may be flagged
BANDS = (10, 20, 40, 80, 160)  # least sizes of the bands of one user's windows
LEAST_ACCOUNTS = 30
CALIBRATION_LOGS = 6


@dataclass(frozen=True, slots=True)
class Log:
    """Rows of an arena in order of time, with who sent them."""

    rows: pa.Table
    account: NDArray[np.int64]  # number of the account
    names: list[str]  # account number -> account
    attack: NDArray[np.bool_]  # the account belongs to the campaign

    def __len__(self) -> int:
        return len(self.account)


@dataclass(frozen=True, slots=True)
class Flagged:
    """What is flagged in a log, as shares."""

    attack_exchanges: float
    ordinary_exchanges: float
    attack_accounts: float
    ordinary_accounts: float

    @property
    def merit(self) -> float:
        """Share of attack exchanges flagged, and 0 where too much ordinary traffic is."""
        return self.attack_exchanges if self.ordinary_exchanges <= ALLOWED else 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """Both detectors on one log."""

    arena: str
    campaign: str
    share: float
    exchanges: int
    campaign_accounts: int
    rival_window_auc: float
    rival_window_rate: float
    own_window_rate: float
    rival_windows: Flagged
    rival_accounts: Flagged
    rival_best: float
    own: Flagged

    @property
    def outcome(self) -> str:
        """Who is ahead by the figure of merit."""
        if self.share == 0:
            return "-"
        if self.own.merit == self.rival_best:
            return "level" if self.rival_best else "neither"
        return "ahead" if self.own.merit > self.rival_best else "behind"


# ---------------------------------------------------------------- logs
class Arena:
    """An arena held in memory, from which logs of any mixture are drawn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truth = read_truth(folder)
        self.rows = pq.read_table(folder / "exchanges").sort_by("time")
        coded = self.rows["account"].combine_chunks().dictionary_encode()
        self.account = coded.indices.to_numpy().astype(np.int64)
        self.names: list[str] = coded.dictionary.to_pylist()
        self.campaign_of = np.array([self.truth.campaign[n] for n in self.names], dtype=object)

    def draw(self, campaign: str, share: float, exchanges: int, seed: int) -> Log:
        """Draw a log in which `share` of all exchanges come from the campaign's accounts.

        Smaller than `exchanges` where the campaign, or the ordinary traffic, is too small for it. With one seed, the
        ordinary accounts of a larger share are among those of a smaller one, so that shares differ in nothing else.
        """
        ordinary = np.flatnonzero(self.campaign_of[self.account] == "")
        attack = np.flatnonzero(self.campaign_of[self.account] == campaign) if campaign else np.zeros(0, np.int64)
        if share > 0:
            exchanges = min(exchanges, int(len(attack) / share))
        if share < 1:
            exchanges = min(exchanges, int(len(ordinary) / (1 - share)))
        wanted = round(exchanges * share)
        kept = np.concatenate(
            [
                self._thin(attack, wanted, np.random.default_rng((seed, 1))),
                self._whole(ordinary, exchanges - wanted, np.random.default_rng((seed, 2))),
            ]
        )
        kept.sort()
        account = self.account[kept]
        return Log(self.rows.take(kept), account, self.names, self.campaign_of[account] == (campaign or None))

    def _whole(self, rows: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows of whole accounts, drawn at random until enough; the last account is cut short."""
        order = rng.permutation(len(self.names))[self.account[rows]]
        return rows[np.argsort(order, kind="stable")[:wanted]]

    def _thin(self, rows: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows of as few accounts as hold enough, but at least LEAST_ACCOUNTS; then thinned at random."""
        if wanted == 0:
            return rows[:0]
        accounts = rng.permutation(np.unique(self.account[rows]))
        sizes = np.bincount(self.account[rows], minlength=len(self.names))[accounts]
        enough = int(np.searchsorted(np.cumsum(sizes), wanted)) + 1
        chosen = rows[np.isin(self.account[rows], accounts[: max(enough, LEAST_ACCOUNTS)])]
        return rng.permutation(chosen)[:wanted]

    def save(self, log: Log, out: Path) -> None:
        """Write a drawn log as an arena of its own."""
        present = pa.array([self.names[i] for i in np.unique(log.account)])
        people = pq.read_table(self.folder / "accounts.parquet")
        truth = pq.read_table(self.folder / "truth" / "accounts.parquet")
        write_arena(
            out,
            log.rows,
            people.filter(pc.is_in(people["account"], present)),
            truth.filter(pc.is_in(truth["account"], present)),
            rows_per_file=250_000,
        )


# ---------------------------------------------------------------- the rival
class WindowDetector:
    """MMD of a window of prompts against reference prompts, with thresholds from ordinary traffic."""

    def __init__(self, encoder: Encoder, quiet: Arena, exchanges: int, seed: int) -> None:
        self._encoder = encoder
        rng = np.random.default_rng(seed)
        some = np.sort(rng.choice(len(quiet.account), min(REFERENCE, len(quiet.account)), replace=False))
        self._reference = encoder.encode(_prompts(quiet.rows.take(some)))
        squared = _squared_distances(self._reference, self._reference)
        self._width = float(np.median(squared[np.triu_indices(len(squared), 1)]))
        self._own = _mean_of_others(np.exp(-squared / self._width))
        windows: list[float] = []
        sizes: list[NDArray[np.int64]] = []
        scores: list[NDArray[np.float64]] = []
        for i in range(CALIBRATION_LOGS):
            log = quiet.draw("", 0.0, exchanges, seed + i)
            vectors, near = self.embed(log)
            windows += list(self.score_windows(vectors, near))
            _, size, score = self.score_accounts(log, vectors, near)
            sizes.append(size)
            scores.append(score)
        self.window_threshold = float(np.quantile(windows, 1 - ALLOWED))
        self._fit_bands(np.concatenate(sizes), np.concatenate(scores))
        self.calibrated_on = f"{len(windows)} windows and {sum(map(len, sizes)):,} accounts of quiet traffic"

    def _fit_bands(self, sizes: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Set one threshold a band of sizes; a band with fewer than 100 accounts takes that of the band below it."""
        bands = np.searchsorted(BANDS, sizes, side="right") - 1
        self.band_thresholds: NDArray[np.float64] = np.full(len(BANDS), np.inf)
        for band in range(len(BANDS)):
            own = scores[bands == band]
            if len(own) >= 100:
                self.band_thresholds[band] = np.quantile(own, 1 - ALLOWED)
            elif band:
                self.band_thresholds[band] = self.band_thresholds[band - 1]

    def embed(self, log: Log) -> tuple[Matrix, NDArray[np.float64]]:
        """Vectors of all prompts of a log, and each one's mean kernel with the reference."""
        vectors = self._encoder.encode(_prompts(log.rows))
        near = np.empty(len(vectors))
        for start in range(0, len(vectors), 4_000):
            part = vectors[start : start + 4_000]
            near[start : start + 4_000] = self._kernel(part, self._reference).mean(1)
        return vectors, near

    def score_windows(self, vectors: Matrix, near: NDArray[np.float64]) -> NDArray[np.float64]:
        """MMD^2 of each window of consecutive traffic."""
        starts = window_starts(len(near))
        return np.array([self._mmd(vectors[s : s + WINDOW], near[s : s + WINDOW]) for s in starts])

    def score_accounts(
        self, log: Log, vectors: Matrix, near: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Number, size and MMD^2 of each account that sent enough; of more than a window, the first window's worth."""
        order = np.argsort(log.account, kind="stable")
        accounts, first, counts = np.unique(log.account[order], return_index=True, return_counts=True)
        enough = counts >= BANDS[0]
        scores = []
        for begin, count in zip(first[enough], counts[enough], strict=True):
            rows = order[begin : begin + min(count, WINDOW)]
            scores.append(self._mmd(vectors[rows], near[rows]))
        return accounts[enough], np.minimum(counts[enough], WINDOW), np.array(scores)

    def margins(self, sizes: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give how far each account's score lies above the threshold of its band, as a ratio."""
        bands = np.searchsorted(BANDS, sizes, side="right") - 1
        return scores / np.maximum(self.band_thresholds[bands], 1e-9)

    def _kernel(self, left: Matrix, right: Matrix) -> Matrix:
        kernel: Matrix = np.exp(-_squared_distances(left, right) / np.float32(self._width))
        return kernel

    def _mmd(self, vectors: Matrix, near: NDArray[np.float64]) -> float:
        return _mean_of_others(self._kernel(vectors, vectors)) + self._own - 2 * float(near.mean())


def window_starts(rows: int) -> list[int]:
    """First rows of all windows: side by side, the last one reaching back to be full; one where there are too few."""
    starts = list(range(0, max(1, rows - WINDOW + 1), WINDOW))
    if rows > starts[-1] + WINDOW:
        starts.append(rows - WINDOW)
    return starts


def _prompts(rows: pa.Table) -> pa.Array:
    return (
        pa.concat_arrays(rows["prompt"].cast(pa.large_string()).chunks)
        if rows.num_rows
        else pa.array([], pa.large_string())
    )


def _squared_distances(left: Matrix, right: Matrix) -> Matrix:
    """Squared distances of unit vectors."""
    distances: Matrix = np.maximum(2 - 2 * (left @ right.T), 0)
    return distances


def _mean_of_others(kernel: Matrix) -> float:
    """Mean of a kernel matrix without its diagonal, which is all ones."""
    n = len(kernel)
    return (float(kernel.sum(dtype=np.float64)) - n) / (n * (n - 1)) if n > 1 else 1.0


# ---------------------------------------------------------------- figures
def flag(log: Log, flagged: NDArray[np.bool_]) -> Flagged:
    """Count which exchanges, and which accounts with any flagged exchange, are of the campaign and which ordinary."""
    total, hit = (
        np.bincount(log.account, minlength=len(log.names)),
        np.bincount(log.account[flagged], minlength=len(log.names)),
    )
    guilty = np.zeros(len(log.names), np.bool_)
    guilty[log.account[log.attack]] = True
    present = total > 0
    return Flagged(
        _share(flagged[log.attack]),
        _share(flagged[~log.attack]),
        _share(hit[present & guilty] > 0),
        _share(hit[present & ~guilty] > 0),
    )


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def best_rate(log: Log, scores: NDArray[np.float64], quiet: NDArray[np.float64]) -> float:
    """Share of attack exchanges flagged with the best threshold that flags at most 1 % of ordinary exchanges.

    Ordinary exchanges are those of the log, or, where it has none, those of the held-out quiet log (`quiet`: their
    scores). Scores are one an exchange.
    """
    ordinary = scores[~log.attack] if not log.attack.all() else quiet
    # Ties share a fate, so the threshold is a score that at most 1 % of ordinary exchanges exceed.
    threshold = np.sort(ordinary)[::-1][int(ALLOWED * len(ordinary))]
    return _share(scores[log.attack] > threshold)


def area_under_curve(attack: NDArray[np.float64], ordinary: NDArray[np.float64]) -> float:
    """Probability that a window with attack scores above one without; ties count half."""
    if not (len(attack) and len(ordinary)):
        return float("nan")
    above = (attack[:, None] > ordinary[None, :]).mean() + 0.5 * (attack[:, None] == ordinary[None, :]).mean()
    return float(above)


@dataclass(slots=True)
class Quiet:
    """What the rival says of the held-out log without the campaign, for shares that have no ordinary traffic."""

    windows: NDArray[np.float64]
    by_window: NDArray[np.float64]
    by_account: NDArray[np.float64]


def compare(
    arena: Arena, campaign: str, log: Log, *, rival: WindowDetector, baseline: Path, quiet: Quiet | None
) -> tuple[Result, Quiet]:
    """Run both detectors on one log; `quiet` is None for the log of share 0 itself."""
    vectors, near = rival.embed(log)
    windows = rival.score_windows(vectors, near)
    starts = window_starts(len(log))
    by_window = windows[np.minimum(np.arange(len(log)) // WINDOW, len(windows) - 1)]
    accounts, sizes, scores = rival.score_accounts(log, vectors, near)
    margin = np.full(len(log.names), -np.inf)
    margin[accounts] = rival.margins(sizes, scores)
    by_account = margin[log.account]
    this = Quiet(windows, by_window, by_account)
    held_out = quiet or this

    with TemporaryDirectory(prefix="share-") as folder:
        arena.save(log, Path(folder) / "log")
        accused = frozenset[str]().union(*accused_in(scan_arena(Path(folder) / "log", baseline=baseline)))
    caught = np.array([name in accused for name in log.names])[log.account]
    attacked = bool(log.attack.any())
    result = Result(
        arena=arena.folder.name,
        campaign=campaign,
        share=float(log.attack.mean()),
        exchanges=len(log),
        campaign_accounts=len(np.unique(log.account[log.attack])),
        rival_window_auc=area_under_curve(windows, held_out.windows),
        rival_window_rate=_share(windows > rival.window_threshold),
        own_window_rate=_share(np.array([caught[s : s + WINDOW].any() for s in starts])),
        rival_windows=flag(log, by_window > rival.window_threshold),
        rival_accounts=flag(log, by_account > 1),
        rival_best=max(best_rate(log, by_window, held_out.by_window), best_rate(log, by_account, held_out.by_account))
        if attacked
        else 0.0,
        own=flag(log, caught),
    )
    return result, this


def show(results: list[Result]) -> None:
    """Print the table: windows by the rival's own measure, then what is flagged (attack/ordinary), then the merit."""
    print(
        f"\n{'':31}{'campaign':>9} | windows flagged     | exchanges flagged: of the attack/of ordinary  | merit\n"
        f"{'campaign':16}{'share':>6}{'rows':>9}{'accounts':>9} | {'AUC':>5} {'theirs':>6} {'ours':>6} | "
        f"{'their windows':>14} {'their accounts':>15} {'ours':>14} | {'theirs':>6} {'ours':>6}"
    )
    for r in results:
        shown = (r.rival_windows, r.rival_accounts, r.own)
        windows, accounts, own = (f"{f.attack_exchanges:.3f}/{f.ordinary_exchanges:.4f}" for f in shown)
        print(
            f"{r.campaign or '(none)':16}{r.share:6.1%}{r.exchanges:9}{r.campaign_accounts:9} | "
            f"{r.rival_window_auc:5.3f} {r.rival_window_rate:6.3f} {r.own_window_rate:6.3f} | "
            f"{windows:>14} {accounts:>15} {own:>14} | {r.rival_best:6.3f} {r.own.merit:6.3f} {r.outcome}"
        )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arenas", type=Path, nargs="+", metavar="ARENA")
    parser.add_argument("--quiet", type=Path, required=True, help="an arena without campaigns: both learn from it")
    parser.add_argument("--campaign", action="append", help="by default every campaign of the arena")
    parser.add_argument("--exchanges", type=int, default=100_000, help="rows of each log")
    parser.add_argument("--shares", type=lambda t: [float(s) for s in t.split(",")], default=list(SHARES))
    parser.add_argument("--encoder", type=Path, help="a folder with model.onnx and tokenizer.json")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Draw logs, run both, print."""
    args = arguments()
    quiet_arena = Arena(args.quiet)
    encoder: Encoder = (
        SentenceEncoder(args.encoder) if args.encoder else HashedTfIdf(_prompts(quiet_arena.rows.slice(0, 200_000)))
    )
    rival = WindowDetector(encoder, quiet_arena, args.exchanges, args.seed)
    del quiet_arena  # a gigabyte or two at full scale, and no longer needed
    print(f"the rival: {encoder.name}; thresholds from {rival.calibrated_on}", file=sys.stderr)
    results: list[Result] = []
    with TemporaryDirectory(prefix="baseline-") as folder:
        baseline = fit_baseline(args.quiet, Path(folder) / "baseline.json")
        for path in args.arenas:
            arena = Arena(path)
            quiet_log = arena.draw("", 0.0, args.exchanges, args.seed)
            ground, quiet = compare(arena, "", quiet_log, rival=rival, baseline=baseline, quiet=None)
            results.append(ground)
            for campaign in args.campaign or list(arena.truth.guilty()):
                for share in args.shares:
                    if share > 0:
                        log = arena.draw(campaign, share, args.exchanges, args.seed)
                        results.append(compare(arena, campaign, log, rival=rival, baseline=baseline, quiet=quiet)[0])
                        print(".", end="", file=sys.stderr, flush=True)
    if args.json:
        rows: list[dict[str, Any]] = [asdict(r) | {"outcome": r.outcome} for r in results]
        print(json.dumps({"encoder": encoder.name, "results": rows}))
        return
    show(results)
    outcomes = [r.outcome for r in results if r.share > 0]
    print("\nours is " + ", ".join(f"{o} in {outcomes.count(o)}" for o in ("ahead", "level", "behind")), end="")
    print(f"; neither flags anything within the allowance in {outcomes.count('neither')}")


if __name__ == "__main__":
    main()
