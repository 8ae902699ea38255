"""The ledger: decisions and allowances as an audit trail that only grows. Touches its database and the clock.

The trail is the only thing that is kept. What stands is the sum of its entries (`decisions.book`), so that nothing can
say otherwise than the trail does. Every action is checked and written in one transaction of the only writer: the chain
cannot fork, and nobody decides on what was true a moment ago.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from stillwatch.decisions.allowance import AT_MOST, Allowance
from stillwatch.decisions.audit import Entry, Head, Verified, chained, verify
from stillwatch.decisions.book import Book
from stillwatch.decisions.decision import Appeal, Decision
from stillwatch.decisions.events import Allowed, Appealed, Decided, Event, Expired, Judged, Lifted, Withdrawn
from stillwatch.decisions.ladder import LADDER, Asked, Ladder, following, made
from stillwatch.decisions.propose import Granted, granted
from stillwatch.errors import ChainError, LadderError, LedgerError, NoLedgerError, UnknownNameError, UsageError
from stillwatch.exchanges.url import is_url, local_path, without_secrets
from stillwatch.ledger.audit_v1 import action, from_content, subject_out, to_content
from stillwatch.ledger.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from stillwatch.decisions.subject import Subject
    from stillwatch.ledger.store import Store, Value

SCHEMA: Final = 1  # of the tables
PAGE: Final = 10_000  # entries read at once

_Said: TypeAlias = Lifted | Appealed | Judged  # what somebody says about a decision

_TABLES: Final = (
    "CREATE TABLE stillwatch_ledger (version INTEGER NOT NULL)",
    """CREATE TABLE stillwatch_audit (
        number BIGINT NOT NULL PRIMARY KEY,
        at TEXT NOT NULL,
        action TEXT NOT NULL,
        about TEXT NOT NULL,
        subject TEXT NOT NULL,
        content TEXT NOT NULL,
        previous TEXT NOT NULL UNIQUE,
        hash TEXT NOT NULL UNIQUE
    )""",
    "CREATE INDEX stillwatch_audit_subject ON stillwatch_audit (subject, number)",
)
_MADE: Final = "INSERT INTO stillwatch_ledger VALUES (?)"
_VERSION: Final = "SELECT version FROM stillwatch_ledger"
_APPEND: Final = """
    INSERT INTO stillwatch_audit (number, at, action, about, subject, content, previous, hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_LAST: Final = "SELECT number, hash FROM stillwatch_audit ORDER BY number DESC LIMIT 1"
_SINCE: Final = """
    SELECT number, at, action, about, subject, content, previous, hash FROM stillwatch_audit
    WHERE number > ? ORDER BY number LIMIT ?
"""
_ABOUT: Final = """
    SELECT number, at, action, about, subject, content, previous, hash FROM stillwatch_audit
    WHERE subject = (SELECT subject FROM stillwatch_audit WHERE number = ?) ORDER BY number
"""
_OF: Final = """
    SELECT number, at, action, about, subject, content, previous, hash FROM stillwatch_audit
    WHERE subject IN ({}) ORDER BY number
"""
_AT_ONCE: Final = 500  # subjects that are read in one statement
_BEFORE_ALL: Final = -(2**62)
_DIGITS: Final = 18  # of a number that every database can hold
_DECISION: Final = "d-"
_ALLOWANCE: Final = "a-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of something asked: what the ladder granted, and the decision that was made of it, if one was."""

    granted: Granted
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened after a cursor, and the cursor after it."""

    events: tuple[Event, ...]
    cursor: int


def open_ledger(place: str | Path, *, create: bool = False, ladder: Ladder = LADDER) -> Ledger:
    """Open the ledger at a path (SQLite) or a URL (`postgresql://...`).

    Args:
        place: where it is.
        create: make it where there is none.
        ladder: the rules that decisions are held against.

    Raises:
        NoLedgerError: there is none.
        LedgerError: it cannot be reached, or it is of a version that cannot be read.
        UsageError: the URL is of no kind known here, or what it needs is not installed.

    """
    return Ledger(_store(place, create=create), create=create, ladder=ladder)


def rehearsal(ladder: Ladder = LADDER) -> Ledger:
    """Give an empty ledger in memory: to tell what would be decided where there is none yet."""
    return Ledger(SqliteStore(None, create=True), create=True, ladder=ladder)


class Ledger:
    """One ledger; for one thread. Close it, or use it in a `with`.

    Args:
        store: the database.
        create: make the tables where there are none.
        ladder: the rules that decisions are held against.
        clock: what time it is; for tests.

    Raises:
        NoLedgerError: there is no ledger in the database.
        LedgerError: there is one of a version that cannot be read.

    """

    def __init__(
        self,
        store: Store,
        *,
        create: bool = False,
        ladder: Ladder = LADDER,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._ladder, self._clock = store, ladder, clock
        try:
            if create and not store.has_tables():
                with store.writing():
                    if not store.has_tables():  # another process may have made them while this one waited
                        store.make_tables((*_TABLES, *store.append_only))
                        store.rows(_MADE, (SCHEMA,))
            self._require_version()
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    @property
    def place(self) -> str:
        """Where it is, to be shown."""
        return self._store.place

    # ---- reading

    def entries(self, after: int = _BEFORE_ALL) -> Iterator[Entry]:
        """Yield the trail's entries after a number, in order."""
        while True:
            page = self._store.rows(_SINCE, (after, PAGE))
            for row in page:
                yield _entry(row)
            if len(page) < PAGE:
                return
            after = int(page[-1][0])

    def changes_since(self, cursor: int = 0) -> Changes:
        """Give what happened after a cursor; 0 is before everything.

        A reader that asks again with the cursor it got misses nothing and gets nothing twice: writers take turns, so
        that entries become visible in the order of their numbers. Asking once a second is cheap: one look at an index.
        """
        events = []
        for entry in self.entries(cursor):
            events.append(self._event(entry))
            cursor = entry.number
        return Changes(tuple(events), cursor)

    def book(self) -> Book:
        """Give what all entries come to.

        Raises:
            ChainError: entries are missing.

        """
        return self._booked(self.entries())

    def history(self, name: str) -> tuple[tuple[Entry, Event], ...]:
        """Give the entries about a decision, with what it followed from and what followed from it, or an allowance.

        Raises:
            UnknownNameError: there is none of this id.

        """
        found = tuple((entry, self._event(entry)) for entry in self._about(name) if entry.about == _root(name))
        if not found:
            raise UnknownNameError(f"{self.place}: no decision or allowance `{name}`")
        return found

    def head(self) -> Head:
        """Give the last entry's number and hash; note it elsewhere and verify against it later."""
        last = self._store.rows(_LAST)
        return Head(int(last[0][0]), str(last[0][1])) if last else Head()

    def verify(self, expected: Head | None = None) -> Verified:
        """Hold the whole trail against its own hashes, and against a head that was noted earlier."""
        return verify(self.entries(), expected)

    # ---- writing

    def decide(self, asked: Sequence[Asked], *, exactly: bool = False, dry_run: bool = False) -> tuple[Outcome, ...]:
        """Take decisions as far as the ladder goes, all of them or, if something fails, none.

        Args:
            asked: what to decide.
            exactly: each step or none, instead of something milder.
            dry_run: only tell what would be decided.

        """
        if dry_run:
            return self._decided(asked, exactly=exactly)[0]
        with self._store.writing():
            outcomes, acts = self._decided(asked, exactly=exactly)
            self._append(acts)
        return outcomes

    def lift(self, name: str, *, by: str, reason: str) -> Decision:
        """Take back a decision, or what has followed it.

        Raises:
            UnknownNameError: there is none of this id.
            LadderError: it no longer stands.

        """
        return self._change(name, lambda standing, now, _: [Lifted(standing.id, _said(by), _said(reason), now)])

    def appeal(self, name: str, *, by: str, reason: str) -> Decision:
        """Open an appeal against a decision, or what has followed it.

        Raises:
            UnknownNameError: there is none of this id.
            LadderError: it no longer stands, or an appeal is open already.

        """

        def appealed(standing: Decision, now: datetime, _: Book) -> list[_Said]:
            if standing.appeal is Appeal.OPEN:
                raise LadderError(f"{standing.id}: an appeal is open already")
            return [Appealed(standing.id, _said(by), _said(reason), now)]

        return self._change(name, appealed)

    def judge(self, name: str, *, by: str, reason: str, upheld: bool) -> Decision:
        """Uphold an open appeal, which lifts all that stands against its subject on the same finding, or reject it.

        Raises:
            UnknownNameError: there is none of this id.
            LadderError: no appeal is open, or whoever judges it approved what rests on the finding.

        """

        def judged(standing: Decision, now: datetime, book: Book) -> list[_Said]:
            if standing.appeal is not Appeal.OPEN:
                raise LadderError(f"{standing.id}: no appeal is open")
            others = _on_the_same(standing, book, now)
            for each in (standing, *others):
                if _said(by) in each.approvers:
                    raise LadderError(f"{standing.id}: {by} approved {each.id} and cannot judge an appeal against it")
            judgement = Judged(standing.id, _said(by), _said(reason), upheld, now)
            if not upheld:
                return [judgement]
            says = f"the appeal against {standing.id} was upheld"
            return [judgement, *(Lifted(each.id, judgement.by, says, now) for each in others)]

        return self._change(name, judged)

    def allow(self, subject: Subject, *, owner: str, reason: str, lasts: timedelta) -> Allowance:
        """Put a subject on the allow-list.

        Raises:
            UsageError: it would last no time, or too long.

        """
        if not timedelta(0) < lasts <= AT_MOST:
            raise UsageError(f"an allowance lasts some time, and {AT_MOST.days} days at most; renew it when it is due")
        with self._store.writing():
            now = self._clock()
            name = f"{_ALLOWANCE}{self.head().number + 1}"
            allowance = Allowance(name, subject, _said(owner), _said(reason), now, now + lasts)
            self._append([_Act(subject, name, Allowed(allowance))])
        return allowance

    def withdraw(self, name: str, *, by: str, reason: str) -> Allowance:
        """Take back an allowance.

        Raises:
            UnknownNameError: there is none of this id.
            LadderError: it no longer stands.

        """
        with self._store.writing():
            now, book = self._clock(), self._book_about(name)
            if name not in book.allowances:
                raise UnknownNameError(f"{self.place}: no allowance `{name}`")
            held = book.allowances[name]
            if not held.stands(now):
                raise LadderError(f"{name}: no longer stands")
            event = Withdrawn(name, _said(by), _said(reason), now)
            self._append([_Act(held.subject, name, event)])
        return book.add([event]).allowances[name]

    def expire(self) -> tuple[tuple[Decision, Decision | None], ...]:
        """Write down which decisions have ended, and what follows each; nothing depends on how soon this is done."""
        due = {each.subject for each in self.book().ended(self._clock())}
        with self._store.writing():  # others wait for as long as it takes to read those subjects, not all
            followed, acts = self._endings(self._book_of(due), self._clock())
            self._append(acts)
        return followed

    # ---- inside

    def _require_version(self) -> None:
        if not self._store.has_tables():
            raise NoLedgerError(f"{self.place}: there is no ledger here; `stillwatch decide` makes one")
        versions = [row[0] for row in self._store.rows(_VERSION)]
        if versions != [SCHEMA]:
            found = ", ".join(map(str, versions)) or "none"
            raise LedgerError(
                f"{self.place}: this is a ledger of version {found}; only version {SCHEMA} can be read. "
                "It was left as it is"
            )

    def _event(self, entry: Entry) -> Event:
        return from_content(entry.content, where=f"{self.place}: entry {entry.number}")

    def _about(self, name: str) -> list[Entry]:
        """Give all entries about the subject of a decision or an allowance, whose id bears the number of an entry."""
        number = _root(name).partition("-")[2]
        if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS):
            return []
        return [_entry(row) for row in self._store.rows(_ABOUT, (int(number),))]

    def _book_about(self, name: str) -> Book:
        return self._booked(self._about(name))

    def _book_of(self, subjects: Collection[Subject]) -> Book:
        """Give the book of some subjects; what it costs depends on their history only."""
        names = sorted(map(subject_out, subjects))
        book = Book()
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            rows = self._store.rows(_OF.format(", ".join("?" * len(some))), some)
            book = self._booked(map(_entry, rows), book)
        return book

    def _booked(self, entries: Iterable[Entry], book: Book | None = None) -> Book:
        try:
            return (book or Book()).add(self._event(entry) for entry in entries)
        except KeyError as missing:
            raise ChainError(
                f"{self.place}: the entry that made {missing.args[0]} is missing; see `stillwatch ledger verify`"
            ) from missing

    def _change(self, name: str, events_for: Callable[[Decision, datetime, Book], list[_Said]]) -> Decision:
        """Write events about what is left of a decision, after whatever against its subject has ended meanwhile."""
        with self._store.writing():
            now, book = self._clock(), self._book_about(name)
            _, acts = self._endings(book, now)
            book.add(act.event for act in acts)
            if name not in book.decisions:
                raise UnknownNameError(f"{self.place}: no decision `{name}`")
            family = [each for each in book.decisions.values() if each.root == _root(name)]
            standing = next((each for each in family if each.stands(now)), None)
            if standing is None:
                last = family[-1]
                when = "was lifted" if last.lifted_at is not None else f"ended {last.expires_at:%Y-%m-%d %H:%M} UTC"
                raise LadderError(f"{name}: no longer stands; {last.id} {when}")
            events = events_for(standing, now, book)
            acts += [_Act(standing.subject, _root(event.decision), event) for event in events]
            self._append(acts)
        return book.add(events).decisions[standing.id]

    def _decided(self, asked: Sequence[Asked], *, exactly: bool) -> tuple[tuple[Outcome, ...], list[_Act]]:
        now = self._clock()
        book = self._book_of({subject for each in asked for subject in (each.subject, *each.belongs_to)})
        _, acts = self._endings(book, now)
        book.add(act.event for act in acts)
        before = self.head().number
        outcomes = []
        for each in asked:
            case = book.case(each.subject, each.belongs_to)
            grant = granted(each, case, now=now, ladder=self._ladder, exactly=exactly)
            decision = None
            if grant.step is not None:
                lasts = each.lasts if grant.step is each.step else None
                taken = replace(each, step=grant.step, lasts=lasts)
                decision = made(taken, name=f"{_DECISION}{before + len(acts) + 1}", now=now, ladder=self._ladder)
                acts.append(_Act(decision.subject, decision.root, Decided(decision)))
                book.add([acts[-1].event])
            outcomes.append(Outcome(grant, decision))
        return tuple(outcomes), acts

    def _endings(self, book: Book, now: datetime) -> tuple[tuple[tuple[Decision, Decision | None], ...], list[_Act]]:
        acts, followed, ended = [], [], list(book.ended(now))
        for each in ended:
            follower = following(each, self._ladder)
            acts.append(_Act(each.subject, each.root, Expired(each.id, now)))
            if follower is not None:
                acts.append(_Act(follower.subject, follower.root, Decided(follower)))
                if now >= follower.expires_at:
                    ended.append(follower)  # its turn comes
            followed.append((each, follower))
        return tuple(followed), acts

    def _append(self, acts: Sequence[_Act]) -> None:
        """Chain what was done to the trail; to be called while writing."""
        head, at = self.head(), f"{self._clock().astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        entries = []
        for act in acts:
            entry = chained(
                head,
                at=at,
                action=action(act.event),
                about=act.about,
                subject=subject_out(act.subject),
                content=to_content(act.event),
            )
            entries.append(astuple(entry))
            head = Head(entry.number, entry.hash)
        self._store.append(_APPEND, entries)


@dataclass(frozen=True, slots=True)
class _Act:
    """An event, whom it is about, and the id that its entry is found by."""

    subject: Subject
    about: str
    event: Event


def _on_the_same(decision: Decision, book: Book, now: datetime) -> tuple[Decision, ...]:
    """Give the other decisions that stand against its subject and rest on the same finding."""
    grounds = decision.grounds
    return tuple(
        each
        for each in book.decisions.values()
        if each.id != decision.id
        and each.stands(now)
        and grounds is not None
        and each.grounds is not None
        and each.grounds.finding == grounds.finding
    )


def _root(name: str) -> str:
    return name.partition(".")[0]


def _said(text: str) -> str:
    """Give a name or a reason without the blanks around it.

    Raises:
        UsageError: nothing is left.

    """
    if not text.strip():
        raise UsageError("whoever acts on a decision gives a name and a reason; one of them is blank")
    return text.strip()


def _entry(row: tuple[Value, ...]) -> Entry:
    number, *texts = row
    return Entry(int(number), *map(str, texts))


def _store(place: str | Path, *, create: bool) -> Store:
    scheme = str(place).partition("://")[0].lower() if is_url(str(place)) else ""
    if scheme in {"postgresql", "postgres"}:
        from stillwatch.ledger.postgres import PostgresStore  # noqa: PLC0415  needs what is installed by wish only

        return PostgresStore(str(place))
    path = local_path(place)
    if path is None:
        raise UsageError(f"{without_secrets(str(place))}: a ledger is a file (SQLite) or a postgresql:// URL")
    return SqliteStore(path, create=create)
