from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.decisions import ACCOUNT, DAY, NOW, asked
from tests.strategies import KNOWN_BY, names, times

from stillwatch.decisions.allowance import Allowance
from stillwatch.decisions.decision import Appeal, Decision, Grounds, KeyedMark
from stillwatch.decisions.events import Allowed, Appealed, Decided, Event, Expired, Judged, Lifted, Withdrawn
from stillwatch.decisions.ladder import made
from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject, SubjectKind
from stillwatch.errors import LedgerError
from stillwatch.ledger.audit_v1 import action, from_content, to_content
from stillwatch.verdicts.evidence import Verdict

said = names.filter(str.strip)
subjects = st.builds(Subject, st.sampled_from(SubjectKind), names)
shares = st.floats(0, 1)
grounds = st.builds(Grounds, names, names, st.sampled_from(Verdict), st.floats(-50, 50), shares, shares)
marks = st.lists(st.builds(KeyedMark, names, names), max_size=2).map(tuple)
decisions = st.builds(
    lambda days, start, **others: Decision(made_at=start, expires_at=start + days * DAY, **others),
    days=st.integers(1, 99),
    start=times,
    id=names,
    subject=subjects,
    step=st.sampled_from(Step),
    reason=said,
    grounds=st.none() | grounds,
    marks=marks,
    policy=names,
    approvers=st.lists(names, max_size=2).map(tuple),
    appeal=st.sampled_from(Appeal),
    lifted_at=st.none() | times,
    known_by=st.none() | st.just(KNOWN_BY),
)
allowances = st.builds(
    lambda days, start, **others: Allowance(made_at=start, expires_at=start + days * DAY, **others),
    days=st.integers(1, 366),
    start=times,
    id=names,
    subject=subjects,
    owner=said,
    reason=said,
    withdrawn_at=st.none() | times,
)
events = st.one_of(
    st.builds(Decided, decisions),
    st.builds(Lifted, names, names, names, times),
    st.builds(Appealed, names, names, names, times),
    st.builds(Judged, names, names, names, st.booleans(), times),
    st.builds(Expired, names, times),
    st.builds(Allowed, allowances),
    st.builds(Withdrawn, names, names, names, times),
)

AT = NOW.replace(microsecond=1500)
LAB = Allowance("a-2", ACCOUNT, "trust", "evaluator", NOW, NOW + DAY)
PINNED: list[tuple[Event, str]] = [
    (
        Decided(made(asked(Step.VERIFY, approvers=("ann",)), name="d-1", now=NOW)),
        (
            '{"action":"decide","decision":{"appeal":"none","approvers":["ann"],"expires_at":"2026-07-15T12:00:00Z",'
            '"grounds":{"bits":20.0,"digest":"' + "ab" * 32 + '","finding":"c-1","membership":0.99,"q_value":0.001,'
            '"verdict":"campaign"},"id":"d-1","lifted_at":null,"made_at":"2026-07-01T12:00:00Z",'
            '"marks":[{"family":"opening","mark":"abuejqjkfw3sknxn"}],"policy":"rules/1",'
            '"reason":"one queue dealt over its accounts","step":"verify",'
            '"subject":{"kind":"account","value":"acct-1"}},"schema":"stillwatch.audit/1"}'
        ),
    ),
    (
        Lifted("d-1", "ann", "wrong", AT),
        (
            '{"action":"lift","at":"2026-07-01T12:00:00.001500Z","by":"ann","decision":"d-1","reason":"wrong",'
            '"schema":"stillwatch.audit/1"}'
        ),
    ),
    (
        Appealed("d-1", "acct", "no", NOW),
        (
            '{"action":"appeal","at":"2026-07-01T12:00:00Z","by":"acct","decision":"d-1","reason":"no",'
            '"schema":"stillwatch.audit/1"}'
        ),
    ),
    (
        Judged("d-1", "bob", "yes", upheld=True, at=NOW),
        (
            '{"action":"judge","at":"2026-07-01T12:00:00Z","by":"bob","decision":"d-1","reason":"yes",'
            '"schema":"stillwatch.audit/1","upheld":true}'
        ),
    ),
    (
        Expired("d-1", NOW),
        ('{"action":"expire","at":"2026-07-01T12:00:00Z","decision":"d-1","schema":"stillwatch.audit/1"}'),
    ),
    (
        Allowed(LAB),
        (
            '{"action":"allow","allowance":{"expires_at":"2026-07-02T12:00:00Z","id":"a-2",'
            '"made_at":"2026-07-01T12:00:00Z","owner":"trust","reason":"evaluator",'
            '"subject":{"kind":"account","value":"acct-1"},"withdrawn_at":null},"schema":"stillwatch.audit/1"}'
        ),
    ),
    (
        Withdrawn("a-2", "ann", "ended", NOW),
        (
            '{"action":"withdraw","allowance":"a-2","at":"2026-07-01T12:00:00Z","by":"ann","reason":"ended",'
            '"schema":"stillwatch.audit/1"}'
        ),
    ),
]


@given(events)
def test_every_event_reads_back(event: Event) -> None:
    content = to_content(event)
    assert from_content(content, where="here") == event
    assert content.isascii()
    assert to_content(from_content(content, where="here")) == content


@pytest.mark.parametrize(("event", "content"), PINNED, ids=lambda each: type(each).__name__)
def test_the_format_is_pinned(event: Event, content: str) -> None:
    assert to_content(event) == content
    assert f'"action":"{action(event)}"' in content


def test_by_what_a_cohort_is_known_is_written_where_there_is_anything_and_older_entries_read() -> None:
    plain, content = PINNED[0]
    assert "known_by" not in content
    assert isinstance(plain, Decided)
    known = Decided(replace(plain.decision, known_by=KNOWN_BY))
    wanted = (
        '"known_by":{"agreeing":[4,1,0],"marks":[{"accounts":180,"elsewhere":2,"family":"opening",'
        '"mark":"abuejqjkfw3sknxn"},{"accounts":90,"elsewhere":0,"family":"network","mark":"sgacrocxfcjanjur"}],'
        '"ordinary":13567,"since":"2026-07-01T00:00:00Z","until":"2026-07-15T00:00:00Z"},'
    )
    assert to_content(known) == content.replace('"lifted_at"', f'{wanted}"lifted_at"')
    assert from_content(content, where="here") == plain
    with pytest.raises(LedgerError, match=r"here: .*fall"):
        from_content(to_content(known).replace("[4,1,0]", "[4,5,0]"), where="here")


def test_unknown_keys_are_passed_over() -> None:
    event, content = PINNED[1]
    assert from_content(content.replace('{"action"', '{"new":[1],"action"'), where="here") == event


def test_times_of_other_zones_are_written_in_utc() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    event, content = PINNED[2]
    assert isinstance(event, Appealed)
    assert to_content(replace(event, at=tokyo)) == content
    decided, content = PINNED[0]
    assert isinstance(decided, Decided)
    assert to_content(Decided(replace(decided.decision, made_at=tokyo))) == content


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"lift"', '"erase"', "invalid value 'erase' - at `$.action`"),
        ('"by":"ann",', "", "object missing required field `by`"),
        ("2026-07-01T12", "2026-07-99T12", "invalid RFC3339"),
        ("audit/1", "audit/9", "$.schema: this is `stillwatch.audit/9`; only `stillwatch.audit/1` can be read"),
        ("}", "", "input data was truncated"),
    ],
)
def test_what_is_no_event_is_refused_with_its_place(old: str, new: str, says: str) -> None:
    with pytest.raises(LedgerError) as error:
        from_content(PINNED[1][1].replace(old, new), where="l.sqlite: entry 7")
    assert str(error.value).startswith("l.sqlite: entry 7: ")
    assert says.lower() in str(error.value).lower()


def test_a_decision_that_makes_no_sense_is_refused() -> None:
    broken = PINNED[0][1].replace('"expires_at":"2026-07-15', '"expires_at":"2025-07-15')
    with pytest.raises(LedgerError, match="entry 1: a decision ends after it begins"):
        from_content(broken, where="entry 1")


@pytest.mark.parametrize(
    "change", [{"reason": " "}, {"policy": ""}, {"expires_at": NOW}, {"made_at": NOW.replace(tzinfo=None)}]
)
def test_no_decision_without_reason_rules_and_end(change: dict[str, Any]) -> None:
    decision = made(asked(), name="d-1", now=NOW)
    with pytest.raises(ValueError, match="d-1"):
        replace(decision, **change)


@pytest.mark.parametrize(
    "change", [{"reason": " "}, {"owner": ""}, {"expires_at": NOW}, {"expires_at": NOW + 367 * DAY}]
)
def test_no_allowance_without_owner_reason_and_end(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a-2"):
        replace(LAB, **change)


def test_subjects_read_back() -> None:
    assert Subject.parsed("account:a:b") == Subject(SubjectKind.ACCOUNT, "a:b")
    assert {str(Subject.parsed(f"{kind}:x")) for kind in SubjectKind} == {f"{kind}:x" for kind in SubjectKind}
    for text in ("", "x", "account", "account:", "user:x", ":x"):
        with pytest.raises(ValueError, match="subject"):
            Subject.parsed(text)
