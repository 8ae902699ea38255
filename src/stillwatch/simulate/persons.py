"""The people of made traffic: what each one talks about, how, and when. Pure; randomness is handed in.

A person is not an account: a reseller's one account, or a proxy's hundreds, carry the words of many persons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.simulate import places
from stillwatch.simulate.wording import (
    LANGUAGES,
    Floats,
    Habits,
    Integers,
    Language,
    Texts,
    fill_in,
    join,
    load_wording,
    put_back,
    scatter,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERESTS = 4  # at most so many topics a person
_STOPS = ".?!。\uff1f\u061f"  # the last two are the Chinese and the Arabic question mark


@dataclass(frozen=True)
class Persons:
    """Many persons, a row each.

    Attributes:
        language: index into `LANGUAGES`.
        country: index into `places.COUNTRIES`.
        tastes: topics, as numbers from 0 to 1, one column an interest.
        leaning: cumulated weight of each interest.
        habits: favourite phrases.
        own_words: two made-up names a person (where it works, what it works on), one after the other.
        greets, closes, fronts, explains, adds, pastes, repeats: how often it does so, from 0 to 1: greets first, closes
            with a wish, tells its situation before it asks, after it, adds a second remark, pastes papers, asks again.
        lower: writes in lower case only.
        untidy: leaves the last stop away.
        hour: favourite hour of its own day.

    """

    language: Integers
    country: Integers
    tastes: Floats
    leaning: Floats
    habits: Habits
    own_words: Texts
    greets: Floats
    closes: Floats
    fronts: Floats
    explains: Floats
    adds: Floats
    pastes: Floats
    repeats: Floats
    lower: npt.NDArray[np.bool_]
    untidy: npt.NDArray[np.bool_]
    hour: Floats

    def __len__(self) -> int:
        return len(self.language)


def draw_languages(rng: np.random.Generator, rows: int, shares: Mapping[Language, float]) -> Integers:
    """Draw a language for each row, as an index into `LANGUAGES`."""
    weight = np.array([shares.get(name, 0.0) for name in LANGUAGES])
    return rng.choice(len(LANGUAGES), rows, p=weight / weight.sum())


def gather(
    rng: np.random.Generator,
    rows: int,
    shares: Mapping[Language, float],
    *,
    language: Integers | None = None,
    country: Integers | None = None,
    tastes: Floats | None = None,
    office: bool = False,
) -> Persons:
    """Make `rows` persons.

    Args:
        rng: where chance comes from.
        rows: how many.
        shares: share of each language.
        language: given where a whole group has the same.
        country: given where a whole group has the same.
        tastes: `INTERESTS` columns, where a group shares its topics.
        office: keeps office hours.

    """
    language = draw_languages(rng, rows, shares) if language is None else language
    weight = rng.dirichlet(np.full(INTERESTS, 0.35), rows) if rows else np.zeros((0, INTERESTS))
    never = rng.random(rows) < 0.35
    lower = (rng.random(rows) < 0.25) & np.isin(language, [LANGUAGES.index(name) for name in ("en", "es")])
    return Persons(
        language=language,
        country=places.countries(rng, language) if country is None else country,
        tastes=rng.random((rows, INTERESTS)) ** 1.3 if tastes is None else tastes,
        leaning=np.cumsum(weight, axis=1),
        habits=Habits.draw(rng, rows),
        own_words=_own_words(rng, np.repeat(language, 2)),
        greets=np.where(rng.random(rows) < 0.5, 0.0, rng.random(rows) * 0.8),
        closes=np.where(rng.random(rows) < 0.5, 0.0, rng.random(rows) * 0.7),
        fronts=np.where(rng.random(rows) < 0.4, 0.05, rng.random(rows)),
        explains=rng.beta(2.5, 1.0, rows),
        adds=rng.beta(1.2, 1.2, rows),
        pastes=np.where(rng.random(rows) < 0.7, 0.0, rng.random(rows) * 0.3),
        repeats=np.where(never, 0.0, rng.beta(0.8, 10.0, rows)),
        lower=lower,
        untidy=rng.random(rows) < 0.2,
        hour=np.full(rows, 13.5) if office else rng.normal(15.5, 3.0, rows),
    )


def _own_words(rng: np.random.Generator, language: Integers) -> Texts:
    order = np.argsort(language, kind="stable")
    bounds = np.searchsorted(language[order], np.arange(len(LANGUAGES) + 1))
    made = [load_wording(name).made_up(rng, int(bounds[i + 1] - bounds[i])) for i, name in enumerate(LANGUAGES)]
    return put_back(pa.concat_arrays(made), order)


def speak(
    rng: np.random.Generator,
    persons: Persons,
    who: Integers,
    goes_on: npt.NDArray[np.bool_],
    *,
    loops: float = 0.0,
) -> Texts:
    """Make what each request says; rows are sorted by person and time.

    Args:
        rng: where chance comes from.
        persons: who speaks.
        who: for each row, the person.
        goes_on: rows that continue the conversation of the row before.
        loops: share of continuing rows that carry the opening prompt again, as tool loops do.

    """
    rows = len(who)
    at = np.arange(rows)
    opening = np.maximum.accumulate(np.where(goes_on, 0, at)) if rows else at
    interest = (rng.random(rows)[:, None] > persons.leaning[who][:, :-1]).sum(axis=1)[opening]
    language, taste, habits = persons.language[who], persons.tastes[who, interest], persons.habits.of(who)
    own = persons.own_words.take(pa.array(2 * who + rng.integers(0, 2, rows)))

    def some(purpose: str, wanted: npt.NDArray[np.bool_]) -> Texts:
        index = np.flatnonzero(wanted)
        given = {"own": own.take(pa.array(index))}
        texts = fill_in(rng, purpose, language[index], taste[index], habits=habits.of(index), given=given)
        return scatter(texts, index, rows)

    short = goes_on & (rng.random(rows) < 0.65)
    ask = join([some("asks", ~short), some("followups", short)])
    fronted = (rng.random(rows) < persons.fronts[who]) & ~goes_on
    parts = [
        some("greetings", (rng.random(rows) < persons.greets[who]) & ~goes_on),
        some("contexts", fronted),
        ask,
        some("contexts", (rng.random(rows) < persons.explains[who]) & ~short & ~fronted),
        some("contexts", rng.random(rows) < persons.adds[who]),
        _pasted(rng, language, taste, (rng.random(rows) < persons.pastes[who]) & ~short),
        some("closings", rng.random(rows) < persons.closes[who]),
    ]
    gaps = pa.array([load_wording(name).joiner for name in LANGUAGES], pa.large_string()).take(pa.array(language))
    prompt = parts[0]
    for part in parts[1:]:
        gap = pc.if_else(
            pc.and_(pc.not_equal(part, ""), pc.not_equal(prompt, "")), gaps, pa.scalar("", pa.large_string())
        )
        prompt = join([prompt, gap, part])
    prompt = pc.if_else(pa.array(persons.lower[who]), pc.utf8_lower(prompt), prompt)
    prompt = pc.if_else(pa.array(persons.untidy[who]), pc.utf8_rtrim(prompt, characters=_STOPS), prompt)
    return prompt.take(pa.array(_said_before(rng, persons, who, goes_on=goes_on, opening=opening, loops=loops)))


def _pasted(rng: np.random.Generator, language: Integers, taste: Floats, wanted: npt.NDArray[np.bool_]) -> Texts:
    """Make pasted papers for the rows that are wanted: mails, notes, tickets between quotation marks."""
    index = np.flatnonzero(wanted)
    quote = pa.scalar('\n"""\n', pa.large_string())
    papers = [fill_in(rng, "tasks.documents", language[index], taste[index]) for _ in range(4)]
    line = pa.scalar("\n", pa.large_string())
    texts = join([quote, papers[0], line, papers[1], line, papers[2], line, papers[3], quote])
    return scatter(texts, index, len(language))


def _said_before(
    rng: np.random.Generator,
    persons: Persons,
    who: Integers,
    *,
    goes_on: npt.NDArray[np.bool_],
    opening: Integers,
    loops: float,
) -> Integers:
    """For each row, the row whose words it uses: mostly its own, now and then an earlier one of the same person."""
    rows = len(who)
    at = np.arange(rows)
    first = np.searchsorted(who, who)
    again = (rng.random(rows) < persons.repeats[who]) & (at > first) & ~goes_on
    source = np.where(again, first + (rng.random(rows) * (at - first)).astype(np.int64), at)
    looping = goes_on & (rng.random(rows) < loops)
    out: Integers = np.where(looping, source[opening], source)
    return out
