from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import wire_bodies as bodies
from tests.wire_bodies import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGE_BATCHES, MESSAGES, RESPONSES, asked

from stillwatch.decisions.facts import FACTS
from stillwatch.errors import RequestError
from stillwatch.exchanges.schema import EXCHANGE
from stillwatch.guard.wire import Asked, read_request

MOST = 2**63 - 1
TELLABLE = [name for name in FACTS if name.startswith("request.")]


def fact(name: str, body: dict[str, Any], path: str = CHAT) -> object:
    return asked(body, path).fact(f"request.{name}")


# ---------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    ("path", "api", "operation", "shape"),
    [
        ("/v1/chat/completions", "openai", "chat", "chat/completions"),
        ("/prefix/v1/chat/completions", "openai", "chat", "chat/completions"),
        ("/chat/completions", "openai", "chat", "chat/completions"),
        ("/v1/chat/completions/", "openai", "chat", "chat/completions"),
        ("//v1//chat///completions", "openai", "chat", "chat/completions"),
        ("/v1/files/../chat/./completions", "openai", "chat", "chat/completions"),
        ("/v1/chat%2Fcompletions", "openai", "chat", "chat/completions"),
        ("/V1/Chat/Completions", "openai", "chat", "chat/completions"),
        ("/v1/completions", "openai", "completion", "completions"),
        ("/v1/responses", "openai", "chat", "responses"),
        ("/v1/embeddings", "openai", "embeddings", "embeddings"),
        ("/v1/fine_tuning/jobs", "openai", "fine-tune", "fine_tuning/jobs"),
        ("/v1/batches", "openai", "batch", "batches"),
        ("/v1/messages", "anthropic", "chat", "messages"),
        ("/anthropic/v1/messages", "anthropic", "chat", "messages"),
        ("/v1/messages/count_tokens", "anthropic", "other", "messages/count_tokens"),
        ("/v1/messages/batches", "anthropic", "batch", "messages/batches"),
    ],
)
def test_an_endpoint_is_known_by_how_its_path_ends(path: str, api: str, operation: str, shape: str) -> None:
    found = read_request("POST", path, b'{"model": "m"}')
    assert (found.api, found.operation, found.shape) == (api, operation, shape)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("POST", "/v1/files"),
        ("POST", "/v1/threads/t/messages"),
        ("DELETE", "/v1/responses/r"),
        ("POST", "/v1/batches/b/cancel"),
        ("POST", "/"),
        ("POST", ""),
    ],
)
def test_bodies_of_other_endpoints_are_not_read(method: str, path: str) -> None:
    found = read_request(method, path, b"\xff no JSON")
    assert (found.operation, found.body, found.shape) == ("other", None, "")
    assert [found.fact(name) for name in TELLABLE] == [None] * len(TELLABLE)
    assert found.columns() == {}
    assert found.prompt_text() == ""


def test_errors_about_batches_of_messages_are_in_anthropic_form_whatever_is_asked_of_them() -> None:
    assert read_request("GET", "/v1/messages/batches/b/results", b"").api == "anthropic"
    assert read_request("GET", "/v1/threads/t/messages", b"").api == "openai"


def test_a_model_in_the_path_is_the_one_that_is_asked_for() -> None:
    found = read_request("POST", "/openai/deployments/Orion-5/chat/completions", b'{"model": "other"}')
    assert found.fact("request.model") == "Orion-5"


@pytest.mark.parametrize(
    ("body", "operation"),
    [(bodies.chat(), "chat"), (bodies.completion(), "completion"), ({"input": "a"}, "embeddings"), ({}, None)],
)
def test_what_comes_to_invocations_is_told_by_its_body(body: dict[str, Any], operation: str | None) -> None:
    assert fact("operation", body, "/invocations") == operation


# ---------------------------------------------------------------- facts


@pytest.mark.parametrize(
    ("name", "path", "more", "value"),
    [
        ("model", CHAT, {}, "orion-5"),
        ("turns", CHAT, {}, 2),
        ("turns", RESPONSES, {"messages": None, "input": "one"}, 1),
        ("stream", CHAT, {"stream": True}, True),
        ("stream", CHAT, {"stream": None}, False),
        ("n", CHAT, {}, 1),
        ("n", CHAT, {"n": 3}, 3),
        ("n", CHAT, {"n": 3.0}, 3),
        ("n", CHAT, {"n": -3}, 1),
        ("n", CHAT, {"n": 10**30}, MOST),
        ("n", COMPLETIONS, {"n": 2, "best_of": 5}, 5),
        ("max_tokens", CHAT, {}, 0),
        ("max_tokens", CHAT, {"max_tokens": 5, "max_completion_tokens": 9}, 9),
        ("max_tokens", RESPONSES, {"max_output_tokens": 9}, 9),
        ("max_tokens", CHAT, {"max_tokens": -1}, 0),
        ("output_tokens", CHAT, {"max_tokens": 5}, 5),
        ("output_tokens", CHAT, {}, 1024),
        ("output_tokens", COMPLETIONS, {"prompt": ["a", "b"], "max_tokens": 5}, 10),
        ("output_tokens", COMPLETIONS, {"prompt": [1, 2, 3], "max_tokens": 5}, 5),
        ("output_tokens", EMBEDDINGS, {}, None),
        ("tools", CHAT, {"tools": [{}, {}], "functions": [{}]}, 3),
        ("logprobs", CHAT, {}, False),
        ("logprobs", CHAT, {"logprobs": False}, False),
        ("logprobs", CHAT, {"logprobs": 1}, True),
        ("logprobs", CHAT, {"prompt_logprobs": 0}, True),
        ("logprobs", CHAT, {"top_logprobs": 0}, False),
        ("logprobs", CHAT, {"top_logprobs": 1}, True),
        ("logprobs", CHAT, {"return_hidden_states": True}, True),
        ("logprobs", CHAT, {"logprob_token_ids": [1]}, True),
        ("logprobs", COMPLETIONS, {"logprobs": 0}, True),
        ("logprobs", COMPLETIONS, {"logprobs": None}, False),
        ("logprobs", RESPONSES, {"include": ["message.output_text.logprobs"]}, True),
        ("logprobs", RESPONSES, {"include": ["file_search_call.results"]}, False),
        ("logprobs", RESPONSES, {"include": [["message.output_text.logprobs"], {}]}, False),
        ("top_logprobs", CHAT, {"logprobs": True, "top_logprobs": 5}, 5),
        ("top_logprobs", CHAT, {"top_logprobs": -1}, MOST),
        ("top_logprobs", CHAT, {"prompt_logprobs": 4}, 4),
        ("top_logprobs", CHAT, {"token_ids_logprob": [1, 2]}, 2),
        ("top_logprobs", COMPLETIONS, {"logprobs": 5}, 5),
        ("top_logprobs", COMPLETIONS, {"logprobs": True}, 1),
        ("logit_bias", CHAT, {}, 0),
        ("logit_bias", CHAT, {"logit_bias": {"1": 5, "2": -7.5}}, 2),
        ("logit_bias", CHAT, {"logit_bias": None}, 0),
        ("logit_bias", CHAT, {"allowed_token_ids": [1, 2]}, 2),
        ("logit_bias_magnitude", CHAT, {"logit_bias": {"1": 5, "2": -7.5}}, 7.5),
        ("logit_bias_magnitude", CHAT, {"logit_bias": {"1": 10**400}}, float(MOST)),
        ("logit_bias_magnitude", CHAT, {"allowed_token_ids": [1]}, 100.0),
        ("logit_bias_magnitude", CHAT, {"custom_logit_processor": "code"}, 100.0),
        ("bias_tokens", CHAT, {"logit_bias": {"7": 1, " 07": 2, "+7": 3, "word": 1}}, ("7", "word")),
        ("bias_tokens", CHAT, {"logits_processors": ["code"]}, ("logits_processors",)),
        ("seed", CHAT, {"seed": 0}, True),
        ("seed", CHAT, {"seed": None}, False),
        ("temperature", CHAT, {}, None),
        ("temperature", CHAT, {"temperature": 0}, 0.0),
        ("reasoning", CHAT, {}, False),
        ("reasoning", CHAT, {"reasoning_effort": "high"}, False),
        ("reasoning", CHAT, {"include_reasoning": True}, True),
        ("reasoning", CHAT, {"chat_template_kwargs": {"enable_thinking": True}}, True),
        ("reasoning", RESPONSES, {"reasoning": {"effort": "low"}}, False),
        ("reasoning", RESPONSES, {"reasoning": {"summary": "detailed"}}, True),
        ("reasoning", RESPONSES, {"include": ["reasoning.encrypted_content"]}, True),
        ("reasoning", MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, True),
        ("reasoning", MESSAGES, {"thinking": {"type": "adaptive", "display": "omitted"}}, False),
        ("reasoning", MESSAGES, {"thinking": {"type": "disabled"}}, False),
        ("country", CHAT, {}, None),
        ("prompt", CHAT, {}, None),
    ],
)
def test_facts_that_a_body_tells(name: str, path: str, more: dict[str, Any], value: object) -> None:
    assert fact(name, {**bodies.chat(), **more}, path) == value


@pytest.mark.parametrize("name", bodies.REQUESTS)
def test_facts_are_of_the_types_that_conditions_know(name: str) -> None:
    path, body = bodies.REQUESTS[name]
    for told in TELLABLE:
        value = fact(told.removeprefix("request."), body, path)
        if value is not None:
            msgspec.convert(value, FACTS[told].kind, strict=True)


def test_a_batch_of_messages_adds_tokens_up_and_tells_the_most_of_the_rest() -> None:
    body = bodies.batch(bodies.messages(max_tokens=5, tools=[{}]), bodies.messages(max_tokens=7, temperature=0.5))
    assert fact("output_tokens", body, MESSAGE_BATCHES) == 12
    assert fact("max_tokens", body, MESSAGE_BATCHES) == 7
    assert fact("tools", body, MESSAGE_BATCHES) == 1
    assert fact("temperature", body, MESSAGE_BATCHES) == 0.5
    assert fact("model", body, MESSAGE_BATCHES) == "orion-5"
    assert fact("model", {"requests": []}, MESSAGE_BATCHES) is None


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The quick brown fox jumps over the lazy dog.", 9, 12),
        ("机器学习模型可以被蒸馏", 9, 13),
        ("모델은 증류될 수 있다", 8, 14),
        ("Быстрая лиса прыгает", 7, 14),
        ("data:image/png;base64," + "A" * 100_000, 900, 1100),
    ],
)
def test_tokens_are_estimated_from_the_length_of_texts(text: str, least: int, most: int) -> None:
    estimated = fact("input_tokens", {"model": "m", "prompt": text}, COMPLETIONS)
    assert isinstance(estimated, int)
    assert least <= estimated <= most


@pytest.mark.parametrize(
    ("content", "least", "most"),
    [
        ([{"type": "image", "source": {"type": "base64", "data": "A" * 10_000}}], 1000, 1010),
        ([{"type": "document", "source": {"type": "text", "data": "A" * 40_000}}], 10_000, 10_010),
        ([{"type": "redacted_thinking", "data": "A" * 10_000}], 0, 10),
        ([{"type": ["odd"], "text": "A" * 400}], 100, 110),
        ([{"type": "tool_result", "content": [{"type": "text", "text": "A" * 400}]}], 100, 110),
    ],
)
def test_media_count_alike_whatever_their_size(content: object, least: int, most: int) -> None:
    estimated = fact("input_tokens", {"messages": [{"role": "user", "content": content}]}, MESSAGES)
    assert isinstance(estimated, int)
    assert least <= estimated <= most


def test_token_ids_are_counted() -> None:
    assert fact("input_tokens", {"model": "m", "prompt": [1] * 77}, COMPLETIONS) == 77
    assert fact("input_tokens", {"model": "m", "input": [[1] * 7, [2] * 3]}, EMBEDDINGS) == 10


@pytest.mark.parametrize("name", bodies.REQUESTS)
def test_the_prompt_is_that_of_the_logs(name: str) -> None:
    path, body = bodies.REQUESTS[name]
    found = asked(body, path)
    if name != "message batch":
        assert found.prompt_text() == found.columns().get("prompt", "")


def test_the_prompt_is_the_last_user_message_that_has_text() -> None:
    said = [
        {"role": "user", "content": "First"},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image_url"}, {"text": "two"}, "three"]},
        {"role": "assistant", "content": "So"},
        {"role": "user", "content": [{"type": "tool_result", "content": "x"}]},
    ]
    assert asked(bodies.chat(messages=said)).prompt_text() == "one\ntwo\nthree"
    assert asked(bodies.responses(input=["a", "b"]), RESPONSES).prompt_text() == "b"
    assert asked({"input": {"a": 1}}, EMBEDDINGS).prompt_text() == ""


@pytest.mark.parametrize("name", bodies.REQUESTS)
def test_columns_are_those_of_the_exchange_log(name: str) -> None:
    path, body = bodies.REQUESTS[name]
    columns = asked(body, path).columns()
    assert set(columns) <= set(EXCHANGE.names)
    for column, value in columns.items():
        kind = str(EXCHANGE.field(column).type)
        expected = {"string": str, "int64": int, "double": float, "bool": bool}[kind]
        assert isinstance(value, expected), column


def test_columns_tell_the_conversation() -> None:
    said = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "signed"},
                                          {"type": "text", "text": "Two"}]},
        {"role": "user", "content": "Three"},
    ]  # fmt: skip
    columns = asked(bodies.messages(messages=said, system="Be brief."), MESSAGES).columns()
    assert columns["system"] == "Be brief."
    assert columns["prompt"] == "Three"
    assert columns["turns"] == 3
    assert columns["reasoning_handle"] == "signed"
    assert columns["previous"]
    kept = asked(bodies.responses(previous_response_id="resp_0", seed=2**70, temperature=10**40), RESPONSES).columns()
    assert kept["conversation"] == "resp_0"
    assert "seed" not in kept
    assert "temperature" not in kept


def test_reading_requests_needs_none_of_what_is_slow_to_import() -> None:
    code = (
        "import sys; from stillwatch.guard.wire import read_request, AnswerReader, edited;"
        "a = read_request('POST', '/v1/messages', b'{}'); a.fact('request.n'); a.prompt_text();"
        "sys.exit(any(name in sys.modules for name in ('pyarrow', 'numba', 'numpy', 'yaml')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


# ---------------------------------------------------------------- what could be read in two ways


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"n": NaN}',
        b'{"n": Infinity}',
        b'{"n": 01}',
        b'{"n": 1,}',
        b"{'n': 1}",
        b'{"n": 1} {"n": 2}',
        b'\xef\xbb\xbf{"n": 1}',
        '{"n": 1}'.encode("utf-16"),
        '{"n": 1}'.encode("utf-32"),
        b'{"model": "\xff"}',
        b'{"\xff": 1}',
        b'{"model": "\\ud800"}',
        b'{"model": "\x00"}',
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"n": ' + b"9" * 10_000 + b"}",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        read_request("POST", CHAT, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"n":1,"n":5}',
        b'{"n":5,"n":5}',
        b'{"n": 1, "n": 5}',
        b'{"n":12,"n":1}',
        b'{"n":1,"n":12}',
        b'{ "n" : 1 ,\n"n"\t:\r5 }',
        b'{"n":1,"\\u006e":5}',
        b'{"\\u006e":1,"n":5}',
        b'{"a\\"b":1,"n":1,"a\\u0022b":2}',
        b'{"model":"a\\\\","n":1,"model":"b"}',
        b'{"logprobs":true,"x":{"logprobs":1},"logprobs":false}',
    ],
)
def test_a_name_that_stands_in_a_body_twice_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match="twice"):
        read_request("POST", CHAT, body)


@pytest.mark.parametrize("name", ["LOGPROBS", "Logprobs", "logprob\u017f", "N", "Max_Tokens", "Stillwatch_dye"])
def test_a_known_name_in_another_case_is_refused(name: str) -> None:
    with pytest.raises(RequestError) as refused:
        asked(bodies.chat(**{name: 1}))
    assert refused.value.parameter == name


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, {"n": "3"}),
        (CHAT, {"n": [3]}),
        (CHAT, {"n": 1.5}),
        (CHAT, {"messages": {}}),
        (CHAT, {"messages": ["text"]}),
        (CHAT, {"messages": "text"}),
        (CHAT, {"logprobs": "true"}),
        (CHAT, {"logprobs": 5}),
        (CHAT, {"logprobs": {}}),
        (CHAT, {"top_logprobs": "5"}),
        (CHAT, {"logit_bias": [1]}),
        (CHAT, {"logit_bias": {"1": "5"}}),
        (CHAT, {"logit_bias": {"1": None}}),
        (CHAT, {"stream": "yes"}),
        (CHAT, {"stream": 2}),
        (CHAT, {"tools": {}}),
        (CHAT, {"tools": [1]}),
        (CHAT, {"temperature": "1"}),
        (CHAT, {"model": 5}),
        (CHAT, {"model": ["orion-5"]}),
        (CHAT, {"vllm_xargs": "x"}),
        (CHAT, {"extra_body": {"logprobs": True}}),
        (CHAT, {"extra_body": {"Logprobs": True}}),
        (RESPONSES, {"include": "message.output_text.logprobs"}),
        (RESPONSES, {"input": 5}),
        (COMPLETIONS, {"prompt": {}}),
        (MESSAGES, {"thinking": "on"}),
        (MESSAGE_BATCHES, {"requests": {}}),
        (MESSAGE_BATCHES, {"requests": [1]}),
        (MESSAGE_BATCHES, {"requests": [{}]}),
        (MESSAGE_BATCHES, {"requests": [{"params": {"n": "3"}}]}),
        (MESSAGE_BATCHES, {"requests": [{"params": {"model": "a"}}, {"params": {"model": "b"}}]}),
    ],
)
def test_values_of_other_types_are_refused_by_name(path: str, more: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        asked(bodies.chat(**more), path)
    assert refused.value.parameter in {**more, "n": 0}


def test_a_number_that_no_double_holds_is_no_count() -> None:
    with pytest.raises(RequestError, match="temperature"):
        read_request("POST", CHAT, b'{"temperature": 1e400}')
    assert read_request("POST", CHAT, b'{"x": 1e400, "n": 2}').fact("request.n") == 2


@pytest.mark.parametrize("indent", [None, 1, "\t"])
@pytest.mark.parametrize("separators", [None, (",", ":"), (" , ", " : ")])
@given(
    body=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.integers() | st.text('ab\\"é'), max_size=6
    )
)
def test_however_a_body_is_spaced_it_reads_the_same(
    body: dict[str, Any], indent: int | str | None, separators: tuple[str, str] | None
) -> None:
    written = json.dumps({f"x-{name}": value for name, value in body.items()}, indent=indent, separators=separators)
    try:
        found = read_request("POST", CHAT, written.encode())
    except RequestError as error:  # numbers past 4300 digits are the only ones
        pytest.fail(str(error))
    assert found.body == json.loads(written)


@given(
    st.lists(st.tuples(st.sampled_from(["n", "a", "b"]), st.integers(0, 12)), max_size=5),
    st.sampled_from(["", " ", "\n"]),
    st.sampled_from(["", " ", "\t "]),
)
def test_a_body_is_refused_just_when_a_name_stands_in_it_twice(
    members: list[tuple[str, int]], one: str, other: str
) -> None:
    written = "{" + one + f"{other},{one}".join(f'"{name}"{other}:{one}{value}' for name, value in members) + one + "}"
    doubled = len({name for name, _ in members}) < len(members)
    try:
        found: Asked | None = read_request("POST", CHAT, written.encode())
    except RequestError:
        found = None
    assert (found is None) == doubled
