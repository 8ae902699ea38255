from __future__ import annotations

import csv
import io
import json
import re
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import DialectError, LogError, UsageError
from stillwatch.exchanges.dialects import DIALECTS, dialect_named, recognised
from stillwatch.exchanges.dialects.address import client_address
from stillwatch.exchanges.dialects.messages import conversation
from stillwatch.exchanges.digest import digest
from stillwatch.exchanges.read import LogReader
from stillwatch.exchanges.schema import EXCHANGE
from stillwatch.exchanges.source import LogSource

LOGS = Path(__file__).parent / "fixtures" / "logs"
DOCS = Path(__file__).parents[1] / "docs" / "dialects.md"
FIXTURES = {
    "exchange/1": ["exchange_v1.jsonl"],
    "opentelemetry": ["opentelemetry_spans.jsonl", "opentelemetry_events.jsonl"],
    "litellm": ["litellm.jsonl"],
    "anthropic": ["anthropic.jsonl"],
    "openai": ["openai.jsonl"],
    "vllm": ["vllm.jsonl"],
    "envoy": ["envoy.jsonl"],
}


def _read(*paths: Path, **how: Any) -> list[dict[str, object]]:  # noqa: ANN401 - fields of LogSource
    """Return each exchange's columns that are not null, times as text."""
    reader = LogReader(LogSource(paths, **how))
    rows = [row for batch in reader.batches() for row in batch.to_pylist()]
    for row in rows:
        row["time"] = row["time"].isoformat()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# ---- laws of every dialect --------------------------------------------------------------------------------------


def test_every_dialect_has_a_fixture() -> None:
    assert set(FIXTURES) == {dialect.name for dialect in DIALECTS}


@pytest.mark.parametrize("name", FIXTURES)
def test_a_dialect_is_known_by_its_content_alone(name: str) -> None:
    for fixture in FIXTURES[name]:
        reader = LogReader(LogSource([LOGS / fixture]))
        list(reader.batches())
        assert set(reader.report().dialects.values()) == {name}


@pytest.mark.parametrize("name", FIXTURES)
def test_a_dialect_fills_exactly_the_columns_that_it_says(name: str) -> None:
    filled = {column for fixture in FIXTURES[name] for row in _read(LOGS / fixture) for column in row}
    assert filled == set(dialect_named(name).fields)


@pytest.mark.parametrize("name", FIXTURES)
def test_the_docs_list_every_field_of_a_dialect_and_no_other(name: str) -> None:
    section = re.search(rf"^### {re.escape(name)}$(.*?)(?=^##|\Z)", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert section is not None
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section[1], re.MULTILINE))
    assert listed == dict(dialect_named(name).fields)
    assert list(listed) == [column for column in EXCHANGE.names if column in listed]


@pytest.mark.parametrize("name", FIXTURES)
def test_naming_the_dialect_reads_the_same(name: str) -> None:
    for fixture in FIXTURES[name]:
        assert _read(LOGS / fixture, dialect=name) == _read(LOGS / fixture)


@pytest.mark.parametrize("name", FIXTURES)
def test_a_json_array_reads_as_its_lines_do(name: str, tmp_path: Path) -> None:
    for fixture in FIXTURES[name]:
        array = tmp_path / fixture.replace(".jsonl", ".json")
        array.write_text(json.dumps(_lines(LOGS / fixture), indent=1), "utf-8")
        assert _read(array) == _read(LOGS / fixture)


@pytest.mark.parametrize("name", ["litellm", "openai", "anthropic", "vllm", "envoy"])
def test_a_table_with_nested_fields_as_json_text_reads_as_its_lines_do(name: str, tmp_path: Path) -> None:
    rows = _lines(LOGS / FIXTURES[name][0])
    cells = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items() if v is not None} for row in rows]
    header = list({key: None for row in cells for key in row})
    text = io.StringIO()
    writer = csv.DictWriter(text, header)
    writer.writeheader()
    writer.writerows(cells)
    (tmp_path / "log.csv").write_text(text.getvalue(), "utf-8")
    columns = {key: [row.get(key) for row in cells] for key in header}
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    expected = _read(LOGS / FIXTURES[name][0])
    assert _read(tmp_path / "log.csv", dialect=name) == expected
    assert _read(tmp_path / "log.parquet", dialect=name) == expected


def test_nested_parquet_reads_as_its_lines_do(tmp_path: Path) -> None:
    rows = [
        {
            "time": "2026-03-02T10:00:00Z",
            "account": "acct-1",
            "request": {"model": "m", "messages": [{"role": "user", "content": word}], "logit_bias": {"7": 1}},
            "response": {"choices": [{"message": {"role": "assistant", "content": word.upper()}}]},
        }
        for word in ("red", "blue")
    ]
    bias = pa.map_(pa.string(), pa.int64())
    message = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    request = pa.struct({"model": pa.string(), "messages": message, "logit_bias": bias})
    table = pa.Table.from_pylist(rows)
    requests = [{**row["request"], "logit_bias": [("7", 1)]} for row in rows if isinstance(row["request"], dict)]
    table = table.set_column(2, "request", pa.array(requests, request))
    pq.write_table(table, tmp_path / "log.parquet")
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert _read(tmp_path / "log.parquet") == _read(tmp_path / "log.jsonl")
    assert [row["logit_bias"] for row in _read(tmp_path / "log.parquet")] == [1, 1]


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["request", "response", "messages", "role", "content", "body", "choices", "usage", "key", "value"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def _spoiled(row: object, junk: object, place: int) -> tuple[object, int]:
    """Return the row with its `place`-th value, counted depth first, replaced; and how many places are left."""
    if place == 0:
        return junk, -1
    place -= 1
    if isinstance(row, dict):
        spoiled: dict[str, object] = {}
        for key, value in row.items():
            spoiled[key], place = _spoiled(value, junk, place) if place >= 0 else (value, place)
        return spoiled, place
    if isinstance(row, list):
        items = []
        for value in row:
            item, place = _spoiled(value, junk, place) if place >= 0 else (value, place)
            items.append(item)
        return items, place
    return row, place


@settings(deadline=None)  # machines are busy
@given(st.sampled_from(sorted(FIXTURES)), st.integers(0, 3), st.integers(1, 60), JUNK)
def test_a_row_with_anything_in_any_place_is_converted_or_refused_by_name(
    name: str, which: int, place: int, junk: object
) -> None:
    rows = [row for fixture in FIXTURES[name] for row in _lines(LOGS / fixture)]
    spoiled, _ = _spoiled(rows[which % len(rows)], junk, place)
    assert isinstance(spoiled, dict)
    with suppress(LogError):
        for exchange in dialect_named(name).convert(spoiled):
            assert set(exchange) <= set(EXCHANGE.names)
    recognised([spoiled])


def test_a_dialect_that_nobody_speaks_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="opentelemetry"):
        LogReader(LogSource([LOGS], dialect="klingon"))


def test_a_named_file_in_no_dialect_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "package.json"
    path.write_text('{"name": "shop", "version": "1.0.0"}')
    with pytest.raises(DialectError, match=re.escape(str(path))):
        list(LogReader(LogSource([path])).batches())


def test_all_dialects_at_once_read_as_each_alone() -> None:
    together = _read(LOGS)
    alone = [row for name in sorted(chain(*FIXTURES.values())) for row in _read(LOGS / name)]
    assert together == alone


# ---- each format ------------------------------------------------------------------------------------------------


def test_exchange_v1() -> None:
    first, second = _read(LOGS / "exchange_v1.jsonl")
    assert first["answer"] == digest("Because steel and concrete grow in the heat.")
    assert second == {
        "request_id": "req-2",
        "time": "2026-03-02T09:15:10+00:00",
        "account": "4711",
        "model": "orion-4",
        "prompt": "第二题：为什么天空是蓝色的？",  # noqa: RUF001 - Chinese has its own marks
        "conversation": "c-9",
        "previous": "5b1e0c9c57f0d3aa",
        "turns": 3,
        "temperature": 0.2,
        "stream": True,
        "reasoning_handle": "EqQBCkgIARAB",
        "input_tokens": 19,
        "output_tokens": 44,
        "status": 200,
    }


def test_opentelemetry_spans() -> None:
    new, old = _read(LOGS / "opentelemetry_spans.jsonl")
    assert new == {
        "request_id": "5b8efff798038103d269b633813fc60c-a3c1b1730e19b7ec",
        "time": "2026-03-02T09:15:04.120000+00:00",
        "account": "acct-bel",  # of the HTTP server's span
        "model": "orion-4",
        "operation": "chat",
        "ip": "203.0.113.40",
        "user_agent": "OpenAI/Python 2.4.0",
        "system": "You are a patient tutor.",
        "prompt": "And a derivative?",
        "response": "The limit of a slope.",
        "conversation": "conv-31",
        "answer": digest("The limit of a slope."),
        "previous": digest("The value a function comes near."),
        "turns": 3,
        "tools": 1,
        "temperature": 0.3,
        "top_p": 0.95,
        "max_tokens": 512,
        "n": 2,
        "seed": 7,
        "input_tokens": 64,
        "output_tokens": 128,
        "finish_reason": "stop",
    }
    assert (old["system"], old["prompt"], old["response"]) == ("Be brief.", "Name three rivers.", "Rhine, Nile, Amur.")
    assert (old["account"], old["organization"], old["status"], old["input_tokens"]) == ("acct-cem", "org-7", 500, 17)
    assert (old["ja4"], old["asn"], old["country"]) == ("t13d1516h2_8daaf6152771_e5627efa2ab1", 64502, "BR")


def test_opentelemetry_events() -> None:
    details, messages = _read(LOGS / "opentelemetry_events.jsonl")
    assert details["prompt"] == "And in Turkish?"
    assert details["previous"] == digest("Guten Morgen")
    assert details["reasoning_handle"] == "sig-aa01"
    assert (details["turns"], details["stream"], details["account"]) == (3, True, "acct-dov")
    assert messages == {
        "request_id": "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "time": "2026-03-02T09:16:50+00:00",
        "account": "acct-eli",  # of the resource
        "system": "You teach history.",
        "prompt": "Who built the canal?",
        "response": "The Egyptians, more than once.",
        "answer": digest("The Egyptians, more than once."),
        "turns": 1,
        "finish_reason": "stop",
    }


def test_a_span_and_its_event_are_one_exchange(tmp_path: Path) -> None:
    span = {"traceId": "t1", "spanId": "s1", "startTimeUnixNano": "1772442904000000000"}
    who = [{"key": "user.id", "value": {"stringValue": "acct-1"}}]
    model = [{"key": "gen_ai.request.model", "value": {"stringValue": "orion-4"}}]
    asked = [{"key": "gen_ai.input.messages", "value": {"stringValue": '[{"role": "user", "content": "Why?"}]'}}]
    event = {"traceId": "t1", "spanId": "s1", "timeUnixNano": "1772442905000000000"}
    event["eventName"] = "gen_ai.client.inference.operation.details"
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{**event, "attributes": model + asked}]}]}]}
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [{**span, "attributes": model + who}]}]}]}
    for order in ([logs, spans], [spans, logs]):
        path = tmp_path / "otlp.jsonl"
        path.write_text("\n".join(map(json.dumps, order)))
        (row,) = _read(path)
        assert (row["account"], row["prompt"], row["time"]) == ("acct-1", "Why?", "2026-03-02T09:15:04+00:00")


def test_litellm() -> None:
    chat, embedding = _read(LOGS / "litellm.jsonl")
    assert chat == {
        "request_id": "chatcmpl-41",
        "time": "2026-03-02T09:18:20.500000+00:00",
        "account": "user-fay",
        "organization": "org-2",
        "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "model": "orion-4",
        "operation": "chat",
        "ip": "203.0.113.77",
        "user_agent": "OpenAI/Python 2.4.0",
        "system": "You write SQL.",
        "prompt": "Only for March.",
        "response": "Add WHERE month = 3.",
        "conversation": "6a1c",
        "answer": digest("Add WHERE month = 3."),
        "previous": digest("SELECT day, count(*) FROM orders GROUP BY day"),
        "turns": 3,
        "tools": 1,
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 300,
        "n": 1,
        "top_logprobs": 5,
        "logit_bias": 2,
        "seed": 3,
        "stream": True,
        "reasoning_handle": "sig-ll-1",
        "input_tokens": 40,
        "output_tokens": 22,
        "status": 200,
        "finish_reason": "stop",
    }
    assert (embedding["account"], embedding["operation"], embedding["status"]) == ("0b5c", "embeddings", 429)
    assert not {"prompt", "turns", "response"} & set(embedding)  # redacted


def test_litellm_inside_a_callback_s_arguments(tmp_path: Path) -> None:
    path = tmp_path / "callback.jsonl"
    rows = [{"standard_logging_object": row, "litellm_call_id": "x"} for row in _lines(LOGS / "litellm.jsonl")]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert _read(path) == _read(LOGS / "litellm.jsonl")


def test_openai() -> None:
    chat, responses, completion, embeddings = _read(LOGS / "openai.jsonl")
    assert chat == {
        "request_id": "r-100",
        "time": "2026-03-02T09:00:00+00:00",
        "account": "acct-gus",
        "organization": "org-5",
        "api_key": "key_ab",
        "model": "orion-4",
        "operation": "chat",
        "ip": "203.0.113.5",
        "asn": 64501,
        "country": "DE",
        "ja4": "t13d1517h2_8daaf6152771_b0da82dd1658",
        "user_agent": "OpenAI/JS 6.1.0",
        "system": "Grade the essay.",
        "prompt": "Essay two ...\nGive a reason.",
        "response": "6 of 10: no thesis.",
        "answer": digest("6 of 10: no thesis."),
        "previous": digest("7 of 10"),
        "turns": 3,
        "tools": 1,
        "temperature": 1.0,
        "top_p": 0.9,
        "max_tokens": 64,
        "n": 2,
        "top_logprobs": 20,
        "logit_bias": 1,
        "seed": 42,
        "stream": False,
        "input_tokens": 80,
        "output_tokens": 14,
        "status": 200,
        "finish_reason": "stop",
    }
    assert responses["request_id"] == "r-101"
    assert responses["ip"] == "203.0.113.6"  # not the front of x-forwarded-for, which the client wrote
    assert responses["system"] == "Answer as a poet."
    assert responses["prompt"] == "Snow."
    assert responses["previous"] == digest("It falls in lines.")
    assert responses["answer"] == digest("White, without a word.")
    assert responses["reasoning_handle"] == "gAAAAABn-handle"
    assert (responses["turns"], responses["max_tokens"], responses["conversation"]) == (3, 40, "conv_7")
    assert (completion["operation"], completion["prompt"], completion["top_logprobs"]) == ("completion", "Once upon", 5)
    assert (completion["max_tokens"], completion["time"]) == (1, "2026-03-02T09:01:10+00:00")
    assert (embeddings["operation"], embeddings["prompt"]) == ("embeddings", "red shoes\nblue hat")
    assert (embeddings["account"], embeddings["input_tokens"]) == ("shop-1", 4)


def test_anthropic() -> None:
    review, overloaded = _read(LOGS / "anthropic.jsonl")
    assert review == {
        "request_id": "req_011A",
        "time": "2026-03-02T11:30:00+00:00",
        "account": "apikey_01",
        "organization": "org-jo",
        "api_key": "apikey_01",
        "model": "lyra-2",
        "operation": "chat",
        "ip": "2001:db8::17",
        "user_agent": "Anthropic/Python 0.80.0",
        "system": "You are a code reviewer.",
        "prompt": "Review parser.py",  # the last user message holds a tool's result only
        "response": "Two faults.\nFix the loop.",
        "answer": digest("Two faults. Fix the loop."),
        "previous": digest("I will read it."),
        "turns": 3,
        "tools": 2,
        "temperature": 0.5,
        "top_p": 0.99,
        "max_tokens": 2048,
        "stream": True,
        "reasoning_handle": "EqQBCkgIARABGAIiQL==",
        "input_tokens": 650,
        "output_tokens": 77,
        "status": 200,
        "finish_reason": "end_turn",
    }
    assert overloaded["reasoning_handle"] == "EmwKAhgB"
    assert (overloaded["status"], overloaded["finish_reason"]) == (529, "overloaded_error")


def test_vllm() -> None:
    reader = LogReader(LogSource([LOGS / "vllm.jsonl"]))
    chat, completion = _read(LOGS / "vllm.jsonl")
    assert chat == {
        "request_id": "chatcmpl-acct-lea:5f2b",
        "time": "2026-03-02T12:00:01.120000+00:00",
        "account": "acct-lea",
        "operation": "chat",
        "system": "You are exact.",
        "prompt": 'And "5"?',
        "response": "Twelve, it's 12.",
        "answer": digest("Twelve, it's 12."),
        "previous": digest("7"),
        "turns": 3,
        "temperature": 0.6,
        "top_p": 0.95,
        "max_tokens": 4096,
        "n": 1,
        "top_logprobs": 20,
        "seed": 5,
        "stream": True,
        "input_tokens": 4,
        "output_tokens": 3,
        "status": 200,
        "finish_reason": "stop",
    }
    assert (completion["account"], completion["model"], completion["logit_bias"]) == ("acct-max", "tales", 2)
    assert (completion["request_id"], completion["prompt"]) == ("cmpl-77a", "Once upon")
    list(reader.batches())
    assert reader.report().reasons == {"account: missing": 1}  # vLLM does not know who pays


def test_vllm_takes_llama_s_template_apart(tmp_path: Path) -> None:
    prompt = (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    message = (
        f"Received request chatcmpl-acct-1:9: prompt: {prompt!r}, params: SamplingParams(n=1), lora_request: None."
    )
    path = tmp_path / "vllm.jsonl"
    path.write_text(json.dumps({"timestamp": "2026-03-02T12:00:00Z", "message": message}))
    (row,) = _read(path)
    assert (row["prompt"], row["previous"], row["turns"]) == ("Bye", digest("Hello"), 3)


def test_envoy() -> None:
    chat, refused = _read(LOGS / "envoy.jsonl")  # the health check is no exchange
    assert chat == {
        "request_id": "5895f5a9-e4e3",
        "time": "2026-03-02T13:00:00.250000+00:00",
        "account": "c1f0e2",
        "api_key": "c1f0e2",
        "model": "orion-4",
        "operation": "chat",
        "ip": "203.0.113.90",
        "ja4": "t13d1312h2_f57a46bbacb6_ab7e3b40a677",
        "user_agent": "OpenAI/Go 3.0.0",
        "input_tokens": 210,
        "output_tokens": 96,
        "status": 200,
    }
    assert (refused["account"], refused["ip"], refused["status"]) == ("acct-ned", "2001:db8::9", 429)
    assert "user_agent" not in refused  # Envoy's "-" is nothing


def test_envoy_reads_every_name_that_it_lists() -> None:
    envoy = dialect_named("envoy")
    for column, sources in envoy.fields.items():
        for name in re.findall(r"`([^`]+)`", sources):
            value = "/v1/embeddings" if "path" in name else "203.0.113.1" if column == "ip" else "chat"
            row = {"start_time": "t", "response_code": "200", name: value}
            (exchange,) = envoy.convert(row)
            assert column in exchange, name


# ---- messages ---------------------------------------------------------------------------------------------------


def test_an_answer_and_the_turn_sent_back_meet_whatever_the_format(tmp_path: Path) -> None:
    answer = "Line one.\n\n  Line two."
    back = "Line one.\nLine two. "
    openai = {"time": 1772442000, "account": "a", "request": {"messages": [{"role": "user", "content": "?"}]}}
    openai["response"] = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
    turns = [{"role": "assistant", "content": [{"type": "text", "text": back}]}, {"role": "user", "content": "go on"}]
    anthropic = {"time": 1772442001, "account": "b", "request": {"system": "s", "messages": turns}}
    anthropic["response"] = {"type": "message", "content": []}
    plain = {"time": 1772442002, "account": "c", "response": answer}
    for name, row in (("o", openai), ("a", anthropic), ("p", plain)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    found = {row["account"]: row for row in _read(tmp_path)}
    assert found["a"]["answer"] == found["b"]["previous"] == found["c"]["answer"] == digest(answer)


@pytest.mark.parametrize("messages", [None, [], "", {}, 7, [None], [[]], [{"role": "user"}], [{"content": "x"}], "[1]"])
def test_messages_that_say_nothing_are_no_error(messages: object) -> None:
    said = conversation(messages)
    assert (said.system, said.previous, said.reasoning_handle) == (None, None, None)


def test_the_last_user_message_with_text_is_the_prompt() -> None:
    said = conversation(
        [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": None, "tool_calls": [{}]},
            {"role": "tool", "content": "result"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        ]
    )
    assert (said.prompt, said.turns, said.previous) == ("first", 4, None)


@pytest.mark.parametrize(
    ("logged", "address"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (["10.0.0.7:443", "203.0.113.9"], "203.0.113.9"),
        (["10.0.0.7:443", None], "10.0.0.7"),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["2001:DB8::1"], "2001:db8::1"),
        (["unknown, -"], None),
        ([7, None], None),
    ],
)
def test_the_address_that_a_proxy_saw_counts(logged: list[object], address: str | None) -> None:
    assert client_address(*logged) == address


def test_white_space_does_not_count_in_digests() -> None:
    assert digest("a  b\n") == digest("a b") != digest("ab")
    assert digest(" \n") is digest("") is digest(None) is None
    assert re.fullmatch("[0-9a-f]{16}", digest("x") or "")
