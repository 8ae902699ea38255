from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import anthropic
import msgspec
import openai
import pytest

from stillwatch.decisions.refusal import SHAPES, Refusal, RefusalReason
from stillwatch.guard.wire import error_body, refusal_body

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "sw-7f3a"
OPENAI_ERRORS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
}
ANTHROPIC_ERRORS: dict[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.APIStatusError,
    429: anthropic.RateLimitError,
    502: anthropic.APIStatusError,
    503: anthropic.APIStatusError,
    504: anthropic.APIStatusError,
}


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Serve one answer on this machine, whatever is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            for name, value in (("content-type", "application/json"), ("retry-after", "7")):
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def openai_error(status: int, body: bytes) -> openai.APIStatusError:
    with (
        answering(status, body) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as raised,
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "What?"}])
    return raised.value


def anthropic_error(status: int, body: bytes) -> anthropic.APIStatusError:
    with (
        answering(status, body) as url,
        anthropic.Anthropic(base_url=url, api_key="x", max_retries=0) as client,
        pytest.raises(anthropic.APIStatusError) as raised,
    ):
        client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "What?"}])
    return raised.value


def of(reason: RefusalReason, parameter: str | None = None) -> Refusal:
    return Refusal(reason, SHAPES[reason].message, "rule", parameter)


@pytest.mark.parametrize("reason", RefusalReason)
def test_openai_clients_raise_what_they_have_for_each_refusal(reason: RefusalReason) -> None:
    refusal = of(reason, "logprobs")
    error = openai_error(refusal.status, refusal_body("openai", refusal, id=ID))
    assert type(error) is OPENAI_ERRORS[refusal.status]
    assert (error.code, error.type, error.param) == (
        SHAPES[reason].openai_code,
        SHAPES[reason].openai_type,
        "logprobs",
    )
    assert refusal.message in error.message
    assert isinstance(error.body, dict)
    assert error.body["reason_id"] == ID
    assert error.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("reason", RefusalReason)
def test_anthropic_clients_raise_what_they_have_for_each_refusal(reason: RefusalReason) -> None:
    refusal = of(reason)
    error = anthropic_error(refusal.status, refusal_body("anthropic", refusal, id=ID))
    assert isinstance(error, ANTHROPIC_ERRORS[refusal.status])
    assert isinstance(error.body, dict)
    assert error.body["error"]["type"] == SHAPES[reason].anthropic_type
    assert error.body["error"]["message"] == refusal.message
    assert error.body["request_id"] == error.body["error"]["reason_id"] == ID


@pytest.mark.parametrize("status", [400, 413, 502, 504])
def test_errors_that_no_policy_made_are_raised_too(status: int) -> None:
    raised = openai_error(status, error_body("openai", status, "No.", id=ID, code="why", parameter="n"))
    assert isinstance(raised, OPENAI_ERRORS[status])
    assert (raised.code, raised.param) == ("why", "n")
    assert raised.type == ("server_error" if status >= 500 else "invalid_request_error")
    other = anthropic_error(status, error_body("anthropic", status, "No.", id=ID))
    assert isinstance(other, ANTHROPIC_ERRORS[status])


def test_the_region_refusal_is_openais_own() -> None:
    written = refusal_body("openai", of(RefusalReason.SANCTIONED), id=ID)
    assert msgspec.json.decode(written) == {
        "error": {
            "message": "Country, region, or territory not supported",
            "type": "request_forbidden",
            "param": None,
            "code": "unsupported_country_region_territory",
            "reason_id": ID,
        }
    }


def test_a_message_with_a_lone_surrogate_is_written_all_the_same() -> None:
    for api in ("openai", "anthropic"):
        assert b"a?" in error_body(api, 400, "a\ud800", id=ID)
