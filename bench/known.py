"""Known campaigns at the door: how soon successors are met, how many ordinary accounts ever are, and what it costs.

    known.py [--scale 6] [--rate 1e-4]

One log is made and cut in two. The first week is scanned and decided on, in a ledger. Then everything that comes later
is played request by request: the campaigns' fresh accounts (bans put them there), all ordinary accounts of the same
world and of another one, and honest users who come with a campaign's template and client. Touches a temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from policy import ORDINARY
from stillwatch import api
from stillwatch.decisions.decide import decide
from stillwatch.decisions.facts import facts_from
from stillwatch.decisions.propose import asked_of, up_to
from stillwatch.decisions.step import Step
from stillwatch.guard.known import KnownCampaigns
from stillwatch.guard.policy_file import load_policy
from stillwatch.ledger.ledger import open_ledger
from stillwatch.report.findings_v1 import finding_digest
from stillwatch.simulate.scenario import load_scenario
from stillwatch.simulate.traffic import simulate
from stillwatch.verdicts.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stillwatch.simulate.traffic import Traffic
    from stillwatch.verdicts.evidence import Findings

KEY = bytes(range(32))
SCANNED = timedelta(days=7)
COPIED = ("system", "prompt", "user_agent", "ja4", "temperature", "top_p", "max_tokens", "n", "stream", "tools")

Row = dict[str, Any]


class Held:
    """A guard's state, in process: running sums and sets."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.sets: dict[str, set[str]] = defaultdict(set)
        self.calls = 0

    async def add(self, sums: Mapping[str, float], *, keep: float) -> Mapping[str, float]:
        """Add to running sums, and give what they come to."""
        del keep
        self.calls += 1
        for name, amount in sums.items():
            self.sums[name] += amount
        return {name: self.sums[name] for name in sums}

    async def once(self, key: str, items: Sequence[str], *, keep: float) -> tuple[bool, ...]:
        """Put items into a set, and tell which of them are new to it."""
        del keep
        self.calls += 1
        new = tuple(item not in self.sets[key] for item in items)
        self.sets[key].update(items)
        return new


@dataclass(frozen=True)
class World:
    """A log in two parts, and who is who."""

    before: pa.Table
    after: pa.Table
    accounts: pa.Table
    campaign: dict[str, str]
    kind: dict[str, str]


def made(seed: int, scale: float, *, campaigns: bool = True) -> Traffic:
    """Make ten days of the demo, with bans in every campaign so that there are successors."""
    demo = load_scenario("demo")
    hostile = tuple(msgspec.structs.replace(each, bans_per_day=0.08) for each in demo.campaigns)
    return simulate(
        msgspec.structs.replace(demo, days=10.0, campaigns=hostile if campaigns else ()), seed=seed, scale=scale
    )


def cut(traffic: Traffic) -> World:
    """Cut a log after the part that is scanned."""
    log = traffic.exchanges
    start = datetime.combine(traffic.scenario.start, datetime.min.time(), UTC)
    early = pc.less(log.column("time"), pa.scalar(start + SCANNED, log.schema.field("time").type))
    truth = traffic.truth.to_pydict()
    return World(
        log.filter(early),
        log.filter(pc.invert(early)),
        traffic.accounts,
        dict(zip(truth["account"], truth["campaign"], strict=True)),
        dict(zip(truth["account"], truth["kind"], strict=True)),
    )


def held(findings: Findings, rate: float, folder: Path, now: datetime) -> KnownCampaigns:
    """Decide on findings as `stillwatch decide --successors` does, and give what a guard makes of it."""
    asked = asked_of(
        findings.campaigns, up_to(Step.THROTTLE), digest=finding_digest, approvers=("bench",), successors=True
    )
    with open_ledger(str(folder / "ledger.sqlite"), create=True) as ledger:
        ledger.decide(asked)
        decisions = ledger.book().in_force(now)
    return KnownCampaigns(key=KEY, rate=rate, decisions=decisions)


async def play(known: KnownCampaigns, rows: Iterable[Row], accounts: Mapping[str, Row]) -> dict[str, int]:
    """Play requests in order; for each account the number of the request at which it was met, 0 for never."""
    state, requests, met = Held(), defaultdict[str, int](int), defaultdict[str, int](int)
    for row in rows:
        account = row["account"]
        requests[account] += 1
        marks = known.marks(row, accounts.get(account))
        if await known.meet(account, marks, state, at=row["time"].timestamp()) and not met[account]:
            met[account] = requests[account]
    return {account: met[account] for account in requests}


def rows_of(table: pa.Table) -> list[Row]:
    """Rows of a log, each with what it tells."""
    rows: list[Row] = table.drop_columns(["response"]).to_pylist() if "response" in table.column_names else []
    return rows or table.to_pylist()


def by_account(accounts: pa.Table) -> dict[str, Row]:
    """What is known of each account."""
    return {row["account"]: row for row in accounts.to_pylist()}


def told(name: str, met: Mapping[str, int]) -> str:
    """How many were met, and at which request."""
    at = sorted(number for number in met.values() if number)
    if not at:
        return f"{name:48} {0:6,} of {len(met):6,} met"
    soon = f"at request {median(at):g} (median), {at[int(0.95 * (len(at) - 1))]} (95 %), {at[-1]} (last)"
    return f"{name:48} {len(at):6,} of {len(met):6,} met; {soon}"


def told_campaigns(findings: Findings, world: World, known: KnownCampaigns) -> None:
    """Print which campaigns are held, and what ordinary accounts have in common with them."""
    for each in findings.campaigns:
        if each.verdict is Verdict.CAMPAIGN and each.known_by is not None:
            names = sorted({world.campaign[member.account] or "innocent" for member in each.accounts})
            agree = f"of {each.known_by.ordinary:,} agree {each.known_by.agreeing}"
            print(f"  {each.id} {'+'.join(names)}: {len(each.known_by.marks)} marks, {agree}")
            print(f"    {known.blind.get(each.id, 'held')}")


def report(scale: float, rate: float) -> None:
    """Print all figures."""
    world = cut(made(1, scale))
    findings = api.scan_table(world.before, accounts=world.accounts, key=KEY)
    now = datetime.now(UTC)
    with TemporaryDirectory() as folder:
        known = held(findings, rate, Path(folder), now)
    print(f"rate {rate:g}; scanned: {world.before.num_rows:,} exchanges, {findings.scan.accounts:,} accounts")
    told_campaigns(findings, world, known)
    accounts = by_account(world.accounts)
    seen = set(world.before.column("account").to_pylist())
    later = rows_of(world.after)
    met = asyncio.run(play(known, later, accounts))
    for name in sorted(set(world.campaign.values()) - {""}):
        fresh = {each: at for each, at in met.items() if world.campaign[each] == name and each not in seen}
        print(told(f"successors of {name}", fresh))
    print(told("ordinary, same world", {each: at for each, at in met.items() if not world.campaign[each]}))

    other = made(2, scale, campaigns=False)
    shift = timedelta(days=7)
    strangers = [{**row, "time": row["time"] + shift} for row in rows_of(other.exchanges)]
    print(told("ordinary, another world, ten days", asyncio.run(play(known, strangers, by_account(other.accounts)))))

    template = [row for row in later if world.campaign[row["account"]]]
    copied = [
        {**row, **{name: template[place % len(template)][name] for name in COPIED}}
        for place, row in enumerate(strangers[: 40 * len(template)])
    ]
    worn = asyncio.run(play(known, copied, by_account(other.accounts)))
    print(told("honest, with campaigns' templates and clients", worn))
    cost(known, strangers[:20_000], by_account(other.accounts))


def copied_app(rate: float) -> None:
    """A campaign wears an app's system prompt, client and wording while it is scanned; who uses the app then?"""
    traffic = made(5, 2.0)
    truth = traffic.truth.to_pylist()
    users = Counter(row["cohort"] for row in truth if row["kind"].startswith("app"))
    app = {row["account"] for row in truth if row["cohort"] == users.most_common(1)[0][0]}
    wearers = {row["account"] for row in truth if row["campaign"] == "quarry"}
    log = traffic.exchanges
    of_app, worn = (pc.is_in(log.column("account"), pa.array(sorted(names))) for names in (app, wearers))
    one = log.filter(of_app).slice(0, 1)
    for name in set(COPIED) - {"prompt"}:
        place, value = log.schema.get_field_index(name), one.column(name)[0]
        log = log.set_column(place, log.schema.field(place), pc.if_else(worn, value, log.column(place)))
    prompts = log.filter(worn).column("prompt").to_pylist()
    said = [prompts[row % len(prompts)] if its else None for row, its in enumerate(of_app.to_pylist())]
    place = log.schema.get_field_index("prompt")
    wording = pc.coalesce(pa.chunked_array([pa.array(said, pa.string())]), log.column(place))
    world = cut(replace(traffic, exchanges=log.set_column(place, log.schema.field(place), wording)))
    findings = api.scan_table(world.before, accounts=world.accounts, key=KEY)
    with TemporaryDirectory() as folder:
        known = held(findings, rate, Path(folder), datetime.now(UTC))
    print(f"rate {rate:g}; a campaign wears an app's system prompt, client and wording")
    told_campaigns(findings, world, known)
    met = asyncio.run(play(known, rows_of(world.after), by_account(world.accounts)))
    seen = set(world.before.column("account").to_pylist())
    print(told("users of the app", {each: at for each, at in met.items() if each in app}))
    print(told("  those of them who are new", {each: at for each, at in met.items() if each in app - seen}))
    print(told("successors of the campaign", {each: at for each, at in met.items() if each in wearers - seen}))


def cost(known: KnownCampaigns, rows: Sequence[Row], accounts: Mapping[str, Row]) -> None:
    """Print what a request costs, beside deciding on it by a policy of thirty rules."""
    policy = load_policy("strict")
    facts = facts_from(ORDINARY)

    async def meeting() -> None:
        await play(known, rows, accounts)

    marks = least(lambda: [known.marks(row, accounts.get(row["account"])) for row in rows]) / len(rows)
    both = least(lambda: asyncio.run(meeting())) / len(rows)
    alone = least(lambda: [decide(policy, facts) for _ in range(1000)]) / 1000
    print(
        f"a request: marks {1e6 * marks:.1f} us, marks and meeting {1e6 * both:.1f} us, "
        f"the decision alone {1e6 * alone:.1f} us: {both / alone:.2f} of it"
    )


def least(what: Callable[[], object], times: int = 5) -> float:
    """Seconds of the shortest run."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        what()
        found.append(time.perf_counter() - begun)
    return min(found)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=6.0)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--copied-rate", type=float, default=1e-3, help="for the copied app, in a smaller world")
    given = parser.parse_args()
    report(given.scale, given.rate)
    copied_app(given.copied_rate)


if __name__ == "__main__":
    main()
