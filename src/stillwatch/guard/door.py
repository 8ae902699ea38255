"""The door: everything that is decided about one request, whatever protocol brought it. Touches: the clock, and through
its parts the ledger, counters, files and the exchange log.

    admit   who asks, what is asked, what the ledger holds against it, what the policy says, whether limits have room
    close   what was really used, what goes into the exchange log, what is counted

It never judges a campaign: it looks up what was judged. Whatever fails on the way is ruled by the policy's `on_outage`.
"""

from __future__ import annotations

import secrets
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stillwatch.decisions.decide import decide, rule_in_outage
from stillwatch.decisions.plan import refusal
from stillwatch.decisions.refusal import RefusalReason
from stillwatch.errors import RequestError, SettingsError, StillwatchError
from stillwatch.guard.admission import Admission, Unreadable
from stillwatch.guard.caller import Callers
from stillwatch.guard.counters import Exceeded
from stillwatch.guard.directory import read_directory
from stillwatch.guard.facts import RequestFacts
from stillwatch.guard.follow import Follower, Watched
from stillwatch.guard.networks import NetworkList, Networks
from stillwatch.guard.policy_file import bundled, load_policy
from stillwatch.guard.standing import NOTHING, Standing
from stillwatch.guard.state import LocalState
from stillwatch.guard.wire.asked import api_of, edited, instruction_headers, read_request
from stillwatch.report.key_file import FIRST_USE, default_key_path, load_or_make_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stillwatch.decisions.facts import FactValue
    from stillwatch.decisions.policy import Policy
    from stillwatch.decisions.refusal import Refusal
    from stillwatch.decisions.ruling import Ruling
    from stillwatch.guard.caller import Caller
    from stillwatch.guard.directory import Directory
    from stillwatch.guard.incoming import Incoming
    from stillwatch.guard.settings import GuardSettings
    from stillwatch.guard.standing import Held
    from stillwatch.guard.state import Grant, State
    from stillwatch.guard.wire.answer import Said
    from stillwatch.guard.wire.asked import Asked
    from stillwatch.ledger.ledger import Changes

_DAY: Final = 86_400.0
_ADDRESSES: Final = 100_000  # whose networks are remembered
_UNLIKELY: Final = 400  # from this status on an answer used nothing


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests can be checked as the policy says, and how each part is."""

    ok: bool
    parts: Mapping[str, str]


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
        if settings.policy is None:
            raise SettingsError("guard", (), reason="no policy is named; without one everything would be allowed")
        self.settings, self._told = settings, told or _say
        key = _key(settings, self._told)
        self._callers = Callers(settings.identify, settings.trusted_proxies, key)
        self._operators = NetworkList(settings.operators, path="operators")
        self._policy = _watched_policy(settings.policy)
        self._directory = _watched_directory(settings)
        self._networks = _watched_networks(settings)
        self._addresses: dict[str, dict[str, FactValue]] = {}
        self._addresses_of: Networks | None = None
        self._state: State = LocalState() if state is None else state
        self.standing = Standing()
        self._follower = Follower(
            settings.ledger, self._take, (self._policy, self._directory, self._networks), self._told
        )
        self._outages: dict[str, str] = {}
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

    @property
    def enforces(self) -> bool:
        """Whether the policy is enforced, rather than only observed."""
        return self._policy.value.document.mode == "enforce"

    @property
    def keeps_text(self) -> bool:
        """Whether the text of answers is logged."""
        return self.settings.exchange_log is not None and self.settings.exchange_log.text

    def is_operator(self, incoming: Incoming) -> bool:
        """Whether a request may see how the guard is: it comes from a network of operators, and no proxy hides whose."""
        forwarded = bool(incoming.all_of(b"x-forwarded-for")) and not self._callers.is_trusted(incoming.client)
        return not forwarded and self._operators.has(self._callers.address(incoming))

    # ---- one request

    async def admit(self, incoming: Incoming) -> Admission:
        """Decide about a request. Whatever fails is ruled by `on_outage`, so that this raises nothing."""
        at, begun = time.time(), time.perf_counter()
        policy, caller = self._policy.value, self._callers.of(incoming, self._directory.value.keys)
        asked, unreadable = self._read(incoming, policy)
        facts, held, ruling = self._ruled(policy, incoming, caller, asked, at)
        refused, retry_after, grant = None, None, None
        if unreadable is None:
            refused, retry_after, grant = await self._charged(policy, ruling.would or ruling)
        enforced = ruling.would is None
        body = incoming.body
        if asked is not None and enforced and refused is None and (ruling.edits or ruling.instructions.speaks):
            changed = edited(asked, ruling.edits, ruling.instructions, engine=self.settings.engine)
            body = body if changed is None else changed
        return Admission(
            f"sw-{secrets.token_hex(8)}",
            api_of(incoming.path),
            incoming,
            caller,
            asked,
            facts,
            held,
            ruling,
            refused if enforced else None,
            None if enforced else refused,
            unreadable,
            retry_after,
            body,
            tuple(instruction_headers(ruling.instructions)) if ruling.instructions.speaks else (),
            grant,
            at,
            time.perf_counter() - begun,
        )

    async def close(self, admission: Admission, *, status: int, said: Said | None) -> None:
        """Settle what a request really used; to be called once for each, however it ended.

        Args:
            admission: of the request.
            status: of the answer; 0 if there was none.
            said: what the answer said; None if nobody read it.

        """
        if admission.grant is not None:
            used = _used(admission.facts, status, said)
            try:
                await self._state.settle(admission.grant, used)
            except StillwatchError as error:
                self._failed("state", error)

    def readiness(self) -> Readiness:
        """Tell whether requests can be checked as the policy says."""
        looks = {"ledger": self._follower.look, "policy": self._policy.look, "files": self._directory.look}
        parts = {name: look.trouble or "ok" for name, look in looks.items()}
        parts["ledger"] = parts["ledger"] if self.settings.ledger else "none"
        parts["state"] = self._outages.get("state", "ok")
        parts["policy_version"] = self._policy.value.version
        blind = self._blind() or parts["state"] != "ok"
        return Readiness(not (blind and self._policy.value.document.on_outage == "refuse"), parts)

    # ---- inside

    def _read(self, incoming: Incoming, policy: Policy) -> tuple[Asked | None, Unreadable | None]:
        unreadable: Unreadable | None = None
        try:
            if len(incoming.body) > self.settings.body_limit:
                unreadable = Unreadable(413, f"The request is larger than {self.settings.body_limit} bytes")
            elif incoming.body and incoming.header(b"content-encoding") not in {"", "identity"}:
                unreadable = Unreadable(415, "The request's body must not be compressed")
            else:
                return read_request(incoming.method, incoming.path, incoming.body), None
        except RequestError as error:
            unreadable = Unreadable(400, str(error))
        return None, unreadable if policy.document.mode == "enforce" else None

    def _ruled(
        self, policy: Policy, incoming: Incoming, caller: Caller, asked: Asked | None, at: float
    ) -> tuple[RequestFacts, Held, Ruling]:
        known: dict[str, FactValue] = {}
        facts = RequestFacts(
            known,
            asked,
            digest=self._digest_of_prompt,
            output_estimate=self.settings.output_estimate,
            prices=self.settings.prices,
        )
        held = NOTHING
        try:
            held = self._held(known, caller, at)
            if self._blind():
                return facts, held, rule_in_outage(policy)
            return facts, held, decide(policy, facts)
        except Exception as error:  # noqa: BLE001  whatever it is, `on_outage` says what is done
            self._failed("facts", error)
            return facts, held, rule_in_outage(policy)

    def _held(self, known: dict[str, FactValue], caller: Caller, at: float) -> Held:
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
            datetime.fromtimestamp(at, UTC), account=caller.account, key=caller.key, organization=organization
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

    async def _charged(self, policy: Policy, ruling: Ruling) -> tuple[Refusal | None, float | None, Grant | None]:
        """Charge the limits; gives a refusal, how long until there is room, and what is to be settled."""
        if ruling.refusal is not None or not ruling.charges:
            return ruling.refusal, None, None
        try:
            outcome = await self._state.charge(ruling.charges)
        except StillwatchError as error:
            self._failed("state", error)
            if policy.document.on_outage == "refuse":
                return refusal(RefusalReason.POLICY_UNAVAILABLE, "on_outage"), None, None
            return None, None, None
        self._recovered("state")
        if isinstance(outcome, Exceeded):
            return outcome.refusal, outcome.retry_after, None
        return None, None, outcome

    def _take(self, changes: Changes) -> None:
        self.standing.add(changes.events)

    def _blind(self) -> bool:
        """Whether the ledger has never been seen: what was decided is not known."""
        return self.settings.ledger is not None and self._follower.look.at is None

    def _digest_of_prompt(self, text: str) -> str:
        return self._callers.digest(text, b"prompt")

    def _failed(self, part: str, error: Exception) -> None:
        text = str(error) if isinstance(error, StillwatchError) else f"{type(error).__name__}: {error}"
        if part not in self._outages:
            self._told(f"{part}: {text}; requests are ruled by `on_outage`")
        self._outages[part] = text

    def _recovered(self, part: str) -> None:
        if self._outages.pop(part, None) is not None:
            self._told(f"{part}: works again")


def _used(facts: RequestFacts, status: int, said: Said | None) -> dict[str, float]:
    """Tell what an answer used; what it did not say stays as it was estimated."""
    if status >= _UNLIKELY:
        return {"input_tokens": 0.0, "output_tokens": 0.0, "spend": 0.0}
    if said is None:
        return {}
    told = {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}
    used = {name: float(value) for name, value in told.items() if value is not None}
    if len(used) == len(told):
        used["spend"] = facts.cost(used["input_tokens"], used["output_tokens"])
    return used


def _watched_policy(source: str) -> Watched[Policy]:
    return Watched(() if source in bundled() else (Path(source),), lambda: load_policy(source))


def _watched_directory(settings: GuardSettings) -> Watched[Directory]:
    accounts, keys = (Path(place) if place else None for place in (settings.accounts, settings.keys))
    paths = tuple(path for path in (accounts, keys) if path is not None)
    return Watched(paths, lambda: read_directory(accounts, keys))


def _watched_networks(settings: GuardSettings) -> Watched[Networks]:
    files = settings.networks
    databases = [Path(path) for path in files.databases]
    lists = {
        "hosting": [Path(path) for path in files.hosting],
        "vpn": [Path(path) for path in files.vpn],
        "tor": [Path(path) for path in files.tor],
        "residential_proxy": [Path(path) for path in files.residential_proxy],
    }
    paths: Sequence[Path] = (*databases, *(path for each in lists.values() for path in each))
    return Watched(tuple(paths), lambda: Networks(databases, lists))


def _key(settings: GuardSettings, told: Callable[[str], None]) -> bytes:
    path = Path(settings.key_file) if settings.key_file else default_key_path()
    if not path.exists():
        told(FIRST_USE.format(path=path))
    return load_or_make_key(path)


def _say(text: str) -> None:
    print(f"stillwatch guard: {text}", file=sys.stderr, flush=True)
