"""By what a gateway may know a campaign: marks that one request reveals, and how rarely others bear them. Pure.

Which marks are rare enough to be used is asked of one part of the ordinary accounts, how many agree with the campaign
of the other: asked of the same, the marks would be those that chance made look rare. Accounts of very few exchanges are
left aside. They agree with anything less than others do, so that this can only make agreement look more common; and a
campaign's accounts that were opened shortly before the log ends are among them, which no scan can tell yet.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.cohorts.streams import bearing
from stillwatch.marks.families import ACCOUNT_MARKS
from stillwatch.marks.hashing import combine
from stillwatch.marks.key import name_mark
from stillwatch.marks.traits import LEAST, MOST, OWNED, TRAITS, agreement
from stillwatch.verdicts.evidence import BorneMark, KnownBy, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population
    from stillwatch.verdicts.judge import Judged

JUDGED: Final = 3  # exchanges from which an account counts: with fewer a campaign's own is hardly found by a scan
PICKERS: Final = 4  # one ordinary account of so many has a say in which marks are used; the others count
RARE: Final = 0.005  # share of ordinary accounts that may bear a mark which is used
FEWEST: Final = 0.01  # share of its members that must bear it
MOST_OWNED, MOST_OTHERS = 64, 12  # marks of one family that are used: exits and cards come by the dozen
_AGREEMENT: Final = np.array([agreement(borne) for borne in range(1 << MOST)], np.int8)

Candidate = tuple[str, int, int]  # family, mark, members that bear it


def known_by(population: Population, cohorts: Sequence[Judged], key: bytes) -> dict[int, KnownBy]:
    """Tell of every campaign, by its place among the cohorts, by what it may be known.

    Who is watched or cleared counts as ordinary.
    """
    held = {place: each for place, each in enumerate(cohorts) if each.verdict is Verdict.CAMPAIGN}
    if not held:
        return {}
    free = np.ones(len(population.accounts.name), np.bool_)
    free[np.concatenate([each.members for each in held.values()])] = False
    ordinary = free & (np.diff(population.edges) >= JUDGED)
    picks = pickers(population.columns["second"][population.edges[:-1]].astype(np.float64))
    asked, counted = np.flatnonzero(ordinary & picks), ordinary & ~picks
    candidates = {place: list(_candidates(population, cohort)) for place, cohort in held.items()}
    bearers = _bearers(population, {(family, mark) for found in candidates.values() for family, mark, _ in found})
    made = {}
    for place in held:
        marks, borne = [], np.zeros(len(ordinary), np.uint8)
        for family, mark, members in candidates[place]:
            who = bearers[family, mark]
            if np.isin(asked, who, assume_unique=True).sum() > RARE * len(asked):
                continue
            borne[who] |= np.uint8(TRAITS[family])
            marks.append(BorneMark(family, name_mark(key, family, mark), members, int(free[who].sum())))
        agrees = _AGREEMENT[borne[counted]]
        made[place] = KnownBy(
            since=_moment(population.start),
            until=_moment(population.end),
            ordinary=int(counted.sum()),
            agreeing=tuple(int((agrees >= level).sum()) for level in range(LEAST, MOST + 1)),
            marks=tuple(marks),
        )
    return made


def pickers(first: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which accounts have a say in which marks are used, by the second of their first exchange: not by their names."""
    return np.asarray(combine(np.rint(first * 1e6).astype(np.int64)) % np.uint64(PICKERS) == 0)


def _candidates(population: Population, cohort: Judged) -> Iterator[Candidate]:
    """Marks that several members bear, the most borne of each family."""
    account = population.columns["account"][cohort.rows].astype(np.int64)
    fewest = max(2, int(np.ceil(FEWEST * len(cohort.members))))
    for family, trait in TRAITS.items():
        layers = population.layers(family, cohort.rows)
        marks, who = np.concatenate(layers), np.tile(account, len(layers))
        order = np.lexsort((who, marks))
        marks, who = marks[order], who[order]
        fresh = np.r_[True, (marks[1:] != marks[:-1]) | (who[1:] != who[:-1])][: len(marks)] & (marks != 0)
        different, members = np.unique(marks[fresh], return_counts=True)
        most = MOST_OWNED if trait & OWNED else MOST_OTHERS
        for place in np.lexsort((different, -members))[:most]:
            if members[place] >= fewest:
                yield family, int(different[place]), int(members[place])


def _bearers(population: Population, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], NDArray[np.int64]]:
    """Accounts of the log that bear each of some marks, ascending; one pass over a family's column."""
    found: dict[tuple[str, int], NDArray[np.int64]] = {}
    for family in TRAITS:
        marks = np.array(sorted(mark for each, mark in wanted if each == family), np.uint64)
        if not len(marks):
            continue
        if family in ACCOUNT_MARKS:
            own = population.account_mark(family)
            found.update({(family, int(mark)): np.flatnonzero(own == mark) for mark in marks})
            continue
        rows, bounds = bearing(population, family, marks)
        account = population.columns["account"]
        for mark, begin, end in zip(marks, bounds[:-1], bounds[1:], strict=True):
            found[family, int(mark)] = np.unique(account[rows[begin:end]]).astype(np.int64)
    return found


def _moment(second: float) -> datetime:
    return datetime.fromtimestamp(second, tz=UTC)
