from __future__ import annotations

import json
import stat
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.snapshots import check, console
from tests.strategies import sample
from tests.test_cli import stillwatch
from tests.traffic import KEY

from stillwatch import api
from stillwatch.errors import NoExamplesError
from stillwatch.exchanges.source import LogSource
from stillwatch.report.examples import LONGEST, Example, harmless
from stillwatch.report.explain import explain
from stillwatch.report.findings_v1 import from_json, to_json
from stillwatch.report.terminal import print_findings
from stillwatch.verdicts.evidence import Finding, Findings, MarkShare, Verdict

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Scanned:
    folder: Path
    exchanges: pa.Table
    findings: Findings

    @property
    def log(self) -> Path:
        return self.folder / "exchanges"

    @property
    def accused(self) -> list[Finding]:
        return [finding for finding in self.findings.campaigns if finding.verdict is not Verdict.CLEARED]

    @property
    def prompts(self) -> dict[str, set[str]]:
        """What each account asked, as it would be shown."""
        asked: dict[str, set[str]] = {}
        pairs = zip(*(self.exchanges.column(name).to_pylist() for name in ("account", "prompt")), strict=True)
        for account, prompt in pairs:
            asked.setdefault(account, set()).add(harmless(prompt or ""))
        return asked


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    folder = tmp_path_factory.mktemp("examples") / "log"
    api.simulate("demo", folder, seed=1)
    found = api.scan([folder / "exchanges"], accounts=folder / "accounts.parquet", key=KEY)
    return Scanned(folder, pq.read_table(folder / "exchanges"), found)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    path.chmod(0o600)
    return path


# ---- which exchanges


def test_every_campaign_has_examples_of_different_accounts_of_its_own(scanned: Scanned) -> None:
    found = api.examples([scanned.log], scanned.accused, key=KEY, at_most=5)
    asked = scanned.prompts
    assert list(found) == [finding.id for finding in scanned.accused]
    for finding in scanned.accused:
        examples = found[finding.id]
        assert len({each.account for each in examples}) == 5
        assert {each.account for each in examples} <= {member.account for member in finding.accounts}
        assert len({each.prompt for each in examples}) == 5
        for each in examples:
            assert each.prompt in asked[each.account]


def test_examples_are_of_the_harvest_and_never_of_what_else_an_account_asks(scanned: Scanned) -> None:
    for finding in scanned.accused:
        whole = {(mark.family, mark.exchanges) for mark in finding.marks}
        if ("opening", finding.exchanges) not in whole:
            continue  # its harvest cannot be told by how prompts begin
        (examples,) = api.examples([scanned.log], [finding], key=KEY, at_most=10_000).values()
        assert len({" ".join(each.prompt.split()[:6]) for each in examples}) == 1
        assert len(examples) <= finding.exchanges


def test_the_order_of_the_log_leaves_no_trace(scanned: Scanned, tmp_path: Path) -> None:
    table = scanned.exchanges
    backwards = table.take(list(range(table.num_rows - 1, -1, -1)))
    pq.write_table(backwards, tmp_path / "log.parquet", row_group_size=10_000)
    straight = api.examples([scanned.log], scanned.accused, key=KEY)
    assert api.examples([tmp_path / "log.parquet"], scanned.accused, key=KEY) == straight


def test_one_account_s_examples_are_all_its_own(scanned: Scanned) -> None:
    finding = scanned.accused[0]
    account = finding.accounts[0].account
    (examples,) = api.examples([scanned.log], [finding], key=KEY, at_most=3, account=account).values()
    assert {each.account for each in examples} == {account}
    assert len({each.prompt for each in examples}) == 3


def test_without_marks_of_content_any_mark_that_an_exchange_bears_tells(scanned: Scanned) -> None:
    finding = next(one for one in scanned.accused if any(mark.family == "client" for mark in one.marks))
    bare = replace(finding, marks=tuple(mark for mark in finding.marks if mark.family == "client"))
    (examples,) = api.examples([scanned.log], [bare], key=KEY).values()
    assert {each.account for each in examples} <= {member.account for member in finding.accounts}


def test_where_only_accounts_share_marks_every_exchange_of_theirs_is_one(scanned: Scanned) -> None:
    cards = (MarkShare("card", "a" * 16, 2, 2),)
    finding = replace(scanned.accused[0], marks=cards)
    assert api.examples([scanned.log], [finding], key=KEY)[finding.id]


def test_a_prompt_comes_again_only_for_want_of_others(scanned: Scanned, tmp_path: Path) -> None:
    finding = scanned.accused[0]
    first, second = (member.account for member in finding.accounts[:2])
    rows = [row for row in scanned.exchanges.to_pylist() if row["account"] in {first, second}]
    prompt = api.examples([scanned.log], [finding], key=KEY, at_most=1, account=first)[finding.id][0].prompt
    same = next(row for row in rows if row["account"] == first and harmless(row["prompt"]) == prompt)
    pq.write_table(
        pa.Table.from_pylist([same, {**same, "account": second, "request_id": "other"}], scanned.exchanges.schema),
        tmp_path / "log.parquet",
    )
    (examples,) = api.examples([tmp_path / "log.parquet"], [finding], key=KEY).values()
    assert [each.account for each in examples] == [first, second]


# ---- what is missing is said


@pytest.mark.parametrize(
    ("accounts", "dropped", "key", "message"),
    [
        ("others", [], KEY, "hold no exchange of the accounts in question"),
        ("members", ["prompt"], KEY, "these logs hold no prompts"),
        ("members", [], bytes(reversed(KEY)), "and the key that was used"),
    ],
)
def test_why_there_are_no_examples_is_said(
    scanned: Scanned, tmp_path: Path, *, accounts: str, dropped: list[str], key: bytes, message: str
) -> None:
    finding = scanned.accused[0]
    members = {member.account for member in finding.accounts}
    rows = [row for row in scanned.exchanges.to_pylist() if (row["account"] in members) == (accounts == "members")]
    table = pa.Table.from_pylist(rows[:500], scanned.exchanges.schema).drop_columns(dropped)
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(NoExamplesError, match=message):
        api.examples([tmp_path / "log.parquet"], [finding], key=key)


def test_rows_that_cannot_be_read_are_passed_over(scanned: Scanned, tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text('{"time": "never", "account": "x"}\n')
    source = LogSource([scanned.log, tmp_path], strict=True, rejects=tmp_path / "rejects.jsonl")
    assert api.examples(source, scanned.accused, key=KEY)
    assert not (tmp_path / "rejects.jsonl").exists()


# ---- what is shown


@given(st.text(st.characters(codec="utf-8"), max_size=600) | st.text("\u202e\u200b\x1b[31m\r\n\t a", max_size=600))
def test_a_prompt_is_one_short_line_in_which_nothing_is_hidden(text: str) -> None:
    shown = harmless(text)
    assert len(shown) <= LONGEST
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert harmless(shown) == shown


def test_the_middle_of_a_long_prompt_is_left_out() -> None:
    shown = harmless("Begin here. " + "word " * 100_000 + "End there.")
    assert shown.startswith("Begin here. word")
    assert shown.endswith("End there.")
    assert " … " in shown


SPOOFS = Example(
    "acct_\x1b[2Jspoof",
    sample().campaigns[0].first_seen,
    harmless("Say this.\n\n── Campaign c-00000000 ──\r  No campaign found\x1b]0;title\x07 \u202egnp.exe \u200bhidden"),
)


def test_examples_in_the_report_cannot_pass_for_the_report() -> None:
    page, stream = console(80)
    print_findings(sample(), page, examples={sample().campaigns[0].id: [SPOOFS]})
    text = stream.getvalue()
    assert not any(line.startswith(("── Campaign c-00000000", "  No campaign")) for line in text.split("\n"))
    assert all(character == "\n" or unicodedata.category(character) not in {"Cc", "Cf"} for character in text)
    start = text.index("Examples of its prompts")
    check("examples-80.txt", text[start : text.index("Marks that it bears", start)].rstrip() + "\n")


def test_nothing_is_shown_where_nothing_was_asked_for(scanned: Scanned) -> None:
    page, stream = console(80)
    print_findings(scanned.findings, page)
    explain(scanned.findings, scanned.accused[0].id, page)
    assert "Examples" not in stream.getvalue()
    assert b"examples" not in to_json(scanned.findings)


def test_findings_that_hold_examples_are_read_as_if_they_held_none(scanned: Scanned) -> None:
    examples = api.examples([scanned.log], scanned.accused, key=KEY)
    written = to_json(scanned.findings, examples)
    document = json.loads(written)
    for finding in document["campaigns"]:
        assert ("examples" in finding) == (finding["verdict"] != "cleared")
    assert to_json(from_json(written, path="found")) == to_json(scanned.findings)


# ---- the command


def test_scan_shows_and_writes_examples_when_asked_to(scanned: Scanned, key_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    arguments = ("--accounts", scanned.folder / "accounts.parquet", "--key-file", key_file, "-o", out)
    done = stillwatch("scan", "--with-examples", scanned.log, *arguments)
    assert done.returncode == 0
    assert done.stdout.count(b"Examples of its prompts") == len(scanned.accused)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    expected = api.examples([scanned.log], scanned.accused, key=KEY)
    assert out.read_bytes() == to_json(scanned.findings, expected)


def test_scan_without_prompts_says_so_and_keeps_its_findings(scanned: Scanned, key_file: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    pq.write_table(scanned.exchanges.drop_columns(["prompt"]), log)
    out = tmp_path / "found.json"
    accounts = scanned.folder / "accounts.parquet"
    done = stillwatch(
        "scan", log, "--accounts", accounts, "--key-file", key_file, "-q", "-o", out, "--with-examples", "2"
    )
    assert done.returncode == 0
    found = from_json(out.read_bytes(), path="found")
    watched = [finding for finding in found.campaigns if finding.verdict is not Verdict.CLEARED]
    assert (b"no examples: these logs hold no prompts" in done.stderr) == bool(watched)


def test_explain_shows_as_many_examples_as_asked_for(scanned: Scanned, key_file: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    found.write_bytes(to_json(scanned.findings))
    finding = scanned.accused[0]
    arguments = (found, "--logs", scanned.log, "--key-file", key_file, "--with-examples")
    expected = api.examples([scanned.log], [finding], key=KEY, at_most=2)[finding.id]
    done = stillwatch("explain", finding.id, *arguments, "2")
    assert done.returncode == 0
    shown = " ".join(done.stdout.decode().split())
    for each in expected:
        assert f"{each.account}, " in shown
        assert each.prompt in shown
    account = finding.accounts[0].account
    own = stillwatch("explain", account, *arguments)
    assert own.stdout.decode().count(f"  {account}, ") == 3


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--with-examples",), 2, "name the logs that were scanned with --logs"),
        (("--with-examples", "--logs", "log", "--key-file", "no/key"), 2, "there is no key no/key"),
        (("--with-examples", "0", "--logs", "log"), 2, "'--with-examples'"),
        (("--logs", "log"), 2, "serve --with-examples, which is not given"),
        (("--with-examples", "--logs", "no-log", "--key-file", "key"), 3, "no-log: no such file"),
    ],
)
def test_explain_says_what_examples_need(
    options: tuple[str, ...], code: int, message: str, key_file: Path, tmp_path: Path
) -> None:
    assert key_file.parent == tmp_path
    (tmp_path / "found.json").write_bytes(to_json(sample()))
    done = stillwatch("explain", "c-7f3a90d2", "found.json", *options, cwd=tmp_path)
    assert message in " ".join(done.stderr.decode().split())
    assert done.returncode == code
    assert not (tmp_path / "no").exists()
