from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import wire_bodies as bodies
from tests.wire_bodies import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGE_BATCHES, MESSAGES, RESPONSES, asked

from stillwatch.decisions.ruling import NOTHING, Edit, Instructions
from stillwatch.errors import RequestError
from stillwatch.guard.wire import client_steering, edited, instruction_headers, read_request

FIELDS = ("logprobs", "top_logprobs", "n", "logit_bias", "logit_bias_magnitude", "seed", "max_tokens", "tools")
CLAMPED = ("top_logprobs", "n", "logit_bias", "logit_bias_magnitude", "max_tokens", "tools")


def strip(*fields: str) -> tuple[Edit, ...]:
    return tuple(Edit("request", field, "strip") for field in fields)


def clamp(**bounds: float) -> tuple[Edit, ...]:
    return tuple(Edit("request", field, "clamp", bound=bound) for field, bound in bounds.items())


def sent(body: dict[str, Any], edits: tuple[Edit, ...], path: str = CHAT) -> dict[str, Any]:
    """Give what is sent on, of what is there besides the usual."""
    found = asked({"model": "m", **body}, path)
    content = edited(found, edits, NOTHING, engine="headers")
    after: dict[str, Any] = msgspec.json.decode(found.raw if content is None else content)
    assert after.pop("model") == "m"
    return after


@pytest.mark.parametrize(
    ("path", "before", "edits", "after"),
    [
        (CHAT, {"logprobs": True, "top_logprobs": 5, "prompt_logprobs": 1, "x": 1}, strip("logprobs"), {"x": 1}),
        (CHAT, {"logprob_token_ids": [1], "return_hidden_states": True}, strip("logprobs"), {}),
        (COMPLETIONS, {"logprobs": 5, "echo": True}, strip("logprobs"), {"echo": True}),
        (RESPONSES, {"include": ["message.output_text.logprobs", "a"], "top_logprobs": 5}, strip("logprobs"),
         {"include": ["a"]}),
        (CHAT, {"logprobs": True, "top_logprobs": 5}, strip("top_logprobs"), {"logprobs": True}),
        (COMPLETIONS, {"logprobs": 5}, strip("top_logprobs"), {"logprobs": 0}),
        (CHAT, {"top_logprobs": 5}, clamp(top_logprobs=3), {"top_logprobs": 3}),
        (CHAT, {"top_logprobs": 2}, clamp(top_logprobs=3), {"top_logprobs": 2}),
        (CHAT, {"top_logprobs": -1, "prompt_logprobs": -1}, clamp(top_logprobs=3),
         {"top_logprobs": 3, "prompt_logprobs": 3}),
        (COMPLETIONS, {"logprobs": 5}, clamp(top_logprobs=3), {"logprobs": 3}),
        (CHAT, {"token_ids_logprob": [1, 2]}, clamp(top_logprobs=1), {}),
        (CHAT, {"n": 5}, clamp(n=2), {"n": 2}),
        (COMPLETIONS, {"n": 5, "best_of": 9}, clamp(n=2), {"n": 2, "best_of": 2}),
        (CHAT, {"n": None}, clamp(n=2), {"n": None}),
        (CHAT, {"logit_bias": {"1": 5}, "allowed_token_ids": [1], "custom_logit_processor": "c"}, strip("logit_bias"),
         {}),
        (CHAT, {"logit_bias": {"1": 5, "2": 6, "3": 7}}, clamp(logit_bias=2), {"logit_bias": {"1": 5, "2": 6}}),
        (CHAT, {"logit_bias": {"1": 5, "2": -60}}, clamp(logit_bias_magnitude=20), {"logit_bias": {"1": 5, "2": -20}}),
        (CHAT, {"allowed_token_ids": [1]}, clamp(logit_bias_magnitude=20), {}),
        (CHAT, {"allowed_token_ids": [1, 2]}, clamp(logit_bias=1), {}),
        (CHAT, {"seed": 5}, strip("seed"), {}),
        (CHAT, {"max_tokens": 500}, clamp(max_tokens=100), {"max_tokens": 100}),
        (CHAT, {"max_tokens": 50, "min_tokens": 500}, clamp(max_tokens=100), {"max_tokens": 50, "min_tokens": 100}),
        (CHAT, {}, clamp(max_tokens=100), {"max_completion_tokens": 100}),
        (CHAT, {"max_tokens": -1}, clamp(max_tokens=100), {"max_tokens": 100}),
        (COMPLETIONS, {}, clamp(max_tokens=100), {"max_tokens": 16}),
        (RESPONSES, {}, clamp(max_tokens=100), {"max_output_tokens": 100}),
        (MESSAGES, {}, clamp(max_tokens=100), {"max_tokens": 100}),
        (EMBEDDINGS, {}, clamp(max_tokens=100), {}),
        (MESSAGES, {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 8000}},
         clamp(max_tokens=2000), {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1999}}),
        (MESSAGES, {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 8000}},
         clamp(max_tokens=1000), {"max_tokens": 1000, "thinking": {"type": "disabled"}}),
        (CHAT, {"tools": [{"a": 1}], "tool_choice": "auto", "functions": [{}]}, strip("tools"), {}),
        (CHAT, {"tools": [{"a": 1}, {"b": 1}], "tool_choice": {"a": 1}, "functions": [{}]}, clamp(tools=1),
         {"tools": [{"a": 1}]}),
        (CHAT, {"tools": [{}]}, clamp(tools=0), {}),
        (CHAT, {"separate_reasoning": False, "include_reasoning": True},
         (Edit("answer", "reasoning", "strip"),), {}),
        (CHAT, {"stillwatch_dye": "", "vllm_xargs": {"stillwatch_watermark": 0, "a": 1}}, strip("instructions"),
         {"vllm_xargs": {"a": 1}}),
        (CHAT, {"vllm_xargs": {"Stillwatch_dye": 0}, "custom_params": {"stillwatch_dye": 1}}, strip("instructions"),
         {}),
        (CHAT, {"extra_headers": {"X-Stillwatch_Dye": "", "a": "b"}}, strip("instructions"),
         {"extra_headers": {"a": "b"}}),
        (CHAT, {"logits_processors": ["c"], "reasoning_effort": "low"}, strip("instructions"),
         {"reasoning_effort": "low"}),
    ],
)  # fmt: skip
def test_what_is_sent_on(path: str, before: dict[str, Any], edits: tuple[Edit, ...], after: dict[str, Any]) -> None:
    assert sent(before, edits, path) == after


@pytest.mark.parametrize("name", bodies.REQUESTS)
def test_where_nothing_changes_the_body_goes_on_as_it_came(name: str) -> None:
    path, body = bodies.REQUESTS[name]
    found = asked(body, path)
    assert edited(found, (), NOTHING, engine="vllm") is None
    assert edited(found, (), Instructions(dye="campaigns"), engine="headers") is None
    assert edited(found, strip("instructions"), NOTHING, engine="headers") is None
    assert edited(read_request("GET", path, b""), strip("logprobs"), NOTHING, engine="vllm") is None


def test_requests_of_a_batch_are_edited_each() -> None:
    found = asked(bodies.batch(bodies.messages(max_tokens=5), bodies.messages(max_tokens=700)), MESSAGE_BATCHES)
    content = edited(found, clamp(max_tokens=100), Instructions(dye="d"), engine="vllm")
    assert content is not None
    assert [one["params"]["max_tokens"] for one in msgspec.json.decode(content)["requests"]] == [5, 100]


def test_what_is_not_edited_goes_on_byte_for_byte() -> None:
    kept = (
        b'"big":12345678901234567890123, "far": 1e400,"fine":0.1000000000000000055,"neg":-0 ,"exp":1E5,'
        b'"esc":"\\u00e9\\/\\n","deep":{"n":1,"n":2, "b":[ ]},"uni":"\xc3\xa9"'
    )
    found = read_request("POST", CHAT, b'{"model":"m","n":5,' + kept + b"}")
    content = edited(found, clamp(n=1), NOTHING, engine="headers")
    for member in (b'"big":12345678901234567890123', b'"far":1e400', b'"fine":0.1000000000000000055', b'"neg":-0',
                   b'"exp":1E5', b'"esc":"\\u00e9\\/\\n"', b'"deep":{"n":1,"n":2, "b":[ ]}', b'"n":1,'):  # fmt: skip
        assert member in (content or b"")


def test_numbers_in_what_is_edited_keep_what_they_say() -> None:
    body = b'{"model":"m","vllm_xargs":{"stillwatch_dye":0,"far":1e400,"big":12345678901234567890123}}'
    content = edited(read_request("POST", CHAT, body), strip("instructions"), NOTHING, engine="headers")
    assert content == b'{"model":"m","vllm_xargs":{"far":1e400,"big":12345678901234567890123}}'


def test_a_bias_that_stands_twice_is_read_once() -> None:
    body = b'{"model":"m","logit_bias":{"1":100,"1":5}}'
    for edits in (clamp(logit_bias=5), clamp(logit_bias_magnitude=20)):
        content = edited(read_request("POST", CHAT, body), edits, NOTHING, engine="headers")
        assert content == b'{"model":"m","logit_bias":{"1":5}}'


def test_the_engine_is_told_in_headers_or_in_the_body() -> None:
    told = Instructions("campaigns", watermark=True, reasoning="hidden")
    assert instruction_headers(told) == [
        (b"x-stillwatch-dye", b"campaigns"),
        (b"x-stillwatch-watermark", b"on"),
        (b"x-stillwatch-reasoning", b"hidden"),
    ]
    assert instruction_headers(NOTHING) == []
    content = edited(
        asked({"vllm_xargs": {"a": 1, "stillwatch_dye": "mine"}}), strip("instructions"), told, engine="vllm"
    )
    assert msgspec.json.decode(content or b"")["vllm_xargs"] == {
        "a": 1,
        "stillwatch_dye": "campaigns",
        "stillwatch_watermark": True,
        "stillwatch_reasoning": "hidden",
    }
    assert edited(asked({"input": "a"}, EMBEDDINGS), (), told, engine="vllm") is None


@pytest.mark.parametrize(
    ("name", "steers"),
    [(b"x-stillwatch-dye", True), (b"X-Stillwatch-Dye", True), (b"x_stillwatch_dye", True), (b"x-still", False)],
)
def test_headers_that_clients_may_not_bring(name: bytes, steers: bool) -> None:
    assert client_steering(name) == steers


WHOLES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.integers(-3, 9).map(float)
LISTS = st.none() | st.lists(st.fixed_dictionaries({"name": st.text("ab")}), max_size=4)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("n", "best_of", "top_logprobs", "prompt_logprobs", "max_tokens", "min_tokens", "seed"), WHOLES),
    **dict.fromkeys(("max_completion_tokens", "max_output_tokens"), WHOLES),
    "logprobs": WHOLES,
    "logit_bias": st.none() | st.dictionaries(st.text("0123 +a", max_size=3), st.integers() | st.floats(-200, 200)),
    "tools": LISTS,
    "functions": LISTS,
    "allowed_token_ids": st.none() | st.lists(st.integers(), max_size=3),
    "custom_logit_processor": st.none() | st.text("ab"),
    "logprob_token_ids": st.none() | st.lists(st.integers(), max_size=3),
    "include": st.none() | st.lists(st.sampled_from(["message.output_text.logprobs", "a"]), max_size=3),
    "thinking": st.none() | st.fixed_dictionaries({"type": st.just("enabled"), "budget_tokens": WHOLES}),
}
BODIES = st.fixed_dictionaries({"model": st.just("m")}, optional=VALUES)


@given(
    BODIES,
    st.sampled_from([CHAT, COMPLETIONS, RESPONSES, MESSAGES]),
    st.sets(st.sampled_from(FIELDS)),
    st.dictionaries(st.sampled_from(CLAMPED), st.integers(0, 8)),
)
def test_no_edited_request_asks_for_more_than_it_may(
    body: dict[str, Any], path: str, stripped: set[str], bounds: dict[str, int]
) -> None:
    from stillwatch.guard.wire.body import encode  # noqa: PLC0415

    try:
        before = read_request("POST", path, encode(body))
    except RequestError:
        return
    bounds = {field: bound for field, bound in bounds.items() if field not in stripped}
    edits = strip(*sorted(stripped)) + clamp(**bounds)
    content = edited(before, edits, NOTHING, engine="headers")
    after = read_request("POST", path, before.raw if content is None else content)
    unknown = {"n": 1}
    for field in stripped:
        assert after.fact(f"request.{field}") == unknown.get(field, 0)
    for field, bound in bounds.items():
        value = after.fact(f"request.{field}")
        assert isinstance(value, int | float)
        assert value <= max(bound, unknown.get(field, 0))
    if "max_tokens" in bounds:
        assert any((after.body or {}).get(name) is not None for name in VALUES if "max_" in name)
    assert edited(after, edits, NOTHING, engine="headers") in (None, after.raw)
