"""`stillwatch guard`, run as a user runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import openai
import pytest
from tests.model_server import WORDS, ModelServer, running
from tests.policies import rule, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stillwatch", "guard", *arguments]
    return subprocess.Popen(  # noqa: S603  our own command
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(folder)
    )


def _environment(folder: Path) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("STILLWATCH", "XDG", "OTEL"))}
    return {**known, "HOME": str(folder)}


@contextmanager
def gateway(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    process = started(folder, "--port", str(port), *arguments)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if httpx.get(f"{url}/stillwatch/health/live").status_code == 200:
                    break
            except httpx.TransportError:
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < end
                time.sleep(0.1)
        yield url, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_gateway_serves_the_official_client_and_ends_when_told(tmp_path: Path, workers: str) -> None:
    (tmp_path / "ours.yaml").write_text(written(rules=[rule({"openness": {"n": {"at_most": 1}}})]))
    model = ModelServer()
    with (
        running(model) as upstream,
        gateway(tmp_path, "--upstream", upstream, "--policy", "ours.yaml", "--workers", workers) as (url, process),
        openai.OpenAI(base_url=f"{url}/v1", api_key="sk-1", max_retries=0) as client,
    ):
        said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], n=3)
        assert [choice.message.content for choice in said.choices] == [" ".join(WORDS)]
        stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
        assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in stream) == len(WORDS)
    assert process.returncode == 0


def test_what_it_prints(tmp_path: Path) -> None:
    port = free_port()
    with gateway(tmp_path, "--upstream", f"http://127.0.0.1:{port}", "--policy", "observe") as (url, process):
        answer = httpx.post(f"{url}/v1/messages", json={"model": "m", "max_tokens": 1, "messages": []})
        assert answer.status_code == 502  # nobody is there
        assert answer.json()["type"] == "error"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    assert "policy observe observes, and changes nothing" in said
    assert "made a new key" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--upstream", "http://x"], "no policy: give --policy"),
        (["--upstream", "http://x", "--policy", "none.yaml"], "none.yaml: no such file"),
        (["--upstream", "http://x", "--policy", "bad.yaml"], "bad.yaml:2:1: "),
        (["--upstream", "ftp://x", "--policy", "observe"], "ftp://x"),
        (["--policy", "observe"], "--upstream"),
        (["--upstream", "http://x", "--settings", "settings.yaml"], "settings.yaml:2:1: polcy"),
        (["--upstream", "http://x", "--policy", "observe", "--port", "PORT"], "cannot be listened on"),
    ],
)
def test_what_cannot_be_started_says_why(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "bad.yaml").write_text("schema: stillwatch.policy/1\nrulez: []\n")
    (tmp_path / "settings.yaml").write_text("schema: stillwatch.guard/1\npolcy: strict\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [str(taken.getsockname()[1]) if each == "PORT" else each for each in arguments]
        process = started(tmp_path, *given)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, said
    assert says in said
    assert "Traceback" not in said


def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['maxminddb'] = None; from stillwatch.cli import main; main()"
    command = [sys.executable, "-c", hidden, "guard", "--upstream", "http://x", "--policy", "observe"]
    done = subprocess.run(  # noqa: S603  our own command
        command, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "this needs the package maxminddb: pip install 'stillwatch[guard]'" in done.stderr
