"""`stillwatch share`, run as a user runs it: members, a server that is killed and comes back, polling, publishing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import httpx
import pytest
from tests.sharing import AMBER, GREEN, RED, TAXII, bundle, free_port, indicator

from stillwatch.intel.received import IntelStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0


def environment(folder: Path) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("STILLWATCH", "XDG"))}
    return {**known, "HOME": str(folder)}


def started(folder: Path, *arguments: str, errors: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  our own command
        [sys.executable, "-m", "stillwatch", "share", *arguments],
        cwd=folder,
        stderr=errors,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(folder),
    )


def run(folder: Path, *arguments: str, status: int = 0) -> tuple[str, str]:
    process = started(folder, *arguments)
    said = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, said
    return said


@contextmanager
def served(folder: Path, port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    often = ("--rate", "10000", "--burst", "10000")
    with (folder / "said").open("w") as said:  # not a pipe, which would be full before long
        process = started(folder, "serve", "--port", str(port), *often, *arguments, errors=said)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/openapi.json")
                break
            except httpx.TransportError:
                assert process.poll() is None, (folder / "said").read_text()
                assert time.monotonic() < until
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.fixture
def token(tmp_path: Path) -> str:
    """The file with the token of a member `us` that may do everything."""
    rights = [each for name in ("industry", "government", "own") for each in ("--read", name, "--write", name)]
    told, _ = run(tmp_path, "member", "add", "us", *rights)
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(told)
    return "token"


def written(folder: Path, *seeds: int, marking: str = GREEN) -> str:
    path = folder / "bundle.json"
    path.write_text(json.dumps(bundle(*(indicator(seed, object_marking_refs=[marking]) for seed in seeds))))
    return path.name


def test_members_are_let_in_listed_and_revoked(tmp_path: Path) -> None:
    told, said = run(tmp_path, "member", "add", "ann", "--read", "industry", "--write", "own")
    assert told.startswith("swt_")
    assert told.strip() not in said
    assert "ann                      stands   reads industry, writes own" in run(tmp_path, "member", "list")[0]
    (shown,) = json.loads(run(tmp_path, "member", "list", "-o", "json")[0])["members"]
    assert (shown["name"], shown["reads"], shown["writes"], shown["revoked"]) == ("ann", ["industry"], ["own"], None)
    run(tmp_path, "member", "revoke", "ann")
    assert "revoked" in run(tmp_path, "member", "list")[0]
    assert "no member of that name" in run(tmp_path, "member", "revoke", "ann", status=2)[1]
    assert "no right to any collection" in run(tmp_path, "member", "add", "bob", status=2)[1]
    assert "there is no sharing store here" in run(tmp_path, "member", "list", "--store", "none", status=3)[1]


def test_a_bundle_goes_from_one_to_another(tmp_path: Path, token: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/taxii2/"
    there = ("--collection", "industry", "--token-file", token)
    with served(tmp_path, port, "--access-log", "access.jsonl") as process:
        assert "3 of 3 objects are there now" in run(tmp_path, "publish", url, written(tmp_path, 1, 2, 3), *there)[1]
        assert "3 objects were taken" in run(tmp_path, "poll", url, *there, "--store", "intel.sqlite")[1]
        assert "0 objects were taken" in run(tmp_path, "poll", url, *there, "--store", "intel.sqlite")[1]
        red = run(tmp_path, "publish", url, written(tmp_path, 4, marking=RED), *there, status=2)[1]
        assert "nothing was published" in red
        assert f"{indicator(4)['id']} is marked TLP:RED" in red
        passed_on = run(
            tmp_path, "publish", url, written(tmp_path, 1, marking=AMBER), *there, "--store", "intel.sqlite", status=2
        )[1]
        assert "came from others" in passed_on
        run(tmp_path, "member", "revoke", "us")
        assert "401 Unauthorized" in run(tmp_path, "poll", url, *there, "--store", "intel.sqlite", status=3)[1]
    assert process.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert {each["member"] for each in lines} == {"", "us"}


def test_a_token_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o644)
    said = run(tmp_path, "poll", "https://x.example", "--collection", "own", "--token-file", "token", status=2)[1]
    assert "others can read the token" in said
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "token").write_text("two words")
    said = run(tmp_path, "poll", "https://x.example", "--collection", "own", "--token-file", "token", status=2)[1]
    assert "holds no token" in said


def test_polling_resumes_after_the_server_and_the_client_were_killed(tmp_path: Path, token: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    count = 600
    there = ("--collection", "industry", "--token-file", token)
    with served(tmp_path, port):
        run(tmp_path, "publish", url, written(tmp_path, *range(count)), *there)
    polling = ("poll", url, *there, "--limit", "2", "--store", "intel.sqlite")
    for killed in ("server", "client", "server"):
        with served(tmp_path, port) as server:
            client = started(tmp_path, *polling)
            _await_more(tmp_path / "intel.sqlite")
            (server if killed == "server" else client).send_signal(signal.SIGKILL)
            said = client.communicate(timeout=PATIENCE)
            assert client.returncode == (3 if killed == "server" else -signal.SIGKILL), said
    with IntelStore(str(tmp_path / "intel.sqlite")) as store:
        assert 0 < len(list(store.standing())) < count
    with served(tmp_path, port):
        run(tmp_path, *polling, "--limit", "1000")
    with IntelStore(str(tmp_path / "intel.sqlite")) as store:
        kept = [store.versions(indicator(seed)["id"]) for seed in range(count)]
    assert all(len(each) == 1 for each in kept)


def _held(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with IntelStore(str(path)) as store:
            return len(list(store.standing()))
    except Exception:  # noqa: BLE001  it is just being made
        return 0


def _await_more(path: Path) -> None:
    """Wait until a client that is polling has taken something."""
    before, until = _held(path), time.monotonic() + PATIENCE
    while _held(path) == before:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_workers_share_a_store(tmp_path: Path, token: str) -> None:
    port = free_port()
    bearer = {"authorization": f"Bearer {(tmp_path / token).read_text().strip()}", "accept": TAXII}
    with served(tmp_path, port, "--workers", "2"), httpx.Client(headers=bearer) as client:
        url = f"http://127.0.0.1:{port}/share/collections/industry/objects/"
        for seed in range(6):
            sent = client.post(
                url, json={"objects": [indicator(seed)]}, headers={"content-type": TAXII, "connection": "close"}
            )
            assert sent.status_code == 202
        assert len(client.get(url).json()["objects"]) == 6
