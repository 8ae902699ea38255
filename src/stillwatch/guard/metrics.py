"""What the guard counts, as Prometheus and OpenMetrics text. Pure, but for memory and a clock to age what is kept.

Counting is a few operations on a dict and a list; everything else waits until somebody asks. Values of labels come
partly from clients (names of models), so that a metric keeps a bounded number of different ones, and counts what
comes after them as `other`. Each process counts for itself. For one thread, that of the event loop.

Sources: Prometheus text exposition format 0.0.4; OpenMetrics 1.0.0; Prometheus's naming conventions (seconds, bytes,
`_total`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stillwatch.decisions.ruling import Edit

PREFIX: Final = "stillwatch_guard_"
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OTHER: Final = "other"
BUCKETS: Final = (  # seconds, 10 us to 10 s: close together where the guard's own budget lies
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00015, 0.00025, 0.0005),
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_STATUS: Final = {status: str(status) for status in range(600)}  # made once: text of a number takes a while
_MOST: Final = 1_000  # different label values of a metric
_COMBINATIONS: Final = 1_000  # of rules that fire together
_LONGEST: Final = 128  # characters of one


@dataclass(frozen=True, slots=True)
class Described:
    """One metric.

    Attributes:
        name: without the prefix, and without `_total`.
        kind: `counter`, `gauge`, `histogram` or `info`.
        labels: in the order of their values.
        meaning: its help text.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Counts:
    """A counter or a gauge with labels."""

    def __init__(self, described: Described, most: int = _MOST) -> None:
        self.described, self.values, self._most = described, dict[tuple[str, ...], float](), most
        self._other = (OTHER,) * len(described.labels)

    def add(self, labels: tuple[str, ...], amount: float = 1) -> None:
        """Count on."""
        try:
            self.values[labels] += amount
        except KeyError:
            self._new(labels, amount)

    def _new(self, labels: tuple[str, ...], amount: float) -> None:
        labels = tuple(text[:_LONGEST] for text in labels)
        if labels not in self.values and len(self.values) >= self._most:
            labels = self._other
        self.values[labels] = self.values.get(labels, 0) + amount


class Histogram:
    """How long something took."""

    def __init__(self, described: Described) -> None:
        self.described, self.sum = described, 0.0
        self.buckets = [0] * (len(BUCKETS) + 1)

    def observe(self, seconds: float) -> None:
        """Count one that took so long."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds


class Metrics:
    """All metrics of one guard.

    Args:
        most: different combinations of label values that a metric keeps.

    """

    def __init__(self, *, most: int = _MOST) -> None:
        def counts(name: str, labels: tuple[str, ...], meaning: str) -> Counts:
            return Counts(Described(name, "counter", labels, meaning), most)

        def histogram(name: str, meaning: str) -> Histogram:
            return Histogram(Described(name, "histogram", (), meaning))

        self._requests = counts(
            "requests",
            ("operation", "outcome", "reason", "step"),
            "Requests ruled on; the reason is of a refusal.",
        )
        self._rules = counts("rules_fired", ("rule",), "Requests on which a rule fired, by the rule's id.")
        self._untold = counts("rules_failed", ("rule",), "Requests on which a rule's condition could not be told.")
        self._limits = counts("limits_exceeded", ("limit",), "Requests refused by a limit, by the limit's id.")
        self._edits = counts("edits", ("on", "field", "action"), "Changes made to requests and answers.")
        self._tokens = counts("tokens", ("model", "direction"), "Tokens in and out, by the model asked for.")
        self._answers = counts("answers", ("status",), "Requests that ended, by HTTP status; 0 where none was sent.")
        self._outages = counts("outages", ("part",), "Times that a part the guard relies on did not answer.")
        self._ruling = histogram("ruling_seconds", "Time that the guard took to admit or refuse a request.")
        self._waited = histogram("answer_seconds", "Time from a request's arrival to the end of its answer.")
        self._edited: dict[int, list[Any]] = {}  # by identity: a policy plans the same edits once
        self._fired: dict[tuple[str, ...], int] = {}  # by which fired together: few combinations do, so one count each
        self._streams = 0
        self._policy = ("", "")
        self._read: list[tuple[Described, Callable[[], float | None]]] = []

    # ---- on the path of requests

    def ruled(self, operation: str, outcome: str, reason: str, step: str, seconds: float) -> None:
        """Count a request that was ruled on.

        Args:
            operation: `chat`, `completion`, `embeddings`, ...
            outcome: `allow` or `refuse`.
            reason: of a refusal; else empty.
            step: the step of the ladder that was taken.
            seconds: that the guard took.

        """
        self._requests.add((operation, outcome, reason, step))
        self._ruling.observe(seconds)

    def fired(self, rules: tuple[str, ...], failed: Iterable[str] = ()) -> None:
        """Count rules that fired, and those whose condition could not be told."""
        self._fired[rules] = self._fired.get(rules, 0) + 1
        if len(self._fired) > _COMBINATIONS:
            self._tell_fired()
        for rule in failed:
            self._untold.add((rule,))

    def exceeded(self, limit: str) -> None:
        """Count a request that a limit had no room for."""
        self._limits.add((limit,))

    def edited(self, edits: tuple[Edit, ...]) -> None:
        """Count changes to a request and to its answer."""
        found = self._edited.get(id(edits))
        if found is None or found[0] is not edits:
            if len(self._edited) >= _COMBINATIONS:
                self._tell_edited()
            found = self._edited[id(edits)] = [edits, 0]
        found[1] += 1

    def opened(self) -> None:
        """Count a stream that has begun."""
        self._streams += 1

    def closed(self) -> None:
        """Count one that has ended, however it did."""
        self._streams -= 1

    def ended(self, status: int, seconds: float) -> None:
        """Count a request that is over."""
        self._answers.add((_STATUS.get(status) or str(status),))
        self._waited.observe(seconds)

    def used(self, model: str, input_tokens: int | None, output_tokens: int | None) -> None:
        """Count tokens."""
        if input_tokens:
            self._tokens.add((model, "input"), input_tokens)
        if output_tokens:
            self._tokens.add((model, "output"), output_tokens)

    def outage(self, part: str) -> None:
        """Count that a part (`state`, `ledger`, `policy`, ...) did not answer, or was not to be read."""
        self._outages.add((part,))

    # ---- beside it

    def policy(self, name: str, version: str) -> None:
        """Say which policy is in force."""
        self._policy = (name, version)

    def watch(self, gauge: str, read: Callable[[], float | None]) -> None:
        """Have one of `GAUGES` or `TOTALS` read whenever metrics are asked for; None where it is not known.

        Raises:
            ValueError: there is no gauge of that name, or it is watched already.

        """
        found = next((described for described in (*GAUGES, *TOTALS) if described.name == gauge), None)
        if found is None or any(described is found for described, _ in self._read):
            raise ValueError(f"no gauge `{gauge}`, or it is watched already")
        self._read.append((found, read))

    def render(self, accept: str = "") -> bytes:
        """Give all of it, in the format that the request's `Accept` header asks for; `content_type` names it."""
        modern = _wants_open_metrics(accept)
        lines = [line for metric in self._all() for line in _lines(metric, modern=modern)]
        if modern:
            lines.append("# EOF")
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")

    @staticmethod
    def content_type(accept: str = "") -> str:
        """Name the format that `render` gives."""
        return OPEN_METRICS if _wants_open_metrics(accept) else TEXT

    def described(self) -> list[Described]:
        """Describe all metrics, whether watched or not."""
        return [*(metric.described for metric in self._counted()), _STREAMS, _POLICY, *GAUGES, *TOTALS]

    def _counted(self) -> tuple[Counts | Histogram, ...]:
        return (
            *(self._requests, self._ruling, self._rules, self._untold, self._limits, self._edits),
            *(self._answers, self._waited, self._tokens, self._outages),
        )

    def _tell_edited(self) -> None:
        """Count edits one by one that were counted together."""
        told, self._edited = self._edited, {}
        for edits, times in told.values():
            for edit in edits:
                self._edits.add((edit.on, edit.field, edit.action), times)

    def _tell_fired(self) -> None:
        """Count rules one by one that were counted together."""
        told, self._fired = self._fired, {}
        for rules, times in told.items():
            for rule in rules:
                self._rules.add((rule,), times)

    def _all(self) -> Iterator[Counts | Histogram]:
        self._tell_fired()
        self._tell_edited()
        yield from self._counted()
        yield _only(_STREAMS, self._streams)
        info = Counts(_POLICY)
        if self._policy[1]:
            info.values[self._policy] = 1
        yield info
        for described, read in self._read:
            if (value := read()) is not None:
                yield _only(described, value)


_STREAMS: Final = Described("streams_open", "gauge", (), "Answers being streamed at this moment.")
_POLICY: Final = Described("policy", "info", ("name", "version"), "The policy in force.")
GAUGES: Final = (
    Described("ready", "gauge", (), "1 while the guard is ready for requests, else 0."),
    Described("decisions", "gauge", (), "Decisions held, in force or not yet."),
    Described("ledger_age_seconds", "gauge", (), "Time since the ledger was last looked at with success."),
    Described("exchange_log_lag_seconds", "gauge", (), "Age of the oldest row that is not on disk; 0 where all are."),
    Described("exchange_log_waiting_rows", "gauge", (), "Rows of the exchange log that are not on disk yet."),
)
TOTALS: Final = (
    Described("exchange_log_rows", "counter", (), "Rows that the exchange log took."),
    Described("exchange_log_dropped_rows", "counter", (), "Rows that were lost because there was no room for them."),
    Described("exchange_log_parts", "counter", (), "Parquet parts made of the exchange log."),
)


def _only(described: Described, value: float) -> Counts:
    counts = Counts(described)
    counts.values[()] = value
    return counts


def _wants_open_metrics(accept: str) -> bool:
    """Whether it is asked for, and not refused by a weight of 0."""
    for wanted in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in wanted.split(";"))
        if kind == "application/openmetrics-text":
            weight = next((part.partition("=")[2] for part in parameters if part.startswith("q=")), "1")
            return bool(weight.strip("0."))
    return False


def _lines(metric: Counts | Histogram, *, modern: bool) -> Iterator[str]:
    described = metric.described
    name, kind = PREFIX + described.name, described.kind
    suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
    family = name if modern else name + suffix  # OpenMetrics names the family, the older format the sample
    yield f"# HELP {family} {_escaped(described.meaning)}"
    yield f"# TYPE {family} {kind if modern or kind != 'info' else 'gauge'}"
    if modern and described.name.endswith("_seconds"):
        yield f"# UNIT {family} seconds"
    if isinstance(metric, Histogram):
        total = 0
        for bound, count in zip((*BUCKETS, math.inf), metric.buckets, strict=True):
            total += count
            least = "+Inf" if math.isinf(bound) else repr(bound)
            yield f'{name}_bucket{{le="{least}"}} {total}'
        yield f"{name}_sum {_number(metric.sum)}"
        yield f"{name}_count {total}"
        return
    for labels, value in metric.values.items():
        pairs = ",".join(
            f'{label}="{_escaped(text, quote=True)}"' for label, text in zip(described.labels, labels, strict=True)
        )
        yield f"{name}{suffix}{f'{{{pairs}}}' if pairs else ''} {_number(value)}"


def _escaped(text: str, *, quote: bool = False) -> str:
    """Write text so that it stays on its line and in its quotes."""
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))
