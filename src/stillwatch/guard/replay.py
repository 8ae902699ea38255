"""Replay: past requests put to a policy one by one, in the order of their times. Touches: counters of its own.

What is put to it is what came then. Nobody reacts: who is refused neither tries again nor gives up, so that what is
stopped here is the most that could have been. What a gateway has to estimate (tokens) is known here, and every request
is over before the next one comes, so that limits are neither held up by estimates nor passed by many at once.

Most requests are alike in all that a policy's conditions speak of. So a decision is taken once for each combination of
such facts and remembered; only limits are asked for each request anew.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.decisions.decide import decide
from stillwatch.decisions.needs import needs_of, without
from stillwatch.decisions.openness import OPERATIONS, Bias, closings
from stillwatch.decisions.parties import Group
from stillwatch.decisions.plan import plan
from stillwatch.decisions.price import Effect, FirstTouch, Held, Price, RuleEffect, Toll
from stillwatch.decisions.ruling import Edit
from stillwatch.decisions.sentences import of_action, of_rule
from stillwatch.guard.counters import Counters, Exceeded
from stillwatch.guard.logged import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from stillwatch.decisions.facts import FactValue
    from stillwatch.decisions.needs import Needs
    from stillwatch.decisions.parties import Party
    from stillwatch.decisions.plan import Plan
    from stillwatch.decisions.policy import Bound, Policy
    from stillwatch.decisions.ruling import Ruling

_SETTLED: Final = frozenset({"input_tokens", "output_tokens"})
_REMEMBERED: Final = 200_000  # combinations of facts
_ASKED_ALWAYS: Final = frozenset({"account.step", "account.researcher"})
_CHANGED: Final[Mapping[str, str]] = {  # the fact by which it is told whether an edit of a field changes anything
    "logprobs": "request.logprobs",
    "top_logprobs": "request.top_logprobs",
    "n": "request.n",
    "logit_bias": "request.logit_bias",
    "logit_bias_magnitude": "request.logit_bias_magnitude",
    "seed": "request.seed",
    "tools": "request.tools",
}
_TALLIES: Final = (
    20_000_000  # a replay may take more memory than a gateway: nobody is to share a tally for want of room
)
_HOLD: Final = 21_600.0  # seconds between two looks at a tally: in a log an hour passes in no time
_TICK: Final = 2.0**-20  # of the clock: about a microsecond; sums of such times are exact


class LogClock:
    """The clocks of past requests: both show the time of the one that is put to the policy."""

    def __init__(self) -> None:
        self.now = 0.0

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        return self.now

    def steady(self) -> float:
        """The same: no clock was set."""
        return self.now


def facts_of(policy: Policy) -> frozenset[str]:
    """Name every fact that a policy asks for, in conditions or in what they lead to."""
    needs = needs_of(policy).values()
    found = {name for each in needs for name in (*each.condition, *each.beside, *each.action)}
    limits = {quota.of for bound in _bounds(policy) for quota in bound.quotas}
    if "output_tokens" in limits or any(bound.action.openness is not None for bound in _bounds(policy)):
        found |= {"request.n", "request.output_tokens"}  # a request for several answers has used several
    if any(name in found for name in ("request.logit_bias", "request.top_logprobs")):
        found |= {"request.logprobs", "request.top_logprobs"}
    return frozenset(found | _ASKED_ALWAYS)


@dataclass(slots=True, eq=False)
class _Answer:
    """What a policy says of all requests that are alike, and how often it was said.

    Attributes:
        ruling: what is done.
        planned: the limits to charge; None where it is refused or there are none.
        settles: whether a limit is charged with tokens.
        edited: whether edits change something that the log can tell, bounds on tokens left aside.
        keeps: the share of an answer's tokens that is left by a bound on answers.
        most: tokens that one answer may have.
        fires: names of the rules and actions of steps that it comes from.
        edits: those of them whose edits change something.
        cuts: bounds on tokens, and whose they are.
        marks: those that have the answer marked.
        came: requests, by group.
        served: of these, those that were served.
        accounts: whom it refused or edited.

    """

    ruling: Ruling
    planned: Plan | None
    settles: bool
    edited: bool
    keeps: float
    most: float
    fires: tuple[str, ...]
    edits: tuple[str, ...]
    cuts: tuple[tuple[float, str], ...]
    marks: tuple[str, ...]
    came: list[int] = field(default_factory=lambda: [0, 0, 0])
    served: list[int] = field(default_factory=lambda: [0, 0, 0])
    accounts: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Campaign:
    """One campaign, so far."""

    exchanges: int = 0
    tokens: int = 0
    begun: float = 0.0
    first: FirstTouch | None = None


class Replayed:
    """One policy that past requests are put to.

    Args:
        policy: under `observe` it is taken as if it were enforced.
        told: the facts that the requests tell.
        given: facts that are the same for every request.

    """

    def __init__(self, policy: Policy, told: frozenset[str], given: Mapping[str, FactValue]) -> None:
        self._needs, self._told = needs_of(policy), told | given.keys()
        self._policy = policy
        untried = frozenset(name for name, needs in self._needs.items() if needs.tried(self._told) == "not")
        self._asked = without(policy, untried)
        self._numbers = {bound.name: number for number, bound in enumerate(policy.rules)}
        self._by_name = {bound.name: bound for bound in _bounds(self._asked)}
        self._own = {name: tuple(_own_edits(bound)) for name, bound in self._by_name.items()}
        self._row = Row(given=given)
        varying = frozenset(_deciding(policy, self._needs)) & told
        self._varying = tuple(sorted(varying - {"owner.shares"}))
        self._by_owner = "owner.shares" in varying
        self._memo: dict[tuple[object, ...], _Answer] = {}
        self._answers: list[_Answer] = []
        self._clock = LogClock()
        self._counters: Counters | None = None
        self._limited: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._limited_accounts: defaultdict[str, set[int]] = defaultdict(set)
        self._cut: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._cut_accounts: defaultdict[str, set[int]] = defaultdict(set)
        self._stopped: Counter[int] = Counter()
        self._edited: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()
        self._campaigns: defaultdict[str, _Campaign] = defaultdict(_Campaign)

    @property
    def policy(self) -> Policy:
        """What it is."""
        return self._policy

    def put(self, chunk: NDArray[np.void], facts: Mapping[str, list[FactValue]], parties: Sequence[Party]) -> None:
        """Put some requests to the policy, later than those before.

        Args:
            chunk: the requests.
            facts: what they tell.
            parties: whose each account is, by its number.

        """
        row, memo, clock = self._row, self._memo, self._clock
        row.columns = facts
        groups = [party.group for party in parties]
        deciding: list[Sequence[object]] = [facts[name] for name in self._varying if name in facts]
        if self._by_owner:
            deciding.append([tuple(shares.items()) for shares in facts["owner.shares"]])  # type: ignore[union-attr]
        keys = zip(*deciding, strict=True) if deciding else iter([()] * len(chunk))
        failed = (chunk["status"] >= 400).tolist()
        answers = (np.maximum(chunk["n"], 1) if "n" in (chunk.dtype.names or ()) else np.ones(len(chunk))).tolist()
        counters = self._counters
        for number, (key, account, time, tokens, given, bad) in enumerate(
            zip(
                keys,
                chunk["account"].tolist(),
                chunk["time"].tolist(),
                np.maximum(chunk["output_tokens"], 0).tolist(),
                np.maximum(chunk["input_tokens"], 0).tolist(),
                failed,
                strict=True,
            )
        ):
            row.row = number
            answer = memo.get(key)
            if answer is None:
                answer = self._answer(key)
            left = tokens
            if answer.keeps < 1.0:
                left = math.floor(left * answer.keeps)
            if left > answer.most:
                left = int(min(left, answer.most * max(round(answers[number] * answer.keeps), 1)))
            exceeded: Exceeded | None = None
            if answer.planned is not None:
                clock.now = round(time / 1e6 / _TICK) * _TICK
                if counters is None:
                    counters = self._counters = Counters(clock, most=_TALLIES, hold=_HOLD)
                granted = counters.charge(answer.planned.charges(row))
                if isinstance(granted, Exceeded):
                    exceeded = granted
                elif answer.settles:
                    counters.settle(granted, {"output_tokens": float(left), "input_tokens": float(given)})
            if bad:
                continue
            group = groups[account]
            answer.came[group] += 1
            if exceeded is not None:
                self._limit(exceeded, account, group)
            if exceeded is not None or answer.ruling.refusal is not None:
                left = 0
                self._stopped[account] += 1
                touched = True
            else:
                answer.served[group] += 1
                touched = answer.edited
                if left < tokens and answer.cuts:
                    touched |= self._cut_by(answer, tokens / answers[number], account, group)
                if touched:
                    self._edited[account] += 1
            if touched:
                if exceeded is None:
                    answer.accounts.add(account)
                self._lost[account] += tokens - left
            if group is Group.CAMPAIGN:
                self._note(self._campaigns[parties[account].name], time / 1e6, tokens, touched=touched)

    def price(
        self, parties: Sequence[Party], tiers: Sequence[str], exchanges: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> Price:
        """Give what it came to.

        Args:
            parties: whose each account is, by its number.
            tiers: of which tier.
            exchanges: what was served to it.
            tokens: what it got.

        """
        sums = _Sums(self._stopped, self._edited, self._lost, exchanges, tokens)
        everybody = range(len(parties))
        of = {group: [account for account in everybody if parties[account].group == group] for group in Group}
        campaigns = _grouped(of[Group.CAMPAIGN], lambda account: parties[account].name)
        held = [
            Held(name, sums.of(accounts), self._campaigns[name].first if name in self._campaigns else None)
            for name, accounts in campaigns.items()
        ]
        tiers_of = _grouped(of[Group.HONEST], tiers.__getitem__)
        kinds_of = _grouped(of[Group.HONEST], lambda account: parties[account].name)
        needed = frozenset(name for needs in self._needs.values() for name in needs.untold(self._told))
        return Price(
            self._policy.document.name,
            self._policy.version,
            self._policy.document.mode,
            sums.of(of[Group.CAMPAIGN]),
            tuple(sorted(held, key=lambda each: (-each.toll.tokens, -each.toll.exchanges, each.name))),
            sums.of(of[Group.WATCHED]),
            sums.of(of[Group.HONEST]),
            {tier: sums.of(accounts) for tier, accounts in sorted(tiers_of.items())},
            {kind: sums.of(accounts) for kind, accounts in sorted(kinds_of.items())},
            tuple(self._effects(parties)),
            tuple(sorted(needed)),
        )

    # ---- one request -----------------------------------------------------------------------------------------

    def _answer(self, key: tuple[object, ...]) -> _Answer:
        """Decide on the request at hand, and on all that are like it."""
        policy, row = self._asked, self._row
        ruled = decide(policy, row)
        ruling = ruled if ruled.would is None else ruled.would
        fired = tuple(self._numbers[name] for name in ruling.fired)
        planned = plan(policy, fired, ruling.step, protected=bool(row.look_up("account.researcher")))
        names = (*ruling.fired, *(bound.name for bound in policy.steps[ruling.step]))
        of = {quota.of for quota, *_ in planned.dues}
        bias = planned.edits_for(row) is not planned.edits
        answer = _Answer(
            ruling=ruling,
            planned=planned if planned.dues and ruling.refusal is None else None,
            settles=not of.isdisjoint(_SETTLED),
            edited=any(map(self._changes, ruling.edits)),
            keeps=self._keeps(planned),
            most=math.inf if planned.tokens_at_most is None or ruling.refusal else planned.tokens_at_most,
            fires=names,
            edits=tuple(name for name in names if self._edits(name, bias=bias)),
            cuts=tuple(
                (edit.bound, name)
                for name in names
                for edit in self._own[name]
                if edit.field == "max_tokens" and edit.bound is not None
            ),
            marks=tuple(name for name in names if _marks(self._by_name[name])),
        )
        if len(self._memo) >= _REMEMBERED:
            self._memo.clear()
        self._memo[key] = answer
        self._answers.append(answer)
        return answer

    def _keeps(self, planned: Plan) -> float:
        """Tell how much of the answers a bound on their number leaves."""
        asked = float(max(self._row.look_up("request.n"), 1))  # type: ignore[type-var, arg-type]
        return 1.0 if planned.answers_at_most is None else min(planned.answers_at_most / asked, 1.0)

    def _changes(self, edit: Edit) -> bool:
        """Tell whether an edit changes the request at hand, as far as the log can tell."""
        fact = _CHANGED.get(edit.field)
        if fact is None:
            return False
        return float(self._row.look_up(fact)) > (edit.bound or 0.0 if edit.action == "clamp" else 0.0)  # type: ignore[arg-type]

    def _edits(self, name: str, *, bias: bool) -> bool:
        if any(map(self._changes, self._own[name])):
            return True
        openness = self._by_name[name].action.openness
        return bias and openness is not None and isinstance(openness.logit_bias, Bias)

    def _limit(self, exceeded: Exceeded, account: int, group: int) -> None:
        name = exceeded.quota.id.removesuffix(":bias")
        self._limited[name][group] += 1
        self._limited_accounts[name].add(account)

    def _cut_by(self, answer: _Answer, each: float, account: int, group: int) -> bool:
        """Count who cuts an answer of so many tokens; tells whether anybody does."""
        cutting = [name for bound, name in answer.cuts if each > bound]
        for name in cutting:
            self._cut_accounts[name].add(account)
            if name not in answer.edits:
                self._cut[name][group] += 1
        return bool(cutting)

    @staticmethod
    def _note(campaign: _Campaign, now: float, tokens: int, *, touched: bool) -> None:
        if not campaign.exchanges:
            campaign.begun = now
        campaign.exchanges += 1
        if touched and campaign.first is None:
            campaign.first = FirstTouch(campaign.exchanges, now - campaign.begun, campaign.tokens)
        campaign.tokens += tokens

    # ---- all of them -----------------------------------------------------------------------------------------

    def _effects(self, parties: Sequence[Party]) -> Iterator[RuleEffect]:
        counted = self._counted(parties)
        taken = {name for answer in self._answers for name in answer.fires if sum(answer.came)}
        said = {rule.id: of_rule(rule) for rule in self._policy.document.rules}
        for bound in _bounds(self._policy):
            name, needs = bound.name, self._needs[bound.name]
            tried = needs.tried(self._told)
            if name not in said and name not in taken:
                continue
            yield RuleEffect(
                name,
                said.get(name) or f"{of_action(bound.action)}.",
                tried,
                needs.untold(self._told),
                counted(name, Group.CAMPAIGN),
                counted(name, Group.WATCHED),
                counted(name, Group.HONEST),
            )

    def _counted(self, parties: Sequence[Party]) -> Callable[[str, int], Effect]:
        fires, refuses, edits, marks = (defaultdict[str, list[int]](lambda: [0, 0, 0]) for _ in range(4))
        accounts: defaultdict[str, set[int]] = defaultdict(set)
        for answer in self._answers:
            for name in answer.fires:
                _add(fires[name], answer.came)
            if answer.ruling.refusal is not None:
                by = answer.ruling.refusal.by
                _add(refuses[by], answer.came)
                accounts[by] |= answer.accounts
            for name in answer.edits if answer.ruling.refusal is None else ():
                _add(edits[name], answer.served)
                accounts[name] |= answer.accounts
            for name in answer.marks if answer.ruling.refusal is None else ():
                _add(marks[name], answer.served)

        def counted(name: str, group: int) -> Effect:
            whom = accounts[name] | self._limited_accounts[name] | self._cut_accounts[name]
            return Effect(
                fires[name][group],
                refuses[name][group],
                self._limited[name][group],
                edits[name][group] + self._cut[name][group],
                marks[name][group],
                sum(parties[account].group == group for account in whom),
            )

        return counted


@dataclass(frozen=True, slots=True)
class _Sums:
    """What was counted for each account, to be put together for some."""

    stopped: Mapping[int, int]
    edited: Mapping[int, int]
    lost: Mapping[int, int]
    exchanges: NDArray[np.int64]
    tokens: NDArray[np.int64]

    def of(self, accounts: Sequence[int]) -> Toll:
        """Put some accounts together."""
        stopped = [self.stopped.get(account, 0) for account in accounts]
        edited = [self.edited.get(account, 0) for account in accounts]
        return Toll(
            len(accounts),
            sum(bool(one or other) for one, other in zip(stopped, edited, strict=True)),
            sum(map(bool, stopped)),
            int(self.exchanges[list(accounts)].sum()),
            sum(stopped),
            sum(edited),
            int(self.tokens[list(accounts)].sum()),
            sum(self.lost.get(account, 0) for account in accounts),
        )


def replay(
    chunks: Iterable[NDArray[np.void]],
    tell: Callable[[NDArray[np.void]], Mapping[str, list[FactValue]]],
    policies: Sequence[Replayed],
    parties: Sequence[Party],
    tiers: Sequence[str],
) -> tuple[tuple[Price, ...], Totals]:
    """Put past requests to one policy or several.

    Args:
        chunks: the requests, in the order of their times.
        tell: gives the facts of a chunk.
        policies: what they are put to; each goes on from nothing.
        parties: whose each account is, by its number.
        tiers: of which tier each account is.

    """
    exchanges, tokens = (np.zeros(len(parties), np.int64) for _ in range(2))
    totals = Totals()
    for chunk in chunks:
        if not len(chunk):
            continue
        facts = tell(chunk)
        for policy in policies:
            policy.put(chunk, facts, parties)
        served = chunk["status"] < 400
        accounts = chunk["account"][served]
        np.add.at(exchanges, accounts, 1)
        np.add.at(tokens, accounts, np.maximum(chunk["output_tokens"][served], 0))
        totals = totals.with_(len(chunk), int((~served).sum()), int(chunk["time"][0]), int(chunk["time"][-1]))
    return tuple(policy.price(parties, tiers, exchanges, tokens) for policy in policies), totals


@dataclass(frozen=True, slots=True)
class Totals:
    """What was put to the policies: requests, those that had failed, and the first and last time in microseconds."""

    exchanges: int = 0
    failed: int = 0
    first: int | None = None
    last: int | None = None

    def with_(self, exchanges: int, failed: int, first: int, last: int) -> Totals:
        """Give the same with a chunk more."""
        begun = first if self.first is None else self.first
        return Totals(self.exchanges + exchanges, self.failed + failed, begun, last)


def _bounds(policy: Policy) -> tuple[Bound, ...]:
    return (*policy.rules, *(bound for bounds in policy.steps.values() for bound in bounds))


def _deciding(policy: Policy, needs: Mapping[str, Needs]) -> Iterator[str]:
    """Facts that can make a decision another one, limits left aside."""
    yield from _ASKED_ALWAYS
    for bound in _bounds(policy):
        yield from needs[bound.name].condition | needs[bound.name].beside
        action = bound.action
        if action.serve is not None:
            yield "request.model"
        if action.openness is not None:
            yield from _CHANGED.values()
            yield from (
                name
                for name in ("request.operation",)
                if any(getattr(action.openness, field) is not None for field in OPERATIONS)
            )
            most = action.openness.max_tokens
            if most is not None and most.over == "refuse":
                yield "request.max_tokens"


def _own_edits(bound: Bound) -> Iterator[Edit]:
    if bound.action.openness is not None:
        yield from (each for each in closings(bound.action.openness) if isinstance(each, Edit) and each.on == "request")


def _marks(bound: Bound) -> bool:
    instruct = bound.action.instruct
    return instruct is not None and (instruct.dye is not None or instruct.watermark is not None)


def _grouped(accounts: Iterable[int], by: Callable[[int], str]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for account in accounts:
        found[by(account)].append(account)
    return found


def _add(sums: list[int], more: Sequence[int]) -> None:
    for place, number in enumerate(more):
        sums[place] += number
