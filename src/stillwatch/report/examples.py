"""Example prompts of a finding, found in the logs again, because no findings and no store hold any. Pure.

A finding names its accounts and its marks, the latter as keyed hashes. So whoever has the logs and the key can tell
its exchanges: those of its accounts, within its time, that bear every mark which all its exchanges bear, and at least
one mark of content. Where it has none of content, any mark counts that an exchange bears; where it has none of those
either, its accounts have nothing in common but what is known of them (a card, a mail domain), and every exchange of
theirs counts.

Prompts are shortened, put on one line, and rid of whatever would steer a terminal or hide text before anybody sees
them, in every format alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import NoExamplesError
from stillwatch.marks.digest import digest
from stillwatch.marks.families import BY_NAME, EXCHANGE_MARKS, Kind
from stillwatch.marks.hashing import combine
from stillwatch.marks.key import name_mark
from stillwatch.report.figures import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from stillwatch.verdicts.evidence import Finding, MarkShare

LONGEST: Final = 200  # characters of a prompt that are shown
_TAIL: Final = 60  # of them from its end, where prompts made by one template differ most
_GAP: Final = " … "
_READ: Final = 4_000  # characters that are looked at; what is left out is not shown anyway
_BEARING: Final = (*EXCHANGE_MARKS, "phrase")
_SLACK: Final = timedelta(seconds=1)  # seconds of a scan are floats


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt of a finding's harvest, harmless to print: on one line, shortened, nothing hidden in it."""

    account: str
    time: datetime
    prompt: str


Examples = Mapping[str, Sequence[Example]]
"""Examples of findings, by the finding's id."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Whose examples are wanted.

    Attributes:
        finding: the cohort.
        account: the one account of it that is asked about; None for all members.

    """

    finding: Finding
    account: str | None = None

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that examples may come from, most telling first."""
        return (self.account,) if self.account else tuple(member.account for member in self.finding.accounts)


def harmless(text: str) -> str:
    """Give a prompt as it can be shown: one line, at most `LONGEST` characters, its middle left out if need be."""
    words = " ".join((text[:_READ] if len(text) <= 2 * _READ else text[:_READ] + _GAP + text[-_READ:]).split())
    shown = printable(words)
    if len(shown) <= LONGEST:
        return shown
    return shown[: LONGEST - _TAIL - len(_GAP)].rstrip() + _GAP + shown[-_TAIL:].lstrip()


def find_examples(
    batches: Iterable[pa.RecordBatch], sought: Sequence[Sought], *, key: bytes, at_most: int
) -> dict[str, tuple[Example, ...]]:
    """Find examples of findings in exchanges.

    Args:
        batches: columns of `marks.digest.NEEDED`, in any order.
        sought: whose examples.
        key: what the findings' marks were named with.
        at_most: examples of each finding; from as many accounts as there are, each prompt once if there are others.

    Returns:
        By the finding's id.

    Raises:
        NoExamplesError: none was found; the text says what is missing.

    """
    searches = [_Search(each, key, at_most) for each in sought]
    wanted = pa.array(sorted({account for each in sought for account in each.accounts}), pa.string())
    rows = prompts = 0
    for batch in batches:
        theirs = batch.filter(pc.is_in(batch.column("account"), wanted))
        rows += theirs.num_rows
        asked = theirs.filter(pc.is_valid(theirs.column("prompt")))
        prompts += asked.num_rows
        if asked.num_rows:
            part = _Part(asked)
            for search in searches:
                search.look_in(part)
    found = {search.id: examples for search in searches if (examples := search.found())}
    if sought and not found:
        raise NoExamplesError(_why_none(rows, prompts))
    return found


def _why_none(rows: int, prompts: int) -> str:
    if not rows:
        return "no examples: these logs hold no exchange of the accounts in question; give the logs that were scanned"
    if not prompts:
        return "no examples: these logs hold no prompts"
    return (
        "no examples: no exchange of the accounts in question bears a mark of the findings; "
        "give the logs that were scanned, and the key that was used (--key-file)"
    )


class _Part:
    """Some exchanges of the accounts in question; their marks are made once, whatever the number of findings."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.accounts, self.prompts = batch.column("account"), batch.column("prompt")
        self.columns = digest(batch)
        self.second = self.columns["second"].astype(np.float64, copy=False)
        self.prompt = self.columns["prompt"].astype(np.uint64, copy=False)

    def marks(self, family: str) -> NDArray[np.uint64]:
        """Marks of a family, a line of one or more a row."""
        columns = self.columns
        if family == "harness":  # as `cohorts.population` puts it together
            client, parameters = columns["client"], columns["parameters"]
            marks = np.where((client != 0) & (parameters != 0), combine(client, parameters), np.uint64(0))
        else:
            marks = columns["phrases" if family == "phrase" else family].astype(np.uint64, copy=False)
        return marks.reshape(len(self.second), -1)


class _Rank(NamedTuple):
    """What makes one exchange a better example than another of its account: the smaller, the better."""

    telling: int  # marks of the kind that tell that it belongs, negative
    borne: int  # marks of the finding in all, negative
    second: float
    prompt: int


_Turn = tuple[int, int, str, _Rank, str]


class _Search:
    """The best exchanges of one finding so far: those that bear most of its marks, of each account."""

    def __init__(self, sought: Sought, key: bytes, at_most: int) -> None:
        self.id = sought.finding.id
        self._sought, self._key, self._at_most = sought, key, at_most
        self._accounts = pa.array(sought.accounts, pa.string())
        finding = sought.finding
        self._marks = [mark for mark in finding.marks if mark.family in _BEARING]
        content = [mark for mark in self._marks if BY_NAME[mark.family].kind is Kind.CONTENT]
        self._telling = content or self._marks
        self._families = sorted({mark.family for mark in self._marks})
        self._common = [mark for mark in self._marks if mark.exchanges == finding.exchanges]
        self._best: dict[str, list[tuple[_Rank, str]]] = {}

    def look_in(self, part: _Part) -> None:
        """Keep what is better than what was found before."""
        ours = pc.is_in(part.accounts, self._accounts).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(ours & self._in_time(part.second) & (part.prompt != 0))
        borne = {
            mark: bears for family in self._families for mark, bears in self._bearing(part.marks(family)[rows], family)
        }
        telling, everything, common = (
            np.sum([np.zeros(len(rows), np.int64), *(borne[mark] for mark in some)], axis=0)
            for some in (self._telling, self._marks, self._common)
        )
        fits = (common == len(self._common)) & ((telling > 0) | (not self._telling))
        rows, telling, everything = rows[fits], telling[fits], everything[fits]
        if not len(rows):
            return
        account = part.accounts.dictionary_encode().indices.to_numpy(zero_copy_only=False)[rows]
        second, prompt = part.second[rows], part.prompt[rows]
        order = np.lexsort((second, -everything, -telling, prompt, account))
        order = order[_changes(account[order], prompt[order])]  # of each prompt of an account the best
        order = order[np.lexsort((prompt[order], second[order], -everything[order], -telling[order], account[order]))]
        begins = np.flatnonzero(_changes(account[order]))
        place = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
        for at in order[place < self._at_most].tolist():
            rank = _Rank(-int(telling[at]), -int(everything[at]), float(second[at]), int(prompt[at]))
            row = int(rows[at])
            self._keep(part.accounts[row].as_py(), rank, part.prompts[row].as_py())

    def found(self) -> tuple[Example, ...]:
        """The best of each account, the accounts in their order, then the next best; a prompt again only for want."""
        turns = [
            (turn, place, account, rank, prompt)
            for place, account in enumerate(self._sought.accounts)
            for turn, (rank, prompt) in enumerate(self._best.get(account, ()))
        ]
        turns.sort(key=lambda each: each[:2])
        seen: set[int] = set()
        fresh, again = list[_Turn](), list[_Turn]()
        for turn in turns:
            (again if turn[3].prompt in seen else fresh).append(turn)
            seen.add(turn[3].prompt)
        return tuple(
            Example(account, datetime.fromtimestamp(rank.second, tz=UTC), prompt)
            for _, _, account, rank, prompt in (fresh + again)[: self._at_most]
        )

    def _bearing(self, marks: NDArray[np.uint64], family: str) -> Iterator[tuple[MarkShare, NDArray[np.bool_]]]:
        """Yield each of the finding's marks of a family, and which rows bear it."""
        values, which = np.unique(marks, return_inverse=True)
        names = [name_mark(self._key, family, value) if value else "" for value in values.tolist()]
        for mark in self._marks:
            if mark.family == family:
                ours = np.array([name == mark.mark for name in names], np.bool_)
                yield mark, ours[which].reshape(marks.shape).sum(axis=1) > 0

    def _in_time(self, second: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Within the harvest; of an account that is asked about by itself, and may have stayed out, at any time."""
        finding = self._sought.finding
        if self._sought.account:
            return np.ones(len(second), np.bool_)
        begin, end = (finding.first_seen - _SLACK).timestamp(), (finding.last_seen + _SLACK).timestamp()
        inside: NDArray[np.bool_] = (second >= begin) & (second <= end)
        return inside

    def _keep(self, account: str, rank: _Rank, prompt: str) -> None:
        best = self._best.setdefault(account, [])
        same = [other for other in best if other[0].prompt == rank.prompt]
        if any(other[0] <= rank for other in same) or (not same and len(best) == self._at_most and best[-1][0] <= rank):
            return
        kept = sorted([*(other for other in best if other not in same), (rank, harmless(prompt))])
        self._best[account] = kept[: self._at_most]


def _changes(*columns: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which rows differ from the one before in any column; the first does."""
    changed: NDArray[np.bool_] = np.logical_or.reduce([np.r_[True, column[1:] != column[:-1]] for column in columns])
    return changed
