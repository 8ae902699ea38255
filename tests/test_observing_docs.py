"""docs/observing.md and docs/exchange-log.md against what is really there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
from tests.documents import ROOT, Shell, blocks
from tests.test_metrics import busy, families
from tests.test_traces import ALLOWED, REFUSAL, REFUSED, Spans, attributes

from stillwatch.decisions.ruling import changes_nothing
from stillwatch.guard.metrics import PREFIX, Metrics
from stillwatch.guard.part import RULED

if TYPE_CHECKING:
    from pathlib import Path

OBSERVING, LOG = ROOT / "docs" / "observing.md", ROOT / "docs" / "exchange-log.md"


def metrics_table() -> str:
    """All metrics: name as it is scraped, type, labels, meaning."""
    suffixes = {"counter": "_total", "info": "_info"}
    rows = ["| name | type | labels | meaning |", "|---|---|---|---|"]
    for metric in Metrics().described():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}{suffixes.get(metric.kind, '')}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_metrics_is_what_is_rendered() -> None:
    page = OBSERVING.read_text(encoding="utf-8")
    found = re.search(r"<!-- metrics: begin -->\n(.*?)<!-- metrics: end -->", page, re.DOTALL)
    assert found is not None
    assert found[1] == metrics_table()
    rendered = {line.split()[2] for line in busy().render().decode().splitlines() if line.startswith("# TYPE")}
    assert rendered == {PREFIX + name for name in re.findall(r"^\| `(\w+)`", found[1], re.MULTILINE)}


def test_alarms_are_about_metrics_that_there_are() -> None:
    samples = {sample.name for family in families(busy()).values() for sample in family.samples}
    (alarms,) = blocks(OBSERVING, "promql")
    assert set(re.findall(rf"{PREFIX}\w+", alarms)) <= samples


def test_the_table_of_attributes_is_what_spans_bear() -> None:
    page = OBSERVING.read_text(encoding="utf-8")
    told = {
        name
        for row in re.findall(r"^\| (`[a-z_]+\..*?) \|", page, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }
    borne: set[str] = set()
    for ruling, refusal, status in (
        (ALLOWED, None, 200),
        (REFUSED, REFUSAL, 503),
        (changes_nothing(REFUSED), None, 200),
    ):
        spans = Spans()
        span = spans.begin()
        span.ruled(ruling, refusal, "sw-1", api="openai", operation="chat", model="m")
        span.end(status, input_tokens=1, output_tokens=1)
        borne |= set(attributes(spans.only()))
        spans.provider.shutdown()
    assert borne == told


def test_the_table_of_columns_is_that_of_the_parts() -> None:
    kinds = {pa.string(): "string", pa.list_(pa.string()): "list of strings"}
    told = re.findall(r"^\| `(guard_\w+)` \| ([\w ]+) \|", LOG.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [(field.name, kinds[field.type]) for field in RULED]


def test_the_log_that_a_program_of_ones_own_writes(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    (code,) = blocks(LOG, "python")
    (shell.folder / "own.py").write_text(code)
    assert shell.run("python3 -W error own.py").strip() == ".parquet"
