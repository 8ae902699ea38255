from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from stillwatch.decisions.ruling import Edit
from stillwatch.guard.metrics import BUCKETS, GAUGES, OPEN_METRICS, OTHER, PREFIX, TEXT, TOTALS, Metrics

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

ASKED = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # Prometheus's own
UNITS = ("seconds", "bytes", "rows", "total")


def busy(**named: int) -> Metrics:
    metrics = Metrics(**named)
    metrics.ruled("chat", "allow", "", "observe", 0.00003)
    metrics.ruled("chat", "refuse", "rate_limited", "throttle", 0.0002)
    metrics.ruled("chat", "allow", "", "observe", 30.0)
    metrics.fired(("burst", "no-distributions"), ("odd",))
    metrics.exceeded("burst")
    metrics.edited((Edit("answer", "logprobs", "strip"),))
    metrics.opened()
    metrics.opened()
    metrics.closed()
    metrics.ended(200, 0.7)
    metrics.ended(0, 0.1)
    metrics.used("m", 100, 20)
    metrics.used("m", 100, None)
    metrics.outage("state")
    metrics.policy("ours", "sha256:1")
    for described in (*GAUGES, *TOTALS):
        metrics.watch(described.name, lambda: 1.5)
    return metrics


def families(metrics: Metrics, accept: str = "") -> dict[str, Metric]:
    read = read_open_metrics if accept else read_text
    return {family.name: family for family in read(metrics.render(accept).decode())}


def value(metrics: Metrics, sample_name: str, /, **labels: str) -> float | None:
    return next(
        (
            sample.value
            for family in read_text(metrics.render().decode())
            for sample in family.samples
            if sample.name == PREFIX + sample_name and sample.labels == labels
        ),
        None,
    )


def test_what_was_counted_is_what_is_read() -> None:
    metrics = busy()
    served = {"operation": "chat", "outcome": "allow", "reason": "", "step": "observe"}
    assert value(metrics, "requests_total", **served) == 2
    assert value(metrics, "requests_total", **served | {"outcome": "refuse"}) is None
    assert value(metrics, "rules_fired_total", rule="burst") == 1
    assert value(metrics, "rules_failed_total", rule="odd") == 1
    assert value(metrics, "limits_exceeded_total", limit="burst") == 1
    assert value(metrics, "edits_total", on="answer", field="logprobs", action="strip") == 1
    assert value(metrics, "streams_open") == 1
    assert value(metrics, "answers_total", status="200") == 1
    assert value(metrics, "answers_total", status="0") == 1
    assert value(metrics, "tokens_total", model="m", direction="input") == 200
    assert value(metrics, "tokens_total", model="m", direction="output") == 20
    assert value(metrics, "outages_total", part="state") == 1
    assert value(metrics, "policy_info", name="ours", version="sha256:1") == 1
    assert value(metrics, "ready") == 1.5


def test_a_histogram_counts_into_the_first_bucket_that_is_wide_enough() -> None:
    metrics = busy()
    bounds = ("2.5e-05", "5e-05", "0.00025", "10.0")
    assert {bound: value(metrics, "ruling_seconds_bucket", le=bound) for bound in bounds} == {
        "2.5e-05": 0,
        "5e-05": 1,
        "0.00025": 2,
        "10.0": 2,
    }
    assert value(metrics, "ruling_seconds_bucket", le="+Inf") == value(metrics, "ruling_seconds_count") == 3
    assert value(metrics, "ruling_seconds_sum") == pytest.approx(30.00023)
    assert (BUCKETS[0], BUCKETS[-1]) == (0.00001, 10.0)
    assert list(BUCKETS) == sorted(BUCKETS)


@pytest.mark.parametrize("accept", ["", ASKED])
def test_names_follow_the_conventions(accept: str) -> None:
    metrics = busy()
    found = families(metrics, accept)
    assert len(found) == len(metrics.described())
    for family in found.values():
        assert family.name.startswith(PREFIX)
        assert family.documentation.endswith(".")
        assert family.type != "unknown"
        assert "total" not in family.name.removesuffix("_total")
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith("_total")
            else:
                assert not sample.name.endswith("_total")
        if "seconds" in family.name:
            assert family.name.endswith("_seconds")
            assert family.unit == ("seconds" if accept else "")


def test_help_and_type_come_once_and_before_the_samples() -> None:
    lines = busy().render().decode().splitlines()
    for at, line in enumerate(lines):
        if line.startswith("# HELP"):
            assert lines[at + 1].split()[:3] == ["#", "TYPE", line.split()[2]]
    told = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(told) == len(set(told))


@given(st.lists(st.text(min_size=1, max_size=128), min_size=1, max_size=8, unique=True))
def test_whatever_a_client_calls_its_model_is_one_label_value(models: list[str]) -> None:
    metrics = Metrics()
    for model in models:
        metrics.used(model, 1, None)
    for read, accept in ((read_text, ""), (read_open_metrics, ASKED)):
        text = metrics.render(accept).decode()
        (family,) = (each for each in read(text) if each.name.endswith("guard_tokens"))
        assert sorted(sample.labels["model"] for sample in family.samples) == sorted(models)


def test_hostile_names_stay_within_their_quotes() -> None:
    metrics = Metrics()
    metrics.used('m"} 1\nstillwatch_guard_ready 0\n\\', 1, None)
    metrics.used("half \ud800", 1, None)
    text = metrics.render().decode()
    assert 'model="m\\"} 1\\nstillwatch_guard_ready 0\\n\\\\"' in text
    assert value(metrics, "ready") is None
    assert value(metrics, "tokens_total", model="half ?", direction="input") == 1


def test_labels_are_bounded_in_number_and_length() -> None:
    metrics = Metrics(most=10)
    for number in range(1_000):
        metrics.used(f"model-{number}", 1, None)
    metrics.used("model-0", 1, None)
    assert value(metrics, "tokens_total", model="model-0", direction="input") == 2
    assert value(metrics, "tokens_total", model=OTHER, direction=OTHER) == 990
    longest = Metrics()
    for _ in range(2):
        longest.used("x" * 1_000_000, 1, None)
    assert value(longest, "tokens_total", model="x" * 128, direction="input") == 2
    assert len(longest.render()) < 10_000


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        (ASKED, OPEN_METRICS),
        ("Application/OpenMetrics-Text", OPEN_METRICS),
        ("application/openmetrics-text; q=0.0, text/plain", TEXT),
        (";;,,q=", TEXT),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, expected: str) -> None:
    metrics = busy()
    assert metrics.content_type(accept) == expected
    text = metrics.render(accept).decode()
    assert text.endswith("# EOF\n") is (expected == OPEN_METRICS)


def test_gauges_are_read_when_asked_and_left_out_where_not_known() -> None:
    metrics = Metrics()
    ages = iter([2.0, None, math.inf])
    metrics.watch("ledger_age_seconds", lambda: next(ages))
    assert value(metrics, "ledger_age_seconds") == 2.0
    assert value(metrics, "ledger_age_seconds") is None
    assert value(metrics, "ledger_age_seconds") == math.inf
    with pytest.raises(ValueError, match="watched already"):
        metrics.watch("ledger_age_seconds", lambda: 1.0)
    with pytest.raises(ValueError, match="no gauge `nothing`"):
        metrics.watch("nothing", lambda: 1.0)


def test_a_guard_that_has_seen_nothing_still_answers() -> None:
    assert value(Metrics(), "streams_open") == 0
    assert value(Metrics(), "ruling_seconds_count") == 0
