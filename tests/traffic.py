"""Made traffic for tests: quiet logs and campaigns put into them, with known truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch import api
from stillwatch.simulate.scenario import load_scenario, parse_scenario
from stillwatch.simulate.traffic import simulate
from stillwatch.verdicts.evidence import Findings, Verdict

if TYPE_CHECKING:
    from stillwatch.verdicts.judge import ScanSettings

KEY = bytes(range(32))

ORDINARY = """
schema: stillwatch.scenario/1
name: made
start: 2026-09-01
days: 14
models: {current: [orion-4, orion-4-mini], new: orion-5, release_day: 8}
ordinary:
  people: {count: 1500}
  apps: {count: 10, users: 45}
  offices: {count: 8, seats: 30}
  classes: {count: 4, students: 60}
  pipelines: {count: 50, requests_per_day: 25}
  evaluators: {count: 12, items: 400}
  nightly: {count: 10}
  agents: {count: 250}
  resellers: {count: 1, requests_per_day: 600}
  crowds: {count: 4, workers: 45}
  hobbyists: {count: 8}
  gateways: {count: 2, keys: 6}
  rush: {count: 120}
"""


@dataclass(frozen=True)
class Log:
    """A log, its accounts, and who harvests for which campaign."""

    exchanges: pa.Table
    accounts: pa.Table
    truth: pa.Table

    @property
    def campaign(self) -> dict[str, str]:
        """Account to campaign; the empty name for honest accounts."""
        columns = (self.truth.column(name).to_pylist() for name in ("account", "campaign"))
        return dict(zip(*columns, strict=True))

    def members(self, campaign: str) -> list[str]:
        """Accounts of one campaign."""
        return [account for account, name in self.campaign.items() if name == campaign]

    def cohort(self, name: str) -> list[str]:
        """Accounts of one honest group."""
        kept = self.truth.filter(pc.equal(self.truth.column("cohort"), name))
        found: list[str] = kept.column("account").to_pylist()
        return found

    def largest(self, kind: str) -> list[str]:
        """Accounts of the largest honest group of one kind."""
        groups = self.truth.filter(pc.equal(self.truth.column("kind"), kind)).column("cohort").to_pylist()
        return self.cohort(max(sorted(set(groups)), key=groups.count))

    def rows(self, accounts: list[str]) -> list[dict[str, Any]]:
        """Exchanges of some accounts."""
        kept = self.exchanges.filter(pc.is_in(self.exchanges.column("account"), pa.array(accounts)))
        found: list[dict[str, Any]] = kept.to_pylist()
        return found

    def only(self, accounts: list[str]) -> Log:
        """The log of some accounts alone."""
        kept = pa.array(accounts)
        return Log(
            *(
                table.filter(pc.is_in(table.column("account"), kept))
                for table in (self.exchanges, self.accounts, self.truth)
            )
        )

    def dressed(self, accounts: list[str], **values: object) -> Log:
        """The same log where all exchanges of some accounts have these values.

        A function is called with what stood there.
        """
        table = self.exchanges
        for name, value in values.items():
            table = _put(table, accounts, name, value)
        return replace(self, exchanges=table)

    def registered(self, accounts: list[str], **values: object) -> Log:
        """The same log where some accounts are registered with these values."""
        table = self.accounts
        for name, value in values.items():
            table = _put(table, accounts, name, value)
        return replace(self, accounts=table)

    def scan(self, settings: ScanSettings | None = None, baseline: api.Baseline | None = None) -> Findings:
        """Findings in this log."""
        return api.scan_table(self.exchanges, accounts=self.accounts, key=KEY, settings=settings, baseline=baseline)


def _put(table: pa.Table, accounts: list[str], name: str, value: object) -> pa.Table:
    chosen = set(accounts)
    place = table.column_names.index(name)
    column = [
        (value(old) if callable(value) else value) if account in chosen else old
        for account, old in zip(table.column("account").to_pylist(), table.column(name).to_pylist(), strict=True)
    ]
    return table.set_column(place, table.schema.field(place), pa.array(column, table.schema.field(place).type))


def named(name: str, *, seed: int, scale: float) -> Log:
    """A bundled scenario's log."""
    traffic = simulate(load_scenario(name), seed=seed, scale=scale)
    return Log(traffic.exchanges, traffic.accounts, traffic.truth)


@cache
def made(campaigns: str = "", *, seed: int = 1) -> Log:
    """Two weeks of about 2,500 honest accounts with these campaigns (YAML, a list) among them."""
    text = ORDINARY + (f"campaigns:\n{campaigns}" if campaigns else "")
    traffic = simulate(parse_scenario(text, where="made"), seed=seed)
    return Log(traffic.exchanges, traffic.accounts, traffic.truth)


def together(one: Log, other: Log, prefix: str = "second-") -> Log:
    """Two logs of one provider as one, the second's accounts renamed."""

    def renamed(table: pa.Table) -> pa.Table:
        place = table.column_names.index("account")
        names = pc.binary_join_element_wise(prefix, table.column("account"), "")
        return table.set_column(place, table.schema.field(place), names)

    pairs = ((one.exchanges, other.exchanges), (one.accounts, other.accounts), (one.truth, other.truth))
    exchanges, accounts, truth = (pa.concat_tables([first, renamed(second)]) for first, second in pairs)
    return Log(exchanges.sort_by("time"), accounts, truth)


def accused(findings: Findings) -> set[str]:
    """Accounts of all campaigns found."""
    return {
        member.account
        for finding in findings.campaigns
        if finding.verdict is Verdict.CAMPAIGN
        for member in finding.accounts
    }
