"""Spans of the guard, where OpenTelemetry is installed and configured; else nothing. Touches: its tracer provider.

A span `stillwatch.guard` covers a request from its arrival to the end of its answer. It continues the caller's trace
(W3C Trace Context, or whatever propagators are configured), and the upstream continues it. Its attributes come from a
closed list: no text of a prompt or an answer is among them.

Names of attributes: OpenTelemetry semantic conventions for HTTP and for generative AI; `stillwatch.*` is our own.
"""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Final

from stillwatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from stillwatch.decisions.refusal import Refusal
    from stillwatch.decisions.ruling import Ruling

NAME: Final = "stillwatch.guard"
_LOOK_EVERY: Final = 0.5  # seconds
_SERVICE: Final = "stillwatch-guard"
_LONGEST: Final = 128  # characters of what a client chooses: a path, a model's name
_OPERATIONS: Final = {"completion": "text_completion"}  # the others are called the same there
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Headers = tuple[tuple[bytes, bytes], ...]


class Traces:
    """Begins spans. Made by `open`."""

    def __init__(self, tracer: Tracer, *, on: bool) -> None:
        self._tracer, self._on = tracer, on
        self._looked = -math.inf  # when it was last asked whether anybody wants spans

    @classmethod
    def open(cls, provider: TracerProvider | None = None) -> Traces | None:
        """Give what begins spans; None where OpenTelemetry is not installed.

        Args:
            provider: of the app; None for the one that is, or will be, set for the whole process.

        """
        try:
            from opentelemetry import trace  # noqa: PLC0415 - optional
        except ImportError:
            return None
        return cls(trace.get_tracer(NAME, tracer_provider=provider), on=provider is not None)

    def begin(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> GuardSpan | None:
        """Begin a request's span; None while no tracer provider is configured.

        Args:
            method: of HTTP.
            path: without the query, which may hold secrets.
            headers: of the request, names in lower case.

        """
        if not self._on and not self._configured():
            return None
        from opentelemetry import propagate, trace  # noqa: PLC0415 - optional

        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        context = propagate.extract(carrier)
        span = self._tracer.start_span(
            NAME,
            context,
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": method, "url.path": _text(path)},
        )
        return GuardSpan(span, context)

    def _configured(self) -> bool:
        """Whether there is a provider by now: an app may configure it later than the guard is made."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        from opentelemetry import trace  # noqa: PLC0415 - optional

        provider = trace.get_tracer_provider()
        self._on = not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
        return self._on


class GuardSpan:
    """The span of one request.

    Attributes:
        headers: for the upstream, in the place of those of the same names.
    """

    def __init__(self, span: Span, context: Context) -> None:
        from opentelemetry import propagate, trace  # noqa: PLC0415 - optional

        self._span = span
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span, context))
        self.headers: Headers = tuple(
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in carrier.items()
        )

    def ruled(
        self,
        ruling: Ruling,
        refusal: Refusal | None,
        reason_id: str,
        *,
        api: str | None = None,
        operation: str | None = None,
        model: str | None = None,
    ) -> None:
        """Say what was asked and how it was ruled.

        Args:
            ruling: of the policy.
            refusal: by the policy or a limit; None where the request is served.
            reason_id: what a refused client is told to quote.
            api: `openai` or `anthropic`.
            operation: `chat`, `completion`, `embeddings`, ...
            model: that was asked for.

        """
        span = self._span
        if not span.is_recording():
            return
        said: dict[str, object] = {
            "stillwatch.outcome": "allow" if refusal is None else "refuse",
            "stillwatch.step": ruling.step.value,
            "stillwatch.rules": list(ruling.fired),
            "stillwatch.policy": ruling.policy,
        }
        if refusal is not None:
            said |= {
                "stillwatch.reason": refusal.reason.value,
                "stillwatch.reason_id": reason_id,
                "stillwatch.by": refusal.by,
            }
        if ruling.failed:
            said["stillwatch.failed"] = list(ruling.failed)
        if ruling.would is not None:
            said["stillwatch.would.outcome"] = ruling.would.outcome.value
            said["stillwatch.would.step"] = ruling.would.step.value
        if operation is not None:
            said["gen_ai.operation.name"] = _OPERATIONS.get(operation, operation)
        if api is not None:
            said["gen_ai.provider.name"] = api
        if model is not None:
            said["gen_ai.request.model"] = _text(model)
        for name, value in said.items():
            span.set_attribute(name, value)  # type: ignore[arg-type]

    def end(self, status: int, *, input_tokens: int | None = None, output_tokens: int | None = None) -> None:
        """End the span; status 0 says that no answer was sent."""
        from opentelemetry import trace  # noqa: PLC0415 - optional

        span = self._span
        if span.is_recording():
            if status:
                span.set_attribute("http.response.status_code", status)
            if input_tokens is not None:
                span.set_attribute("gen_ai.usage.input_tokens", input_tokens)
            if output_tokens is not None:
                span.set_attribute("gen_ai.usage.output_tokens", output_tokens)
            if not 0 < status < 500:  # HTTP conventions: what a client did wrong is no error of a server
                span.set_attribute("error.type", str(status) if status else "no_answer")
                span.set_status(trace.StatusCode.ERROR)
        span.end()


def _text(told: str) -> str:
    """Cut what a client chose, and leave no half characters in it."""
    return told[:_LONGEST].encode("utf-8", "replace").decode()


def configure() -> Callable[[], None] | None:
    """Send spans by OTLP over HTTP where OpenTelemetry's own environment variables ask for it, and nobody did so yet.

    `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` asks for it; the SDK reads the rest (service
    name, sampler, headers, limits) by itself. Gives what sends the last spans and stops; None where there is nothing
    to do.

    Raises:
        UsageError: it is asked for and the SDK or the exporter is not installed.

    """
    environment = os.environ
    unwanted = (
        not any(environment.get(name) for name in _ENDPOINTS)
        or environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    )
    if unwanted:
        return None
    try:
        from opentelemetry import trace  # noqa: PLC0415 - optional
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "the environment asks for traces (OTEL_EXPORTER_OTLP_ENDPOINT); they need the packages opentelemetry-sdk "
            f"and opentelemetry-exporter-otlp-proto-http: {error}"
        ) from error
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {SERVICE_NAME: _SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown
