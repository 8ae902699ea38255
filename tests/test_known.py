"""Known campaigns at the door: who is met, after what, and who never is."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.decisions import FIRM, NOW, asked

from stillwatch import api
from stillwatch.decisions.ladder import made
from stillwatch.decisions.propose import asked_of, up_to
from stillwatch.decisions.step import Step
from stillwatch.guard.known import KnownCampaigns
from stillwatch.ledger.ledger import open_ledger
from stillwatch.marks.door import DoorMarks
from stillwatch.marks.key import written
from stillwatch.marks.traits import LEAST, MOST, TRAITS, agreement
from stillwatch.report.findings_v1 import finding_digest
from stillwatch.simulate.scenario import load_scenario
from stillwatch.simulate.traffic import simulate
from stillwatch.verdicts.evidence import BorneMark, Finding, Findings, KnownBy, Verdict
from stillwatch.verdicts.known import JUDGED, pickers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stillwatch.decisions.decision import Decision

KEY = bytes(range(16))
Row = dict[str, Any]

TEMPLATE = "Write three careful answers about tides\nQ: {}\nA:\n- \n- \n- "
OPERATOR: Row = {
    "system": "you answer",
    "prompt": TEMPLATE.format("why"),
    "ja4": "t13d1",
    "temperature": 0.3,
    "ip": "192.0.2.7",
}
SIGNED_UP: Row = {"payment": "card-1", "email_domain": "box.example"}
NOBODY: Row = {"system": "be brief", "prompt": "hello there", "ja4": "t13d2", "temperature": 1.0, "ip": "198.51.100.1"}
SPAN = timedelta(days=7)


class Held:
    """A state that several guards share."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.sets: dict[str, set[str]] = defaultdict(set)
        self.asked = 0

    async def add(self, sums: Mapping[str, float], *, keep: float) -> Mapping[str, float]:
        assert keep > 0
        self.asked += 1
        for name, amount in sums.items():
            self.sums[name] += amount
        return {name: self.sums[name] for name in sums}

    async def once(self, key: str, items: Sequence[str], *, keep: float) -> tuple[bool, ...]:
        assert keep > 0
        self.asked += 1
        new = tuple(item not in self.sets[key] for item in items)
        self.sets[key].update(items)
        return new


def known_by(row: Row = OPERATOR, account: Row | None = SIGNED_UP, *, agreeing: tuple[int, ...] = (0, 0, 0)) -> KnownBy:
    marks = tuple(BorneMark(family, written(name), 9, 0) for family, name in DoorMarks(KEY).names(row, account))
    return KnownBy(NOW - SPAN, NOW, 20_000, agreeing, marks)


def against(cohort: str = "c-1", known: KnownBy | None = None, digest: str = "ab" * 32) -> Decision:
    wanted = replace(asked(subject=f"cohort:{cohort}", grounds=replace(FIRM, finding=cohort, digest=digest)))
    return made(replace(wanted, known_by=known or known_by()), name="d-1", now=NOW)


class Guard:
    """One guard, at which requests arrive."""

    def __init__(self, *decisions: Decision, state: Held | None = None, rate: float = 1e-4) -> None:
        self.known = KnownCampaigns(key=KEY, rate=rate, decisions=decisions)
        self.state = state or Held()

    def asks(
        self, account: str, row: Row, signed_up: Row | None = None, *, after: timedelta = timedelta(0)
    ) -> tuple[str, ...]:
        marks = self.known.marks(row, signed_up)
        return asyncio.run(self.known.meet(account, marks, self.state, at=(NOW + after).timestamp()))


def part(*names: str) -> Row:
    return {**NOBODY, **{name: OPERATOR[name] for name in names}}


# ---- who is met


def test_a_successor_is_met_at_once_and_stays_met() -> None:
    guard = Guard(against())
    assert guard.asks("new", OPERATOR) == ("c-1",)
    assert guard.asks("new", NOBODY) == ("c-1",)
    assert guard.asks("new", NOBODY, after=90 * SPAN) == ("c-1",)
    assert guard.asks("other", NOBODY) == ()


def test_what_was_shown_adds_up_over_requests() -> None:
    guard = Guard(against())
    assert guard.asks("new", part("prompt")) == ()
    assert guard.asks("new", NOBODY, SIGNED_UP) == ("c-1",)


@pytest.mark.parametrize(
    "shown",
    [
        ["prompt", "system", "ja4", "temperature"],  # an app whose template and client were copied
        ["ip", "ja4", "temperature"],  # an office, or the users of one exit
        ["ip"],
        ["ja4"],
    ],
)
def test_nobody_is_met_for_what_is_asked_or_for_where_it_comes_from_alone(shown: list[str]) -> None:
    guard = Guard(against())
    assert not any(guard.asks("honest", part(*shown)) for _ in range(50))


def test_a_campaign_that_ordinary_accounts_agree_with_takes_more_agreement() -> None:
    guard = Guard(against(known=known_by(agreeing=(60, 0, 0))))
    assert guard.asks("new", part("prompt", "ip")) == ()
    assert guard.asks("new", part("ja4")) == ("c-1",)
    hopeless = Guard(against(known=known_by(agreeing=(60, 50, 40))))
    assert hopeless.asks("new", OPERATOR, SIGNED_UP) == ()
    assert "20,000 ordinary accounts, worth 488 for what they share" in hopeless.known.blind["c-1"]
    assert not hopeless.known


def test_a_rate_that_the_scan_was_too_small_for_is_told_and_meets_nobody() -> None:
    small = replace(known_by(), ordinary=5_000)
    guard = Guard(against(known=small))
    assert guard.asks("new", OPERATOR, SIGNED_UP) == ()
    assert "5,000 ordinary accounts" in guard.known.blind["c-1"]
    assert "12,499" in guard.known.blind["c-1"]
    assert Guard(against(known=small), rate=1e-3).asks("new", OPERATOR) == ("c-1",)


def test_scans_share_the_rate() -> None:
    other = replace(known_by(NOBODY, None), since=NOW - 2 * SPAN)
    assert Guard(against(), against("c-2")).asks("new", OPERATOR) == ("c-1", "c-2")  # of one scan
    assert Guard(against(), against("c-2", other)).asks("new", OPERATOR) == ()  # 20,000 are too few for two
    assert Guard(against(), against("c-2", other), rate=2e-4).asks("new", OPERATOR) == ("c-1",)


# ---- time


def test_in_a_later_span_an_account_starts_anew_and_needs_more() -> None:
    guard = Guard(against())
    assert guard.asks("new", part("prompt"), after=timedelta(hours=1)) == ()
    assert guard.asks("new", part("ip"), after=SPAN + timedelta(hours=1)) == ()  # the template was another span's
    assert guard.asks("new", OPERATOR, after=SPAN + timedelta(hours=2)) == ()
    many = Guard(against(known=replace(known_by(), ordinary=1_000_000)))
    assert many.asks("old", NOBODY) == ()
    assert many.asks("old", OPERATOR, after=3 * SPAN) == ("c-1",)


def test_odds_grow_as_more_is_shown() -> None:
    guard = Guard(against(known=known_by(agreeing=(300, 20, 0))))
    at = NOW.timestamp()
    guard.asks("new", part("prompt"))
    assert guard.known.odds("new", at=at) == {}
    guard.asks("new", part("ip"))
    first = guard.known.odds("new", at=at)["c-1"]
    guard.asks("new", part("ja4"))
    assert 0 < first < guard.known.odds("new", at=at)["c-1"]
    assert guard.known.odds("nobody") == {}


# ---- state


def test_guards_that_share_a_state_know_what_was_shown_to_each() -> None:
    state = Held()
    one, two = Guard(against(), state=state), Guard(against(), state=state)
    assert one.asks("new", part("prompt")) == ()
    assert two.asks("new", part("ip")) == ("c-1",)
    assert one.asks("new", part("prompt"), after=timedelta(minutes=1)) == ("c-1",)
    again = Guard(against(), state=state)  # started anew
    assert again.asks("new", part("ja4")) == ("c-1",)


def test_since_when_an_account_is_known_outlives_a_guard() -> None:
    state = Held()
    Guard(against(), state=state).asks("old", NOBODY)
    assert Guard(against(), state=state).asks("old", OPERATOR, after=SPAN) == ()


def test_a_state_that_forgets_a_set_sooner_than_a_sum_misleads_nobody() -> None:
    state = Held()
    for _ in range(3):
        assert Guard(against(known=known_by(agreeing=(60, 0, 0))), state=state).asks("new", part("prompt", "ip")) == ()
        state.sets.clear()


def test_the_state_is_seldom_asked() -> None:
    guard = Guard(against())
    guard.asks("honest", part("ip"))
    before = guard.state.asked
    for _ in range(100):
        guard.asks("honest", part("ip"))
        guard.asks("honest", NOBODY)
    assert guard.state.asked == before
    guard.asks("new", OPERATOR)
    before = guard.state.asked
    for _ in range(100):
        guard.asks("new", OPERATOR, after=timedelta(hours=1))
    assert guard.state.asked == before


def test_many_requests_at_once_are_one_account() -> None:
    guard = Guard(against())

    async def all_at_once() -> list[tuple[str, ...]]:
        rows = [part("prompt"), part("ip"), part("ja4")] * 20
        at = NOW.timestamp()
        return await asyncio.gather(
            *(guard.known.meet("new", guard.known.marks(row), guard.state, at=at) for row in rows)
        )

    assert asyncio.run(all_at_once())[-1] == ("c-1",)


# ---- which decisions


def test_only_decisions_against_cohorts_count_and_of_one_campaign_the_newest() -> None:
    person = made(asked(), name="d-2", now=NOW)
    bare = made(asked(subject="cohort:c-9"), name="d-3", now=NOW)
    assert Guard(person, bare).known.campaigns == ()
    old, new = against(), against(known=known_by(NOBODY, None), digest="cd" * 32)
    guard = Guard(replace(new, id="d-5", made_at=NOW + timedelta(seconds=1)), old)
    assert guard.known.campaigns == ("c-1",)
    assert guard.asks("new", OPERATOR) == ()


def test_what_is_held_can_change_and_what_was_learned_stays() -> None:
    guard = Guard()
    assert not guard.known
    assert guard.asks("new", OPERATOR) == ()
    guard.known.hold([against()])
    assert guard.asks("new", OPERATOR) == ("c-1",)
    guard.known.hold([against("c-2", known_by(NOBODY))])
    assert guard.asks("new", OPERATOR) == ()
    guard.known.hold([against(), against("c-2", known_by(NOBODY))])
    assert guard.asks("new", part()) == ("c-1", "c-2")


def test_marks_that_no_scan_has_named_are_passed_over() -> None:
    odd = (BorneMark("aura", "abuejqjkfw3sknxn", 1, 0), BorneMark("system", "nonsense", 1, 0))
    assert Guard(against(known=replace(known_by(), marks=(*known_by().marks, *odd)))).asks("new", OPERATOR)
    assert "more than one request" in Guard(against(known=replace(known_by(), marks=odd[:1]))).known.blind["c-1"]


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        KnownCampaigns(key=KEY, rate=rate)


def test_a_guard_that_knows_no_campaign_loads_no_compiler() -> None:
    code = (
        "import sys; from stillwatch.guard.known import KnownCampaigns; "
        "assert not KnownCampaigns(key=bytes(16)).marks({'prompt': 'a'}); "
        "print(sorted({'numba', 'pyarrow', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)  # noqa: S603  # our own code
    assert done.stdout == b"[]\n"


# ---- from a log to the door


@dataclass(frozen=True)
class World:
    """A week that was scanned, and three days more.

    Attributes:
        log: all ten days.
        guilty: accounts of the campaign.
        seen: accounts of the week.

    """

    findings: Findings
    accounts: dict[str, Row]
    log: list[Row]
    guilty: set[str]
    seen: set[str]


@pytest.fixture(scope="module")
def world() -> World:
    demo = load_scenario("demo")
    quarry = msgspec.structs.replace(demo.campaigns[0], bans_per_day=0.08, accounts=120)
    traffic = simulate(msgspec.structs.replace(demo, days=10.0, campaigns=(quarry,)), seed=4, scale=0.7)
    log = traffic.exchanges
    end = datetime.combine(traffic.scenario.start, datetime.min.time(), UTC) + SPAN
    week = log.filter(pc.less(log.column("time"), pa.scalar(end, log.schema.field("time").type)))
    return World(
        api.scan_table(week, accounts=traffic.accounts, key=KEY),
        {row["account"]: row for row in traffic.accounts.to_pylist()},
        log.to_pylist(),
        {row["account"] for row in traffic.truth.to_pylist() if row["campaign"]},
        set(week.column("account").to_pylist()),
    )


def accused(findings: Findings) -> list[Finding]:
    return [each for each in findings.campaigns if each.verdict is Verdict.CAMPAIGN]


def decided(findings: Findings, folder: Path) -> Iterable[Decision]:
    wanted = asked_of(findings.campaigns, up_to(Step.OBSERVE), digest=finding_digest, successors=True)
    with open_ledger(folder / "ledger.sqlite", create=True) as ledger:
        ledger.decide(wanted)
        return ledger.book().in_force(datetime.now(UTC))


def test_only_campaigns_are_known_by_anything(world: World) -> None:
    assert accused(world.findings) == [each for each in world.findings.campaigns if each.known_by]
    assert accused(world.findings)


def test_those_who_agree_are_counted_as_the_door_would(world: World) -> None:
    door = DoorMarks(KEY)
    requests = defaultdict[str, int](int)
    first: dict[str, float] = {}
    bear: dict[tuple[str, str], set[str]] = defaultdict(set)
    last = world.findings.scan.last
    for row in world.log:
        if last and row["time"] <= last:
            requests[row["account"]] += 1
            first.setdefault(row["account"], row["time"].timestamp())
            for family, name in door.names(row, world.accounts[row["account"]]):
                bear[family, written(name)].add(row["account"])
    members = {each.account for campaign in accused(world.findings) for each in campaign.accounts}
    names = sorted(world.seen)
    asked_first = dict(zip(names, pickers(np.array([first[name] for name in names])).tolist(), strict=True))
    assert 0.2 < sum(asked_first.values()) / len(names) < 0.3
    counted = {name for name in names if not asked_first[name] and name not in members and requests[name] >= JUDGED}
    for campaign in accused(world.findings):
        known = campaign.known_by
        assert known is not None
        shown: dict[str, int] = defaultdict(int)
        for mark in known.marks:
            found = bear[mark.family, mark.mark]
            assert mark.elsewhere == len(found - members)
            assert 0 < mark.accounts <= len(found & {each.account for each in campaign.accounts})
            for account in found:
                shown[account] |= TRAITS[mark.family]
        assert known.ordinary == len(counted)
        assert known.agreeing == tuple(
            sum(agreement(shown[name]) >= level for name in counted) for level in range(LEAST, MOST + 1)
        )


def test_successors_are_met_within_their_first_requests_and_nobody_else_is(world: World, tmp_path: Path) -> None:
    known = KnownCampaigns(key=KEY, rate=2e-3, decisions=decided(world.findings, tmp_path))
    assert set(known.campaigns) == {each.id for each in accused(world.findings)}
    state = Held()
    requests, met = defaultdict[str, int](int), dict[str, int]()

    async def play() -> None:
        for row in world.log:
            name = row["account"]
            requests[name] += 1
            marks = known.marks(row, world.accounts[name])
            if await known.meet(name, marks, state, at=row["time"].timestamp()):
                met.setdefault(name, requests[name])

    asyncio.run(play())
    fresh = {name for name in world.guilty - world.seen if requests[name] >= 8}
    assert len(fresh) >= 10
    assert fresh <= met.keys()
    assert max(met[name] for name in fresh) <= 8
    assert not met.keys() - world.guilty


def test_honest_users_with_a_campaigns_template_and_client_are_never_met(world: World, tmp_path: Path) -> None:
    known = KnownCampaigns(key=KEY, rate=2e-3, decisions=decided(world.findings, tmp_path))
    copied = ("system", "prompt", "ja4", "user_agent", "temperature", "top_p", "max_tokens", "n", "stream", "tools")
    harvest = [row for row in world.log if row["account"] in world.guilty]
    honest = [row for row in world.log if row["account"] not in world.guilty][: 4 * len(harvest)]
    state = Held()

    async def play() -> set[str]:
        met = set[str]()
        for place, row in enumerate(honest):
            worn = {**row, **{name: harvest[place % len(harvest)][name] for name in copied}}
            marks = known.marks(worn, world.accounts[row["account"]])
            assert marks
            if await known.meet(row["account"], marks, state, at=row["time"].timestamp()):
                met.add(row["account"])
        return met

    assert asyncio.run(play()) == set()


def test_the_page_runs_as_it_stands() -> None:
    page = (Path(__file__).parent.parent / "docs" / "known.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "known.md", "exec"), {})  # noqa: S102  # our own page
