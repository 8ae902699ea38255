"""Facts of past requests, as far as a log tells them: columns of exchanges in, a list a fact out. Touches nothing.

A gateway knows more of a request than its log keeps. What the log does not tell stays unknown here and is named by
`told`, so that no rule is judged by what nobody could have asked. Three facts are told by what stands for them:

- `account.key` by the account, in a log that keeps no keys;
- `request.logprobs` by `top_logprobs`, which cannot be asked for without them;
- `request.output_tokens` and `request.input_tokens` by what was really used, where a gateway has to estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.decisions.facts import FACTS
from stillwatch.decisions.standing import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from stillwatch.decisions.facts import FactValue
    from stillwatch.decisions.standing import Standing, Timeline

FROM_LOG: Final[Mapping[str, tuple[str, ...]]] = {
    "request.operation": ("operation",),
    "request.model": ("model",),
    "request.country": ("country",),
    "request.network": ("ip",),
    "request.asn": ("asn",),
    "request.input_tokens": ("input_tokens",),
    "request.output_tokens": ("output_tokens", "n"),
    "request.max_tokens": ("max_tokens",),
    "request.prompt": ("prompt",),
    "request.turns": ("turns",),
    "request.tools": ("tools",),
    "request.stream": ("stream",),
    "request.n": ("n",),
    "request.logprobs": ("top_logprobs",),
    "request.top_logprobs": ("top_logprobs",),
    "request.logit_bias": ("logit_bias",),
    "request.seed": ("seed",),
    "request.temperature": ("temperature",),
    "account.id": ("account",),
    "account.key": ("account", "api_key"),
    "account.organization": ("organization",),
    "account.step": ("account", "api_key", "organization"),
    "account.cohort": ("account", "api_key", "organization"),
}
"""The column that tells a fact, and others that tell it more closely."""

FROM_ACCOUNTS: Final[Mapping[str, str]] = {
    "account.organization": "organization",
    "account.tier": "tier",
    "account.verified": "verified",
    "account.age_days": "created_at",
    "account.country": "country",
    "owner.shares": "owner_country",
}
"""The column of the accounts table that tells a fact."""

FROM_NETWORKS: Final = frozenset({
    "request.country",
    "request.region",
    "request.network",
    "request.asn",
    "request.hosting",
    "request.vpn",
    "request.tor",
    "request.residential_proxy",
})  # fmt: skip
"""Facts that an address tells, with databases and lists of networks."""

_DAY: Final = 86_400.0
_TEXTS: Final = {"request.operation": "operation", "request.model": "model", "request.country": "country"}
_COUNTS: Final = {
    "request.asn": "asn",
    "request.input_tokens": "input_tokens",
    "request.max_tokens": "max_tokens",
    "request.turns": "turns",
    "request.tools": "tools",
    "request.n": "n",
    "request.top_logprobs": "top_logprobs",
    "request.logit_bias": "logit_bias",
}


def told(
    log: frozenset[str],
    accounts: frozenset[str],
    *,
    networks: frozenset[str] = frozenset(),
    decided: bool = False,
) -> frozenset[str]:
    """Name the facts that are told.

    Args:
        log: columns of the log that any row has.
        accounts: the same of the accounts table.
        networks: of `FROM_NETWORKS`, those that databases and lists tell of an address.
        decided: it is known which steps stood against whom.

    """
    steps = frozenset({"account.step", "account.cohort"})
    by_log = {name for name, columns in FROM_LOG.items() if name not in steps and columns[0] in log}
    by_accounts = {name for name, column in FROM_ACCOUNTS.items() if column in accounts}
    by_address = networks if "ip" in log else frozenset[str]()
    return frozenset(by_log | by_accounts | by_address | (steps if decided else frozenset[str]()))


def columns_for(facts: frozenset[str], *, networks: bool = False) -> frozenset[str]:
    """Name the columns of the log that have to be read to tell these facts."""
    found = {column for name in facts for column in FROM_LOG.get(name, ())}
    return frozenset(found | ({"ip"} if networks and facts & FROM_NETWORKS else set()))


@dataclass(slots=True)
class Row:
    """The facts of one exchange at a time, out of lists of facts.

    Attributes:
        columns: a list of values for each fact that is told.
        row: which is asked for.
        given: values of facts that are the same for every exchange.

    """

    columns: Mapping[str, Sequence[FactValue]] = field(default_factory=dict)
    row: int = 0
    given: Mapping[str, FactValue] = field(default_factory=dict)

    def look_up(self, name: str) -> FactValue:
        """Give a fact; what is not told has the value of what is not known."""
        column = self.columns.get(name)
        if column is not None:
            return column[self.row]
        return self.given[name] if name in self.given else FACTS[name].unknown


@dataclass(frozen=True, slots=True)
class Who:
    """What an accounts table tells about one account; what it does not is None."""

    organization: str | None = None
    tier: str | None = None
    verified: bool | None = None
    created: float | None = None  # seconds since 1970
    country: str | None = None
    owner: str | None = None
    share: float | None = None


NOBODY: Final = Who()


def who(accounts: pa.Table) -> dict[str, Who]:
    """Read an accounts table: what it tells, by account."""
    columns = {name: accounts.column(name).to_pylist() for name in accounts.column_names}
    return {
        account: Who(
            columns["organization"][row],
            columns["tier"][row],
            columns["verified"][row],
            None if (created := columns["created_at"][row]) is None else created.timestamp(),
            columns["country"][row],
            columns["owner_country"][row],
            columns["ownership_share"][row],
        )
        for row, account in enumerate(columns["account"])
    }


class LoggedFacts:
    """Turns chunks of exchanges into lists of facts.

    Args:
        facts: the facts that are wanted, and told.
        names: distinct values of the columns of texts.
        accounts: what is known of accounts.
        address: tells facts of `FROM_NETWORKS` of an address.
        standing: tells which step stood against whom.

    """

    def __init__(
        self,
        facts: frozenset[str],
        names: Mapping[str, list[str]],
        accounts: Mapping[str, Who],
        *,
        address: Callable[[str], Mapping[str, FactValue]],
        standing: Standing | None = None,
    ) -> None:
        self._facts, self._names, self._standing = facts, names, standing
        self._who = [accounts.get(name, NOBODY) for name in names["account"]]
        self._created = np.array([math.nan if who.created is None else who.created for who in self._who])
        self._of_account = {
            name: [value if (value := of(who)) is not None else FACTS[name].unknown for who in self._who]
            for name, of in _OF_ACCOUNT.items()
            if name in facts
        }
        self._by_address: dict[str, list[FactValue]] = {}
        if "ip" in names and facts & FROM_NETWORKS:
            found = [address(ip) for ip in names["ip"]]
            for name in facts & FROM_NETWORKS:
                self._by_address[name] = [*(said.get(name, FACTS[name].unknown) for said in found), FACTS[name].unknown]
        made: Mapping[str, Callable[[NDArray[np.void]], list[FactValue]]] = {
            "account.id": self._ids,
            "account.age_days": self._ages,
            "account.key": self._keys,
            "account.organization": self._organizations,
            **_MADE,
        }
        self._makers = {name: make for name, make in made.items() if name in facts}
        self._stood: dict[tuple[int, int, int], Timeline | None] = {}

    def tiers(self) -> list[str]:
        """Give the tier of each account, by its number; empty where it is not known."""
        return [each.tier or "" for each in self._who]

    def of(self, chunk: NDArray[np.void]) -> dict[str, list[FactValue]]:
        """Give the facts of some exchanges."""
        there = _there(chunk)
        accounts: list[int] = chunk["account"].tolist()
        columns: dict[str, list[FactValue]] = {}
        for name, column in _COUNTS.items():
            if name in self._facts and column in there:
                columns[name] = _known(chunk[column], FACTS[name].unknown)
        for name, column in _TEXTS.items():
            if name in self._facts and column in there:
                columns[name] = _taken([*self._names[column], FACTS[name].unknown], chunk[column].tolist())
        for name, values in self._of_account.items():
            columns[name] = _taken(values, accounts)
        for name, values in self._by_address.items():
            columns[name] = _first_known(columns.get(name), _taken(values, chunk["ip"].tolist()), FACTS[name].unknown)
        for name, make in self._makers.items():
            columns[name] = make(chunk)
        if self._standing is not None and self._facts & {"account.step", "account.cohort"}:
            columns.update(self._steps(chunk, self._standing))
        return columns

    def _ids(self, chunk: NDArray[np.void]) -> list[FactValue]:
        return _taken(self._names["account"], chunk["account"].tolist())

    def _ages(self, chunk: NDArray[np.void]) -> list[FactValue]:
        days = (chunk["time"] / 1e6 - self._created[chunk["account"]]) // _DAY
        found: list[FactValue] = np.nan_to_num(np.maximum(days, 0)).astype(np.int64).tolist()
        return found

    def _keys(self, chunk: NDArray[np.void]) -> list[FactValue]:
        """Give keys; the account stands for one that is not told, and is never taken for a key of the same name."""
        names = [f"account {name}" for name in self._names["account"]]
        accounts = chunk["account"].tolist()
        if "api_key" not in _there(chunk):
            return _taken(names, accounts)
        keys = [f"key {name}" for name in self._names["api_key"]]
        found = zip(chunk["api_key"].tolist(), accounts, strict=True)
        return [keys[key] if key >= 0 else names[account] for key, account in found]

    def _organizations(self, chunk: NDArray[np.void]) -> list[FactValue]:
        known = [each.organization or "" for each in self._who]
        accounts = chunk["account"].tolist()
        if "organization" not in _there(chunk):
            return _taken(known, accounts)
        names = self._names["organization"]
        found = zip(chunk["organization"].tolist(), accounts, strict=True)
        return [names[number] if number >= 0 else known[account] for number, account in found]

    def _steps(self, chunk: NDArray[np.void], standing: Standing) -> dict[str, list[FactValue]]:
        there, nothing = _there(chunk), np.full(len(chunk), -1, np.int32)
        subjects = ("account", "api_key", "organization")
        named = zip(*((chunk[name] if name in there else nothing).tolist() for name in subjects), strict=True)
        stood, found = self._stood, []
        for whose, second in zip(named, (chunk["time"] / 1e6).tolist(), strict=True):
            if whose not in stood:
                account, key, organization = whose
                stood[whose] = self._timeline(account, key, organization, standing)
            timeline = stood[whose]
            found.append(NOTHING if timeline is None else timeline.at(second))
        return {"account.step": [step for step, _ in found], "account.cohort": [cohort for _, cohort in found]}

    def _timeline(self, account: int, key: int, organization: int, standing: Standing) -> Timeline | None:
        return standing.of(
            self._names["account"][account],
            self._names["api_key"][key] if key >= 0 else "",
            self._names["organization"][organization] if organization >= 0 else self._who[account].organization or "",
        )


_OF_ACCOUNT: Final[Mapping[str, Callable[[Who], FactValue | None]]] = {
    "account.tier": lambda who: who.tier,
    "account.verified": lambda who: who.verified,
    "account.country": lambda who: who.country,
    "owner.shares": lambda who: {who.owner: 1.0 if who.share is None else who.share} if who.owner else None,
}


def _known(numbers: NDArray[np.int64], unknown: FactValue) -> list[FactValue]:
    """Numbers as they are told; what is below nothing stands for none."""
    found: list[FactValue] = numbers.tolist()
    return [number if number >= 0 else unknown for number in found] if (numbers < 0).any() else found  # type: ignore[operator]


def _taken(values: Sequence[FactValue], places: list[int]) -> list[FactValue]:
    return [values[place] for place in places]


def _first_known(told_: list[FactValue] | None, other: list[FactValue], unknown: FactValue) -> list[FactValue]:
    if told_ is None:
        return other
    return [mine if mine != unknown else others for mine, others in zip(told_, other, strict=True)]


def _there(chunk: NDArray[np.void]) -> frozenset[str]:
    return frozenset(chunk.dtype.names or ())


def _each(chunk: NDArray[np.void]) -> list[FactValue]:
    """Tokens of one answer, where several were asked for."""
    answers = np.maximum(chunk["n"], 1) if "n" in _there(chunk) else 1
    found: list[FactValue] = (-(-np.maximum(chunk["output_tokens"], 0) // answers)).tolist()
    return found


_MADE: Final[Mapping[str, Callable[[NDArray[np.void]], list[FactValue]]]] = {
    "request.output_tokens": _each,
    "request.logprobs": lambda chunk: (chunk["top_logprobs"] > 0).tolist(),
    "request.seed": lambda chunk: chunk["seed"].tolist(),
    "request.stream": lambda chunk: chunk["stream"].tolist(),
    "request.temperature": lambda chunk: np.nan_to_num(chunk["temperature"], nan=1.0).tolist(),
    "request.prompt": lambda chunk: [f"{prompt:x}" if prompt else "" for prompt in chunk["prompt"].tolist()],
}
