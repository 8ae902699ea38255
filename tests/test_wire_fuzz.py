"""Mutations of real bodies and answers: whatever comes, nothing is raised but what is meant to be."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests import wire_bodies as bodies
from tests.wire_bodies import asked

from stillwatch.decisions.facts import FACTS
from stillwatch.decisions.ruling import Edit, Instructions
from stillwatch.errors import RequestError
from stillwatch.guard.wire import AnswerReader, edited, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 1500
EDITS = (
    *(Edit("request", name, "strip") for name in ("seed", "instructions")),
    *(Edit("request", name, "clamp", bound=3) for name in ("top_logprobs", "n", "logit_bias", "max_tokens", "tools")),
    Edit("request", "logit_bias_magnitude", "clamp", bound=20),
    Edit("answer", "top_logprobs", "clamp", bound=1),
    Edit("answer", "reasoning", "summarise", text="{words} words"),
)
PIECES = (
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"true", b"-1", b"1e999", b"0.5", b"NaN", b"\\", b"\\u0000",
    b"\\ud800", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n\n", b"data:", b'"n":', b'"logprobs":', b'"type":"thinking"',
    b'"reasoning":[', b"9" * 400, b"[" * 400, b'{"a":' * 400, b"99999999999999999999",
)  # fmt: skip


def mutated(content: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        one, other = sorted(chance.randrange(len(content) + 1) for _ in range(2))
        other = min(other, one + chance.choice((0, 1, 4, 40)))
        content = content[:one] + chance.choice((b"", *PIECES, content[one:other] * 2)) + content[other:]
    return content


def requests(seed: int) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(seed)  # noqa: S311 - to be the same each time
    for _ in range(ROUNDS):
        path, body = bodies.REQUESTS[chance.choice(list(bodies.REQUESTS))]
        yield path, mutated(msgspec.json.encode(body), chance)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_requests(seed: int) -> None:
    read = 0
    for path, body in requests(seed):
        try:
            found = read_request("POST", path, body)
        except RequestError:
            continue
        read += 1
        for name in FACTS:
            value = found.fact(name)
            if value is not None:
                msgspec.convert(value, FACTS[name].kind, strict=True)
        found.prompt_text()
        found.columns()
        content = edited(found, EDITS, Instructions("dye", watermark=True), engine="vllm")
        if content is not None:
            read_request("POST", path, content)
    assert read > ROUNDS // 50


@pytest.mark.parametrize("seed", range(4))
def test_mutated_answers(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    for _ in range(ROUNDS):
        if chance.random() < 0.5:
            path, events = bodies.STREAMS[chance.choice(list(bodies.STREAMS))]
            content, kind = bodies.stream(events), "text/event-stream"
        else:
            path, answer = bodies.ANSWERS[chance.choice(list(bodies.ANSWERS))]
            content, kind = msgspec.json.encode(answer), "application/json"
        content = mutated(content, chance)
        for edits in (EDITS, ()):
            reader = AnswerReader(asked({}, path), edits, content_type=kind, keep_text=chance.random() < 0.5)
            cut = chance.randrange(len(content) + 1)
            out = reader.feed(content[:cut]) + reader.feed(content[cut:]) + reader.end()
            reader.said()
            assert edits or out == content
