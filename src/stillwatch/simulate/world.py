"""The log and the register of accounts while they are made, and how both become Arrow tables.

Touches no file and no clock. Every part of a scenario draws from a stream of chance of its own, named after it, so that
a campaign added to a scenario leaves the ordinary traffic as it was.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.exchanges.schema import ACCOUNT, EXCHANGE
from stillwatch.simulate.places import CODES, Addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stillwatch.simulate.clients import Clients, Parameters
    from stillwatch.simulate.scenario import Scenario
    from stillwatch.simulate.wording import Floats, Integers, Texts

TRUTH = pa.schema(
    [
        pa.field("account", pa.string(), nullable=False),
        pa.field("cohort", pa.string(), nullable=False),  # which group it belongs to
        pa.field("kind", pa.string(), nullable=False),  # what sort of group that is
        pa.field("campaign", pa.string(), nullable=False),  # "" for ordinary traffic
        pa.field("exchanges", pa.int64(), nullable=False),  # all its requests
        pa.field("harvest_exchanges", pa.int64(), nullable=False),  # requests that fed the campaign
        pa.field("harvest_input_tokens", pa.int64(), nullable=False),
        pa.field("harvest_output_tokens", pa.int64(), nullable=False),
    ]
)
NEVER_MADE = ("response", "conversation")  # answers stand in the log as digests, as with a provider that keeps no text
_SLAB = 250_000  # rows put in order at a time
_DAY_US = 86_400_000_000
_FAILURES = np.array([429, 500, 400])
_Bools = npt.NDArray[np.bool_]


@dataclass
class World:
    """What has been made so far.

    Attributes:
        scenario: what is being made, at full scale.
        seed: where all chance comes from.
        scale: by how much numbers of accounts and groups are multiplied.

    """

    scenario: Scenario
    seed: int
    scale: float
    _accounts: dict[str, list[Any]] = field(default_factory=dict)
    _blocks: list[dict[str, Any]] = field(default_factory=list)
    _systems: list[str] = field(default_factory=lambda: [""])

    @property
    def days(self) -> float:
        """Length of the log in days."""
        return self.scenario.days

    @property
    def first_weekday(self) -> int:
        """Weekday of the first day; Monday is 0."""
        return self.scenario.start.weekday()

    def stream(self, *names: str) -> np.random.Generator:
        """Give the stream of chance that belongs to a part of the scenario."""
        return np.random.default_rng([self.seed, zlib.crc32("/".join(names).encode())])

    def scaled(self, count: int) -> int:
        """Apply the scale to a number of accounts or groups; what is there at all stays there."""
        return max(1, round(count * self.scale)) if count else 0

    def open_accounts(
        self,
        rng: np.random.Generator,
        rows: int,
        *,
        kind: str,
        cohort: str | Sequence[str],
        country: Integers,
        campaign: str = "",
        created: Floats | None = None,
        payment: Sequence[str] | None = None,
        email_domain: Sequence[str] | None = None,
        organization: Sequence[str | None] | None = None,
        tier: str = "pay-as-you-go",
        verified: _Bools | bool = False,
    ) -> Integers:
        """Register `rows` accounts and give their numbers.

        Args:
            rng: where chance comes from.
            rows: how many.
            kind: what sort of user.
            cohort: the group, or one for each account.
            country: index into `places.COUNTRIES`, one for each.
            campaign: whose it is; empty for ordinary accounts.
            created: day of sign-up, 0 is the first day of the log; long ago if left out.
            payment: a card for each; if left out, one of its own.
            email_domain: a mail domain for each; if left out, a usual one.
            organization: an organization for each; if left out, none.
            tier: the plan.
            verified: the provider knows who it is.

        """
        first = len(self._accounts.get("account", ()))
        created = -rng.exponential(220.0, rows) if created is None else created
        start = _microseconds(self.scenario)
        new = {
            "account": [f"acct_{x:016x}" for x in rng.integers(0, 1 << 63, rows).tolist()],
            "api_key": [f"key_{x:012x}" for x in rng.integers(0, 1 << 48, rows).tolist()],
            "created_at": (start + created * _DAY_US).astype(np.int64).tolist(),
            "country": CODES.take(pa.array(country)).to_pylist(),
            "payment": payment or cards(rng, rows),
            "email_domain": email_domain or usual_domains(rng, rows),
            "organization": organization or [None] * rows,
            "tier": [tier] * rows,
            "verified": np.broadcast_to(verified, rows).tolist(),
            "kind": [kind] * rows,
            "cohort": [cohort] * rows if isinstance(cohort, str) else cohort,
            "campaign": [campaign] * rows,
        }
        for name, values in new.items():
            self._accounts.setdefault(name, []).extend(values)
        return np.arange(first, first + rows)

    def add_systems(self, texts: list[str]) -> Integers:
        """Register system prompts and give their numbers; 0 is none."""
        self._systems.extend(texts)
        return np.arange(len(self._systems) - len(texts), len(self._systems))

    def models(self, rng: np.random.Generator, time: Floats, base: Integers, adopts: Floats) -> Texts:
        """Name the model of each row.

        Args:
            rng: where chance comes from.
            time: days.
            base: which of the current models, an index.
            adopts: day from which the row's user takes the new model; infinite for never.

        """
        models = self.scenario.models
        names = pa.array([*models.current, models.new or models.current[0]], pa.large_string())
        index = np.where(time >= adopts, len(models.current), base % len(models.current))
        back = rng.random(len(time)) < 0.03  # now and then the old one again
        return names.take(pa.array(np.where(back, base % len(models.current), index)))

    def write_down(
        self,
        rng: np.random.Generator,
        account: Integers,
        time: Floats,
        prompt: Texts,
        *,
        client: Clients,
        address: Addresses,
        country: Integers,
        parameters: Parameters,
        model: Texts,
        output: Floats,
        system: Integers | int = 0,
        turns: Integers | int = 1,
        follows: Integers | None = None,
        tools: int = 0,
        top_logprobs: Integers | int = 0,
        logit_bias: Integers | int = 0,
        choice_seed: int | None = None,
        handle: Texts | None = None,
        refused: _Bools | bool = False,
        harvest: bool = False,
    ) -> None:
        """Add requests to the log; those outside its days are dropped.

        Args:
            rng: where chance comes from.
            account: number of each row's account.
            time: days since the start.
            prompt: what is asked.
            client: with what.
            address: from where.
            country: index into `places.COUNTRIES`.
            parameters: how the model is to answer.
            model: which one.
            output: tokens that the answer would have if nothing cut it short.
            system: number of the system prompt.
            turns: messages in the request.
            follows: the row of this call whose answer is sent back; -1 for none.
            tools: how many are offered.
            top_logprobs: as in `exchange/1`.
            logit_bias: as in `exchange/1`, the number of biased tokens.
            choice_seed: the sampling seed, if one is sent.
            handle: reasoning handle sent back, null for none.
            refused: the model declines.
            harvest: the requests feed a campaign.

        """
        keep = np.flatnonzero((time >= 0) & (time < self.days))
        rows, total = len(keep), len(time)
        if not rows:
            return
        taken = pa.array(keep)
        renumbered = np.full(total + 1, -1, dtype=np.int64)
        renumbered[keep] = np.arange(rows)
        previous = np.full(rows, -1) if follows is None else renumbered[follows[keep]]
        failed = rng.random(rows) < 0.015
        failed[previous[previous >= 0]] = False  # an answer that is sent back was given
        declined = np.broadcast_to(refused, total)[keep] & ~failed
        parameters = parameters.take(keep)
        tokens = np.clip(output[keep], 1, parameters.max_tokens).astype(np.int64)
        tokens = np.where(failed, 0, np.where(declined, np.minimum(tokens, 30), tokens))
        prompt = prompt.take(taken)
        messages = np.broadcast_to(turns, total)[keep]
        systems = np.broadcast_to(system, total)[keep]
        heard = pc.binary_length(prompt).to_numpy(zero_copy_only=False) / 4.0
        told = np.array([len(text) for text in self._systems])[systems] / 4.2
        answer = _digest(rng, rows, "a")
        reason = np.select(
            [declined, tokens >= parameters.max_tokens, (tools > 0) & (rng.random(rows) < 0.5)], [1, 2, 3], 0
        )
        reasons = pa.array(["stop", "refusal", "length", "tool_calls"], pa.large_string()).take(pa.array(reason))
        self._blocks.append(
            {
                "account": account[keep],
                "harvest": np.full(rows, harvest) & ~failed & ~declined,
                "time": _microseconds(self.scenario) + (time[keep] * _DAY_US).astype(np.int64),
                "request_id": _digest(rng, rows, "req_"),
                "model": model.take(taken),
                "ip": address.ip.take(taken),
                "asn": address.asn[keep],
                "country": CODES.take(pa.array(country[keep])),
                "ja4": client.ja4.take(taken),
                "user_agent": client.user_agent.take(taken),
                "system": systems,
                "prompt": prompt,
                "answer": pc.if_else(pa.array(failed), pa.scalar(None, pa.large_string()), answer),
                "previous": answer.take(pa.array(previous, mask=previous < 0)),
                "turns": messages,
                "tools": np.full(rows, tools),
                "temperature": parameters.temperature,
                "top_p": parameters.top_p,
                "max_tokens": parameters.max_tokens,
                "n": np.ones(rows, dtype=np.int64),
                "top_logprobs": np.broadcast_to(top_logprobs, total)[keep],
                "logit_bias": np.broadcast_to(logit_bias, total)[keep],
                "seed": pa.nulls(rows, pa.int64()) if choice_seed is None else np.full(rows, choice_seed),
                "stream": parameters.stream,
                "reasoning_handle": pa.nulls(rows, pa.large_string()) if handle is None else handle.take(taken),
                "input_tokens": (3 + heard + told + (messages - 1) * 160).astype(np.int64),
                "output_tokens": tokens,
                "status": np.where(failed, _FAILURES[rng.integers(0, 3, rows)], 200),
                "finish_reason": pc.if_else(pa.array(failed), pa.scalar(None, pa.large_string()), reasons),
            }
        )

    def exchanges(self) -> pa.Table:
        """Give the log so far, sorted by time, in the schema of `exchange/1`."""
        if not self._blocks:
            return EXCHANGE.empty_table()
        columns = {name: _stack([block[name] for block in self._blocks]) for name in self._blocks[0]}
        order = np.argsort(columns["time"].to_numpy(), kind="stable")
        systems = pa.array(self._systems, pa.large_string())
        looked_up = {name: pa.array(self._accounts[name], pa.large_string()) for name in ("account", "organization")}
        looked_up["api_key"] = pa.array(self._accounts["api_key"], pa.large_string())
        omitted = set(self.scenario.omit) | set(NEVER_MADE)
        slabs = []
        for at in range(0, len(order), _SLAB):
            taken = pa.array(order[at : at + _SLAB])
            account = columns["account"].take(taken)
            made = []
            for column in EXCHANGE:
                if column.name in omitted:
                    values = pa.nulls(len(taken), column.type)
                elif column.name in looked_up:
                    values = looked_up[column.name].take(account)
                elif column.name == "operation":
                    values = pa.repeat("chat", len(taken))
                elif column.name == "system":
                    number = columns["system"].take(taken)
                    values = systems.take(pc.if_else(pc.equal(number, 0), pa.scalar(None, pa.int64()), number))
                else:
                    values = columns[column.name].take(taken)
                made.append(_cast(values, column.type))
            slabs.append(pa.RecordBatch.from_arrays(made, schema=EXCHANGE))
        return pa.Table.from_batches(slabs, EXCHANGE)

    def accounts(self) -> pa.Table:
        """Give the accounts, sorted by name so that their order tells nothing."""
        known = {name: self._accounts.get(name, []) for name in ACCOUNT.names}
        rows = len(known["account"])
        named = [organization is not None for organization in self._accounts.get("organization", [])]
        known["owner_country"] = [c if has else None for c, has in zip(known["country"], named, strict=True)]
        known["ownership_share"] = [None] * rows
        table = pa.table({column.name: pa.array(known[column.name], column.type) for column in ACCOUNT}, ACCOUNT)
        for name in set(self.scenario.omit) & (set(ACCOUNT.names) - {"account"}):
            at = ACCOUNT.names.index(name)
            table = table.set_column(at, ACCOUNT.field(name), pa.nulls(rows, ACCOUNT.field(name).type))
        return table.sort_by("account")

    def truth(self) -> pa.Table:
        """Give what is true of each account, in the schema `TRUTH`, sorted by name."""
        rows = len(self._accounts.get("account", []))
        counts = {name: np.zeros(rows, dtype=np.int64) for name in TRUTH.names[4:]}
        for block in self._blocks:
            account, harvest = block["account"], block["harvest"]
            np.add.at(counts["exchanges"], account, 1)
            np.add.at(counts["harvest_exchanges"], account, harvest)
            np.add.at(counts["harvest_input_tokens"], account, harvest * block["input_tokens"])
            np.add.at(counts["harvest_output_tokens"], account, harvest * block["output_tokens"])
        names = {name: self._accounts.get(name, []) for name in TRUTH.names[:4]}
        return pa.table({**names, **counts}, TRUTH).sort_by("account")


def cards(rng: np.random.Generator, rows: int) -> list[str]:
    """Make tokens of payment cards, all different."""
    return [f"card_{x:012x}" for x in rng.integers(0, 1 << 48, rows).tolist()]


def organizations(rng: np.random.Generator, rows: int) -> list[str]:
    """Make names of organizations, all different."""
    return [f"org_{x:010x}" for x in rng.integers(0, 1 << 40, rows).tolist()]


def usual_domains(rng: np.random.Generator, rows: int) -> list[str]:
    """Draw mail domains: a few that many people use, otherwise a firm's own."""
    names = np.array(["gmail.com", "outlook.com", "icloud.com", "proton.me", "yahoo.com", "qq.com", ""])
    drawn = names[rng.choice(len(names), rows, p=[0.4, 0.13, 0.06, 0.04, 0.06, 0.03, 0.28])].tolist()
    firm = rng.integers(0, 30_000, rows).tolist()
    return [name or f"firm{number}.example" for name, number in zip(drawn, firm, strict=True)]


def handles(rng: np.random.Generator, rows: int) -> Texts:
    """Make opaque reasoning handles, all different."""
    return _digest(rng, rows, "rs_")


def _microseconds(scenario: Scenario) -> int:
    return int(datetime.combine(scenario.start, time(), UTC).timestamp()) * 1_000_000


def _digest(rng: np.random.Generator, rows: int, prefix: str) -> Texts:
    """Make a random digest a row: the prefix and 14 hexadecimal digits, without a loop over rows."""
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)[rng.integers(0, 16, (rows, 14), dtype=np.uint8)]
    head = np.broadcast_to(np.frombuffer(prefix.encode(), dtype=np.uint8), (rows, len(prefix)))
    data = np.ascontiguousarray(np.hstack([head, digits]))
    offsets = np.arange(rows + 1, dtype=np.int64) * data.shape[1]
    return pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data))


def _stack(parts: list[Any]) -> pa.Array:
    """Put the blocks' values of one column behind one another."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return pa.array(np.concatenate(parts))
    return pa.concat_arrays([pa.array(part) if isinstance(part, np.ndarray) else part for part in parts])


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return values if values.type == kind else values.cast(kind)
