"""The ledger, in every database that it may be kept in: what it records, and that nothing shakes it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.decisions import ACCOUNT, DAY, FIRM, NOW, Clock, asked

import stillwatch
from stillwatch.decisions.audit import Head, verify
from stillwatch.decisions.book import Book
from stillwatch.decisions.decision import Appeal
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject
from stillwatch.errors import ChainError, LadderError, LedgerError, UnknownNameError, UsageError
from stillwatch.ledger.ledger import Ledger, open_ledger
from stillwatch.ledger.postgres import PostgresStore
from stillwatch.ledger.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Event as Signal

    from tests import postgres

    from stillwatch.ledger.store import Store

ANN, BOB = "ann", "bob"
COPY = "SELECT {}, at, action, about, subject, content, {}, 'new' FROM stillwatch_audit"
processes = multiprocessing.get_context("spawn")


def store(place: str, *, create: bool = True) -> Store:
    return PostgresStore(place) if "://" in place else SqliteStore(Path(place), create=create)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(place: str, clock: Clock) -> Iterator[Ledger]:
    with Ledger(store(place), create=True, clock=clock) as opened:
        yield opened


def in_force(ledger: Ledger, clock: Clock, subject: Subject = ACCOUNT) -> list[str]:
    return [each.id for each in ledger.book().case(subject).in_force(clock())]


def actions(ledger: Ledger) -> list[str]:
    return [entry.action for entry in ledger.entries()]


# ---- what is decided, and what becomes of it


def test_a_decision_is_kept_as_it_was_made(ledger: Ledger, clock: Clock) -> None:
    (outcome,) = ledger.decide([asked(Step.THROTTLE)])
    made = outcome.decision
    assert made is not None
    assert ledger.book().decisions == {"d-1": made}
    assert (made.made_at, made.expires_at) == (NOW, NOW + 7 * DAY)
    assert in_force(ledger, clock) == ["d-1"]


def test_the_ladder_is_climbed_step_by_step(ledger: Ledger) -> None:
    first, second, third = (ledger.decide([asked(Step.REFUSE, approvers=(ANN,))])[0] for _ in range(3))
    assert first.decision is not None
    assert first.decision.step is Step.THROTTLE
    assert first.granted.why_not[0].startswith("refuse follows a milder step")
    assert second.decision is not None
    assert second.decision.step is Step.REFUSE
    assert third.decision is None
    assert third.granted.stands == second.decision


def test_only_the_step_itself_is_taken_where_that_is_asked(ledger: Ledger) -> None:
    (outcome,) = ledger.decide([asked(Step.REFUSE, approvers=(ANN,))], exactly=True)
    assert outcome.decision is None
    assert list(ledger.entries()) == []


def test_a_dry_run_tells_the_same_and_writes_nothing(ledger: Ledger) -> None:
    wanted = [asked(Step.THROTTLE, f"account:{n}") for n in range(3)]
    told = ledger.decide(wanted, dry_run=True)
    assert list(ledger.entries()) == []
    assert ledger.decide(wanted) == told


def test_one_subject_twice_in_one_go_is_decided_once(ledger: Ledger) -> None:
    one, two = ledger.decide([asked(Step.OBSERVE), asked(Step.OBSERVE)])
    assert one.decision is not None
    assert two.granted.stands == one.decision


def test_a_lifted_decision_no_longer_stands_and_may_be_made_anew(ledger: Ledger, clock: Clock) -> None:
    ledger.decide([asked(Step.THROTTLE)])
    lifted = ledger.lift("d-1", by=BOB, reason="it was the wrong account")
    assert lifted.lifted_at == NOW
    assert in_force(ledger, clock) == []
    with pytest.raises(LadderError, match="d-1: no longer stands; d-1 was lifted"):
        ledger.lift("d-1", by=BOB, reason="again")
    ledger.decide([asked(Step.THROTTLE)])
    assert in_force(ledger, clock) == ["d-3"]
    assert actions(ledger) == ["decide", "lift", "decide"]


def test_an_appeal_that_is_upheld_lifts_all_that_rests_on_the_finding(ledger: Ledger, clock: Clock) -> None:
    ledger.decide([asked(Step.OBSERVE)])
    ledger.decide([asked(Step.REFUSE, approvers=(ANN,))])
    other = replace(FIRM, finding="c-2")
    ledger.decide([asked(Step.THROTTLE, grounds=other)], exactly=True)
    ledger.decide([asked(Step.OBSERVE, "account:other")])
    assert ledger.appeal("d-1", by="acct-1", reason="we are a lab").appeal is Appeal.OPEN
    with pytest.raises(LadderError, match="d-1: an appeal is open already"):
        ledger.appeal("d-1", by="acct-1", reason="hello?")
    with pytest.raises(LadderError, match="d-1: ann approved d-2 and cannot judge"):
        ledger.judge("d-1", by=ANN, reason="no", upheld=False)
    assert ledger.judge("d-1", by=BOB, reason="so they are", upheld=True).appeal is Appeal.UPHELD
    assert in_force(ledger, clock) == []
    assert in_force(ledger, clock, Subject.parsed("account:other")) == ["d-3"]
    (again,) = ledger.decide([asked(Step.OBSERVE)])
    assert again.granted.why_not == ("an appeal has overturned a decision on c-1; only two operators may decide anew",)
    assert ledger.decide([asked(Step.OBSERVE, approvers=(ANN, BOB))])[0].decision is not None


def test_an_appeal_that_is_rejected_leaves_the_decision(ledger: Ledger, clock: Clock) -> None:
    ledger.decide([asked(Step.THROTTLE, approvers=(ANN,))])
    with pytest.raises(LadderError, match="d-1: no appeal is open"):
        ledger.judge("d-1", by=BOB, reason="no", upheld=False)
    ledger.appeal("d-1", by="acct-1", reason="please")
    assert ledger.judge("d-1", by=BOB, reason="no", upheld=False).appeal is Appeal.REJECTED
    assert in_force(ledger, clock) == ["d-1"]
    assert ledger.appeal("d-1", by="acct-1", reason="new facts").appeal is Appeal.OPEN


def test_what_is_allowed_rests_and_stands_again_when_that_ends(ledger: Ledger, clock: Clock) -> None:
    ledger.decide([asked(Step.THROTTLE)])
    allowed = ledger.allow(ACCOUNT, owner="trust", reason="evaluator", lasts=DAY)
    assert allowed.id == "a-2"
    assert in_force(ledger, clock) == []
    assert ledger.withdraw("a-2", by=ANN, reason="contract ended").withdrawn_at == NOW
    assert in_force(ledger, clock) == ["d-1"]
    with pytest.raises(LadderError, match="a-2: no longer stands"):
        ledger.withdraw("a-2", by=ANN, reason="again")
    ledger.allow(ACCOUNT, owner="trust", reason="evaluator", lasts=DAY)
    clock.now += DAY
    assert in_force(ledger, clock) == ["d-1"]
    for lasts in (0 * DAY, 367 * DAY):
        with pytest.raises(UsageError, match="an allowance lasts some time, and 366 days at most"):
            ledger.allow(ACCOUNT, owner="trust", reason="evaluator", lasts=lasts)


def test_whom_an_allowance_for_its_organization_protects(ledger: Ledger) -> None:
    organization = Subject.parsed("organization:lab")
    ledger.allow(organization, owner="trust", reason="safety researchers", lasts=DAY)
    (outcome,) = ledger.decide([asked(Step.THROTTLE, belongs_to=(organization,))])
    assert outcome.decision is not None
    assert outcome.decision.step is Step.OBSERVE


def test_endings_are_written_down_whenever_somebody_comes_by(ledger: Ledger, clock: Clock) -> None:
    ledger.decide([asked(Step.OBSERVE)])
    ledger.decide([asked(Step.REFUSE, approvers=(ANN,))])
    clock.now += 22 * DAY  # refuse has ended, and so has the throttle that follows it
    assert in_force(ledger, clock) == ["d-1", "d-2.observe"]
    ended = ledger.expire()
    assert [(each.id, after.id if after else None) for each, after in ended] == [
        ("d-2", "d-2.throttle"),
        ("d-2.throttle", "d-2.observe"),
    ]
    assert in_force(ledger, clock) == ["d-1", "d-2.observe"]
    assert ledger.expire() == ()
    assert ledger.lift("d-2", by=ANN, reason="enough").id == "d-2.observe"
    assert in_force(ledger, clock) == ["d-1"]
    clock.now += 100 * DAY
    assert in_force(ledger, clock) == []
    with pytest.raises(LadderError, match="d-1: no longer stands; d-1 ended 2026-07-31"):
        ledger.lift("d-1", by=ANN, reason="too late")


def test_an_appeal_reaches_what_a_decision_has_become(ledger: Ledger, clock: Clock) -> None:
    ledger.decide([asked(Step.THROTTLE)])
    clock.now += 8 * DAY
    assert ledger.appeal("d-1", by="acct-1", reason="still?").id == "d-1.observe"
    assert actions(ledger) == ["decide", "expire", "decide", "appeal"]
    assert [entry.number for entry, _ in ledger.history("d-1.observe")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "name", ["d-7", "d-1.refuse", "a-1", "x", "", "d-", "d-99999999999999999999999", "d-²", "d--1"]
)
def test_ids_that_are_none_are_said(ledger: Ledger, name: str) -> None:
    ledger.decide([asked(Step.THROTTLE)])
    with pytest.raises(UnknownNameError, match="no decision"):
        ledger.lift(name, by=ANN, reason="why not")
    with pytest.raises(UnknownNameError, match="no allowance"):
        ledger.withdraw(name, by=ANN, reason="why not")
    assert actions(ledger) == ["decide"]


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_nobody_acts_without_a_name_and_a_reason(ledger: Ledger, blank: str) -> None:
    ledger.decide([asked(Step.THROTTLE)])
    for by, reason in ((blank, "why"), (ANN, blank)):
        with pytest.raises(UsageError, match="gives a name and a reason"):
            ledger.lift("d-1", by=by, reason=reason)
    assert actions(ledger) == ["decide"]


@pytest.mark.parametrize(
    "name", ["a\x00b", "ünï", "日本", "'; DROP TABLE stillwatch_audit; --", "%s", "?", "\u202e", "a:b"]
)
def test_any_name_is_kept(ledger: Ledger, name: str) -> None:
    subject = Subject.parsed(f"account:{name}")
    ledger.decide([asked(Step.OBSERVE, subject)])
    assert ledger.lift("d-1", by=name, reason=name).subject == subject
    assert ledger.verify().broken is None


# ---- following


def test_a_reader_follows_and_its_book_is_the_ledgers(ledger: Ledger, clock: Clock) -> None:
    own, cursor = Book(), 0
    for turn in range(6):
        ledger.decide([asked(Step.REFUSE, f"account:{turn % 2}", approvers=(ANN,))])
        clock.now += 8 * DAY
        changes = ledger.changes_since(cursor)
        assert changes.events
        own.add(changes.events)
        cursor = changes.cursor
    assert ledger.changes_since(cursor).events == ()
    assert ledger.changes_since(cursor).cursor == cursor
    assert own == ledger.book()


def test_a_trail_is_read_page_by_page(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.decide([asked(Step.OBSERVE, f"account:{n}") for n in range(10)])
    whole = list(ledger.entries())
    for page in (1, 3, 10, 11):
        monkeypatch.setattr("stillwatch.ledger.ledger.PAGE", page)
        assert list(ledger.entries()) == whole


# ---- the database itself refuses


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stillwatch_audit SET at = 'never'",
        "DELETE FROM stillwatch_audit",
        "DELETE FROM stillwatch_audit WHERE number = 3",
        f"INSERT INTO stillwatch_audit {COPY.format('number + 9', 'hash || number')} WHERE number = 3",
        f"INSERT INTO stillwatch_audit {COPY.format('4', 'previous')} WHERE number = 3",
        f"INSERT INTO stillwatch_audit {COPY.format('4', repr('elsewhere'))} WHERE number = 3",
        f"INSERT INTO stillwatch_audit {COPY.format('3', 'previous')} WHERE number = 3",
    ],
)
def test_nothing_but_appending_is_possible(ledger: Ledger, place: str, statement: str) -> None:
    ledger.decide([asked(Step.OBSERVE, f"account:{n}") for n in range(3)])
    before = list(ledger.entries())
    other = store(place)
    with pytest.raises(
        LedgerError, match=r"the audit trail is append-only|an entry must follow the last one|[Uu]nique"
    ):
        other.rows(statement)
    other.close()
    assert list(ledger.entries()) == before


def test_sqlite_replaces_nothing_either(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger", create=True) as ledger:
        ledger.decide([asked(Step.OBSERVE)])
    with sqlite3.connect(tmp_path / "ledger") as connection, pytest.raises(sqlite3.IntegrityError, match="must follow"):
        connection.execute("INSERT OR REPLACE INTO stillwatch_audit SELECT * FROM stillwatch_audit")
    connection.close()


def test_postgres_truncates_nothing_either(postgres_server: postgres.Server) -> None:
    url = postgres_server.new_database()
    with open_ledger(url, create=True) as ledger:
        ledger.decide([asked(Step.OBSERVE)])
        other = store(url)
        with pytest.raises(LedgerError, match="append-only"):
            other.rows("TRUNCATE stillwatch_audit")
        other.close()
        assert ledger.verify().head.number == 1


def test_whoever_takes_the_guards_away_is_found_out(ledger: Ledger, place: str) -> None:
    ledger.decide([asked(Step.OBSERVE, f"account:{n}") for n in range(3)])
    head = ledger.head()
    other = store(place)
    if "://" in place:
        other.rows("ALTER TABLE stillwatch_audit DISABLE TRIGGER ALL")
    else:
        other.rows("DROP TRIGGER stillwatch_audit_update")
        other.rows("DROP TRIGGER stillwatch_audit_delete")
    other.rows("UPDATE stillwatch_audit SET content = replace(content, 'observe', 'refuse') WHERE number = 2")
    broken = ledger.verify().broken
    assert broken is not None
    assert broken.says == "entry 2 is not what was hashed"
    other.rows("DELETE FROM stillwatch_audit WHERE number > 1")
    assert ledger.verify().broken is None  # nothing inside tells
    broken = ledger.verify(head).broken
    assert broken is not None
    assert broken.says.startswith("entries 2 to 3 are cut off")
    other.close()


def test_a_book_with_pages_torn_out_is_refused(ledger: Ledger, place: str) -> None:
    ledger.decide([asked(Step.OBSERVE)])
    ledger.lift("d-1", by=ANN, reason="wrong")
    other = store(place)
    if "://" in place:
        other.rows("ALTER TABLE stillwatch_audit DISABLE TRIGGER ALL")
    else:
        other.rows("DROP TRIGGER stillwatch_audit_delete")
    other.rows("DELETE FROM stillwatch_audit WHERE number = 1")
    other.close()
    with pytest.raises(ChainError, match="the entry that made d-1 is missing; see `stillwatch ledger verify`"):
        ledger.book()


# ---- opening


def test_a_ledger_that_is_not_there_is_said_and_not_made(place: str) -> None:
    with pytest.raises(LedgerError, match="there is no ledger here; `stillwatch decide` makes one"):
        open_ledger(place)
    assert "://" in place or not Path(place).exists()


def test_an_unknown_version_is_refused_and_left_alone(place: str) -> None:
    open_ledger(place, create=True).close()
    other = store(place)
    other.rows("UPDATE stillwatch_ledger SET version = 2")
    for create in (False, True):
        with pytest.raises(
            LedgerError, match=r"a ledger of version 2; only version 1 can be read\. It was left as it is"
        ):
            open_ledger(place, create=create)
    assert other.rows("SELECT version FROM stillwatch_ledger") == [(2,)]
    other.close()


def test_content_of_another_version_is_refused_and_named(ledger: Ledger, place: str) -> None:
    ledger.decide([asked(Step.OBSERVE)])
    other = store(place)
    if "://" in place:
        other.rows("ALTER TABLE stillwatch_audit DISABLE TRIGGER ALL")
    else:
        other.rows("DROP TRIGGER stillwatch_audit_update")
    other.rows("UPDATE stillwatch_audit SET content = replace(content, 'stillwatch.audit/1', 'stillwatch.audit/2')")
    with pytest.raises(LedgerError, match=r"entry 1: \$\.schema: this is `stillwatch.audit/2`"):
        ledger.book()
    other.rows("UPDATE stillwatch_audit SET content = '{}'")
    with pytest.raises(LedgerError, match=r"entry 1: \$\.schema: this is `none`"):
        ledger.book()
    other.rows("UPDATE stillwatch_audit SET content = '{'")
    with pytest.raises(LedgerError, match="entry 1: input data was truncated"):
        ledger.book()
    other.close()


def test_other_files_are_no_ledgers(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no database at all, but a text of some length\n" * 20)
    with pytest.raises(LedgerError, match="text: file is not a database"):
        open_ledger(tmp_path / "text", create=True)
    with pytest.raises(LedgerError, match="unable to open database file"):
        open_ledger(tmp_path / "no" / "folder", create=True)
    with pytest.raises(LedgerError, match="unable to open database file"):
        open_ledger(tmp_path, create=True)


def test_other_urls_are_refused_without_their_secrets() -> None:
    with pytest.raises(UsageError, match=r"mysql://ann@host/db: a ledger is a file \(SQLite\) or a postgresql:// URL"):
        open_ledger("mysql://ann:secret@host/db?password=secret")


def test_postgres_without_psycopg_says_what_to_install() -> None:
    code = "import sys; sys.modules['psycopg'] = None; from stillwatch.ledger.ledger import open_ledger"
    done = subprocess.run(  # noqa: S603  our own code
        [sys.executable, "-c", f"{code}; open_ledger('postgresql://here/db')"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(stillwatch.__file__).parent.parent)},
    )
    assert "UsageError: PostgreSQL needs psycopg: pip install 'stillwatch[postgres]'" in done.stderr


def test_a_server_that_is_not_there_is_said_without_secrets(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="postgresql://ann@/db: connection") as error:
        open_ledger(f"postgresql://ann:secret@/db?host={tmp_path}")
    assert "secret" not in str(error.value)


# ---- many at once


def _appending(place: str, name: str, times: int, start: Signal) -> None:
    start.wait()
    with open_ledger(place, create=True) as ledger:
        for turn in range(times):
            ledger.decide([asked(Step.OBSERVE, f"account:{name}-{turn}-{n}") for n in range(3)])


def test_writers_in_several_processes_never_fork_the_chain(place: str) -> None:
    """They make the ledger together, too."""
    start = processes.Event()
    writers = [processes.Process(target=_appending, args=(place, str(n), 12, start)) for n in range(4)]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    with open_ledger(place) as ledger:
        entries = list(ledger.entries())
        assert [entry.number for entry in entries] == list(range(1, 4 * 12 * 3 + 1))
        assert verify(entries).broken is None
        assert len({entry.previous for entry in entries}) == len(entries)
        assert len(ledger.book().decisions) == len(entries)


def _same(place: str, start: Signal) -> None:
    with open_ledger(place, create=True) as ledger:
        start.wait()
        ledger.decide([asked(Step.OBSERVE, f"account:{n}") for n in range(50)])


def test_two_who_decide_the_same_at_once_decide_it_once(place: str) -> None:
    open_ledger(place, create=True).close()
    start = processes.Event()
    writers = [processes.Process(target=_same, args=(place, start)) for _ in range(3)]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join()
    with open_ledger(place) as ledger:
        assert len(list(ledger.entries())) == 50


def test_a_reader_in_another_process_sees_a_decision_within_two_seconds(place: str) -> None:
    with open_ledger(place, create=True) as reader:
        start = processes.Event()
        writer = processes.Process(target=_appending, args=(place, "x", 1, start))
        writer.start()
        start.set()
        cursor, seen, waited = 0, 0, []
        until = time.monotonic() + 60
        while seen < 3 and time.monotonic() < until:
            changes = reader.changes_since(cursor)
            cursor = changes.cursor
            seen += len(changes.events)
            if changes.events:
                written = next(iter(reader.entries(cursor - 1))).at
                waited.append(time.time() - _seconds(written))
            time.sleep(0.5)  # as a gateway would ask
        writer.join()
    assert seen == 3
    assert max(waited) < 2


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _forever(place: str, started: Signal) -> None:
    with open_ledger(place, create=True) as ledger:
        turn = 0
        while True:
            ledger.decide([asked(Step.OBSERVE, f"account:{turn}-{n}") for n in range(20)])
            turn += 1
            if turn == 3:
                started.set()


@pytest.mark.parametrize("moment", [0.0, 0.013, 0.031])
def test_a_writer_that_is_killed_leaves_a_whole_trail(place: str, moment: float) -> None:
    started = processes.Event()
    writer = processes.Process(target=_forever, args=(place, started))
    writer.start()
    started.wait()
    time.sleep(moment)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    with open_ledger(place) as ledger:
        found = ledger.verify()
        assert found.broken is None
        assert found.head.number >= 60
        assert found.head.number % 20 == 0  # what one call decides is there whole or not at all
        ledger.decide([asked(Step.OBSERVE)])  # nobody holds the lock any more
        assert ledger.verify(found.head).head == ledger.head()
        assert ledger.head() != Head()
