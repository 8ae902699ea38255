"""The official clients, unchanged, through the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from tests.model_server import THOUGHTS, WORDS, ModelServer, running

from stillwatch.guard.proxy import Proxy
from stillwatch.guard.serve import GuardedHttp
from stillwatch.guard.upstream import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = " ".join(WORDS)
ASK: list[Any] = [{"role": "user", "content": "What is it?"}]
TOOL = {"name": "look", "description": "looks", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with running(ModelServer()) as upstream:
        proxy = Proxy(upstream, timeouts=Timeouts(first_byte=1.0, idle=1.0))
        with running(proxy, http=GuardedHttp) as url:
            yield url


@pytest.fixture
def of_openai(gateway: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway}/v1", api_key="sk-x", max_retries=0) as client:
        yield client


@pytest.fixture
def of_anthropic(gateway: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway, api_key="sk-x", max_retries=0) as client:
        yield client


def test_chat(of_openai: openai.OpenAI) -> None:
    answer = of_openai.chat.completions.create(model="m", messages=ASK, logprobs=True, top_logprobs=2, n=2)
    assert [choice.message.content for choice in answer.choices] == [TEXT, TEXT]
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content is not None
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2 * len(WORDS)


def test_chat_stream(of_openai: openai.OpenAI) -> None:
    said, used = "", 0
    with of_openai.chat.completions.create(
        model="m", messages=ASK, stream=True, stream_options={"include_usage": True}
    ) as stream:
        for chunk in stream:
            said += "".join(choice.delta.content or "" for choice in chunk.choices)
            used = chunk.usage.completion_tokens if chunk.usage else used
    assert said == TEXT
    assert used == len(WORDS)


def test_chat_tools(of_openai: openai.OpenAI) -> None:
    tools: list[Any] = [{"type": "function", "function": TOOL}]
    answer = of_openai.chat.completions.create(model="m", messages=ASK, tools=tools)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls is not None
    with of_openai.chat.completions.stream(model="m", messages=ASK, tools=tools) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls is not None
    assert final.choices[0].message.tool_calls[0].function.arguments == "{}"


def test_responses(of_openai: openai.OpenAI) -> None:
    answer = of_openai.responses.create(model="m", input="What is it?", reasoning={"effort": "low"})
    assert answer.output_text == TEXT
    with of_openai.responses.stream(model="m", input="What is it?", reasoning={"effort": "low"}) as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output_text == TEXT
    assert kinds.count("response.output_text.delta") == len(WORDS)
    assert kinds.count("response.reasoning_text.delta") == len(THOUGHTS)


def test_completions(of_openai: openai.OpenAI) -> None:
    assert of_openai.completions.create(model="m", prompt="What", logprobs=2).choices[0].text == TEXT
    with of_openai.completions.create(model="m", prompt="What", stream=True, max_tokens=3) as stream:
        assert "".join(chunk.choices[0].text for chunk in stream) == " ".join(WORDS[:3])


def test_embeddings(of_openai: openai.OpenAI) -> None:
    answer = of_openai.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
    assert [each.embedding[2] for each in answer.data] == [0.0, 1.0]
    assert of_openai.models.list().data[0].id == "m"


def test_messages(of_anthropic: anthropic.Anthropic) -> None:
    tools: list[Any] = [{"name": "look", "description": "looks", "input_schema": TOOL["parameters"]}]
    answer = of_anthropic.messages.create(model="m", max_tokens=100, messages=ASK)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == TEXT
    assert of_anthropic.messages.create(model="m", max_tokens=100, messages=ASK, tools=tools).stop_reason == "tool_use"
    assert of_anthropic.messages.count_tokens(model="m", messages=ASK).input_tokens > 0


def test_messages_stream(of_anthropic: anthropic.Anthropic) -> None:
    with of_anthropic.messages.stream(
        model="m", max_tokens=100, messages=ASK, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        assert "".join(stream.text_stream) == TEXT
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.usage.output_tokens == len(WORDS)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_errors_of_the_model_stay_what_they_are(
    of_openai: openai.OpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        of_openai.chat.completions.create(model=f"fault-{status}", messages=ASK)
    assert caught.value.status_code == status
    assert "This was asked for" in caught.value.message
    assert caught.value.request_id == "req-1"


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, anthropic.BadRequestError), (429, anthropic.RateLimitError), (529, anthropic.InternalServerError)],
)
def test_errors_of_the_other_api(
    of_anthropic: anthropic.Anthropic, status: int, error: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        of_anthropic.messages.create(model=f"fault-{status}", max_tokens=9, messages=ASK)
    assert caught.value.status_code == status


def test_a_model_that_hangs(of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic) -> None:
    with pytest.raises(openai.InternalServerError) as told:
        of_openai.chat.completions.create(model="fault-hang", messages=ASK)
    assert told.value.status_code == 504
    assert told.value.type == "server_error"
    with pytest.raises(anthropic.APIStatusError) as other:
        of_anthropic.messages.create(model="fault-hang", max_tokens=9, messages=ASK)
    assert other.value.status_code == 504
    assert isinstance(other.value.body, dict)
    assert other.value.body["error"]["type"] == "timeout_error"


@pytest.mark.parametrize("model", ["fault-cut", "fault-stall"])
def test_a_stream_that_breaks_off_is_no_answer(
    of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic, model: str
) -> None:
    with (
        pytest.raises(Exception, match=r"(?i)peer closed|incomplete|connection"),
        of_openai.chat.completions.create(model=model, messages=ASK, stream=True) as stream,
    ):
        list(stream)
    with (
        pytest.raises(Exception, match=r"(?i)peer closed|incomplete|connection"),
        of_anthropic.messages.create(model=model, max_tokens=9, messages=ASK, stream=True) as events,
    ):
        list(events)
