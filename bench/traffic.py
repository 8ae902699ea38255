"""A large log, written fast, for `scan_speed.py`. Content is random words; shape and sizes are those of a real log.

One account for 30 exchanges, unevenly; people with interests and hours of their own; apps whose users share a system
prompt and a client; jobs with a template; campaigns with a template, a client and a queue. Every column of `exchange/1`
but `response` is filled. Written a day at a time, vectorised, so that memory stays that of one file.

Touches the folder that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.exchanges.schema import EXCHANGE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DAYS = 14
DAY = 86_400_000_000  # microseconds
START = 1_788_220_800_000_000  # 2026-09-01T00:00:00Z
ROWS_PER_FILE = 400_000
EXCHANGES_PER_ACCOUNT = 30
WORDS = 40_000
SENTENCES_PER_EXCHANGE = 0.24  # a larger log is more of the same, not the same again
WORDS_PER_SENTENCE = 15
TOPICS = 400
APPS = 300
JOBS = 2_000  # accounts that send one template
CAMPAIGNS = 5
CLIENTS = 80


@dataclass(frozen=True, slots=True)
class People:
    """The accounts, one row each, as columns."""

    weight: NDArray[np.float64]  # cumulative share of traffic
    topic: NDArray[np.int64]
    offset: NDArray[np.int64]  # hours from UTC
    flat: NDArray[np.bool_]  # sends at every hour
    template: NDArray[np.int64]  # 0 is none
    columns: dict[str, pa.Array]  # columns of the log that follow from the account


def _numbered(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(prefix), pa.array(numbers).cast(pa.string()), "")


def _words(rng: np.random.Generator) -> pa.Array:
    """Draw made words, the frequent ones short: two to four letters, then three to eleven."""
    letters = np.array(list("aeiouaeiourstlnmdkpbghw"))
    lengths = np.where(np.arange(WORDS) < 200, rng.integers(2, 5, WORDS), rng.integers(3, 12, WORDS))
    text = "".join(rng.choice(letters, int(lengths.sum())))
    ends = np.cumsum(lengths)
    return pa.array([text[e - n : e] for e, n in zip(ends, lengths, strict=True)])


def _joined(words: pa.Array, picks: NDArray[np.int64], each: int) -> pa.Array:
    offsets = pa.array(np.arange(0, len(picks) + 1, each, dtype=np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, words.take(pa.array(picks))), " ")


def _sentences(rng: np.random.Generator, rows: int) -> pa.Array:
    """Draw sentences by topic: half of each one's words come from the topic's own few hundred."""
    each = max(600, int(rows * SENTENCES_PER_EXCHANGE) // TOPICS)
    topic = np.repeat(np.arange(TOPICS), each * WORDS_PER_SENTENCE)
    common = np.minimum(rng.zipf(1.3, len(topic)) - 1, WORDS - 1)
    own = (topic * 9_973 + rng.integers(0, 300, len(topic))) % WORDS
    return _joined(_words(rng), np.where(rng.random(len(topic)) < 0.5, common, own), WORDS_PER_SENTENCE)


def _accounts(rng: np.random.Generator, size: int, systems: pa.Array) -> People:
    campaign = np.zeros(size, np.int64)  # 0 is none; one account in a hundred is in one of the campaigns
    in_campaign = rng.random(size) < 0.01
    campaign[in_campaign] = rng.integers(1, CAMPAIGNS + 1, int(in_campaign.sum()))
    app = np.where(~in_campaign & (rng.random(size) < 0.2), np.minimum(rng.zipf(1.2, size), APPS), 0)
    job = ~in_campaign & (app == 0) & (rng.random(size) < min(0.02, JOBS / size))
    client = np.minimum(rng.zipf(1.3, size), CLIENTS)
    client = np.where(app > 0, 1_000 + app, np.where(in_campaign, 9_000 + campaign, client))
    weight = np.where(in_campaign, 1.6, rng.lognormal(-0.6, 1.1, size)) * np.where(job, 8, 1)
    country = np.array(["US", "IN", "DE", "GB", "BR", "JP", "FR", "KR"])
    offset = np.array([-6, 5, 1, 0, -3, 9, 1, 9])
    place = rng.choice(8, size, p=[0.34, 0.16, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    net = rng.integers(0, 4_000, size)
    octets = [20 + net % 180, (net * 7) % 256, rng.integers(0, 256, size), rng.integers(1, 255, size)]
    address = pc.binary_join_element_wise(*[pa.array(o).cast(pa.string()) for o in octets], ".")
    columns = {
        "account": _numbered("acct_", rng.permutation(size)),
        "organization": pc.if_else(
            pa.array(rng.random(size) < 0.2), _numbered("org_", rng.integers(0, size // 8 + 1, size)), ""
        ),
        "api_key": _numbered("key_", np.arange(size)),
        "ip": address,
        "asn": pa.array(64_512 + net % 600),
        "country": pa.array(country[place]),
        "ja4": _numbered("t13d1516h2_8daaf6152771_", client),
        "user_agent": _numbered("client/", client),
        "system": systems.take(pa.array(app)),
        "temperature": pa.array(np.where(in_campaign, 0.7, rng.choice([1.0, 0.7, 0.2, 0.0], size))),
        "top_p": pa.array(rng.choice([1.0, 0.95], size, p=[0.85, 0.15])),
        "max_tokens": pa.array(np.where(in_campaign, 4_096, rng.choice([512, 1_024, 2_048], size)).astype(np.int64)),
        "stream": pa.array(rng.random(size) < 0.6),
    }
    template = np.where(in_campaign, campaign, np.where(job, 10 + rng.integers(0, 400, size), 0))
    return People(
        np.cumsum(weight) / weight.sum(),
        rng.integers(0, TOPICS, size),
        offset[place],
        in_campaign | job,
        template,
        columns,
    )


def _prompts(rng: np.random.Generator, sentences: pa.Array, templates: pa.Array, people: People, who: Any) -> pa.Array:  # noqa: ANN401 - an index array
    """Put together a template where the account has one, three sentences and a number.

    Sentences are of the account's own topic; a campaign asks of all topics.
    """
    n = len(who)
    span = len(sentences) // TOPICS
    dealt = (people.template[who] > 0) & (people.template[who] <= CAMPAIGNS)
    topic = np.where(dealt, rng.integers(0, TOPICS, n), people.topic[who])
    one, two, three = (sentences.take(pa.array(topic * span + rng.integers(0, span, n))) for _ in range(3))
    number = pa.array(rng.integers(0, 10_000, n)).cast(pa.string())
    template = templates.take(pa.array(people.template[who]))
    return pc.binary_join_element_wise(template, one, ". ", two, "? ", number, ", ", three, ".", "")


def _rows(
    rng: np.random.Generator, people: People, texts: tuple[pa.Array, pa.Array], *, day: int, first: int, n: int
) -> pa.Table:
    """One file's exchanges, in order of time."""
    who = np.minimum(np.searchsorted(people.weight, rng.random(n)), len(people.weight) - 1)
    hours = np.where(people.flat[who], rng.uniform(0, 24, n), rng.normal(15.0, 3.5, n) - people.offset[who]) % 24
    time = START + day * DAY + (hours / 24 * DAY).astype(np.int64)
    order = np.argsort(time, kind="stable")
    who, time = who[order], time[order]
    index = pa.array(who)
    prompts = _prompts(rng, texts[0], texts[1], people, who)
    turn = rng.geometric(0.6, n)
    answers = _numbered("a", rng.integers(0, 1 << 62, n))
    size = pc.binary_length(prompts).to_numpy()
    tokens = np.clip(rng.lognormal(5.3, 0.9, n), 1, 8_192).astype(np.int64)
    columns: dict[str, pa.Array] = {name: column.take(index) for name, column in people.columns.items()}
    columns |= {
        "request_id": _numbered("req_", np.arange(first, first + n)),
        "time": pa.array(time).cast(pa.timestamp("us", tz="UTC")),
        "model": pa.array(["orion-4", "orion-4-mini", "orion-5"]).take(pa.array(rng.choice(3, n, p=[0.6, 0.2, 0.2]))),
        "operation": pa.array(["chat"]).take(pa.array(np.zeros(n, np.int64))),
        "prompt": prompts,
        "response": pa.nulls(n, pa.string()),
        "conversation": _numbered("c", rng.integers(0, 1 << 40, n)),
        "answer": answers,
        "previous": pc.if_else(pa.array(turn > 1), _numbered("a", rng.integers(0, 1 << 62, n)), ""),
        "turns": pa.array(turn.astype(np.int64)),
        "tools": pa.array(np.where(rng.random(n) < 0.1, 6, 0)),
        "n": pa.array(np.ones(n, np.int64)),
        "top_logprobs": pa.array(np.where(rng.random(n) < 0.01, 5, 0)),
        "logit_bias": pa.array(np.zeros(n, np.int64)),
        "seed": pa.array(np.where(rng.random(n) < 0.05, 7, 0)),
        "reasoning_handle": pc.if_else(
            pa.array(rng.random(n) < 0.02), _numbered("rs_", np.arange(first, first + n)), ""
        ),
        "input_tokens": pa.array((size / 4.2).astype(np.int64) + 8),
        "output_tokens": pa.array(tokens),
        "status": pa.array(rng.choice([200, 429, 500], n, p=[0.985, 0.01, 0.005])),
        "finish_reason": pa.array(["stop", "length"]).take(pa.array((rng.random(n) < 0.05).astype(np.int64))),
    }
    return pa.table({field.name: columns[field.name].cast(field.type) for field in EXCHANGE}, schema=EXCHANGE)


def write_log(out: Path, rows: int, *, seed: int = 1) -> None:
    """Write `rows` exchanges to `out/exchanges` and their accounts to `out/accounts.parquet`."""
    rng = np.random.default_rng(seed)
    (out / "exchanges").mkdir(parents=True)
    sentences = _sentences(rng, rows)
    openings = pc.binary_join_element_wise(_joined(_words(rng), rng.integers(0, WORDS, 500 * 9), 9), ":\n\n", "")
    templates = pa.concat_arrays([pa.array([""]), openings])
    systems = pa.concat_arrays([pa.array([""]), _joined(_words(rng), rng.integers(0, WORDS, APPS * 25), 25)])
    people = _accounts(rng, max(1_000, rows // EXCHANGES_PER_ACCOUNT), systems)
    files_a_day = -(-rows // (DAYS * ROWS_PER_FILE))
    files = DAYS * files_a_day
    for i in range(files):
        first, last = rows * i // files, rows * (i + 1) // files
        table = _rows(rng, people, (sentences, templates), day=i // files_a_day, first=first, n=last - first)
        path = out / "exchanges" / f"part-{i:05d}.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=1, row_group_size=100_000)
    size = len(people.weight)
    campaign = (people.template > 0) & (people.template <= CAMPAIGNS)
    created = START - np.where(campaign, 5 * DAY, rng.exponential(200, size) * DAY).astype(np.int64)
    cards = np.where(campaign, size + people.template * 100 + rng.integers(0, 40, size), np.arange(size))
    accounts = pa.table(
        {
            "account": people.columns["account"],
            "created_at": pa.array(created).cast(pa.timestamp("us", tz="UTC")),
            "country": people.columns["country"],
            "payment": _numbered("pm_", cards),
            "email_domain": pa.array(["gmail.com", "outlook.com", "proton.me"]).take(
                pa.array(rng.integers(0, 3, size))
            ),
            "organization": people.columns["organization"],
            "tier": pa.array(["pay-as-you-go"]).take(pa.array(np.zeros(size, np.int64))),
            "verified": pa.array(rng.random(size) < 0.3),
        }
    )
    pq.write_table(accounts, out / "accounts.parquet")
