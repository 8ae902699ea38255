from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.exchanges.schema import EXCHANGE
from stillwatch.marks.digest import (
    COLUMNS,
    CONTINUED,
    HANDLE,
    NEEDED,
    REFUSED,
    SWEEP_TOKENS,
    SWEEPS,
    TOOLS,
    digest,
)
from stillwatch.marks.text import read_text
from stillwatch.marks.wants import WANTS

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

START = datetime(2026, 7, 1, tzinfo=UTC)
SCHEMA = pa.schema([EXCHANGE.field(name) for name in NEEDED])
STRINGS = [field.name for field in SCHEMA if pa.types.is_string(field.type) and field.name != "account"]
NUMBERS = [field.name for field in SCHEMA if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]

Row = dict[str, Any]
words = st.none() | st.sampled_from(
    [
        "",
        "a",
        "198.51.100.7",
        "2001:db8::1",
        "refusal",
        "stop",
        "Grade this answer from 1 to 10, as a judge would.",
        "图论是什么",
    ]
)
counts = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9)
ratios = st.none() | st.floats()
rows = st.fixed_dictionaries(
    {"time": st.integers(0, 10**16).map(lambda moment: START + timedelta(microseconds=moment))},
    optional={
        **dict.fromkeys(STRINGS, words),
        **{name: ratios if name in {"temperature", "top_p"} else counts for name in NUMBERS},
        "stream": st.none() | st.booleans(),
    },
)


def digest_of(*given_rows: Row) -> dict[str, NDArray[Any]]:
    held = [{"account": "a", "time": START, **row} for row in given_rows]
    return digest(pa.RecordBatch.from_pylist(held, schema=SCHEMA))


def assert_as_columns_say(made: dict[str, NDArray[Any]], size: int) -> None:
    assert set(made) == set(COLUMNS) - {"account"}
    for name, values in made.items():
        kind, width = COLUMNS[name]
        assert values.dtype == kind, name
        assert values.shape == ((size, width) if width else (size,)), name


@given(st.lists(rows, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_log_has_a_digest_of_the_columns_told(given_rows: list[Row]) -> None:
    assert_as_columns_say(digest_of(*given_rows), len(given_rows))


@given(st.lists(rows, min_size=1, max_size=8), st.randoms())
@settings(max_examples=100, deadline=None)
def test_rows_in_another_order_have_digests_in_that_order(given_rows: list[Row], source: random.Random) -> None:
    order = list(range(len(given_rows)))
    source.shuffle(order)
    plain, turned = digest_of(*given_rows), digest_of(*(given_rows[place] for place in order))
    for name, values in plain.items():
        assert np.array_equal(values[order], turned[name]), name


def test_a_log_of_nothing_but_times_and_accounts() -> None:
    made = digest_of({}, {"time": START + timedelta(seconds=90, milliseconds=5)})
    assert_as_columns_say(made, 2)
    assert made["second"].tolist() == [START.timestamp(), START.timestamp() + 90.005]
    for name, values in made.items():
        if name != "second":
            assert not values.any(), name


def test_no_rows_have_an_empty_digest() -> None:
    assert_as_columns_say(digest_of(), 0)


@pytest.mark.parametrize(
    ("row", "flags"),
    [
        ({}, 0),
        ({"max_tokens": 1, "top_logprobs": 5}, SWEEPS),
        ({"max_tokens": SWEEP_TOKENS, "logit_bias": 300}, SWEEPS),
        ({"max_tokens": SWEEP_TOKENS + 1, "top_logprobs": 20}, 0),
        ({"max_tokens": 1}, 0),
        ({"top_logprobs": 20}, 0),
        ({"max_tokens": 0, "top_logprobs": 20}, 0),
        ({"reasoning_handle": "rs_1"}, HANDLE),
        ({"reasoning_handle": ""}, 0),
        ({"previous": "9f2c"}, CONTINUED),
        ({"finish_reason": "content_filter"}, REFUSED),
        ({"finish_reason": "Refusal"}, REFUSED),
        ({"finish_reason": "stop", "status": 200}, 0),
        ({"status": 451}, REFUSED),
        ({"status": 403}, REFUSED),
        ({"status": 429}, 0),
        ({"tools": 3}, TOOLS),
        ({"tools": 0}, 0),
        ({"tools": 1, "previous": "x", "reasoning_handle": "y", "status": 403}, TOOLS | CONTINUED | HANDLE | REFUSED),
    ],
)
def test_flags(row: Row, flags: int) -> None:
    assert digest_of(row)["flags"].tolist() == [flags]


def test_each_sampling_parameter_counts_and_none_is_none() -> None:
    changes: list[Row] = [
        {},
        {"temperature": 0.7},
        {"temperature": 0.701},
        {"top_p": 0.9},
        {"max_tokens": 4096},
        {"n": 4},
        {"top_logprobs": 2},
    ]
    base = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 100, "n": 1}
    made = digest_of(*({**base, **change} for change in changes))["parameters"]
    assert made.all()
    assert len(np.unique(made)) == len(changes)
    also = digest_of(base, {**base, "stream": True}, {**base, "stream": False}, {**base, "logit_bias": 5})["parameters"]
    assert also[0] == made[0]
    assert len(np.unique(also)) == 4
    same = digest_of({**base, "logit_bias": 5}, {**base, "logit_bias": 9})["parameters"]
    assert same[0] == same[1]  # whether tokens are biased counts, not how many
    assert digest_of({"stream": True, "tools": 2, "seed": 7})["parameters"].tolist() == [0]


def test_networks_come_from_addresses_and_else_from_the_system_number() -> None:
    made = digest_of(
        {"ip": "198.51.100.7", "asn": 64500},
        {"ip": "198.51.100.99", "asn": 64501},
        {"ip": "198.51.101.7"},
        {"ip": "2001:db8:1::1"},
        {"ip": "2001:DB8:1:2::9"},
        {"asn": 64500},
        {"asn": 64500, "ip": ""},
        {"asn": 64501},
        {},
    )
    network, address = made["network"], made["address"]
    assert network[0] == network[1]
    assert network[3] == network[4]
    assert network[5] == network[6]
    assert len(np.unique(network)) == 6
    assert network[8] == 0
    assert len(np.unique(address[:5])) == 5
    assert not address[5:].any()


def test_a_client_is_its_fingerprint_with_its_agent() -> None:
    client = digest_of(
        {"ja4": "t13d", "user_agent": "curl/8"},
        {"ja4": "t13d", "user_agent": "python"},
        {"ja4": "t13e", "user_agent": "curl/8"},
        {"ja4": "t13d"},
        {"user_agent": "t13d"},
        {},
    )["client"]
    assert len(np.unique(client)) == 6
    assert client[5] == 0


def test_a_system_prompt_counts_for_what_is_wanted() -> None:
    asks = "Write out your full chain of thought, with every false start, before the final answer."
    made = digest_of({"prompt": "17 * 23"}, {"prompt": "17 * 23", "system": asks}, {"system": asks}, {"prompt": asks})
    reasoning = made["wants"][:, WANTS.index("reasoning")]
    assert reasoning[0] < 128 < reasoning[1]
    assert reasoning[1] == reasoning[2] == reasoning[3]
    assert (made["wants"][1] >= made["wants"][0]).all()
    assert made["system"][0] == 0
    assert made["system"][1] == made["system"][2] == made["prompt"][3] != 0


def test_prompts_are_read_as_the_text_kernel_reads_them() -> None:
    prompts = ["Explain the tides to a child in one hundred words, please.", "", None, "什么是图论"]
    marks = read_text(pa.array(prompts))
    made = digest_of(*({"prompt": prompt} for prompt in prompts))
    for name in ("prompt", "opening", "closing", "shape", "phrases", "sketch", "wants"):
        assert np.array_equal(made[name], getattr(marks, name)), name


def test_repeated_strings_have_one_hash_wherever_they_stand() -> None:
    names = {"model": "m-1", "answer": "9f", "previous": "9f", "reasoning_handle": "h", "conversation": "c"}
    made = digest_of(names, {}, names)
    for name in ("model", "answer", "previous", "handle", "conversation"):
        assert made[name][0] == made[name][2] != 0
        assert made[name][1] == 0
    assert made["answer"][0] == made["previous"][0]  # so that an answer is found again in what is sent back


def test_numbers_past_all_reason_are_held_to_their_columns() -> None:
    huge = dict.fromkeys(NUMBERS, 2**63 - 1) | {"temperature": math.inf, "top_p": 1e308}
    low = dict.fromkeys(NUMBERS, -(2**63)) | {"temperature": math.nan, "top_p": -math.inf}
    made = digest_of(huge, low)
    assert made["turns"].tolist() == [30_000, 0]
    assert made["input_tokens"].tolist() == [2_000_000_000, 0]
    assert made["output_tokens"].tolist() == [2_000_000_000, 0]
    assert made["biased"].tolist() == [1_000_000, 0]
