from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests import wire_bodies as bodies
from tests.wire_bodies import ANSWERS, CHAT, COMPLETIONS, SECRET, STREAMS, asked, stream

from stillwatch.decisions.ruling import Edit
from stillwatch.exchanges.digest import digest
from stillwatch.guard.wire import AnswerReader

NO_LOGPROBS = (Edit("answer", "logprobs", "strip"), Edit("answer", "top_logprobs", "strip"))
FEW = (Edit("answer", "top_logprobs", "clamp", bound=1),)
DROP = (Edit("answer", "reasoning", "strip"),)
SUMMARISE = (Edit("answer", "reasoning", "summarise", text="({words} words of reasoning)"),)
NOT_ON_ANSWERS = (Edit("request", "n", "clamp", bound=1),)
EDITS = {
    "none": (),
    "request": NOT_ON_ANSWERS,
    "no logprobs": NO_LOGPROBS,
    "few": FEW,
    "drop": DROP,
    "summarise": SUMMARISE,
    "all": NO_LOGPROBS + SUMMARISE,
}
MODELS: dict[str, Any] = {
    "chat": ChatCompletion,
    "reasoned chat": ChatCompletion,
    "completion": Completion,
    "responses": Response,
    "messages": Message,
}
EVENT_MODELS: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionChunk),
    "responses": TypeAdapter(ResponseStreamEvent),
    "messages": TypeAdapter(RawMessageStreamEvent),
}
MARKS = (b"logprob", b"hidden_states", b"reasoning", b"thinking")
SSE, JSON = "text/event-stream; charset=utf-8", "application/json"


def read(
    content: bytes,
    edits: tuple[Edit, ...],
    kind: str,
    *,
    cuts: tuple[int, ...] = (),
    path: str = CHAT,
    text: bool = False,
) -> tuple[bytes, AnswerReader]:
    reader = AnswerReader(asked(path=path, body={"model": "m"}), edits, content_type=kind, keep_text=text)
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    out = [reader.feed(content[one:other]) for one, other in pairwise(places)]
    return b"".join(out) + reader.end(), reader


def events_in(content: bytes) -> list[Any]:
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    data = [line[5:].strip() for line in lines if line.startswith(b"data:")]
    return [msgspec.json.decode(one) for one in data if one != b"[DONE]"]


def names_in(value: object) -> set[str]:
    """Names under which something stands, but for what a client or a tool is given."""
    if isinstance(value, list):
        return set().union(*map(names_in, value))
    if not isinstance(value, dict):
        return set()
    return {name for name, item in value.items() if item} | set().union(
        *(names_in(item) for name, item in value.items() if name not in ("metadata", "input"))
    )


# ---------------------------------------------------------------- nothing to edit


@pytest.mark.parametrize("edits", ["none", "request"])
@pytest.mark.parametrize("kind", [SSE, JSON, "", "text/html", "application/x-jsonl", "audio/mpeg"])
@given(chunks=st.lists(st.binary(max_size=40)))
def test_without_edits_each_chunk_passes_at_once(edits: str, kind: str, chunks: list[bytes]) -> None:
    for keep in (False, True):
        reader = AnswerReader(asked(), EDITS[edits], content_type=kind, keep_text=keep)
        assert not reader.changes
        assert [reader.feed(chunk) for chunk in chunks] == chunks
        assert reader.end() == b""
        reader.said()


@pytest.mark.parametrize("edits", EDITS)
@given(content=st.binary(max_size=60).filter(lambda content: not any(mark in content for mark in MARKS)))
def test_what_bears_no_name_of_what_is_closed_stays_as_it_is(edits: str, content: bytes) -> None:
    for kind in (SSE, JSON, "", "application/x-jsonl", "text/html"):
        assert read(content, EDITS[edits], kind, cuts=(3, 9))[0] == content


# ---------------------------------------------------------------- streams split anywhere


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("edits", EDITS)
@pytest.mark.parametrize("name", STREAMS)
@given(cuts=st.lists(st.integers(0, 9000), max_size=8).map(tuple))
def test_wherever_a_stream_is_split_it_is_the_same(name: str, edits: str, end: bytes, cuts: tuple[int, ...]) -> None:
    path, events = STREAMS[name]
    content = stream(events, end=end)
    whole, _ = read(content, EDITS[edits], SSE, path=path)
    split, reader = read(content, EDITS[edits], SSE, cuts=cuts, path=path)
    assert split == whole
    assert reader.said().output_tokens == 22


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_in_single_bytes_is_the_same(name: str) -> None:
    path, events = STREAMS[name]
    content = stream(events, end=b"\r\n")
    cuts = tuple(range(len(content)))
    assert read(content, EDITS["all"], SSE, cuts=cuts, path=path)[0] == read(content, EDITS["all"], SSE, path=path)[0]


def test_an_event_goes_on_as_soon_as_it_is_complete() -> None:
    reader = AnswerReader(asked(), EDITS["all"], content_type=SSE)
    assert reader.feed(b'data: {"choices":[]}\n') == b""
    assert reader.feed(b'\ndata: {"x"') == b'data: {"choices":[]}\n\n'
    assert reader.end() == b'data: {"x"'


# ---------------------------------------------------------------- what is closed


@pytest.mark.parametrize("edits", EDITS)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_edited_answer_is_one_that_the_official_client_reads(name: str, edits: str) -> None:
    path, answer = ANSWERS[name]
    closed, _ = read(msgspec.json.encode(answer), EDITS[edits], JSON, cuts=(7, 70), path=path)
    MODELS[name].model_validate_json(closed)
    check_closed(msgspec.json.decode(closed), closed, edits)


@pytest.mark.parametrize("edits", EDITS)
@pytest.mark.parametrize("name", STREAMS)
def test_edited_events_are_such_that_the_official_client_reads(name: str, edits: str) -> None:
    path, events = STREAMS[name]
    closed, _ = read(stream(events), EDITS[edits], SSE, path=path)
    for event in events_in(closed):
        if event.get("type") != "ping":
            EVENT_MODELS[name].validate_python(event)
        check_closed(event, msgspec.json.encode(event), edits)


def check_closed(value: object, written: bytes, edits: str) -> None:
    if edits in ("no logprobs", "all"):
        assert not names_in(value) & {"logprobs", "top_logprobs", "prompt_logprobs", "token_logprobs"}
    if edits in ("drop", "summarise", "all"):
        assert SECRET.encode() not in written
        assert b"Look at" not in written
    client, tool = b'{"logprobs":"kept","reasoning":"kept"}', b'{"reasoning":"kept","logprobs":[1]}'
    assert b"kept" not in written or client in written or tool in written


def test_as_many_alternatives_stay_as_are_allowed() -> None:
    answer = msgspec.json.decode(read(msgspec.json.encode(bodies.CHAT_ANSWER), FEW, JSON)[0])
    tokens = answer["choices"][1]["logprobs"]["content"]
    assert [len(token["top_logprobs"]) for token in tokens] == [1, 1]
    assert tokens[0]["logprob"] == -0.5
    written = read(msgspec.json.encode(bodies.COMPLETION_ANSWER), FEW, JSON, path=COMPLETIONS)[0]
    choice = msgspec.json.decode(written)["choices"][0]
    assert choice["logprobs"]["top_logprobs"] == [{"A": -0.1, "It": -1.5}, {" is": -0.2}]
    assert choice["logprobs"]["token_logprobs"] == [-1.5, -0.2]
    assert choice["prompt_logprobs"] == [None, bodies.COMPLETION_ANSWER["choices"][0]["prompt_logprobs"][1]]


def test_what_clients_must_send_back_stays() -> None:
    for edits in (DROP, SUMMARISE):
        closed = {
            name: msgspec.json.decode(read(msgspec.json.encode(answer), edits, JSON, path=path)[0])
            for name, (path, answer) in ANSWERS.items()
        }
        thinking, sealed = closed["messages"]["content"][:2]
        assert (thinking["signature"], sealed["data"]) == ("signed", "sealed")
        assert closed["responses"]["output"][0]["encrypted_content"] == "sealed"
        message = closed["reasoned chat"]["choices"][0]["message"]
        assert message["reasoning_details"] == [{"type": "reasoning.encrypted", "data": "sealed", "index": 1}]
        assert message["thinking_blocks"][0]["signature"] == "signed"
        assert closed["reasoned chat"]["choices"][0]["logprobs"] is None  # they would spell the reasoning out


def test_a_summary_stands_in_the_place_of_reasoning() -> None:
    said = "({} words of reasoning)".format
    closed = {
        name: msgspec.json.decode(read(msgspec.json.encode(answer), SUMMARISE, JSON, path=path)[0])
        for name, (path, answer) in ANSWERS.items()
    }
    assert closed["messages"]["content"][0]["thinking"] == said(5)
    assert closed["reasoned chat"]["choices"][0]["message"]["reasoning_content"] == said(5)
    assert closed["responses"]["output"][0]["summary"] == [{"type": "summary_text", "text": said(7)}]


def test_in_a_stream_it_stands_where_reasoning_ends() -> None:
    said = "({} words of reasoning)".format
    chat = events_in(read(stream(bodies.CHAT_EVENTS), SUMMARISE, SSE)[0])
    deltas = [event["choices"][0]["delta"] for event in chat if event["choices"]]
    assert deltas[:2] == [{"role": "assistant", "content": ""}, {"content": "It", "reasoning_content": said(6)}]
    messages = events_in(read(stream(bodies.MESSAGE_EVENTS), SUMMARISE, SSE)[0])
    assert [event["delta"] for event in messages if event["type"] == "content_block_delta"] == [
        {"type": "thinking_delta", "thinking": said(5)},
        {"type": "signature_delta", "signature": "signed"},
        {"type": "text_delta", "text": "It is so."},
    ]
    done = [e for e in events_in(read(stream(bodies.RESPONSE_EVENTS), SUMMARISE, SSE)[0]) if "item.done" in e["type"]]
    assert done[0]["item"]["summary"] == [{"type": "summary_text", "text": said(7)}]


def test_a_stream_that_reasons_is_seen_to_be_alive() -> None:
    closed = read(stream(bodies.CHAT_EVENTS), DROP, SSE)[0]
    assert closed.count(b"\n:\n") == 3  # a comment for each event that is left out
    assert closed.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "data", [b'{"logprobs": [', b"\xff logprobs", b'{"reasoning": "' + b"\xff" + b'"}', b"thinking"]
)
def test_an_event_that_cannot_be_read_is_left_out_if_it_could_show_what_is_closed(data: bytes) -> None:
    content = b"data: " + data + b"\n\ndata: ok\n\n"
    assert read(content, EDITS["all"], SSE)[0] == b":\n\ndata: ok\n\n"
    assert read(b"data: " + data, EDITS["all"], SSE)[0] == b""
    assert read(content, (), SSE)[0] == content


def test_an_answer_that_cannot_be_read_becomes_an_error() -> None:
    closed = read(b'{"choices": [{"logprobs": {"content": [', NO_LOGPROBS, JSON)[0]
    assert msgspec.json.decode(closed)["error"]["code"] == "unreadable_answer"


@pytest.mark.parametrize("kind", ["", "text/plain", "application/octet-stream"])
def test_where_the_header_does_not_tell_the_first_byte_does(kind: str) -> None:
    json = msgspec.json.encode(bodies.CHAT_ANSWER)
    assert read(json, NO_LOGPROBS, kind, cuts=(0, 1))[0] == read(json, NO_LOGPROBS, JSON)[0]
    events = stream(bodies.CHAT_EVENTS)
    assert read(events, NO_LOGPROBS, kind, cuts=(1, 2))[0] == read(events, NO_LOGPROBS, SSE)[0]


def test_results_of_a_batch_are_closed_line_by_line() -> None:
    line = msgspec.json.encode({"custom_id": "1", "result": {"type": "succeeded", "message": bodies.MESSAGE_ANSWER}})
    closed, _ = read(line + b"\n" + line, DROP, "application/x-jsonl", cuts=(5, 900))
    assert [msgspec.json.decode(one)["result"]["message"]["content"][0]["thinking"] for one in closed.split(b"\n")] == [
        "",
        "",
    ]


def test_several_lines_of_data_are_one() -> None:
    content = b'\xef\xbb\xbfid: 5\nevent: x\ndata: {"choices":\ndata: [{"logprobs": {"content": []}}]}\n\n'
    assert read(content, NO_LOGPROBS, SSE)[0] == b'id: 5\nevent: x\ndata: {"choices":[{"logprobs":null}]}\n\n'


def test_numbers_in_an_edited_answer_are_as_they_were() -> None:
    content = b'{"a":1e400,"b":123456789012345678901234567890,"c":0.1,"logprobs":{"x":1}}'
    assert read(content, NO_LOGPROBS, JSON)[0] == content.replace(b'{"x":1}', b"null")


# ---------------------------------------------------------------- what was said


@pytest.mark.parametrize("edits", EDITS)
@pytest.mark.parametrize("name", ANSWERS)
def test_what_an_answer_said(name: str, edits: str) -> None:
    path, answer = ANSWERS[name]
    _, reader = read(msgspec.json.encode(answer), EDITS[edits], JSON, cuts=(50,), path=path, text=True)
    said = reader.said()
    assert (said.input_tokens, said.output_tokens, said.estimated) == (11, 22, False)
    assert said.finish_reason in ("stop", "length", "completed", "end_turn")
    assert said.response in ("It is\nso.", "It is", "It is so.")
    assert said.answer == digest(said.response)


@pytest.mark.parametrize("edits", EDITS)
@pytest.mark.parametrize("name", STREAMS)
def test_what_a_stream_said(name: str, edits: str) -> None:
    path, events = STREAMS[name]
    _, reader = read(stream(events), EDITS[edits], SSE, cuts=(50, 700), path=path, text=True)
    said = reader.said()
    assert (said.input_tokens, said.output_tokens, said.estimated) == (11, 22, False)
    assert said.finish_reason in ("stop", "completed", "end_turn")
    assert said.response == "It is so."
    assert said.answer == digest("It is so.")


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_was_broken_off_has_at_least_a_token_for_each_event(name: str) -> None:
    path, events = STREAMS[name]
    said = read(stream(events[:4], done=False), (), SSE, path=path)[1].said()
    assert said.estimated
    assert said.output_tokens == 4


def test_usage_is_found_at_the_end_of_a_long_answer() -> None:
    long = {**bodies.CHAT_ANSWER, "choices": [{"message": {"content": '"usage": {"prompt_tokens": 1}' * 9000}}]}
    long["usage"] = long.pop("usage")
    _, reader = read(msgspec.json.encode(long), (), JSON, cuts=tuple(range(0, 300_000, 5000)))
    assert reader.said().output_tokens == 22
    assert sum(map(len, reader._ends._tail)) < 40_000


@given(st.binary(max_size=200), st.sampled_from(list(EDITS)), st.booleans())
def test_whatever_an_answer_is_it_is_read_without_an_error(content: bytes, edits: str, text: bool) -> None:
    for kind in (SSE, JSON, "", "application/x-jsonl"):
        read(b'data: {"logprobs":' + content, EDITS[edits], kind, cuts=(4,), text=text)[1].said()


NAMES = (
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "reasoning",
    "thinking",
    "reasoning_content",
    "reasoning_details",
    "type",
    "choices",
    "delta",
    "message",
    "content",
    "index",
    "usage",
    "part",
    "content_block",
    "output",
    "item",
    "summary",
    "text",
    "tokens",
    "finish_reason",
    "role",
)
JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["a b", "", "thinking", "reasoning", "content_block_delta", "response.output_item.done", SECRET]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


@given(JSONISH, st.sampled_from(list(EDITS)))
def test_nothing_under_a_closed_name_is_left_whatever_the_answer_is(value: object, edits: str) -> None:
    content = msgspec.json.encode(value)
    closed = msgspec.json.decode(read(content, EDITS[edits], JSON, text=True)[0])
    events = events_in(read(b"data: " + content + b"\n\n", EDITS[edits], SSE, text=True)[0])
    for found in (closed, *events):
        if edits in ("no logprobs", "all"):
            assert not names_in(found) & {"logprobs", "top_logprobs", "prompt_logprobs"}
        if edits == "drop":
            assert "reasoning_content" not in texts_in(found)


def texts_in(value: object) -> set[str]:
    """Names under which a text stands."""
    if isinstance(value, list):
        return set().union(*map(texts_in, value))
    if not isinstance(value, dict):
        return set()
    return {name for name, item in value.items() if item and isinstance(item, str)} | set().union(
        *map(texts_in, value.values())
    )
