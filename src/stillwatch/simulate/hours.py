"""When made traffic happens: sessions of people, hours of machines. Pure; times are days since the log's start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from stillwatch.simulate.wording import Floats, Integers

SESSION_GAP_DAYS = 110.0 / 86_400  # mean pause between two questions of one sitting
STALE_DAYS = 1_800.0 / 86_400  # nobody goes on with a conversation after half an hour


@dataclass(frozen=True)
class Sittings:
    """Requests of people, sorted by person and time.

    Attributes:
        who: for each request, the person.
        time: days since the start.
        goes_on: whether it continues the conversation of the request before it.

    """

    who: Integers
    time: Floats
    goes_on: npt.NDArray[np.bool_]


def sittings(
    rng: np.random.Generator,
    counts: Integers,
    *,
    days: float,
    first_weekday: int,
    offset: Floats,
    favourite: Floats,
    spread: float,
    goes_on: float,
    office: bool = False,
    begins: Floats | None = None,
) -> Sittings:
    """Lay people's requests in bursts inside their waking hours.

    Args:
        rng: where chance comes from.
        counts: requests of each person.
        days: length of the log.
        first_weekday: weekday of day 0, Monday is 0.
        offset: each person's hours ahead of UTC.
        favourite: each person's favourite hour of its own day.
        spread: standard deviation about it, in hours.
        goes_on: probability that a request continues the one before it in the same sitting.
        office: weekends are free.
        begins: the day on which each person starts; from the first day if left out.

    """
    people = len(counts)
    begins = np.zeros(people) if begins is None else begins
    number = np.maximum(1, rng.poisson(counts / 5.0))
    first = np.cumsum(number) - number
    owner = np.repeat(np.arange(people), number)
    total = len(owner)
    day = np.floor(begins[owner] + rng.random(total) * (days - begins[owner]))
    if office:
        weekend = (day + first_weekday) % 7 >= 5
        day = np.where(weekend, day - ((day + first_weekday) % 7 - 4) + rng.integers(-4, 1, total), day)
    opening = day + (favourite[owner] + rng.normal(0.0, spread, total) - offset[owner]) / 24.0
    who = np.repeat(np.arange(people), counts)
    session = np.sort(first[who] + (rng.random(len(who)) * number[who]).astype(np.int64))
    pause = rng.exponential(SESSION_GAP_DAYS, len(who))
    time = opening[session] + _running(pause, session)
    inside = (time >= begins[who]) & (time < days)
    who, time = who[inside], time[inside]
    order = np.lexsort((time, who))
    who, time = who[order], time[order]
    near = np.zeros(len(who), dtype=np.bool_)
    near[1:] = (who[1:] == who[:-1]) & (np.diff(time) < STALE_DAYS)
    return Sittings(who, time, near & (rng.random(len(who)) < goes_on))


def _running(pause: Floats, group: Integers) -> Floats:
    """Sum up pauses inside each group; `group` is sorted."""
    fresh = np.ones(len(group), dtype=np.bool_)
    fresh[1:] = group[1:] != group[:-1]
    pause = np.where(fresh, 0.0, pause)
    total = np.cumsum(pause)
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(group)), 0))
    out: Floats = total - total[start]
    return out


def turns(goes_on: npt.NDArray[np.bool_]) -> Integers:
    """Count which turn of its conversation each request is, from 1, where rows follow one another."""
    at = np.arange(len(goes_on))
    start = np.maximum.accumulate(np.where(goes_on, 0, at))
    out: Integers = at - start + 1
    return out


def steady(rng: np.random.Generator, counts: Integers, begin: Floats, end: Floats) -> tuple[Integers, Floats]:
    """Lay each worker's requests evenly over its life, by day and night: worker and time of each request."""
    who = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(who)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (place + rng.random(len(who))) / np.maximum(1, counts)[who]
    return who, begin[who] + share * (end - begin)[who]


def volumes(rng: np.random.Generator, mean: Floats | float, rows: int, *, spread: float = 1.1) -> Integers:
    """Draw how much each of `rows` people asks: at least once, `mean` on average, a few far more (log-normal)."""
    rate = np.asarray(mean) * np.exp(rng.normal(0.0, spread, rows) - spread**2 / 2)
    counts: Integers = 1 + rng.poisson(np.minimum(rate, 40.0 * np.asarray(mean) + 5.0))
    return counts
