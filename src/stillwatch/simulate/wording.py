"""Words for made traffic: sentence frames and tables, filled a column at a time.

A language is one file of phrases (`languages/*.yaml`). A frame is a sentence with slots, `Compare {thing} with
{thing.2}`; a slot names a table of the same file, `{n:3-40}` is a number. Filling many frames costs a few array
operations a frame, none a row. Reads the package's own language files and nothing else; randomness is handed in.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Texts: TypeAlias = Any  # a pyarrow array of large_string; pyarrow ships no types

Language: TypeAlias = Literal["en", "zh", "ja", "es", "de", "ar"]
LANGUAGES: tuple[Language, ...] = ("en", "zh", "ja", "es", "de", "ar")
TASK_KINDS = ("maths", "coding", "instructions", "questions", "tools", "safety", "documents")
ELICITED = ("plain", "reasoning", "rubric", "cleaning", "replay", "tools", "logits")

_SLOT = re.compile(r"\{(?P<table>[a-z_]+)(?:\.(?P<copy>\d))?(?::(?P<low>\d+)-(?P<high>\d+))?\}")
_PRIMES = np.array([10_007, 10_009, 10_037, 10_039, 10_061, 10_067, 10_069, 10_079])  # larger than any table


@dataclass(frozen=True)
class Table:
    """Phrases that a slot can take; those of topic t are `values[start[t] : start[t] + size[t]]`."""

    values: Texts
    start: Integers
    size: Integers


@dataclass(frozen=True)
class Slot:
    """A gap in a frame: a table's name, which of several draws from it, and bounds where it is a number."""

    table: str
    copy: int
    low: int
    high: int


Frame: TypeAlias = tuple[str | Slot, ...]


@dataclass(frozen=True)
class Habits:
    """What makes one speaker's words differ from another's: a number for each row that stands for its speaker."""

    step: Integers
    shift: Integers

    @classmethod
    def draw(cls, rng: np.random.Generator, speakers: int) -> Habits:
        """Give each of `speakers` habits of its own."""
        return cls(_PRIMES[rng.integers(0, len(_PRIMES), speakers)], rng.integers(0, 1 << 30, speakers))

    def of(self, who: Integers) -> Habits:
        """Give the habits of each row's speaker."""
        return Habits(self.step[who], self.shift[who])

    def prefer(self, rng: np.random.Generator, label: str, size: Integers) -> Integers:
        """Draw an index below `size` for each row; every speaker has favourites of its own."""
        rank = (size * rng.random(len(size)) ** 3.5).astype(np.int64)
        return (rank * self.step + self.shift + zlib.crc32(label.encode())) % size


@dataclass(frozen=True)
class Wording:
    """One language: its tables, its frames by purpose, and how it joins sentences.

    Attributes:
        joiner: stands between sentences; empty for scripts without spaces.
        topics: number of topics that people talk about.
        tables: by slot name.
        frames: by purpose: `asks`, `contexts`, `tasks.maths`, `harvest.reasoning.openings`, ...

    """

    language: str
    joiner: str
    topics: int
    syllables: Texts
    tables: Mapping[str, Table]
    frames: Mapping[str, tuple[Frame, ...]]

    def fill(
        self,
        rng: np.random.Generator,
        purpose: str,
        topic: Integers,
        *,
        frame: Integers | None = None,
        habits: Habits | None = None,
        given: Mapping[str, Texts] | None = None,
    ) -> Texts:
        """Make one sentence a row.

        Args:
            rng: where chance comes from.
            purpose: which frames.
            topic: for each row, the topic that its tables are read for.
            frame: for each row, which frame; drawn, by habit where there is one, if left out.
            habits: for each row, its speaker's; without them every phrase is equally likely.
            given: slots that are filled already, a text a row.

        """
        frames, rows = self.frames[purpose], len(topic)
        if frame is None:
            each = np.full(rows, len(frames), dtype=np.int64)
            frame = habits.prefer(rng, purpose, each) if habits else rng.integers(0, len(frames), rows)
        order = np.argsort(frame, kind="stable")
        bounds = np.searchsorted(frame[order], np.arange(len(frames) + 1))
        made = []
        for number, parts in enumerate(frames):
            who = order[bounds[number] : bounds[number + 1]]
            if len(who):
                own = habits.of(who) if habits else None
                made.append(self._fill_frame(rng, parts, topic[who], who, habits=own, given=given or {}))
        if not made:
            return pa.array([], pa.large_string())
        return put_back(pa.concat_arrays(made), order)

    def _fill_frame(
        self,
        rng: np.random.Generator,
        parts: Frame,
        topic: Integers,
        who: Integers,
        *,
        habits: Habits | None,
        given: Mapping[str, Texts],
    ) -> Texts:
        drawn: dict[tuple[str, int], Texts] = {}
        first: dict[str, Integers] = {}  # index drawn for the plain slot, so that `.2` can differ from it
        pieces: list[Any] = []
        for part in parts:
            if isinstance(part, str):
                pieces.append(pa.scalar(part, pa.large_string()))
                continue
            key = (part.table, part.copy)
            if key not in drawn:
                if part.table in given:
                    drawn[key] = given[part.table].take(pa.array(who))
                elif part.table in self.tables:
                    drawn[key] = self._look_up(rng, part.table, topic, habits=habits, first=first)
                elif part.high:
                    drawn[key] = pa.array(rng.integers(part.low, part.high + 1, len(who))).cast(pa.large_string())
                else:  # {own}: a name that nobody else uses
                    drawn[key] = self.made_up(rng, len(who))
            pieces.append(drawn[key])
        if not drawn:
            return pa.array(["".join(str(part) for part in parts)] * len(who), pa.large_string())
        return join(pieces)

    def _look_up(
        self,
        rng: np.random.Generator,
        name: str,
        topic: Integers,
        *,
        habits: Habits | None,
        first: dict[str, Integers],
    ) -> Texts:
        table = self.tables[name]
        size = table.size[topic]
        if name in first:
            index = (first[name] + 1 + (rng.random(len(topic)) * (size - 1)).astype(np.int64)) % size
        elif habits:
            index = habits.prefer(rng, name, size)
        else:
            index = (rng.random(len(topic)) * size).astype(np.int64)
        first.setdefault(name, index)
        return table.values.take(pa.array(table.start[topic] + index))

    def made_up(self, rng: np.random.Generator, rows: int) -> Texts:
        """Make names that nobody else uses (a firm, a project, a pet): two or three syllables a row."""
        parts = [self.syllables.take(pa.array(rng.integers(0, len(self.syllables), rows))) for _ in range(3)]
        third = pc.if_else(pa.array(rng.random(rows) < 0.6), parts[2], pa.scalar("", pa.large_string()))
        name = join([parts[0], parts[1], third])
        return pc.utf8_capitalize(name)

    def tasks(self, rng: np.random.Generator, kinds: Sequence[str], rows: int) -> Texts:
        """Make a pile of tasks, of all `kinds` alike, hardly any of them twice."""
        pile = self._draw_tasks(rng, kinds, rows, rider=0.5)
        for _ in range(4):  # what came up twice is drawn anew
            number = pile.dictionary_encode().indices.to_numpy(zero_copy_only=False)
            first = np.zeros(rows, dtype=np.bool_)
            first[np.unique(number, return_index=True)[1]] = True
            twice = np.flatnonzero(~first)
            if not len(twice):
                break
            fresh = self._draw_tasks(rng, kinds, len(twice), rider=1.0)
            source = np.arange(rows)
            source[twice] = rows + np.arange(len(twice))
            pile = pa.concat_arrays([pile, fresh]).take(pa.array(source))
        return pile

    def _draw_tasks(self, rng: np.random.Generator, kinds: Sequence[str], rows: int, *, rider: float) -> Texts:
        kind = rng.integers(0, len(kinds), rows)
        made = [self.fill(rng, f"tasks.{k}", self.any_topic(rng, int((kind == i).sum()))) for i, k in enumerate(kinds)]
        task = put_back(pa.concat_arrays(made), np.argsort(kind, kind="stable"))
        extended = np.flatnonzero(rng.random(rows) < rider)
        gap = pa.scalar(self.joiner, pa.large_string())
        extra = join([gap, self.fill(rng, "riders", self.any_topic(rng, len(extended)))])
        return join([task, scatter(extra, extended, rows)])

    def any_topic(self, rng: np.random.Generator, rows: int) -> Integers:
        """Draw a topic for each row, all alike."""
        return rng.integers(0, self.topics, rows)

    def wrap(self, rng: np.random.Generator, elicits: str, task: Texts, variant: Integers) -> Texts:
        """Put around each task the words that elicit what the operator wants.

        Args:
            rng: for the reply that some wrappers quote.
            elicits: one of `ELICITED`.
            task: a task a row.
            variant: for each row, which of `variants(elicits)` wrappers.

        """
        openings, middles, endings = (self.frames[f"harvest.{elicits}.{part}"] for part in _WRAPPER)
        rows, topic = len(task), self.any_topic(rng, len(task))
        given: dict[str, Texts] = {"task": task}
        if any(isinstance(part, Slot) and part.table == "reply" for frame in middles for part in frame):
            given["reply"] = self.sentences(rng, topic, 3)
        opening = self.fill(rng, f"harvest.{elicits}.openings", topic, frame=variant % len(openings), given=given)
        if not middles:
            return opening
        rest = variant // len(openings)
        middle = self.fill(rng, f"harvest.{elicits}.middles", topic, frame=rest % len(middles), given=given)
        gap, end = pa.scalar("\n\n", pa.large_string()), pa.scalar("\n", pa.large_string())
        choice = (rest // len(middles)) % (len(endings) + 1)  # the last choice is no ending at all
        shown = pa.array(choice < len(endings))
        ending = self.fill(rng, f"harvest.{elicits}.endings", topic, frame=np.minimum(choice, len(endings) - 1))
        ending = pc.if_else(shown, join([end, ending]), pa.scalar("", pa.large_string()))
        return join([opening, gap, middle, ending]) if rows else opening

    def variants(self, elicits: str) -> int:
        """Count the wrappers that `wrap` can make."""
        openings, middles, endings = (self.frames[f"harvest.{elicits}.{part}"] for part in _WRAPPER)
        return len(openings) * max(1, len(middles)) * (len(endings) + 1)

    def sentences(self, rng: np.random.Generator, topic: Integers, count: int) -> Texts:
        """Make a passage of `count` sentences on a topic a row: something pasted, or a draft to be judged."""
        parts: list[Any] = []
        for number in range(count):
            parts += [pa.scalar(self.joiner, pa.large_string())] if number else []
            parts.append(self.fill(rng, "contexts", topic))
        return join(parts)

    def system_prompts(self, rng: np.random.Generator, rows: int) -> list[str]:
        """Make one application's instructions a row: a name, a role and some rules."""
        names, roles, rules = self.made_up(rng, rows).to_pylist(), self._plain("apps.roles"), self._plain("apps.rules")
        texts = []
        for name in names:
            chosen = rng.choice(len(rules), int(rng.integers(2, 6)), replace=False)
            head = self.joiner.join((f"{name}:", roles[int(rng.integers(len(roles)))] + ("." if self.joiner else "。")))
            texts.append(self.joiner.join([head, *(rules[int(r)] for r in chosen)]))
        return texts

    def agent_prompt(self) -> str:
        """Give the large instructions of the coding agent that many people use."""
        return "\n".join(self._plain("apps.agent"))

    def _plain(self, purpose: str) -> list[str]:
        return ["".join(str(part) for part in frame) for frame in self.frames[purpose]]


_WRAPPER = ("openings", "middles", "endings")


def join(parts: Sequence[Any]) -> Texts:
    """Join columns (or scalars) of text, row by row."""
    return pc.binary_join_element_wise(*parts, pa.scalar("", pa.large_string()))


@lru_cache(maxsize=len(LANGUAGES))
def load_wording(language: str) -> Wording:
    """Read one of the package's languages.

    What a language leaves out (the names of programming languages, say) is taken from English.
    """
    data = _read(language)
    topics = list(data["topics"].values())
    flat = {name: _lines(text) for part in ("pools", "task_pools") for name, text in data[part].items()}
    tables = {name: _everywhere(lines, len(topics)) for name, lines in flat.items()}
    for slot, part in (("thing", "things"), ("aim", "aims"), ("trouble", "troubles"), ("detail", "details")):
        tables[slot] = _by_topic([_lines(topic[part]) for topic in topics])
    if language != "en":
        spare = {name: lines for name, lines in _read("en")["task_pools"].items() if name not in tables}
        tables |= {name: _everywhere(_lines(text), len(topics)) for name, text in spare.items()}
    frames = {
        name: _frames(data[name]) for name in ("greetings", "closings", "asks", "contexts", "followups", "riders")
    }
    for part in ("apps", "pipelines", "tasks"):
        frames |= {f"{part}.{name}": _frames(text) for name, text in data[part].items()}
    for elicits, wrapper in data["harvest"].items():
        frames |= {f"harvest.{elicits}.{part}": _frames(wrapper[part]) for part in _WRAPPER}
    return Wording(
        language=language,
        joiner=data["joiner"],
        topics=len(topics),
        syllables=pa.array(" ".join(_lines(data["syllables"])).split(), pa.large_string()),
        tables=tables,
        frames=frames,
    )


@lru_cache(maxsize=len(LANGUAGES))
def _read(language: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath("languages", f"{language}.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data


def _lines(text: str) -> list[str]:
    return [line.replace("\\n", "\n") for line in text.splitlines() if line]


def _frames(text: str) -> tuple[Frame, ...]:
    return tuple(_frame(line) for line in _lines(text))


def _frame(line: str) -> Frame:
    parts: list[str | Slot] = []
    at = 0
    for slot in _SLOT.finditer(line):
        if slot.start() > at:
            parts.append(line[at : slot.start()])
        copy, low, high = (int(slot[name] or 0) for name in ("copy", "low", "high"))
        parts.append(Slot(slot["table"], copy, low, high))
        at = slot.end()
    if at < len(line):
        parts.append(line[at:])
    return tuple(parts)


def _everywhere(lines: list[str], topics: int) -> Table:
    zeros = np.zeros(topics, dtype=np.int64)
    return Table(pa.array(lines, pa.large_string()), zeros, zeros + len(lines))


def _by_topic(lines: list[list[str]]) -> Table:
    size = np.array([len(own) for own in lines], dtype=np.int64)
    flat = [line for own in lines for line in own]
    return Table(pa.array(flat, pa.large_string()), np.cumsum(size) - size, size)


def fill_in(
    rng: np.random.Generator,
    purpose: str,
    language: Integers,
    taste: Floats,
    *,
    frame: Integers | None = None,
    habits: Habits | None = None,
    given: Mapping[str, Texts] | None = None,
) -> Texts:
    """Make one sentence a row where rows differ in language.

    Args:
        rng: where chance comes from.
        purpose: which frames.
        language: for each row, an index into `LANGUAGES`.
        taste: for each row, a number from 0 to 1 that stands for a topic in any language.
        frame: for each row, any number that stands for a frame in any language; drawn if left out.
        habits: for each row, its speaker's.
        given: slots that are filled already, a text a row.

    """
    order = np.argsort(language, kind="stable")
    bounds = np.searchsorted(language[order], np.arange(len(LANGUAGES) + 1))
    made = [pa.array([], pa.large_string())]
    for number, name in enumerate(LANGUAGES):
        rows = order[bounds[number] : bounds[number + 1]]
        if not len(rows):
            continue
        wording = load_wording(name)
        made.append(
            wording.fill(
                rng,
                purpose,
                (taste[rows] * wording.topics).astype(np.int64),
                frame=None if frame is None else frame[rows] % len(wording.frames[purpose]),
                habits=habits.of(rows) if habits else None,
                given={name: texts.take(pa.array(rows)) for name, texts in (given or {}).items()},
            )
        )
    return put_back(pa.concat_arrays(made), order)


def put_back(texts: Texts, order: Integers) -> Texts:
    """Undo a reordering: row k of `texts` becomes row `order[k]`."""
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return texts.take(pa.array(back))


def scatter(texts: Texts, rows: Integers, total: int) -> Texts:
    """Spread `texts` over `total` rows, at `rows`; the other rows are empty."""
    at = np.full(total, len(texts), dtype=np.int64)
    at[rows] = np.arange(len(rows))
    return pa.concat_arrays([texts, pa.array([""], pa.large_string())]).take(pa.array(at))
