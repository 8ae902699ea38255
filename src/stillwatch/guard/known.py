"""Known campaigns at the door: an account that comes with a campaign's marks is met within its first requests.

Each request's marks are named as a scan names them and looked up among those that decisions against cohorts carry. What
an account has shown is kept in the guard's state; how much that says, and when it is enough, is for `decisions.odds`.
To be met is to stand behind `cohort:ID`: what is done then, policy and decisions say.

Touches: the state that it is handed, the clock if no time is given. The kernels are loaded when there is a campaign to
know, not before.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from stillwatch.decisions.odds import (
    accounts_needed,
    agreement_needed,
    bits,
    bits_needed,
    p_values,
)
from stillwatch.decisions.subject import SubjectKind
from stillwatch.marks.key import read
from stillwatch.marks.traits import LEAST, TRAITS, Trait, agreement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from stillwatch.decisions.decision import Decision
    from stillwatch.marks.door import DoorMarks, Name
    from stillwatch.verdicts.evidence import KnownBy

RATE: Final = 1e-4
"""Share of ordinary accounts that may ever be met, unless the settings say otherwise."""

_DAY: Final = 86_400.0
_KEPT: Final = 400 * _DAY  # how long it is remembered since when an account is known, and that it was met
_SHORTEST: Final = 3_600.0  # a log may be shorter, a span is not
_FRESH: Final = 30.0  # seconds for which what other guards have seen need not be asked again
_PLACES: Final = 12  # bits of a sum that count how often one trait was shown; four of them fit in a float
_ACCOUNTS: Final = 100_000  # accounts that are remembered in process


class Memory(Protocol):
    """What is needed of the guard's state (`guard.state.State`)."""

    async def add(self, sums: Mapping[str, float], *, keep: float) -> Mapping[str, float]:
        """Add to running sums, and give what they come to."""

    async def once(self, key: str, items: Sequence[str], *, keep: float) -> tuple[bool, ...]:
        """Put items into a set, and tell which of them are new to it."""


@dataclass(frozen=True, slots=True)
class _Campaign:
    """One campaign that is held.

    Attributes:
        finding: its id.
        known: what it is known by and what ordinary accounts have in common with it.
        tag: what the state knows it by; another finding of the same campaign is another test.
        p_values: of agreeing with it in 2, 3 and 4 traits.
        scans: how many scans share the accepted rate.

    """

    finding: str
    known: KnownBy
    tag: str
    p_values: tuple[float, ...]
    scans: int

    def span(self, at: float) -> int:
        """Number of the span, as long as the scan's log and laid out from its end, that a moment falls in."""
        length = max((self.known.until - self.known.since).total_seconds(), _SHORTEST)
        return math.floor((at - self.known.until.timestamp()) / length)

    @property
    def length(self) -> float:
        """Seconds of a span."""
        return max((self.known.until - self.known.since).total_seconds(), _SHORTEST)


@dataclass(slots=True)
class _Standing:
    """What is known of one account in this process.

    Attributes:
        first: when the first request of it was seen.
        shown: traits that it has shown of each campaign, and in which span.
        asked: when the state was last asked about these.
        met: campaigns that it is known to belong to.

    """

    first: float
    shown: dict[str, tuple[int, int]] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    met: tuple[str, ...] = ()


class KnownCampaigns:
    """The campaigns that decisions in force are about, and who is met.

    Args:
        key: the provider's, as for the scan that named the marks.
        rate: share of ordinary accounts that may ever be met, by whatever campaign.
        decisions: that hold now, as for `hold`.

    Attributes:
        campaigns: ids of the findings that are held.
        blind: campaigns that nobody can be met for at this rate, and why, each in a sentence.

    Raises:
        ValueError: the rate is none.

    """

    def __init__(self, *, key: bytes, rate: float = RATE, decisions: Iterable[Decision] = ()) -> None:
        if not 0.0 < rate < 1.0:
            raise ValueError(f"a rate lies between 0 and 1, not at {rate}")
        self._key, self._rate, self._needed = key, rate, bits_needed(rate)
        self._standing: OrderedDict[str, _Standing] = OrderedDict()
        self._door: DoorMarks | None = None
        self._families = frozenset[str]()
        self.hold(decisions)

    def hold(self, decisions: Iterable[Decision]) -> None:
        """Hold these from now on; what accounts have shown is not forgotten.

        Takes a second when the first campaign comes, since the kernels are loaded and tried.

        Args:
            decisions: that hold now; those against whole cohorts count, and of several of one campaign the newest.

        """
        self._held = {each.finding: each for each in _campaigns(_newest(decisions))}
        self.campaigns: tuple[str, ...] = tuple(sorted(self._held))
        self.blind: Mapping[str, str] = dict(self._blind())
        self._marks = _by_mark(self._held.values(), self.blind)
        families = frozenset(family for family, _ in self._marks)
        if families and (self._door is None or families != self._families):
            self._door = self._opened(families)
        elif not families:
            self._door = None
        self._families = families

    def _opened(self, families: Collection[str]) -> DoorMarks:
        from stillwatch.marks.door import DoorMarks  # noqa: PLC0415  # brings the compiler, which is slow to load

        door = DoorMarks(self._key, families)
        for text in (
            "once 1: cold",
            "w\N{LATIN SMALL LETTER U WITH DIAERESIS}rmer",
            "\N{CYRILLIC SMALL LETTER A}nd warm",
        ):
            door.names({"system": text, "prompt": text, "ip": "::1"})
        return door

    def __bool__(self) -> bool:
        """Whether anybody could be met."""
        return self._door is not None

    def _blind(self) -> Iterable[tuple[str, str]]:
        for each in self._held.values():
            if not {TRAITS[mark.family] for mark in each.known.marks if mark.family in TRAITS}:
                yield each.finding, "its marks take more than one request to see"
            elif agreement_needed(each.p_values, self._rate, each.scans) is None:
                fewest = accounts_needed(self._rate, each.scans)
                counted = f"its scan counted {each.known.ordinary:,} ordinary accounts"
                worth = f"worth {1.0 / each.p_values[-1]:,.0f} for what they share with its campaigns"
                yield each.finding, f"{counted}, {worth}; a rate of {self._rate:g} takes {fewest:,} that share nothing"

    def marks(self, columns: Mapping[str, object], account: Mapping[str, object] | None = None) -> tuple[Name, ...]:
        """Give the marks of held campaigns that one request bears: family, and the keyed hash in 10 bytes.

        Args:
            columns: of `exchange/1`, as the log of this request will have them.
            account: of the accounts table, what is known of its account.

        """
        if self._door is None:
            return ()
        held = self._marks
        return tuple(name for name in self._door.names(columns, account) if name in held)

    async def meet(
        self, account: str, marks: Iterable[Name], state: Memory, *, at: float | None = None
    ) -> tuple[str, ...]:
        """Take in the marks of an account's request, and give the campaigns that it is known to belong to.

        Every request counts, also one that bears no mark: an account's first span begins with its first request.

        Args:
            account: whose request it is.
            marks: what `marks` gave.
            state: where is kept what accounts have shown.
            at: moment of the request, s since 1970; now if None.

        Raises:
            StateError: the state cannot be reached.

        """
        if self._door is None:
            return ()
        at = time.time() if at is None else at
        standing = self._standing.get(account)
        if standing is None:
            standing = await self._first_seen(account, state, at)
        self._standing.move_to_end(account)
        shown: dict[str, int] = defaultdict(int)
        for name in marks:
            for finding, trait in self._marks.get(name, ()):
                shown[finding] |= trait
        news = {
            finding: traits
            for finding, traits in shown.items()
            if finding not in standing.met and self._is_news(standing, self._held[finding], traits, at)
        }
        if news:
            await self._learn(account, standing, news, state, at)
        return tuple(each for each in standing.met if each in self._held)

    def odds(self, account: str, *, at: float | None = None) -> dict[str, float]:
        """Log2 odds of an account against its being ordinary, by campaign, as far as this process knows.

        It is met at -log2 of the rate; what it has not shown enough for is left out.
        """
        standing, at = self._standing.get(account), time.time() if at is None else at
        if standing is None:
            return {}
        found = {each.finding: self._bits(standing, each, at) for each in self._held.values()}
        return {finding: each for finding, each in found.items() if each > -math.inf}

    async def _first_seen(self, account: str, state: Memory, at: float) -> _Standing:
        key = f"known:{account}:first"
        (new,) = await state.once(f"known:{account}", ("first",), keep=_KEPT)
        first = (await state.add({key: at if new else 0.0}, keep=_KEPT))[key]
        # 0: another guard is about to write it down, or the state has no room
        standing = self._standing[account] = _Standing(first if 0.0 < first <= at else at)
        while len(self._standing) > _ACCOUNTS:
            self._standing.popitem(last=False)
        return standing

    def _is_news(self, standing: _Standing, campaign: _Campaign, traits: int, at: float) -> bool:
        span, before = standing.shown.get(campaign.tag, (0, 0))
        if span != campaign.span(at) or traits & ~before:
            return True
        return at - standing.asked.get(campaign.tag, 0.0) > _FRESH

    async def _learn(
        self, account: str, standing: _Standing, news: Mapping[str, int], state: Memory, at: float
    ) -> None:
        """Put what an account has shown to what it has shown before, here or at another guard."""
        held = [self._held[finding] for finding in news]
        items = [
            (each, int(trait), f"{each.tag}/{each.span(at)}/{int(trait)}")
            for each in held
            for trait in Trait
            if news[each.finding] & trait
        ]
        keep = 2 * max(each.length for each in held)
        fresh = await state.once(f"known:{account}:shown", [item for _, _, item in items], keep=keep)
        sums = {self._sum(account, each, at): 0.0 for each in held}
        for (each, trait, _), new in zip(items, fresh, strict=True):
            sums[self._sum(account, each, at)] += _counted(trait) if new else 0
        totals = await state.add(sums, keep=keep)
        for each in held:
            # what this guard has seen counts, even if another is only about to write it down
            traits = _traits_in(totals[self._sum(account, each, at)]) | news[each.finding]
            standing.shown[each.tag] = each.span(at), traits
            standing.asked[each.tag] = at
        met = {each.finding for each in held if self._bits(standing, each, at) >= self._needed}
        marked = {f"known:{account}:met:{each.finding}": float(each.finding in met) for each in held}
        told = await state.add(marked, keep=_KEPT)
        also = {each.finding for each in held if told[f"known:{account}:met:{each.finding}"]}
        standing.met = tuple(sorted({*standing.met, *met, *also}))

    def _sum(self, account: str, campaign: _Campaign, at: float) -> str:
        return f"known:{account}:{campaign.tag}:{campaign.span(at)}"

    def _bits(self, standing: _Standing, campaign: _Campaign, at: float) -> float:
        span, traits = standing.shown.get(campaign.tag, (0, 0))
        level = agreement(traits)
        if span != campaign.span(at) or not level:
            return -math.inf
        number = max(span - campaign.span(standing.first) + 1, 1)
        return bits(campaign.p_values[level - LEAST], span=number, scans=campaign.scans)


def _counted(trait: int) -> int:
    """What is added to a sum when a trait is shown: each has a part of the number to itself, for it may come twice."""
    return 1 << _PLACES * (trait.bit_length() - 1)


def _traits_in(total: float) -> int:
    """Traits that such a sum tells of."""
    return sum(trait for trait in Trait if int(total) >> _PLACES * (trait.bit_length() - 1) & ((1 << _PLACES) - 1))


def _newest(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Decisions against whole cohorts, one a campaign."""
    newest: dict[str, Decision] = {}
    for each in decisions:
        if each.subject.kind is SubjectKind.COHORT and each.known_by is not None:
            other = newest.get(each.subject.value)
            if other is None or (other.made_at, other.id) < (each.made_at, each.id):
                newest[each.subject.value] = each
    return newest


def _campaigns(held: Mapping[str, Decision]) -> Iterable[_Campaign]:
    """Campaigns with what it says to agree with them: those of one scan are held against the same accounts."""
    scans: dict[tuple[datetime, datetime, int], dict[str, tuple[Decision, KnownBy]]] = defaultdict(dict)
    for finding, decision in held.items():
        if (known := decision.known_by) is not None:
            scans[known.since, known.until, known.ordinary][finding] = decision, known
    for (_, _, ordinary), found in scans.items():
        values = p_values({finding: known.agreeing for finding, (_, known) in found.items()}, ordinary)
        for finding, (decision, known) in found.items():
            digest = "" if decision.grounds is None else decision.grounds.digest
            yield _Campaign(finding, known, f"{finding}@{digest[:12]}", values[finding], len(scans))


def _by_mark(held: Iterable[_Campaign], blind: Mapping[str, str]) -> dict[Name, tuple[tuple[str, int], ...]]:
    """Which campaigns bear each mark, and which trait it tells of; those that nobody can be met for are left out."""
    found: dict[Name, tuple[tuple[str, int], ...]] = {}
    for each in held:
        if each.finding in blind:
            continue
        for mark in each.known.marks:
            if mark.family not in TRAITS:
                continue  # of a later version
            try:
                name = mark.family, read(mark.mark)
            except ValueError:
                continue  # no scan has named it
            found[name] = (*found.get(name, ()), (each.finding, int(TRAITS[mark.family])))
    return found
