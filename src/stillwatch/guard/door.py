"""The door: everything that is decided about one request, whatever protocol brought it.

Touches: the clock, and through its parts the ledger, counters, files and the exchange log.

    admit   who asks, what is asked, what the ledger holds against it, what the policy says, whether limits have room
    close   what was really used, what goes into the exchange log, what is counted

It never judges a campaign: it looks up what was judged. Whatever fails on the way is ruled by the policy's `on_outage`.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stillwatch.decisions.decide import decide, rule_in_outage
from stillwatch.decisions.plan import refusal
from stillwatch.decisions.refusal import RefusalReason
from stillwatch.errors import RequestError, StillwatchError
from stillwatch.guard.admission import Admission, Unreadable
from stillwatch.guard.caller import Callers
from stillwatch.guard.counters import Exceeded
from stillwatch.guard.ended import row_of, used_by
from stillwatch.guard.facts import RequestFacts
from stillwatch.guard.follow import Follower
from stillwatch.guard.known import KnownCampaigns
from stillwatch.guard.metrics import Metrics
from stillwatch.guard.networks import NetworkList, Networks
from stillwatch.guard.opening import directory_of, key_of, log_of, networks_of, policy_of, say, state_of
from stillwatch.guard.standing import NOTHING, Standing
from stillwatch.guard.traces import Traces
from stillwatch.guard.wire.asked import Asked, read_request
from stillwatch.guard.wire.edited import edited, instruction_headers
from stillwatch.guard.wire.endpoint import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stillwatch.decisions.facts import FactValue
    from stillwatch.decisions.policy import Policy
    from stillwatch.decisions.refusal import Refusal
    from stillwatch.decisions.ruling import Ruling
    from stillwatch.guard.caller import Caller
    from stillwatch.guard.counters import Grant
    from stillwatch.guard.incoming import Incoming
    from stillwatch.guard.settings import GuardSettings
    from stillwatch.guard.standing import Held
    from stillwatch.guard.state import State
    from stillwatch.guard.wire.answer import Said
    from stillwatch.ledger.ledger import Changes

_DAY: Final = 86_400.0
_ADDRESSES: Final = 100_000  # whose networks are remembered
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests can be checked as the policy says, and how each part is."""

    ok: bool
    parts: Mapping[str, str]


class _Charged(NamedTuple):
    """What came of charging the limits: a refusal, how long until there is room, by which limit; or what to settle."""

    refusal: Refusal | None = None
    retry_after: float | None = None
    limit: str | None = None
    grant: Grant | None = None


class Door:
    """Decides about requests, one after another, in one event loop.

    Args:
        settings: where it finds what it goes by.
        state: what guards remember together; by the settings, if None.
        told: is told what goes wrong, and when it no longer does; standard error, if None.

    Raises:
        SettingsError: no policy is named.
        PolicyError: there is none, it is empty, or it says something wrong.
        InputError: a file that the settings name cannot be read.

    """

    def __init__(
        self, settings: GuardSettings, *, state: State | None = None, told: Callable[[str], None] | None = None
    ) -> None:
        self.settings, self._told = settings, told or say
        self._policy = policy_of(settings)
        key = key_of(settings, self._told)
        self._callers = Callers(settings.identify, settings.trusted_proxies, key)
        self._operators = NetworkList(settings.operators, path="operators")
        self._directory = directory_of(settings)
        self._networks = networks_of(settings)
        self._addresses: dict[str, dict[str, FactValue]] = {}
        self._addresses_of: Networks | None = None
        self._state: State = state_of(settings) if state is None else state
        self.standing = Standing()
        self._key, self._knows = key, tuple[str, ...]()
        self._known = KnownCampaigns(key=key, rate=settings.known.rate)
        self._follower = Follower(
            settings.ledger,
            self._take,
            self._know,
            (self._policy, self._directory, self._networks),
            self._told,
        )
        self._outages: dict[str, str] = {}
        self.metrics, self._traces = Metrics(), Traces.open()
        self._log = log_of(settings)
        self._waits = settings.exchange_log is not None and settings.exchange_log.wait
        self._watch()
        deployment = settings.deployment
        self._deployment: dict[str, FactValue] = {
            "deployment.cloud": deployment.cloud,
            "deployment.region": deployment.region,
            "deployment.tenant": deployment.tenant,
        }

    async def start(self) -> None:
        """Look at the ledger for the first time, and begin to follow it."""
        await self._follower.start()

    async def aclose(self) -> None:
        """Stop, and leave everything written."""
        await self._follower.aclose()
        await self._state.aclose()
        if self._log is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._log.close)

    @property
    def enforces(self) -> bool:
        """Whether the policy is enforced, rather than only observed."""
        return self._policy.value.document.mode == "enforce"

    def trusts(self, address: str) -> bool:
        """Whether an address is a gateway's whose word counts."""
        return self._callers.is_trusted(address)

    @property
    def keeps_text(self) -> bool:
        """Whether the text of answers is logged."""
        return self.settings.exchange_log is not None and self.settings.exchange_log.text

    def is_operator(self, incoming: Incoming) -> bool:
        """Whether a request may see how the guard is: an operator sent it, as far as can be told."""
        forwarded = bool(incoming.all_of(b"x-forwarded-for")) and not self._callers.is_trusted(incoming.client)
        return not forwarded and self._operators.has(self._callers.address(incoming))

    # ---- one request

    async def admit(self, incoming: Incoming, caller: Caller | None = None) -> Admission:
        """Decide about a request. Whatever fails is ruled by `on_outage`, so that this raises nothing.

        Args:
            incoming: the request.
            caller: who asks, where a gateway that is trusted says so in words of its own.

        """
        at, begun = time.time(), time.perf_counter()
        policy = self._policy.value
        caller = caller or self._callers.of(incoming, self._directory.value.keys)
        span = None if self._traces is None else self._traces.begin(incoming.method, incoming.path, incoming.headers)
        asked, unreadable = self._read(incoming, policy)
        cohorts = await self._met(caller, asked, at) if self._known else ()
        facts, held, ruling = self._ruled(policy, caller, asked, at, cohorts)
        changed = self._edited(asked, ruling, incoming)
        charged = _Charged()
        if asked is not None and changed is not None and not incoming.editable:
            charged = _Charged(_would_be_edited(asked, changed, policy))
        elif unreadable is None:
            charged = await self._charged(policy, ruling.would or ruling)
        enforced = ruling.would is None
        admission = Admission(
            f"sw-{os.urandom(8).hex()}",
            endpoint(incoming.method, incoming.path).api,
            incoming,
            caller,
            asked,
            facts,
            held,
            ruling,
            charged.refusal if enforced else None,
            None if enforced else charged.refusal,
            unreadable,
            charged.retry_after,
            charged.limit,
            incoming.body if changed is None else changed,
            (
                *(instruction_headers(ruling.instructions) if ruling.instructions.speaks else ()),
                *(span.headers if span is not None else ()),
            ),
            charged.grant,
            span,
            at,
            time.perf_counter() - begun,
        )
        self._count(admission)
        return admission

    async def close(self, admission: Admission, *, status: int, said: Said | None) -> None:
        """Settle what a request really used; to be called once for each, however it ended.

        Args:
            admission: of the request.
            status: of the answer; 0 if there was none.
            said: what the answer said; None if nobody read it.

        """
        if admission.grant is not None:
            used = used_by(admission.facts, status, said)
            try:
                await self._state.settle(admission.grant, used)
            except StillwatchError as error:
                self._failed("state", error)
        read = None if said is None else (said.input_tokens, said.output_tokens)
        input_tokens, output_tokens = read or (None, None)
        self.metrics.ended(status, time.time() - admission.at)
        self.metrics.used(str(admission.facts.look_up("request.model")), input_tokens, output_tokens)
        if admission.span is not None:
            admission.span.end(status, input_tokens=input_tokens, output_tokens=output_tokens)
        if self._log is not None and self._log.write(row_of(admission, status, said)) and self._waits:
            try:
                await self._log.written()
            except StillwatchError as error:
                self._failed("exchange log", error)

    def readiness(self) -> Readiness:
        """Tell whether requests can be checked as the policy says."""
        looks = {
            "ledger": self._follower.look,
            "policy": self._policy.look,
            "files": self._directory.look,
            "networks": self._networks.look,
        }
        parts = {name: look.trouble or "ok" for name, look in looks.items()}
        parts["ledger"] = parts["ledger"] if self.settings.ledger else "none"
        parts["state"] = self._state.trouble or "ok"
        if self._log is not None:
            parts["exchange_log"] = self._log.trouble or "ok"
        if self._knows:
            parts["known_campaigns"] = "; ".join(f"{name}: {why}" for name, why in self._known.blind.items()) or "ok"
        parts["policy_version"] = self._policy.value.version
        blind = self._blind() or parts["state"] != "ok"
        logs = self._log is None or self._log.ready
        return Readiness(logs and not (blind and self._policy.value.document.on_outage == "refuse"), parts)

    # ---- inside

    def _watch(self) -> None:
        """Have the metrics read what is not counted request by request."""
        follower, log = self._follower, self._log
        self.metrics.watch("ready", lambda: float(self.readiness().ok))
        self.metrics.watch("decisions", lambda: float(len(self.standing)))
        self.metrics.watch(
            "ledger_age_seconds", lambda: None if follower.look.at is None else time.monotonic() - follower.look.at
        )
        if log is not None:
            self.metrics.watch("exchange_log_lag_seconds", lambda: log.lag)
            self.metrics.watch("exchange_log_waiting_rows", lambda: float(log.waiting))
            self.metrics.watch("exchange_log_rows", lambda: float(log.taken))
            self.metrics.watch("exchange_log_dropped_rows", lambda: float(log.dropped))
            self.metrics.watch("exchange_log_parts", lambda: float(log.parts))

    def _count(self, admission: Admission) -> None:
        """Count what was decided, and tell the request's span."""
        ruling, asked = admission.ruling, admission.asked
        refused = admission.refusal
        operation = "unread" if asked is None else asked.operation
        if admission.unreadable is not None:
            outcome, reason = "refuse", "unreadable"
        else:
            outcome, reason = ("allow", "") if refused is None else ("refuse", refused.reason.value)
        self.metrics.ruled(operation, outcome, reason, ruling.step.value, admission.took)
        self.metrics.fired(ruling.fired, ruling.failed)
        if admission.limit is not None:
            self.metrics.exceeded(admission.limit)
        if ruling.edits:
            self.metrics.edited(ruling.edits)
        policy = self._policy.value
        self.metrics.policy(policy.document.name, policy.version)
        if admission.span is not None:
            model = str(admission.facts.look_up("request.model")) or None
            admission.span.ruled(ruling, refused, admission.id, api=admission.api, operation=operation, model=model)

    def _read(self, incoming: Incoming, policy: Policy) -> tuple[Asked | None, Unreadable | None]:
        unreadable: Unreadable | None = None
        try:
            if incoming.headers_only:
                return _unread(incoming), None
            if len(incoming.body) > self.settings.body_limit:
                unreadable = Unreadable(413, f"The request is larger than {self.settings.body_limit} bytes")
            elif incoming.body and incoming.header(b"content-encoding") not in {"", "identity"}:
                unreadable = Unreadable(415, "The request's body must not be compressed")
            elif not endpoint(incoming.method, incoming.path).read and self._closed(incoming.method):
                unreadable = Unreadable(404, "This is not served here")
            else:
                return read_request(incoming.method, incoming.path, incoming.body), None
        except RequestError as error:
            unreadable = Unreadable(400, str(error))
        return None, unreadable if policy.document.mode == "enforce" else None

    def _closed(self, method: str) -> bool:
        """Whether what nobody reads is turned away."""
        return self.settings.unread == "refuse" and method not in _WITHOUT_BODY

    def _ruled(
        self, policy: Policy, caller: Caller, asked: Asked | None, at: float, cohorts: tuple[str, ...]
    ) -> tuple[RequestFacts, Held, Ruling]:
        known: dict[str, FactValue] = {}
        held, failure = NOTHING, None
        try:
            held = self._held(known, caller, at, cohorts)
        except Exception as error:  # noqa: BLE001  whatever it is, `on_outage` says what is done
            failure = error
        facts = RequestFacts(
            known,
            asked,
            digest=self._digest_of_prompt,
            output_estimate=self.settings.output_estimate,
            prices=self.settings.prices,
        )
        if failure is None and not self._blind():
            try:
                ruling = decide(policy, facts)
            except Exception as error:  # noqa: BLE001  the same
                failure = error
            else:
                self._recovered("facts")
                return facts, held, ruling
        if failure is not None:
            self._failed("facts", failure)
        return facts, held, rule_in_outage(policy)

    def _held(self, known: dict[str, FactValue], caller: Caller, at: float, cohorts: tuple[str, ...]) -> Held:
        """Look up account, network and decisions; fills in their facts."""
        account = self._directory.value.account(caller.account)
        known.update(account.facts)
        known.update(self._network(caller.address))
        known.update(self._deployment)
        if caller.country:
            known["request.country"] = caller.country
        organization = caller.organization or str(known.get("account.organization", ""))
        known["account.id"], known["account.key"] = caller.account, caller.key
        known["account.organization"] = organization
        if account.created is not None:
            known["account.age_days"] = max(int((at - account.created.timestamp()) // _DAY), 0)
        held = self.standing.against(
            datetime.fromtimestamp(at, UTC),
            account=caller.account,
            key=caller.key,
            organization=organization,
            cohorts=cohorts,
        )
        known["account.step"], known["account.cohort"] = held.step.value, held.cohort
        known["account.researcher"] = held.allowed
        return held

    def _network(self, address: str) -> dict[str, FactValue]:
        networks = self._networks.value
        if self._addresses_of is not networks or len(self._addresses) >= _ADDRESSES:
            self._addresses, self._addresses_of = {}, networks
        found = self._addresses.get(address)
        if found is None:
            found = self._addresses[address] = networks.look_up(address)
        return found

    async def _charged(self, policy: Policy, ruling: Ruling) -> _Charged:
        """Charge the limits of a request that the policy does not refuse."""
        if ruling.refusal is not None or not ruling.charges:
            return _Charged(ruling.refusal)
        try:
            outcome = await self._state.charge(ruling.charges)
        except StillwatchError as error:
            self._failed("state", error)
            if policy.document.on_outage == "refuse":
                return _Charged(refusal(RefusalReason.POLICY_UNAVAILABLE, "on_outage"))
            return _Charged()
        self._recovered("state")
        if isinstance(outcome, Exceeded):
            return _Charged(outcome.refusal, outcome.retry_after, outcome.quota.id)
        return _Charged(grant=outcome)

    def _edited(self, asked: Asked | None, ruling: Ruling, incoming: Incoming) -> bytes | None:
        """Give a request's body as the ruling has it; None where nothing changes."""
        if asked is None or ruling.refusal is not None or not (ruling.edits or ruling.instructions.speaks):
            return None
        engine = self.settings.engine if incoming.editable else "headers"
        return edited(asked, ruling.edits, ruling.instructions, engine=engine)

    async def _met(self, caller: Caller, asked: Asked | None, at: float) -> tuple[str, ...]:
        """Give the known campaigns that whoever asks belongs to, by what this request and those before it bear."""
        if not caller.account:
            return ()
        try:
            columns: dict[str, object] = {} if asked is None else asked.columns()
            columns |= {"ip": caller.address or None, "ja4": caller.ja4 or None}
            columns |= {"user_agent": caller.user_agent or None}
            columns["asn"] = self._network(caller.address).get("request.asn")
            marks = self._known.marks(columns, self._directory.value.account(caller.account).row)
            cohorts = await self._known.meet(caller.account, marks, self._state, at=at)
        except Exception as error:  # noqa: BLE001  nobody is refused because a campaign could not be looked for
            self._failed("known campaigns", error)
            return ()
        self._recovered("known campaigns")
        return cohorts

    async def _know(self) -> None:
        """Hold the campaigns that decisions against cohorts are about, if these have changed."""
        decisions = self.standing.against_cohorts(datetime.now(UTC))
        names = tuple(each.id for each in decisions)
        if names == self._knows:
            return
        if decisions and not self._known:  # to load what reads marks takes seconds, in which others want to be served
            make = functools.partial(KnownCampaigns, key=self._key, rate=self.settings.known.rate, decisions=decisions)
            await asyncio.get_running_loop().run_in_executor(None, make)
        self._known.hold(decisions)
        self._knows = names

    def _take(self, changes: Changes) -> None:
        self.standing.add(changes.events)

    def _blind(self) -> bool:
        """Whether the ledger has never been seen: what was decided is not known."""
        return self.settings.ledger is not None and self._follower.look.at is None

    def _digest_of_prompt(self, text: str) -> str:
        return self._callers.digest(text, b"prompt")

    def _failed(self, part: str, error: Exception) -> None:
        text = str(error) if isinstance(error, StillwatchError) else f"{type(error).__name__}: {error}"
        self.metrics.outage(part)
        if part not in self._outages:
            self._told(f"{part}: {text}; requests are ruled by `on_outage`")
        self._outages[part] = text

    def _recovered(self, part: str) -> None:
        if self._outages and self._outages.pop(part, None) is not None:
            self._told(f"{part}: works again")


def _unread(incoming: Incoming) -> Asked:
    """Give what a request asks for as far as its path tells."""
    found = endpoint(incoming.method, incoming.path)
    return Asked(found.api, found.operation, found.shape, None, named=found.model)


def _would_be_edited(asked: Asked, changed: bytes, policy: Policy) -> Refusal:
    """Refuse a request that would have to be edited where nobody can; names a parameter that would change."""
    before, after = asked.body or {}, msgspec.json.decode(changed)
    name = next((each for each in sorted({*before, *after}) if before.get(each) != after.get(each)), None)
    return refusal(RefusalReason.PARAMETER_NOT_ALLOWED, policy.document.name, name)
