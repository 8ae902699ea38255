from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

import stillwatch as package
from stillwatch.decisions.refusal import Refusal, RefusalReason
from stillwatch.decisions.ruling import NOTHING, Outcome, Ruling, changes_nothing
from stillwatch.decisions.step import Step
from stillwatch.guard.traces import GuardSpan, Traces, configure

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT = {
    **{name: text for name, text in os.environ.items() if not name.startswith("OTEL_")},
    "PYTHONPATH": str(Path(package.__file__).parent.parent),
}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"  # of W3C Trace Context's own examples
CALLED = ((b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()), (b"tracestate", b"vendor=1"), (b"x-odd", b"\xff"))
REFUSAL = Refusal(RefusalReason.RATE_LIMITED, "Rate limit reached", "burst")
ALLOWED = Ruling(Outcome.ALLOW, None, (), (), NOTHING, Step.OBSERVE, ("one", "two"), (), (), "sha256:1")
REFUSED = Ruling(Outcome.REFUSE, REFUSAL, (), (), NOTHING, Step.THROTTLE, ("burst",), ("odd",), (), "sha256:1")


class Spans:
    """Spans that were made, in memory."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        traces = Traces.open(self.provider)
        assert traces is not None
        self.traces = traces

    def begin(self, headers: tuple[tuple[bytes, bytes], ...] = ()) -> GuardSpan:
        span = self.traces.begin("POST", "/v1/chat/completions", headers)
        assert span is not None
        return span

    def only(self) -> ReadableSpan:
        (span,) = self._kept.get_finished_spans()
        return span


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_request_that_is_served_is_one_span(spans: Spans) -> None:
    span = spans.begin()
    span.ruled(ALLOWED, None, "sw-1", api="openai", operation="completion", model="m")
    span.end(200, input_tokens=12, output_tokens=3)
    made = spans.only()
    assert (made.name, made.kind, made.parent, made.status.status_code) == (
        "stillwatch.guard",
        SpanKind.SERVER,
        None,
        StatusCode.UNSET,
    )
    assert attributes(made) == {
        "http.request.method": "POST",
        "url.path": "/v1/chat/completions",
        "stillwatch.outcome": "allow",
        "stillwatch.step": "observe",
        "stillwatch.rules": ("one", "two"),
        "stillwatch.policy": "sha256:1",
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "http.response.status_code": 200,
    }


def test_a_refusal_says_why(spans: Spans) -> None:
    span = spans.begin()
    span.ruled(REFUSED, REFUSAL, "sw-2")
    span.end(429)
    made = spans.only()
    told = attributes(made)
    assert told["stillwatch.outcome"] == "refuse"
    assert told["stillwatch.reason"] == "rate_limited"
    assert (told["stillwatch.reason_id"], told["stillwatch.by"]) == ("sw-2", "burst")
    assert told["stillwatch.failed"] == ("odd",)
    assert made.status.status_code is StatusCode.UNSET


def test_a_policy_that_observes_says_what_it_would_do(spans: Spans) -> None:
    span = spans.begin()
    span.ruled(changes_nothing(REFUSED), None, "sw-3", operation="chat")
    span.end(200)
    told = attributes(spans.only())
    assert (told["stillwatch.outcome"], told["stillwatch.would.outcome"]) == ("allow", "refuse")
    assert (told["stillwatch.would.step"], told["gen_ai.operation.name"]) == ("throttle", "chat")


@pytest.mark.parametrize(("status", "error"), [(502, "502"), (0, "no_answer")])
def test_what_the_server_did_wrong_is_an_error(spans: Spans, status: int, error: str) -> None:
    span = spans.begin()
    span.end(status)
    made = spans.only()
    assert made.status.status_code is StatusCode.ERROR
    assert attributes(made)["error.type"] == error


def test_the_callers_trace_goes_on_and_the_upstream_continues_it(spans: Spans) -> None:
    span = spans.begin(CALLED)
    sent = dict(span.headers)
    span.end(200)
    made = spans.only()
    assert made.parent is not None
    assert (f"{made.parent.trace_id:032x}", f"{made.parent.span_id:016x}") == (TRACE, PARENT)
    assert sent[b"traceparent"] == f"00-{TRACE}-{made.context.span_id:016x}-01".encode()
    assert sent[b"tracestate"] == b"vendor=1"


@pytest.mark.parametrize("broken", [b"", b"00-zz-yy-01", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"\xff" * 500])
def test_a_broken_traceparent_begins_a_new_trace(spans: Spans, broken: bytes) -> None:
    span = spans.begin(((b"traceparent", broken),))
    span.end(200)
    assert spans.only().parent is None
    assert len(dict(span.headers)[b"traceparent"]) == 55


def test_a_trace_that_is_not_sampled_goes_on_unsampled() -> None:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    traces = Traces.open(provider)
    assert traces is not None
    span = traces.begin("GET", "/", ((b"traceparent", f"00-{TRACE}-{PARENT}-00".encode()),))
    assert span is not None
    span.ruled(ALLOWED, None, "sw-1")
    span.end(200)
    sent = dict(span.headers)[b"traceparent"]
    assert sent.startswith(f"00-{TRACE}-".encode())
    assert sent.endswith(b"-00")
    provider.shutdown()


def test_hostile_names_of_models_are_cut_and_made_text(spans: Spans) -> None:
    span = spans.begin()
    span.ruled(ALLOWED, None, "sw-1", model="\ud800" + "x" * 100_000)
    span.end(200)
    model = attributes(spans.only())["gen_ai.request.model"]
    assert isinstance(model, str)
    assert model == "?" + "x" * 127


def program(text: str, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", text], env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_opentelemetry_there_are_no_traces_and_nothing_is_imported() -> None:
    text = """
import sys
import stillwatch.guard.traces as traces
print(any(name.startswith("opentelemetry") for name in sys.modules))
sys.modules["opentelemetry"] = None
print(traces.Traces.open(), traces.configure())
"""
    assert program(text) == "False\nNone None"


def test_nothing_is_begun_until_a_provider_is_configured() -> None:
    text = """
import time
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from stillwatch.guard.traces import Traces
traces = Traces.open()
print(traces.begin("GET", "/", ()))
trace.set_tracer_provider(TracerProvider())
time.sleep(0.6)  # it is looked for twice a second
print(traces.begin("GET", "/", ()) is not None)
"""
    assert program(text) == "None\nTrue"


def test_traces_that_cannot_be_sent_are_said_at_the_start() -> None:
    text = """
import sys
sys.modules["opentelemetry.sdk.trace"] = None
from stillwatch.errors import UsageError
from stillwatch.guard.traces import configure
try:
    configure()
except UsageError as error:
    print(error)
"""
    assert "opentelemetry-sdk" in program(text, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}],
)
def test_traces_are_sent_only_where_the_environment_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    for name, text in (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} | environment if environment else {}
    ).items():
        monkeypatch.setenv(name, text)
    assert configure() is None


class Collector(ThreadingHTTPServer):
    """What receives OTLP over HTTP."""

    def __init__(self) -> None:
        self.received: list[tuple[str, ExportTraceServiceRequest]] = []
        super().__init__(("127.0.0.1", 0), Received)


class Received(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_spans_reach_a_collector_over_otlp() -> None:
    text = f"""
from stillwatch.decisions.ruling import NOTHING, Outcome, Ruling
from stillwatch.decisions.step import Step
from stillwatch.guard.traces import Traces, configure
stop = configure()
assert configure() is None
span = Traces.open().begin("POST", "/v1/messages", [(b"traceparent", b"00-{TRACE}-{PARENT}-01")])
ruling = Ruling(Outcome.ALLOW, None, (), (), NOTHING, Step.DYE, ("one",), (), (), "sha256:1")
span.ruled(ruling, None, "sw-1", model="m")
span.end(200)
stop()
"""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            program(text, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}")
        finally:
            collector.shutdown()
            thread.join()
    ((path, request),) = collector.received
    assert path == "/v1/traces"
    (resource,) = request.resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "stillwatch-guard"
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("stillwatch.guard", TRACE, PARENT)
    told = {each.key: each.value for each in span.attributes}
    assert told["stillwatch.step"].string_value == "dye"
    assert [each.string_value for each in told["stillwatch.rules"].array_value.values] == ["one"]
    assert told["gen_ai.request.model"].string_value == "m"
