"""The survey: every stream of a log, its figures, and which streams are views of one cohort. Pure; touches nothing.

A campaign shows in many streams at once (its template's opening, its client, each of its cards), and so does an office.
Streams whose accounts lie within another's are gathered under it, so that a cohort counts once wherever cohorts are
counted, however many marks it bears.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.cohorts import linkage, measures
from stillwatch.cohorts.streams import STREAM_FAMILIES, Streams, bearing, borne_by, family_streams
from stillwatch.cohorts.usage import usage
from stillwatch.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population

WITHIN = 0.8  # share of a stream's accounts that must lie in another for it to be a view of that one
_LEADERS = 64  # leaders that one account can be gathered under; more than any account needs


@dataclass(frozen=True, slots=True)
class Figures:
    """Lines of figures, one a stream: float64, NaN where the log cannot tell.

    Attributes:
        measured: [streams, len(measures.MEASURES)].
        linked: [streams, len(linkage.FIGURES)].
    """

    measured: NDArray[np.float64]
    linked: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.measured)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """One column of figures, by its name in `MEASURES` or `FIGURES`."""
        if name in measures.COLUMN:
            return self.measured[:, measures.COLUMN[name]]
        return self.linked[:, linkage.COLUMN[name]]

    def pick(self, which: NDArray[np.generic]) -> Figures:
        """The lines of some streams."""
        return Figures(self.measured[which], self.linked[which])


@dataclass(frozen=True, slots=True)
class Survey:
    """All streams of a log, one line each; streams with the same accounts appear once.

    Attributes:
        family: index into `names`, [streams].
        names: families.
        mark: uint64 [streams], plain hashes.
        figures: what was measured.
        bearers: int32, accounts of all streams, ascending inside a stream.
        bounds: int64 [streams + 1] into `bearers`.
        leader: int64 [streams], the stream that each is a view of (itself for most).
        brought: bool [streams, len(linkage.FIGURES)], which figures every mark of the same accounts brings with it.
    """

    family: NDArray[np.int16]
    names: tuple[str, ...]
    mark: NDArray[np.uint64]
    figures: Figures
    bearers: NDArray[np.int32]
    bounds: NDArray[np.int64]
    leader: NDArray[np.int64]
    brought: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.mark)

    def accounts(self, stream: int) -> NDArray[np.int32]:
        """Accounts of a stream."""
        return self.bearers[self.bounds[stream] : self.bounds[stream + 1]]

    def pick(self, which: NDArray[np.int64]) -> Candidates:
        """Some streams and their accounts, in the order given."""
        flat, cut = _picked(self.bearers, self.bounds, which)
        return Candidates(which, flat, cut)

    def told(self, streams: NDArray[np.int64], figures: Figures) -> Figures:
        """Figures of parts of some streams, without those that the streams have by definition."""
        linked = np.where(self.brought[streams], np.nan, figures.linked)
        return Figures(figures.measured, linked)

    @property
    def weight(self) -> NDArray[np.float64]:
        """Weight of each stream where cohorts are counted: one a cohort, shared by its streams."""
        return 1.0 / np.bincount(self.leader, minlength=len(self))[self.leader]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Some streams of a survey, for whoever asks again and again which accounts they hold.

    Attributes:
        stream: index into the survey.
        bearers: accounts of all of them.
        bounds: int64 [streams + 1] into `bearers`.
    """

    stream: NDArray[np.int64]
    bearers: NDArray[np.int32]
    bounds: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Accounts of each."""
        return np.diff(self.bounds)

    def accounts(self, place: int) -> NDArray[np.int32]:
        """Accounts of one."""
        return self.bearers[self.bounds[place] : self.bounds[place + 1]]

    def counts(self, accounts: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of some accounts each holds."""
        return _counted(self.bearers, self.bounds, accounts)


class Surveyor:
    """Measures streams of one population; what all of them need is made once."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self._compared = linkage.compared(linkage.attributes(population), population.accounts.verified)
        self._spare: list[linkage.Scratch] = []  # as many as threads ever measured side by side
        second = population.columns["second"]
        self._begun = second[population.edges[:-1]] if population.exchanges else second
        used = [population.columns[name].astype(np.float64) for name in ("input_tokens", "output_tokens")]
        self._usage = usage(population.accounts.tier, used[0] + used[1], second.astype(np.float64), population.edges)

    def survey(self, progress: Callable[[int], None] | None = None, *, threads: int = 2) -> Survey:
        """Measure every stream of the log.

        Args:
            progress: called with the number of families that are done.
            threads: how many families are measured side by side; each holds its own rows.
        """
        found: list[tuple[Streams, Figures]] = []
        with ThreadPoolExecutor(threads) as pool:
            for done, (family, figures) in enumerate(pool.map(self._family, STREAM_FAMILIES), 1):
                if len(family.mark):
                    found.append((family, figures))
                if progress is not None:
                    progress(done)
        return _joined(found)

    def _family(self, name: str) -> tuple[Streams, Figures]:
        found = family_streams(self.population, name)
        figures = self.measure(found.rows, found.bounds, found.bearers, found.bearer_bounds, threads=1)
        return _without_rows(found), figures

    def measure(
        self,
        rows: NDArray[np.int64],
        bounds: NDArray[np.int64],
        bearers: NDArray[np.int32],
        bearer_bounds: NDArray[np.int64],
        *,
        threads: int = 2,
    ) -> Figures:
        """Measure streams given by their rows and their accounts.

        Args:
            rows: of all streams, inside each by account, then time.
            bounds: int64 [streams + 1] into `rows`.
            bearers: accounts of all streams.
            bearer_bounds: int64 [streams + 1] into `bearers`.
            threads: how many parts of the streams are measured side by side.
        """
        measured = np.full((len(bounds) - 1, len(measures.MEASURES)), np.nan)
        cuts = np.searchsorted(bounds, np.linspace(0, len(rows), threads + 1)[1:-1])
        parts = [*pairwise([0, *cuts.tolist(), len(bounds) - 1])]
        with ThreadPoolExecutor(threads) as pool:
            deque(pool.map(lambda part: self._measure(rows, bounds, part, measured), parts), maxlen=0)
        linked = np.empty((len(bounds) - 1, len(linkage.FIGURES)))
        accounts, by, spare = self.population.accounts, self._compared, self._spared()
        linkage.link(
            bearers, bearer_bounds, by.code, by.pair, by.owner, by.borne, by.everyone, accounts.verified,
            accounts.created, self._begun, self._usage, accounts.disposable, spare.counts, spare.met, spare.opened,
            linked,
        )  # fmt: skip
        self._spare.append(spare)
        return Figures(measured, linked)

    def _spared(self) -> linkage.Scratch:
        """Memory that no other thread counts in, to be given back once it is as it was."""
        try:
            return self._spare.pop()
        except IndexError:
            return linkage.scratch(self._compared)

    def _measure(
        self,
        rows: NDArray[np.int64],
        bounds: NDArray[np.int64],
        part: tuple[int, int],
        measured: NDArray[np.float64],
    ) -> None:
        """Measure the streams from the first of `part` up to the second."""
        population, (first, end) = self.population, part
        column = population.columns
        measures.measure(
            rows, bounds[first : end + 1], column["account"], column["second"], column["sketch"], column["prompt"],
            column["opening"], column["address"], column["client"], column["flags"], column["wants"], column["biased"],
            column["input_tokens"], column["output_tokens"], column["turns"],
            population.start, population.end, population.release, measured[first:end].view(measures.LINE)[:, 0],
        )  # fmt: skip

    def usual(self, name: str) -> NDArray[np.uint64]:
        """Each account's own or most frequent value of a property; uint64 [accounts]."""
        if name in ("card", "mail", "organization"):
            return self.population.account_mark(name)
        return linkage.usual_values(self.population, name)

    def rows(self, family: str, mark: int, among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Exchanges that bear a mark, of the accounts for which `among` is true."""
        return borne_by(self.population, family, mark, np.flatnonzero(among))

    def left(self, survey: Survey, streams: NDArray[np.int64], among: NDArray[np.bool_]) -> Figures:
        """Measure what is left of streams of a survey, of the accounts for which `among` is true.

        What is held against the log (what chance has in common, usage of a plan) is held against all of it. NaN all
        along where none of these bears the mark.
        """
        measured = np.full((len(streams), len(measures.MEASURES)), np.nan)
        linked = np.full((len(streams), len(linkage.FIGURES)), np.nan)
        account = self.population.columns["account"]
        for number in np.unique(survey.family[streams]):
            own = np.flatnonzero(survey.family[streams] == number)
            rows, bounds = bearing(self.population, survey.names[number], survey.mark[streams[own]])
            which = np.repeat(np.arange(len(own)), np.diff(bounds))
            kept = among[account[rows]]
            rows, which = rows[kept], which[kept]
            some, bounds = _bounds(which)
            fresh = np.r_[True, (which[1:] != which[:-1]) | (account[rows][1:] != account[rows][:-1])][: len(rows)]
            _, bearer_bounds = _bounds(which[fresh])
            figures = self.measure(rows, bounds, account[rows][fresh].astype(np.int32), bearer_bounds)
            measured[own[some]], linked[own[some]] = figures.measured, figures.linked
        return survey.told(streams, Figures(measured, linked))

    def one(self, rows: NDArray[np.int64], survey: Survey, stream: int) -> Figures:
        """Measure some exchanges (rows ascending) that bear a stream's mark, held to what that stream can tell."""
        accounts = np.unique(self.population.columns["account"][rows]).astype(np.int32)
        ends = np.array([0, len(rows)]), np.array([0, len(accounts)])
        return survey.told(np.array([stream]), self.measure(rows, ends[0], accounts, ends[1]))


def _brought(family: str) -> NDArray[np.bool_]:
    """Which figures streams of a family have by definition; bool [len(linkage.FIGURES)]."""
    return np.isin(linkage.FIGURES, linkage.BROUGHT.get(family, ()))


def _bounds(which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which numbers occur in an ascending column, and where each begins and ends."""
    some, starts = np.unique(which, return_index=True)
    return some, np.r_[starts, len(which)].astype(np.int64)


def _without_rows(found: Streams) -> Streams:
    """Let go of a family's rows once they are measured: they are most of its memory."""
    nothing = np.empty(0, np.int64)
    return Streams(found.family, found.mark, nothing, nothing, found.bearers, found.bearer_bounds, found.signature)


def _joined(found: Sequence[tuple[Streams, Figures]]) -> Survey:
    names = tuple(family.family for family, _ in found)
    if not found:
        nothing = np.empty((0, len(measures.MEASURES))), np.empty((0, len(linkage.FIGURES)))
        empty = np.empty(0, np.int64)
        return Survey(
            empty.astype(np.int16), names, empty.astype(np.uint64), Figures(*nothing), empty.astype(np.int32),
            np.zeros(1, np.int64), empty, np.zeros((0, len(linkage.FIGURES)), np.bool_),
        )  # fmt: skip
    family = np.concatenate([np.full(len(one.mark), index, np.int16) for index, (one, _) in enumerate(found)])
    mark = np.concatenate([one.mark for one, _ in found])
    figures = Figures(
        np.concatenate([figures.measured for _, figures in found]),
        np.concatenate([figures.linked for _, figures in found]),
    )
    signature = np.concatenate([one.signature for one, _ in found])
    bearers = np.concatenate([one.bearers for one, _ in found])
    sizes = np.concatenate([np.diff(one.bearer_bounds) for one, _ in found])
    bounds = np.r_[0, np.cumsum(sizes)]
    # the same accounts under several marks are one stream: the one with most exchanges, then of the first family
    order = np.lexsort((family, -figures["exchanges"], signature))
    fresh = np.r_[True, signature[order][1:] != signature[order][:-1]]
    kept = order[fresh]
    # what one of their marks brings by definition, another of them tells
    by_family = np.stack([_brought(name) for name in names])[family]
    brought = np.zeros_like(by_family)
    brought[kept] = np.logical_and.reduceat(by_family[order], np.flatnonzero(fresh))
    kept = np.sort(kept)
    figures.linked[brought] = np.nan
    flat, cut = _picked(bearers, bounds, kept)
    leader = _leaders(flat, cut, int(bearers.max()) + 1)
    return Survey(family[kept], names, mark[kept], figures.pick(kept), flat, cut, leader, brought[kept])


@compiled
def _counted(bearers: np.ndarray, bounds: np.ndarray, accounts: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(bounds) - 1, np.int64)
    for stream in range(len(counts)):
        for index in range(bounds[stream], bounds[stream + 1]):
            counts[stream] += accounts[bearers[index]]
    return counts


@compiled
def _picked(bearers: np.ndarray, bounds: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cut = np.zeros(len(kept) + 1, np.int64)
    for index in range(len(kept)):
        cut[index + 1] = cut[index] + bounds[kept[index] + 1] - bounds[kept[index]]
    flat = np.empty(cut[-1], np.int32)
    for index in range(len(kept)):
        flat[cut[index] : cut[index + 1]] = bearers[bounds[kept[index]] : bounds[kept[index] + 1]]
    return flat, cut


def _leaders(bearers: NDArray[np.int32], bounds: NDArray[np.int64], accounts: int) -> NDArray[np.int64]:
    """Gather streams under the smallest larger one that holds most of their accounts; largest first, one pass."""
    order = np.argsort(-np.diff(bounds), kind="stable")
    flat, cut = _picked(bearers, bounds, order)
    leader = np.empty(len(order), np.int64)
    leader[order] = order[_gathered(flat, cut, accounts)]
    return leader


@compiled
def _gathered(bearers: np.ndarray, bounds: np.ndarray, accounts: int) -> np.ndarray:  # three loops, one pass
    count = len(bounds) - 1
    leader = np.arange(count)
    under = np.empty((accounts, _LEADERS), np.int32)  # filled as far as `known` says; the rest costs no memory
    known = np.zeros(accounts, np.int32)
    hits, met = np.zeros(count, np.int32), np.empty(count, np.int64)
    for stream in range(count):
        start, end = bounds[stream], bounds[stream + 1]
        found = 0
        for index in range(start, end):
            who = bearers[index]
            for place in range(known[who]):
                other = under[who, place]
                if hits[other] == 0:
                    met[found] = other
                    found += 1
                hits[other] += 1
        best = -1
        for place in range(found):
            if hits[met[place]] >= WITHIN * (end - start):
                best = max(best, met[place])  # the last one is the smallest
            hits[met[place]] = 0
        if best >= 0:
            leader[stream] = best
            continue
        for index in range(start, end):
            who = bearers[index]
            if known[who] < _LEADERS:
                under[who, known[who]] = stream
                known[who] += 1
    return leader
