"""The guard as middleware, with a real server around it and the official clients before it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from tests import valkey_server
from tests.decisions import DAY, asked
from tests.model_server import WORDS, ModelServer, running
from tests.policies import rule, written

from stillwatch.decisions.step import Step
from stillwatch.decisions.subject import Subject
from stillwatch.errors import PolicyError, SettingsError
from stillwatch.guard import Guard
from stillwatch.guard.settings import Deployment, GuardSettings, Identify, LogTo, NetworkFiles, Prices, SharedState
from stillwatch.ledger.ledger import open_ledger
from stillwatch.marks.door import DoorMarks
from stillwatch.marks.key import written as mark_name
from stillwatch.verdicts.evidence import BorneMark, KnownBy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.requests import Request

TEXT = " ".join(WORDS)
ASK: list[Any] = [{"role": "user", "content": "What is it?"}]
CHAT = {"model": "m", "messages": ASK}
KEY = {"authorization": "Bearer sk-1"}
PATIENCE = 10.0


class Running:
    """A guard around a model's API, on a port."""

    def __init__(self, url: str, guard: Guard, model: ModelServer, told: list[str]) -> None:
        self.url, self.guard, self.model, self.told = url, guard, model, told
        self.http = httpx.Client(base_url=url, headers=KEY, timeout=PATIENCE)
        self.openai = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-1", max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=url, api_key="sk-1", max_retries=0)

    def post(self, body: object = None, path: str = "/v1/chat/completions", **more: Any) -> httpx.Response:  # noqa: ANN401  httpx's own
        return self.http.post(path, json=CHAT if body is None else body, **more)

    def close(self) -> None:
        self.http.close()
        self.openai.close()
        self.anthropic.close()


@contextmanager
def guarded(folder: Path, policy: str, **settings: Any) -> Iterator[Running]:  # noqa: ANN401  whatever settings hold
    path = folder / "policy.yaml"
    if not path.exists():
        path.write_text(policy)
    told: list[str] = []
    model = ModelServer()
    made = GuardSettings(policy=str(path), key_file=str(folder / "key"), **settings)
    guard = Guard(model, settings=made, told=told.append)
    with running(guard, proxy_headers=False) as url:  # uvicorn would believe what is sent from this machine
        runs = Running(url, guard, model, told)
        try:
            yield runs
        finally:
            runs.close()


def until(what: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def openness(**closed: Any) -> str:  # noqa: ANN401  whatever openness holds
    return written(rules=[rule({"openness": closed})])


# ---------------------------------------------------------------- what comes through


def test_who_only_observes_changes_nothing(tmp_path: Path) -> None:
    everything = [rule({"refuse": "sanctioned"}), rule({"openness": {"logprobs": "strip"}}, name="other")]
    body = json.dumps({**CHAT, "logprobs": True}, indent=3).encode()
    with guarded(tmp_path, written(mode="observe", rules=everything)) as runs:
        headers = {"x-stillwatch-dye": "mine", "accept-encoding": "br"}
        answer = runs.http.post("/v1/chat/completions?a=%2Fb", content=body, headers=headers)
        assert answer.json()["choices"][0]["logprobs"]["content"]
        (seen,) = runs.model.seen
        assert seen.body == body
        assert seen.query == b"a=%2Fb"
        assert seen.header(b"accept-encoding") == [b"br"]
        broken = runs.http.post("/v1/chat/completions", content=b"{nope")
        assert broken.status_code == 400
        assert broken.json()["error"]["message"] == "The body is no JSON"
        assert len(runs.model.seen) == 2


def test_both_clients_work_unchanged(tmp_path: Path) -> None:
    with guarded(tmp_path, written()) as runs:
        said = runs.openai.chat.completions.create(model="m", messages=ASK)
        assert said.choices[0].message.content == TEXT
        stream = runs.openai.chat.completions.create(model="m", messages=ASK, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == TEXT
        told = runs.anthropic.messages.create(model="m", messages=ASK, max_tokens=100)
        assert told.content[0].type == "text"
        with runs.anthropic.messages.stream(model="m", messages=ASK, max_tokens=100) as streamed:
            assert streamed.get_final_text() == TEXT
        assert runs.openai.models.list().data[0].id == "m"


def test_what_a_policy_closes_is_closed_in_requests_and_in_answers_streams_included(tmp_path: Path) -> None:
    closed = openness(logprobs="strip", top_logprobs="strip", n={"at_most": 1}, reasoning="drop")
    with guarded(tmp_path, closed) as runs:
        said = runs.openai.chat.completions.create(
            model="m", messages=ASK, logprobs=True, top_logprobs=3, n=4, reasoning_effort="high"
        )
        assert len(said.choices) == 1
        assert said.choices[0].logprobs is None
        assert not (said.choices[0].message.model_extra or {}).get("reasoning_content")
        stream = runs.openai.chat.completions.create(
            model="m", messages=ASK, logprobs=True, stream=True, reasoning_effort="high"
        )
        chunks = list(stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
        assert all(not chunk.choices or chunk.choices[0].logprobs is None for chunk in chunks)
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert not any((delta.model_extra or {}).get("reasoning_content") for delta in deltas)
        assert all("logprobs" not in seen.json for seen in runs.model.seen)


def test_instructions_reach_the_engine_and_a_client_s_own_do_not(tmp_path: Path) -> None:
    policy = written(rules=[rule({"instruct": {"dye": "campaigns", "watermark": "on"}})])
    with guarded(tmp_path, policy, engine="vllm") as runs:
        own = {"vllm_xargs": {"stillwatch_dye": "none", "stillwatch_watermark": False, "theirs": 1}}
        runs.post({**CHAT, **own}, headers={"x-stillwatch-watermark": "off", "x-stillwatch-dye": "no"})
        (seen,) = runs.model.seen
        assert seen.header(b"x-stillwatch-dye") == [b"campaigns"]
        assert seen.header(b"x-stillwatch-watermark") == [b"on"]
        assert seen.json["vllm_xargs"]["stillwatch_dye"] == "campaigns"
        assert seen.json["vllm_xargs"]["theirs"] == 1


def test_a_stream_is_passed_on_piece_by_piece(tmp_path: Path) -> None:
    with (
        guarded(tmp_path, openness(logprobs="strip")) as runs,
        runs.http.stream(
            "POST", "/v1/chat/completions", json={**CHAT, "stream": True}, headers={"x-delay": "0.15"}
        ) as got,
    ):
        times = [time.monotonic() for _ in got.iter_raw()]
    assert len(times) >= len(WORDS)
    assert times[-1] - times[0] > 0.15 * (len(WORDS) - 5)  # they came as they were said, not all at the end


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("reason", "kind", "code"),
    [
        ("unsupported_region", openai.PermissionDeniedError, "unsupported_country_region_territory"),
        ("verification_required", openai.PermissionDeniedError, "verification_required"),
        ("not_served_here", openai.NotFoundError, "model_not_found"),
        ("rate_limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("policy_unavailable", openai.InternalServerError, "policy_unavailable"),
    ],
)
def test_refusals_are_errors_of_the_clients_own(
    tmp_path: Path, reason: str, kind: type[openai.APIStatusError], code: str
) -> None:
    with guarded(tmp_path, written(rules=[rule({"refuse": reason})])) as runs:
        with pytest.raises(kind) as caught:
            runs.openai.chat.completions.create(model="m", messages=ASK)
        assert caught.value.code == code
        body = caught.value.body
        assert isinstance(body, dict)
        assert body["reason_id"] == caught.value.response.headers["x-stillwatch-reason"]
        other = getattr(anthropic, kind.__name__)
        with pytest.raises(other):
            runs.anthropic.messages.create(model="m", messages=ASK, max_tokens=9)
        assert not runs.model.seen


def test_a_node_refuses_to_serve_a_model_that_may_not_be_served_there(tmp_path: Path) -> None:
    policy = written(rules=[rule({"serve": {"models": ["m*"], "clouds": ["aws"], "regions": ["eu-*"]}})])
    with guarded(tmp_path, policy, deployment=Deployment("aws", "us-1")) as runs:
        assert runs.post().json()["error"]["code"] == "model_not_found"
        assert runs.post({**CHAT, "model": "other"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{nope", {}, 400),
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b'{"model": "m", "messages": "x", "logprobs": "yes"}', {}, 400),
        (b'{"model": "m", "n": 1, "n": 5}', {}, 400),
        (b'\xff\xfe{"model": 1}', {}, 400),
        (b"{}" + b" " * 1_100_000, {}, 413),
        (gzip.compress(b"{}"), {"content-encoding": "gzip"}, 415),
    ],
)
def test_what_cannot_be_read_is_turned_away_and_counted(
    tmp_path: Path, body: bytes, headers: dict[str, str], status: int
) -> None:
    with guarded(tmp_path, written(), body_limit=1_000_000) as runs:
        for path in ("/v1/chat/completions", "/v1/messages"):
            answer = runs.http.post(path, content=body, headers={"content-type": "application/json", **headers})
            assert answer.status_code == status
            assert answer.json()["error"]["message"]
            assert answer.headers["x-stillwatch-reason"].startswith("sw-")
        assert not runs.model.seen
        assert b'reason="unreadable"' in runs.http.get("/stillwatch/metrics").content


def test_unknown_fields_and_other_paths_pass(tmp_path: Path) -> None:
    with guarded(tmp_path, openness(n={"at_most": 1})) as runs:
        assert runs.post({**CHAT, "n": 3, "new_field": {"a": [1e300, 12345678901234567890]}}).status_code == 200
        assert runs.model.seen[0].json["new_field"] == {"a": [1e300, 12345678901234567890]}
        assert runs.http.post("/v1/files", content=b"\x00\xff").status_code == 404  # the model's own answer
        assert len(runs.model.seen) == 2


def test_what_nobody_reads_can_be_closed(tmp_path: Path) -> None:
    with guarded(tmp_path, written(), unread="refuse") as runs:
        assert runs.http.post("/generate", content=b"{}").status_code == 404
        assert not runs.model.seen
        assert runs.http.get("/v1/models").status_code == 200


# ---------------------------------------------------------------- limits


def test_of_two_hundred_at_once_no_more_pass_than_may(tmp_path: Path) -> None:
    policy = written(rules=[rule({"limit": {"of": "requests", "per": "account", "cap": 37, "each": "day"}})])
    with guarded(tmp_path, policy) as runs:
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: runs.post(), range(200)))
        assert sorted(answer.status_code for answer in answers) == [200] * 37 + [429] * 163
        assert len(runs.model.seen) == 37
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert runs.post(headers={"authorization": "Bearer sk-2"}).status_code == 200


@pytest.mark.skipif(not valkey_server.programs(), reason="no valkey-server or redis-server, nor a package with one")
@pytest.mark.parametrize("on_outage", ["refuse", "allow"])
def test_two_guards_share_limits_over_a_server_that_may_die_and_return(tmp_path: Path, on_outage: str) -> None:
    limit = {"of": "requests", "per": "account", "cap": 37, "each": "day"}
    policy = written(rules=[rule({"limit": limit}), rule({"refuse": "sanctioned"}, "request.model == 'x'", "closed")])
    policy = policy.replace("on_outage: refuse", f"on_outage: {on_outage}")
    with valkey_server.server(valkey_server.programs()[0]) as shared:
        state = SharedState(shared.url, timeout=1.0)
        with guarded(tmp_path, policy, state=state) as one, guarded(tmp_path, policy, state=state) as other:
            both = (one, other)
            with ThreadPoolExecutor(40) as pool:
                answers = list(pool.map(lambda number: both[number % 2].post().status_code, range(200)))
            assert sorted(answers) == [200] * 37 + [429] * 163
            shared.kill()
            assert one.post().status_code == (503 if on_outage == "refuse" else 200)
            assert one.post({**CHAT, "model": "x"}).status_code == 403  # what needs no count is still refused
            ready = one.http.get("/stillwatch/health/ready")
            assert ready.status_code == (503 if on_outage == "refuse" else 200)
            assert ready.json()["parts"]["state"] != "ok"
            shared.start()
            key = {"authorization": "Bearer sk-9"}
            until(lambda: other.post(headers=key).status_code == 200 and one.post(headers=key).status_code == 200)
            until(lambda: one.http.get("/stillwatch/health/ready").json()["parts"]["state"] == "ok")


def test_tokens_and_money_are_settled_by_what_was_used(tmp_path: Path) -> None:
    policy = written(
        rules=[rule({"limit": {"of": "output_tokens", "per": "key", "cap": 1030 + len(WORDS), "each": "day"}})]
    )
    with guarded(tmp_path, policy) as runs:
        assert [runs.post().status_code for _ in range(3)] == [200, 200, 429]  # estimated 1,024, used 18 each
    spend = written(rules=[rule({"limit": {"of": "spend", "per": "global", "cap": 1, "each": "day"}})])
    folder = tmp_path / "spend"
    folder.mkdir()
    with guarded(folder, spend, prices={"m": Prices(input=0, output=500_000 / len(WORDS) * 2)}) as runs:
        small = {**CHAT, "max_tokens": 5}
        assert [runs.post(small).status_code for _ in range(5)] == [200, 200, 200, 429, 429]


def test_an_upstream_that_fails_uses_nothing(tmp_path: Path) -> None:
    policy = written(rules=[rule({"limit": {"of": "output_tokens", "per": "key", "cap": 1100, "each": "day"}})])
    with guarded(tmp_path, policy) as runs:
        for _ in range(4):
            assert runs.post({**CHAT, "model": "fault-500"}).status_code == 500
        assert runs.post().status_code == 200


# ---------------------------------------------------------------- who asks


def test_who_asks_is_believed_only_of_trusted_gateways(tmp_path: Path) -> None:
    policy = written(rules=[rule({"refuse": "account_suspended"}, when="account.id == 'bad'")])
    identify = Identify(account="x-account")
    with guarded(tmp_path, policy, identify=identify) as runs:
        assert runs.post(headers={"x-account": "bad"}).status_code == 200
    with guarded(tmp_path, policy, identify=identify, trusted_proxies=("127.0.0.0/8",)) as runs:
        assert runs.post(headers={"x-account": "bad"}).status_code == 403


def test_borders_hold_for_where_a_request_comes_from_and_not_for_what_it_says(tmp_path: Path) -> None:
    policy = written(rules=[rule({"refuse": "sanctioned"}, when="request.tor")])
    listed = tmp_path / "tor.txt"
    listed.write_text("198.51.100.7  # an exit\n")
    networks = NetworkFiles(tor=(str(listed),))
    lie = {"x-forwarded-for": "198.51.100.7"}
    with guarded(tmp_path, policy, networks=networks) as runs:
        assert runs.post(headers=lie).status_code == 200
    with guarded(tmp_path, policy, networks=networks, trusted_proxies=("127.0.0.1",)) as runs:
        assert runs.post(headers=lie).status_code == 403
        assert runs.post(headers={"x-forwarded-for": "198.51.100.7, 203.0.113.1"}).status_code == 200
        listed.write_text("203.0.113.1\n")
        until(lambda: runs.post(headers={"x-forwarded-for": "203.0.113.1"}).status_code == 403)


# ---------------------------------------------------------------- decisions


def test_decisions_hold_within_two_seconds_and_as_long_as_they_stand(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    bad, identify = {"x-account": "bad"}, Identify(account="x-account")
    with guarded(tmp_path, written(), ledger=str(place), identify=identify, trusted_proxies=("127.0.0.0/8",)) as runs:
        assert runs.post(headers=bad).status_code == 200
        with open_ledger(place) as ledger:
            (outcome,) = ledger.decide([asked(Step.VERIFY, "account:bad")])
            assert outcome.decision is not None
            until(lambda: runs.post(headers=bad).status_code == 403)
            assert runs.post(headers={"x-account": "good"}).status_code == 200
            ledger.lift(outcome.decision.id, by="ann", reason="the wrong one")
            until(lambda: runs.post(headers=bad).status_code == 200)
            ledger.decide([asked(Step.VERIFY, "account:bad")])
            ledger.allow(Subject.parsed("account:bad"), owner="ann", reason="evaluates", lasts=DAY)
            until(lambda: runs.post(headers=bad).status_code == 200)


def test_a_known_campaign_s_successor_is_met_by_what_it_brings(tmp_path: Path) -> None:
    key, place = bytes(range(32)), tmp_path / "ledger.sqlite"
    (tmp_path / "key").write_text(key.hex())
    (tmp_path / "key").chmod(0o600)
    scaffold = "Write three careful answers about tides\nQ: {}\nA:\n- \n- \n- "
    row = {"system": "you answer", "prompt": scaffold.format("why"), "ja4": "t13d1", "ip": "192.0.2.7"}
    marks = tuple(BorneMark(family, mark_name(name), 9, 0) for family, name in DoorMarks(key).names(row, None))
    now = datetime.now(UTC)
    known = KnownBy(now - 7 * DAY, now, 20_000, (0, 0, 0), marks)
    decided = replace(asked(Step.VERIFY, "cohort:c-1", approvers=("ann",)), known_by=known)
    identify = Identify(account="x-account", ja4="x-ja4")
    with (
        guarded(tmp_path, written(), ledger=str(place), identify=identify, trusted_proxies=("127.0.0.0/8",)) as runs,
        open_ledger(place) as ledger,
    ):

        def asks(account: str, text: str, address: str, system: str = "you answer") -> int:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
            headers = {"x-account": account, "x-ja4": "t13d1", "x-forwarded-for": address}
            return runs.post({"model": "m", "messages": messages}, headers=headers).status_code

        assert asks("early", scaffold.format("how"), "192.0.2.7") == 200
        ledger.decide([decided])
        until(lambda: asks(f"new-{time.monotonic()}", scaffold.format("when"), "192.0.2.7") == 403)
        assert asks("honest", scaffold.format("who"), "198.51.100.1") == 200  # the template alone
        assert asks("neighbour", "hello there", "192.0.2.7", "be brief") == 200  # the network alone
        assert asks("new", scaffold.format("where"), "192.0.2.7") == 403
        assert asks("new", "hello there", "198.51.100.1", "be brief") == 403  # and stays met
        ledger.allow(Subject.parsed("account:new"), owner="ann", reason="evaluates", lasts=DAY)
        until(lambda: asks("new", "hello there", "198.51.100.1") == 200)


def test_a_ledger_that_dies_leaves_what_it_said_last_in_force(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    with open_ledger(place, create=True) as ledger:
        ledger.decide([asked(Step.VERIFY, "account:bad")])
    identify = Identify(account="x-account")
    with guarded(tmp_path, written(), ledger=str(place), identify=identify, trusted_proxies=("127.0.0.0/8",)) as runs:
        bad = {"x-account": "bad"}
        assert runs.post(headers=bad).status_code == 403
        for each in tmp_path.glob("ledger.sqlite*"):
            each.rename(tmp_path / f"away-{each.name}")
        until(lambda: any("stays in force" in each for each in runs.told))
        assert runs.post(headers=bad).status_code == 403
        assert runs.post().status_code == 200
        for each in tmp_path.glob("away-*"):
            each.rename(tmp_path / each.name.removeprefix("away-"))
        until(lambda: any("there again" in each for each in runs.told))
        with open_ledger(place) as ledger:
            ledger.lift("d-1", by="ann", reason="the wrong one")
        until(lambda: runs.post(headers=bad).status_code == 200)


@pytest.mark.parametrize(("on_outage", "status"), [("refuse", 503), ("allow", 200)])
def test_a_ledger_that_was_never_seen_is_an_outage(tmp_path: Path, on_outage: str, status: int) -> None:
    place = tmp_path / "ledger.sqlite"
    place.write_text("no database")
    with guarded(tmp_path, written(on_outage=on_outage), ledger=str(place)) as runs:
        assert runs.post().status_code == status
        ready = runs.http.get("/stillwatch/health/ready")
        assert ready.status_code == (503 if on_outage == "refuse" else 200)
        assert "ledger" in ready.json()["parts"]
        place.unlink()
        until(lambda: runs.post().status_code == 200)


# ---------------------------------------------------------------- the policy


def test_without_a_policy_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STILLWATCH_GUARD", raising=False)
    with pytest.raises(SettingsError, match="STILLWATCH_GUARD"):
        Guard(ModelServer())
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    with pytest.raises(PolicyError, match="is empty"):
        Guard(ModelServer(), policy=empty)
    with pytest.raises(PolicyError, match="no such file"):
        Guard(ModelServer(), policy=tmp_path / "none.yaml")


def test_a_policy_that_changes_to_nonsense_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    refusing, path = written(rules=[rule({"refuse": "account_suspended"})]), tmp_path / "policy.yaml"
    with guarded(tmp_path, refusing) as runs:
        assert runs.post().status_code == 403
        path.write_text("rules: nonsense\n")
        until(lambda: any("the last one stays in force" in each for each in runs.told))
        assert runs.post().status_code == 403
        assert "policy.yaml" in runs.http.get("/stillwatch/health/ready").json()["parts"]["policy"]
        path.write_text(written())
        until(lambda: runs.post().status_code == 200)
        assert runs.http.get("/stillwatch/health/ready").json()["parts"]["policy"] == "ok"


# ---------------------------------------------------------------- what it leaves behind


def test_the_exchange_log_has_every_request_and_every_refusal(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    policy = written(rules=[rule({"refuse": "verification_required"}, when="request.model == 'closed'")])
    with guarded(tmp_path, policy, exchange_log=LogTo(str(folder), text=True)) as runs:
        runs.post(headers={"user-agent": "agent/1"})
        list(runs.openai.chat.completions.create(model="m", messages=ASK, stream=True))
        refused = runs.post({**CHAT, "model": "closed"})
        broken = runs.http.post("/v1/chat/completions", content=b"{nope")
    rows = pq.read_table(folder).to_pylist()
    assert [row["status"] for row in rows] == [200, 200, 403, 400]
    assert [row["guard_reason_id"] for row in rows[2:]] == [
        answer.headers["x-stillwatch-reason"] for answer in (refused, broken)
    ]
    assert rows[0]["prompt"] == "What is it?"
    assert rows[0]["response"] == TEXT == rows[1]["response"]
    assert rows[0]["output_tokens"] == len(WORDS)
    assert rows[0]["user_agent"] == "agent/1"
    assert rows[0]["account"] == rows[2]["account"] != "anonymous"
    assert "sk-1" not in str(rows)


def test_only_operators_see_its_pages(tmp_path: Path) -> None:
    with guarded(tmp_path, written()) as runs:
        assert runs.http.get("/stillwatch/health/live").json() == {"status": "live"}
        assert runs.http.get("/stillwatch/health/ready").json()["ready"] is True
        assert b"stillwatch_guard_requests" in runs.http.get("/stillwatch/metrics").content
        from_afar = {"x-forwarded-for": "203.0.113.1"}
        assert runs.http.get("/stillwatch/metrics", headers=from_afar).status_code == 404
        assert runs.http.get("/stillwatch/health/live", headers=from_afar).status_code == 200
        assert runs.http.get("/stillwatch/other").status_code == 404
        assert not runs.model.seen


# ---------------------------------------------------------------- clients and applications that misbehave


def test_a_client_that_goes_away_in_mid_stream_ends_it(tmp_path: Path) -> None:
    with guarded(tmp_path, openness(logprobs="strip")) as runs:
        with runs.http.stream(
            "POST", "/v1/chat/completions", json={**CHAT, "stream": True}, headers={"x-delay": "0.2"}
        ) as got:
            next(got.iter_raw())
        until(lambda: runs.model.left == 1)
        assert runs.post().status_code == 200
        until(lambda: b"stillwatch_guard_streams_open 0" in runs.http.get("/stillwatch/metrics").content)


def test_a_client_that_never_sends_its_body_leaves_nothing_behind(tmp_path: Path) -> None:
    with guarded(tmp_path, written()) as runs:

        def half() -> Iterator[bytes]:
            yield b'{"model": '
            raise ConnectionError

        with pytest.raises(ConnectionError):
            runs.http.post("/v1/chat/completions", content=half())
        assert runs.post().status_code == 200
        assert len(runs.model.seen) == 1


@pytest.mark.parametrize("edited", [True, False])
def test_an_answer_that_is_compressed_is_not_passed_on_where_it_would_be_edited(tmp_path: Path, edited: bool) -> None:
    async def compressed(_: Request) -> JSONResponse:
        body = gzip.compress(b'{"choices": [{"logprobs": 1}]}')
        answer = JSONResponse(None, headers={"content-encoding": "gzip"})
        answer.body = body
        answer.headers["content-length"] = str(len(body))
        return answer

    app = Starlette(routes=[Route("/v1/chat/completions", compressed, methods=["POST"])])
    path = tmp_path / "policy.yaml"
    path.write_text(openness(logprobs="strip") if edited else written())
    with running(Guard(app, settings=GuardSettings(policy=str(path), key_file=str(tmp_path / "key")))) as url:
        answer = httpx.post(f"{url}/v1/chat/completions", json=CHAT)
        assert answer.status_code == (502 if edited else 200)
        assert ("logprobs" in answer.text) is not edited


def test_an_application_that_raises_is_settled_and_the_error_is_its_own(tmp_path: Path) -> None:
    async def broken(_: Request) -> JSONResponse:
        raise RuntimeError("broken")

    async def half(_: Request) -> StreamingResponse:
        async def pieces() -> Any:  # noqa: ANN401  an iterator
            yield b"data: {}\n\n"
            raise RuntimeError("broken")

        return StreamingResponse(pieces(), media_type="text/event-stream")

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", broken, methods=["POST"]),
            Route("/v1/completions", half, methods=["POST"]),
        ]
    )
    path = tmp_path / "policy.yaml"
    path.write_text(written(rules=[rule({"limit": {"of": "output_tokens", "per": "key", "cap": 1100, "each": "day"}})]))
    with running(Guard(app, settings=GuardSettings(policy=str(path), key_file=str(tmp_path / "key")))) as url:
        for _ in range(3):
            assert httpx.post(f"{url}/v1/chat/completions", json=CHAT).status_code == 500
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{url}/v1/completions", json={"model": "m", "prompt": "x", "max_tokens": 5})


def test_the_environment_names_the_settings_as_a_server_s_option_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.yaml").write_text(written(rules=[rule({"refuse": "account_suspended"})]))
    settings = tmp_path / "guard.yaml"
    settings.write_text("schema: stillwatch.guard/1\npolicy: ours.yaml\nkey_file: key\n")
    monkeypatch.setenv("STILLWATCH_GUARD", str(settings))

    async def answered(_: Request) -> JSONResponse:
        return JSONResponse({})

    app = Starlette(routes=[Route("/v1/chat/completions", answered, methods=["POST"])])
    app.add_middleware(Guard)  # as `vllm serve --middleware stillwatch.guard.Guard` does
    with running(app) as url:
        assert httpx.post(f"{url}/v1/chat/completions", json=CHAT).status_code == 403
    with running(app, lifespan="off") as url:
        assert httpx.post(f"{url}/v1/chat/completions", json=CHAT).status_code == 403


def test_a_websocket_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(written())
    sent: list[Any] = []

    async def connect() -> None:
        guard = Guard(ModelServer(), settings=GuardSettings(policy=str(path), key_file=str(tmp_path / "key")))

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:  # noqa: ANN401  ASGI's own
            sent.append(message)

        await guard({"type": "websocket", "path": "/v1/realtime", "headers": []}, receive, send)

    asyncio.run(connect())
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_no_thread_is_left(tmp_path: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with guarded(
        tmp_path, written(), ledger=str(tmp_path / "ledger.sqlite"), exchange_log=LogTo(str(tmp_path / "log"))
    ) as runs:
        runs.post()
    assert not [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("stillwatch") and thread.name not in before
    ]
    assert os.listdir(tmp_path / "log")  # noqa: PTH208  names are enough
