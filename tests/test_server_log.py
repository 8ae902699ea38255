from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from stillwatch.errors import DialectError
from stillwatch.exchanges.read import LogReader, ReadReport
from stillwatch.exchanges.source import LogSource

if TYPE_CHECKING:
    from pathlib import Path

    Row = dict[str, object]

# vLLM 0.6: no bracket before the place, prompt and tokens in the request's own line
OLD = (
    "INFO 07-14 10:00:00 api_server.py:712] vLLM API server version 0.6.3\n"
    "INFO 07-14 10:00:01 logger.py:36] Received request cmpl-acct-1:77-0: prompt: 'It\\'s \"5\", isn\\'t it?\\n', "
    "params: SamplingParams(n=1, best_of=1, temperature=0.0, top_p=1.0, seed=None, max_tokens=16, logprobs=None, "
    "logit_bias=None), prompt_token_ids: [1, 2, 3], lora_request: None, prompt_adapter_request: None.\n"
    'INFO:     203.0.113.7:51408 - "POST /v1/completions HTTP/1.1" 200 OK\n'
)
# vLLM 0.11 and later: the process in front, the prompt in a line of its own, answers with --enable-log-outputs
NEW = (
    "(APIServer pid=9) INFO:     Application startup complete.\n"
    "(APIServer pid=9) INFO 12-31 23:59:58 [logger.py:49] Received request chatcmpl-acct-2:a8: params: "
    "SamplingParams(n=2, temperature=0.7, top_p=0.95, seed=7, max_tokens=100, logprobs=5), lora_request: None.\n"
    "(APIServer pid=9) DEBUG 12-31 23:59:58 [logger.py:57] Request chatcmpl-acct-2:a8 details: prompt: "
    "'<|im_start|>user\\nHello<|im_end|>\\n<|im_start|>assistant\\n', prompt_token_ids: [4, 5], prompt_embeds: None.\n"
    "(APIServer pid=9) INFO 12-31 23:59:58 [async_llm.py:382] Added request chatcmpl-acct-2:a8-a8a65d16.\n"
    "(APIServer pid=9) INFO 12-31 23:59:59 [loggers.py:257] Engine 000: Avg prompt throughput: 0.8 tokens/s\n"
    "(APIServer pid=9) INFO 01-01 00:00:01 [logger.py:72] Generated response chatcmpl-acct-2:a8: output: 'Hi.', "
    "output_token_ids: [6, 7], finish_reason: stop\n"
    '(APIServer pid=9) INFO:     203.0.113.7:51409 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
)
CHANGED = datetime(2026, 1, 3, tzinfo=UTC).timestamp()


def _write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    os.utime(path, (CHANGED, CHANGED))
    return path


def _read(path: Path, dialect: str | None = None) -> tuple[list[Row], ReadReport]:
    reader = LogReader(LogSource([path], dialect))
    rows = [
        {name: value for name, value in row.items() if value is not None}
        for batch in reader.batches()
        for row in batch.to_pylist()
    ]
    return rows, reader.report()


@pytest.mark.parametrize("name", ["vllm.log", "server.out", "vllm.log.gz", "stderr"])
def test_the_plain_text_of_old_servers_is_read(name: str, tmp_path: Path) -> None:
    (row,), report = _read(_write(tmp_path / name, OLD))
    assert row == {
        "request_id": "cmpl-acct-1:77",
        "time": datetime(2025, 7, 14, 10, 0, 1, tzinfo=UTC),
        "account": "acct-1",
        "operation": "completion",
        "prompt": "It's \"5\", isn't it?\n",
        "turns": 1,
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 16,
        "n": 1,
        "input_tokens": 3,
    }
    assert report.rejected == 0
    assert set(report.dialects.values()) == {"vllm"}


def test_the_lines_of_one_request_are_put_together(tmp_path: Path) -> None:
    (row,), report = _read(_write(tmp_path / "vllm.log", NEW))
    assert row["time"] == datetime(2025, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert (row["account"], row["prompt"], row["response"]) == ("acct-2", "Hello", "Hi.")
    assert (row["n"], row["top_logprobs"], row["output_tokens"], row["finish_reason"]) == (2, 5, 2, "stop")
    assert report.rejected == 0


def test_a_folder_s_server_logs_are_read_without_being_named(tmp_path: Path) -> None:
    _write(tmp_path / "a.log", OLD)
    _write(tmp_path / "b.log", NEW)
    rows, report = _read(tmp_path)
    assert len(rows) == 2
    assert sum("times bear no year" in note for note in report.notes) == 2


@pytest.mark.parametrize(
    ("before", "after", "time"),
    [
        ("", "2024-", datetime(2024, 7, 14, 10, 0, 1, tzinfo=UTC)),
        ("2026-02-13T11:33:33.5+01:00 ", "", datetime(2026, 2, 13, 10, 33, 33, 500_000, tzinfo=UTC)),
        ("2026-02-13T11:33:33Z stdout F ", "", datetime(2026, 2, 13, 11, 33, 33, tzinfo=UTC)),
        ("\x1b[36m(APIServer pid=1)\x1b[0;0m ", "2024-", datetime(2024, 7, 14, 10, 0, 1, tzinfo=UTC)),
    ],
)
def test_a_year_that_is_written_counts(before: str, after: str, time: datetime, tmp_path: Path) -> None:
    text = "".join(f"{before}{line}\n" for line in OLD.replace("07-14", f"{after}07-14").splitlines())
    (row,), report = _read(_write(tmp_path / "vllm.log", text))
    assert row["time"] == time
    assert not any("year" in note for note in report.notes)


def test_half_a_last_line_is_left_out(tmp_path: Path) -> None:
    line = OLD.splitlines()[1].replace("acct-1:77", "acct-1:78")
    rows, report = _read(_write(tmp_path / "vllm.log", OLD + line[:-40]))
    assert [row["request_id"] for row in rows] == ["cmpl-acct-1:77"]
    assert any("ends in half a line" in note for note in report.notes)


def test_a_log_that_names_no_account_is_refused_once_with_what_to_do(tmp_path: Path) -> None:
    log = _write(tmp_path / "vllm.log", OLD.replace("acct-1:", "") * 1000)
    with pytest.raises(DialectError, match=r"vllm\.log: .*says of none who pays.*X-Request-Id: ACCOUNT:ID"):
        _read(log)
    with pytest.raises(DialectError, match="X-Request-Id: ACCOUNT:ID"):
        _read(tmp_path)
    _write(tmp_path / "good.log", NEW)
    rows, report = _read(tmp_path)
    assert len(rows) == 1
    assert report.rejected == 0
    assert any("X-Request-Id: ACCOUNT:ID" in note and str(log) in note for note in report.notes)


def test_a_log_without_requests_is_refused_with_what_to_do(tmp_path: Path) -> None:
    log = _write(tmp_path / "vllm.log", NEW.splitlines()[4] + "\n")
    with pytest.raises(DialectError, match="--enable-log-requests"):
        _read(log)


def test_json_records_without_any_account_are_refused_alike(tmp_path: Path) -> None:
    log = tmp_path / "vllm.jsonl"
    log.write_text('{"asctime": "2026-03-02 12:00:00", "message": "Received request chatcmpl-1: params: X()"}\n' * 9)
    with pytest.raises(DialectError, match="X-Request-Id: ACCOUNT:ID"):
        _read(log)


def test_what_a_prompt_says_is_never_taken_for_the_log_s_own_words(tmp_path: Path) -> None:
    prompt = (
        "Ignore this: ', params: SamplingParams(n=9, temperature=9.0, max_tokens=9), prompt_token_ids: [9], "
        "lora_request: LoRARequest(lora_name='stolen'). <|im_start|>not a role<|im_end|>"
    )
    line = OLD.splitlines()[1].replace("'It\\'s \"5\", isn\\'t it?\\n'", repr(prompt))
    (row,), report = _read(_write(tmp_path / "vllm.log", f"{line}\n"))
    assert (row["n"], row["temperature"], row["max_tokens"], row["input_tokens"]) == (1, 0.0, 16, 3)
    assert row["prompt"] == prompt
    assert "model" not in row
    assert report.rejected == 0
