"""A suspect behind an API, as real servers are: slow to serve, full, moody, and gone in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from stillwatch.errors import LineageError, OutputError
from stillwatch.lineage.endpoint import TRIES, Endpoint, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMPTS = [f"question {number}" for number in range(4)]


def said(text: str | None) -> tuple[int, bytes]:
    return 200, json.dumps(
        {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    ).encode()


class Server(ThreadingHTTPServer):
    """Answers what is next in its script, and after that every prompt with itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: deque[tuple[int, bytes] | None] = deque()
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{self.server_port}/v1/", "suspect-1", "sk-7f3a", seconds=10)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        self.server.tokens.append(self.headers["authorization"])
        assert self.path == "/v1/chat/completions"
        prompt = body["messages"][0]["content"]
        scripted = self.server.script.popleft() if self.server.script else said(f"answer to {prompt}")
        if scripted is None:
            self.connection.close()
            return
        status, data = scripted
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if status == 429:
            self.send_header("retry-after", "7")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_every_prompt_is_asked_once_and_never_again(server: Server, tmp_path: Path) -> None:
    done: list[int] = []
    file = tmp_path / "answers"
    found = ask(server.endpoint, PROMPTS, file, 100, done.append)
    assert [(each.prompt, each.text) for each in found] == [(prompt, f"answer to {prompt}") for prompt in PROMPTS]
    assert done == [0, 1, 2, 3, 4]
    assert [each["messages"] for each in server.asked] == [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    assert server.tokens == ["Bearer sk-7f3a"] * 4
    assert server.asked[0]["model"] == "suspect-1"
    assert ask(server.endpoint, PROMPTS, file, 100) == found
    assert len(server.asked) == 4


def test_what_passes_is_waited_for(server: Server, tmp_path: Path) -> None:
    server.script += [(429, b""), (503, b""), (200, b"<html>"), said("at last")]
    pauses: list[float] = []
    found = ask(server.endpoint, PROMPTS[:1], tmp_path / "answers", 100, pause=pauses.append)
    assert [each.text for each in found] == ["at last"]
    assert pauses[0] == 7.0
    assert all(0.0 <= pause <= 2.0**attempt for attempt, pause in enumerate(pauses[1:], start=2))


def test_the_budget_counts_every_request(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "answers"
    server.script += [(429, b""), (429, b""), said("one")]
    assert len(ask(server.endpoint, PROMPTS, file, 4, pause=lambda _: None)) == 2
    assert len(server.asked) == 4
    assert len(ask(server.endpoint, PROMPTS, file, 1)) == 3
    assert len(ask(server.endpoint, PROMPTS, file, 9)) == 4
    assert len(server.asked) == 6


def test_a_server_that_dies_half_way_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "answers"
    server.script += [said("one"), said("two"), *[None] * TRIES]
    with pytest.raises(LineageError, match=rf"{TRIES} times in a row; what was answered is kept in"):
        ask(server.endpoint, PROMPTS, file, 100, pause=lambda _: None)
    with file.open("ab") as cut:
        cut.write(b'{"schema": "stillwatch.ans')  # the disk was full, or the power gone
    found = ask(server.endpoint, PROMPTS, file, 100)
    assert [each.text for each in found] == ["one", "two", "answer to question 2", "answer to question 3"]


@pytest.mark.parametrize("refusal", [(400, b"no"), said(None), said(""), (200, b'{"choices": []}')])
def test_a_prompt_that_is_refused_is_passed_over_and_not_asked_again(
    server: Server, tmp_path: Path, refusal: tuple[int, bytes]
) -> None:
    server.script.append(refusal)
    for _ in range(2):
        found = ask(server.endpoint, PROMPTS, tmp_path / "answers", 100)
        assert [each.prompt for each in found] == PROMPTS[1:]
    assert len(server.asked) == 4


def test_one_that_refuses_everything_is_left_alone(server: Server, tmp_path: Path) -> None:
    server.script += [(422, b"")] * 50
    with pytest.raises(LineageError, match="for 10 prompts in a row"):
        ask(server.endpoint, [str(number) for number in range(50)], tmp_path / "answers", 100)
    assert len(server.asked) == 10


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_patience_mends_is_said_at_once(server: Server, tmp_path: Path, status: int) -> None:
    server.script.append((status, b""))
    with pytest.raises(LineageError, match=f"answered {status}") as raised:
        ask(server.endpoint, PROMPTS, tmp_path / "answers", 100)
    assert "sk-7f3a" not in str(raised.value)
    assert len(server.asked) == 1


def test_what_is_no_address_is_said(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="no address of an endpoint"):
        ask(Endpoint("host", "m"), PROMPTS, tmp_path / "answers", 100)


def test_answers_of_another_run_are_not_taken_for_these(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "answers"
    ask(server.endpoint, PROMPTS, file, 100)
    for other in (PROMPTS[1:], PROMPTS[:3]):
        with pytest.raises(LineageError, match="answers other prompts or another model"):
            ask(server.endpoint, other, file, 100)
    with pytest.raises(LineageError, match="answers other prompts or another model"):
        ask(Endpoint(server.endpoint.url, "suspect-2"), PROMPTS, file, 100)
    file.write_text("{}\n")
    with pytest.raises(LineageError, match="answers:1: no answer that was kept"):
        ask(server.endpoint, PROMPTS, file, 100)
    with pytest.raises(OutputError, match="no such file or directory"):
        ask(server.endpoint, PROMPTS, tmp_path / "none" / "answers", 100)


# ---- the command


def command(folder: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "stillwatch", "lineage", *arguments],
        cwd=folder,
        env={**os.environ, "STILLWATCH_SUSPECT_KEY": "sk-7f3a"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "sk-7f3a" not in done.stdout + done.stderr
    return done.stdout + " ".join(done.stderr.split())


def test_the_command_asks_within_its_budget_and_goes_on(server: Server, tmp_path: Path) -> None:
    command(tmp_path, "keygen", "c-1", "--master", "master", "-o", "keys")
    (tmp_path / "ask.jsonl").write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in PROMPTS))
    test = ("test", "--keys", "keys", "--uncommitted")
    where = ("--endpoint", server.endpoint.url, "--model", "suspect-1", "--prompts", "ask.jsonl")
    kept = ("--answers", "answers.jsonl", "--budget", "3")
    assert "3 of 4 prompts are answered" in command(tmp_path, *test, *where, *kept)
    printed = command(tmp_path, *test, *where, *kept)
    assert "Texts:    4," in printed
    assert "c-1: cannot tell" in printed
    assert len(server.asked) == 4
    assert set(server.tokens) == {"Bearer sk-7f3a"}
    # what was kept is a file of texts like any other
    assert "Texts:    4," in command(tmp_path, *test, "--suspect", "answers.jsonl")
    for wrong, message in (
        ((*where, "--budget", "3"), "--endpoint needs --answers as well"),
        ((*where, *kept, "--suspect", "answers.jsonl"), "give one of them"),
        (("--suspect", "answers.jsonl", *kept), "--answers: is for --endpoint"),
        ((), "name the suspect's texts with --suspect"),
    ):
        assert message in command(tmp_path, *test, *wrong, code=2)
