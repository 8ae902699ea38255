"""Campaigns: one operator, many accounts, one queue of tasks dealt to them. Adds them to the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stillwatch.simulate import clients, hours, places
from stillwatch.simulate.clients import Clients, Parameters
from stillwatch.simulate.ordinary import NEVER, converse
from stillwatch.simulate.persons import gather
from stillwatch.simulate.wording import Floats, Integers, Texts, Wording, load_wording
from stillwatch.simulate.world import World, cards, handles, organizations

if TYPE_CHECKING:
    from stillwatch.simulate.places import Addresses
    from stillwatch.simulate.scenario import Campaign

_LENGTHS = {"plain": 5.9, "reasoning": 6.6, "rubric": 4.9, "cleaning": 6.2, "replay": 6.4, "tools": 6.1, "logits": 0.0}
_TOOL_STEPS = 2.5  # requests that a tool task takes, on average


@dataclass(frozen=True)
class Fleet:
    """The accounts of a campaign; a slot is a place in the pool, and a ban puts a fresh account in it.

    Attributes:
        account: number of each account.
        slot: its place; sorted, and by time inside a place.
        begin, end: days between which it works.
        country: of each account.
        client: of each account.
        line: address of each account, if it has one of its own.
        exits: addresses that all share; None if each has its own.

    """

    account: Integers
    slot: Integers
    begin: Floats
    end: Floats
    country: Integers
    client: Clients | None
    line: Addresses
    exits: Addresses | None

    def working(self, slot: Integers, time: Floats) -> Integers:
        """Give the row of the account that is in each slot at each time."""
        key = self.slot * 1000.0 + self.begin
        found: Integers = np.searchsorted(key, slot * 1000.0 + time, side="right") - 1
        return found

    def clients_of(self, rng: np.random.Generator, row: Integers) -> Clients:
        """Give the client of each request; drawn anew where the operator changes it every time."""
        return clients.common(rng, len(row)) if self.client is None else self.client.take(row)

    def addresses_of(self, rng: np.random.Generator, row: Integers) -> Addresses:
        """Give the address of each request."""
        if self.exits is None:
            return self.line.take(row)
        return self.exits.take(rng.integers(0, len(self.exits.asn), len(row)))


def make_campaign(world: World, plan: Campaign) -> None:
    """Make one campaign: its accounts, a sweep if it starts with one, the main run, and cover."""
    rng = world.stream("campaign", plan.name)
    fleet = _open_fleet(world, rng, plan)
    wording = load_wording(plan.language)
    begin = plan.start_day
    winners = rng.permutation(wording.variants(plan.elicits))
    if plan.sweep is not None:
        _sweep(world, rng, plan, fleet, wording=wording, variants=winners[: plan.sweep.variants])
        begin += plan.sweep.days
        winners = winners[: 1 + plan.sweep.variants // 6]
    if plan.wording == "fixed":
        winners = winners[:1]
    if "customers" in plan.tasks:
        _serve_customers(world, rng, plan, fleet, plan.requests_per_day, harvest=True)
        return
    _main_run(world, rng, plan, fleet, wording=wording, winners=winners, begin=begin)
    if plan.cover:
        _serve_customers(world, rng, plan, fleet, plan.requests_per_day * plan.cover / (1 - plan.cover), harvest=False)


def _open_fleet(world: World, rng: np.random.Generator, plan: Campaign) -> Fleet:
    slots = max(2, world.scaled(plan.accounts))
    last = min(world.days, world.days if plan.end_day is None else plan.end_day)
    lives: list[tuple[int, float, float]] = []
    for slot in range(slots):
        begin = plan.start_day
        while begin < last:
            life = rng.exponential(1 / plan.bans_per_day) if plan.bans_per_day else np.inf
            lives.append((slot, begin, min(last, begin + life)))
            begin += life + rng.exponential(0.05)  # somebody has to notice and sign up again
    place, begins, ends = (np.array(column) for column in zip(*lives, strict=True))
    rows = len(lives)
    country = places.countries(rng, np.zeros(rows, dtype=np.int64))
    born = rng.uniform(-20, -2) + plan.start_day
    first = {
        "burst": born + rng.normal(0, 0.15, rows),
        "spread": plan.start_day - rng.exponential(60.0, rows),
        "aged": -rng.uniform(120, 700, rows),
    }[plan.sign_up]
    stack = cards(rng, max(2, slots // 12))
    throwaway = [f"box{x}.example" for x in rng.integers(0, 10_000, 4).tolist()]
    claimed = {"none": None, "own": organizations(rng, rows), "shared": organizations(rng, 1) * rows}
    account = world.open_accounts(
        rng,
        rows,
        kind="campaign",
        cohort=plan.name,
        campaign=plan.name,
        country=country,
        created=np.where(begins > plan.start_day, begins - 0.05, first),
        payment=[stack[i] for i in rng.integers(0, len(stack), rows).tolist()] if plan.payment == "pool" else None,
        email_domain=[throwaway[i] for i in rng.integers(0, 4, rows).tolist()] if plan.mail == "disposable" else None,
        organization=claimed[plan.organization],
    )
    doors = max(8, slots // 10)
    exits = {
        "own": None,
        "pool": places.exits(rng, doors, places.ANONYMISING),
        "hosting": places.exits(rng, doors, places.HOSTING),
    }
    return Fleet(
        account=account,
        slot=place.astype(np.int64),
        begin=begins,
        end=ends,
        country=country,
        client=_fleet_clients(rng, plan, rows),
        line=places.homes(rng, country),
        exits=exits[plan.network],
    )


def _fleet_clients(rng: np.random.Generator, plan: Campaign, rows: int) -> Clients | None:
    same = np.zeros(rows, dtype=np.int64)
    if plan.client == "own":
        return clients.own([f"python-httpx/0.{rng.integers(20, 40)}.{rng.integers(1, 90)}"]).take(same)
    if plan.client == "common":
        return clients.common(rng, 1).take(same)
    return clients.common(rng, rows) if plan.client == "spoofed" else None


def _schedule(
    world: World, rng: np.random.Generator, plan: Campaign, fleet: Fleet, *, begin: Floats, counts: Integers
) -> tuple[Integers, Floats]:
    """Lay the requests of each account into its life: account row and time of each, by time."""
    if plan.schedule == "flat":
        row, time = hours.steady(rng, counts, begin, fleet.end)
    elif plan.schedule == "human":
        length = world.days - begin
        counts = np.round(counts * length / np.maximum(fleet.end - begin, 1e-9)).astype(np.int64)
        sat = hours.sittings(
            rng,
            counts,
            days=world.days,
            first_weekday=world.first_weekday,
            offset=places.OFFSETS[fleet.country],
            favourite=rng.normal(15.5, 3.0, len(counts)),
            spread=3.2,
            goes_on=0.0,
            begins=begin,
        )
        row, time = sat.who, sat.time
    else:  # shifts: one office far to the east works through the queue by day
        row = np.repeat(np.arange(len(counts)), counts)
        span = fleet.end[row] - begin[row]
        time = np.floor(begin[row] + rng.random(len(row)) * span) + rng.uniform(0.05, 0.45, len(row))
    inside = (time >= begin[row]) & (time < fleet.end[row])
    row, time = row[inside], time[inside]
    order = np.argsort(time, kind="stable")
    return row[order], time[order]


def _main_run(
    world: World,
    rng: np.random.Generator,
    plan: Campaign,
    fleet: Fleet,
    *,
    wording: Wording,
    winners: Integers,
    begin: float,
) -> None:
    slots = int(fleet.slot.max()) + 1
    pace = rng.lognormal(0, 0.9, slots) if plan.dealing == "uneven" else np.ones(slots)
    pace *= plan.requests_per_day / pace.mean() / (_TOOL_STEPS if plan.elicits == "tools" else 1.0)
    begins = np.maximum(fleet.begin, begin)
    counts = rng.poisson(pace[fleet.slot] * np.maximum(0.0, fleet.end - begins))
    row, time = _schedule(world, rng, plan, fleet, begin=begins, counts=counts)
    rows = len(row)
    if not rows:
        return
    # the queue: every task as often as it is to be sampled, shuffled, dealt out in the order of time
    distinct = -(-rows // plan.resample)
    task = wording.tasks(rng, plan.tasks, distinct).take(
        pa.array(rng.permutation(np.repeat(np.arange(distinct), plan.resample))[:rows])
    )
    if plan.wording != "none":
        task = wording.wrap(rng, plan.elicits, task, winners[rng.integers(0, len(winners), rows)])
    turn, follows = np.ones(rows, dtype=np.int64), np.full(rows, -1)
    if plan.elicits == "tools":  # each task is a run of calls on one account
        steps = rng.geometric(1 / _TOOL_STEPS, rows)
        source = np.repeat(np.arange(rows), steps)
        step = np.arange(len(source)) - np.repeat(np.cumsum(steps) - steps, steps)
        time = time[source] + step * 25.0 / 86_400
        follows = np.where(step > 0, np.arange(len(source)) - 1, -1)
        task, row, turn, rows = task.take(pa.array(source)), row[source], step + 1, len(source)
    elif plan.relay:  # the next turn of a conversation goes to whoever is next
        on = np.zeros(rows, dtype=np.bool_)
        on[1:] = (rng.random(rows - 1) < 0.45) & (np.diff(time) < hours.STALE_DAYS)
        turn, follows = hours.turns(on), np.where(on, np.arange(rows) - 1, -1)
    _send(world, rng, plan, fleet, row=row, time=time, task=task, turns=2 * turn - 1, follows=follows)


def _sweep(
    world: World,
    rng: np.random.Generator,
    plan: Campaign,
    fleet: Fleet,
    *,
    wording: Wording,
    variants: Integers,
) -> None:
    """Try many wordings on a few accounts: most are refused, the first of them is not."""
    if plan.sweep is None:
        return
    rows = plan.sweep.requests
    time = plan.start_day + np.sort(rng.random(rows)) * plan.sweep.days
    few = rng.integers(0, min(plan.sweep.accounts, int(fleet.slot.max()) + 1), rows)
    row = fleet.working(few, time)
    alive = time < fleet.end[row]
    row, time, rows = row[alive], time[alive], int(alive.sum())
    if not rows:
        return
    tried = rng.integers(0, len(variants), rows)
    weak = rng.random(len(variants))  # how often each wording is refused; the winner hardly ever
    chance = np.clip(weak / weak.mean() * plan.sweep.refused, 0.0, 1.0)
    chance[: 1 + len(variants) // 6] *= 0.05
    task = wording.wrap(rng, plan.elicits, wording.tasks(rng, plan.tasks, rows), variants[tried])
    _send(world, rng, plan, fleet, row=row, time=time, task=task, refused=rng.random(rows) < chance[tried])


def _send(
    world: World,
    rng: np.random.Generator,
    plan: Campaign,
    fleet: Fleet,
    *,
    row: Integers,
    time: Floats,
    task: Texts,
    turns: Integers | int = 1,
    follows: Integers | None = None,
    refused: npt.NDArray[np.bool_] | bool = False,
) -> None:
    rows = len(row)
    if plan.parameters == "varied":
        parameters = clients.parameters(rng, len(fleet.account)).take(row)
    else:
        parameters = Parameters(np.full(rows, 0.7), np.ones(rows), np.full(rows, 4096), np.zeros(rows, dtype=np.bool_))
    extra: dict[str, Any] = {}
    if plan.elicits == "logits":
        extra = {"top_logprobs": 20, "logit_bias": rng.integers(50, 300, rows)}
        parameters = Parameters(
            parameters.temperature, parameters.top_p, np.ones(rows, dtype=np.int64), parameters.stream
        )
    elif plan.elicits == "replay":  # blocks that were given once, handed in again by whoever is next
        block = handles(rng, max(1, rows // 2))
        extra = {"handle": block.take(pa.array(rng.integers(0, len(block), rows)))}
    elif plan.elicits == "tools":
        extra = {"tools": 6}
    release = world.scenario.models.release_day
    moves = rng.random(rows) < max(plan.pivot, 0.15)
    adopts = np.full(rows, NEVER) if release is None else np.where(moves, release + 0.6 * rng.random(rows), NEVER)
    world.write_down(
        rng,
        fleet.account[row],
        np.where(time < fleet.end[row], time, -1.0),  # a banned account's calls lie outside the log
        task,
        client=fleet.clients_of(rng, row),
        address=fleet.addresses_of(rng, row),
        country=fleet.country[row],
        parameters=parameters,
        model=world.models(rng, time, np.zeros(rows, dtype=np.int64), adopts),
        output=rng.lognormal(_LENGTHS[plan.elicits], 0.6, rows),
        turns=turns,
        follows=follows,
        refused=refused,
        harvest=True,
        **extra,
    )


def _serve_customers(
    world: World, rng: np.random.Generator, plan: Campaign, fleet: Fleet, per_account: float, *, harvest: bool
) -> None:
    """Carry other people's conversations on the campaign's accounts: cover, or the harvest itself."""
    slots = int(fleet.slot.max()) + 1
    last = float(fleet.end.max())
    each = min(10.0, max(2.0, per_account * (last - plan.start_day)))
    persons = gather(
        rng, max(1, int(slots * per_account * (last - plan.start_day) / (each + 1))), world.scenario.languages
    )
    home = rng.integers(0, slots, len(persons))

    def account(who: Integers, time: Floats) -> Integers:
        slot = rng.integers(0, slots, len(who)) if plan.relay else home[who]
        return fleet.account[fleet.working(slot, time)]

    converse(
        world,
        rng,
        persons,
        each,
        account,
        client=lambda _, number: fleet.clients_of(rng, number - fleet.account[0]),
        address=lambda _, number: fleet.addresses_of(rng, number - fleet.account[0]),
        begins=np.full(len(persons), plan.start_day),
        until=lambda number: fleet.end[number - fleet.account[0]],
        harvest=harvest,
    )
