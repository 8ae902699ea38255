"""`stillwatch lineage` as people run it, with a real tokenizer file where the package is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
from tests.documents import ROOT, Shell, blocks
from tests.markov import Chain

from stillwatch.errors import LineageError
from stillwatch.lineage.dye import STRENGTHS, Scheme
from stillwatch.lineage.key_ring import load_keys
from stillwatch.lineage.suspect import Said, read_texts
from stillwatch.lineage.tokeniser import FromFile, Words, tokeniser_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = [f"{one}{two}" for one in ("ba", "de", "fi", "go", "hu", "ka", "le", "mi") for two in "bdfgklmn"]


Run: TypeAlias = "Callable[..., str]"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def ran(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, "-m", "stillwatch", "lineage", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return ran


def tokenizer_file(path: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0])
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.enable_truncation(5)
    made.enable_padding(length=500)
    made.save(str(path))
    return path


def test_from_a_key_to_a_campaign_that_is_named(tmp_path: Path, run: Run) -> None:
    tokenizer = tokenizer_file(tmp_path / "tokenizer.json")
    run("keygen", "c-1", "c-2", "c-3", "--master", "master", "--tokenizer", "tokenizer.json", "-o", "keys")
    head = run("commit", "keys").rpartition("Head:")[2].strip()
    keys = load_keys(tmp_path / "keys")
    assert {key.tokenizer for key in keys} == {FromFile(tokenizer).name}
    texts = Chain.made(1).texts(30, 200, np.random.default_rng(2), keys[1])
    lines = [json.dumps({"prompt": "why", "text": " ".join(WORDS[token] for token in text)}) for text in texts]
    (tmp_path / "said.jsonl").write_text("\n".join(lines) + "\n")
    asked = ("test", "--suspect", "said.jsonl", "--keys", "keys", "--head", head)
    printed = run(*asked, "--tokenizer", "tokenizer.json", "-o", "found.json")
    assert "c-2: dyed" in printed
    assert "c-1: dyed" not in printed
    found = json.loads((tmp_path / "found.json").read_bytes())
    assert found["schema"] == "stillwatch.radioactivity/1"
    assert [each["finding"] == "dyed" for each in found["campaigns"]] == [False, True, False]
    assert found["tokens"] == 6_000  # the file's truncation and padding are passed over
    assert found["campaigns"][1]["p_value_holm_log10"] < -9
    assert "of another tokenizer" in run(*asked, code=2)
    (tmp_path / "given.jsonl").write_text("\n".join(lines[:5]))
    given = ("--tokenizer", "tokenizer.json", "--given", "c-2=given.jsonl")
    assert "c-2: dyed" in run(*asked, *given)
    run("reveal", "keys", "c-2", "-o", "revealed.json")
    assert "Campaign: c-2" in run("verify", "revealed.json", "--head", head)
    assert "no campaign 'c-9'" in run("reveal", "keys", "c-9", "-o", "revealed.json", code=2)


def test_keys_that_were_not_committed_to_are_not_tried(tmp_path: Path, run: Run) -> None:
    run("keygen", "c-1", "--master", "master", "--dye", "medium", "--width", "3", "-o", "keys")
    (tmp_path / "said.txt").write_text("a text\n\nanother text")
    asked = ("test", "--suspect", "said.txt", "--keys", "keys")
    assert "no commitments" in run(*asked, code=2)
    assert "cannot tell" in run(*asked, "--uncommitted")
    run("commit", "keys")
    assert "cannot tell" in run(*asked)
    run("keygen", "c-2", "--master", "master", "-o", "keys")
    assert "campaign 'c-2': nothing was committed to" in run(*asked, code=3)
    assert "another key or dye" in run("keygen", "c-1", "--master", "master", "-o", "keys", code=2)
    assert "gumbel scheme has none" in run("keygen", "c-3", "--master", "m", "--gamma", "0.5", "-o", "k", code=2)
    assert "no key of c-7" in run(*asked, "--given", "c-7=said.txt", code=2)


def test_a_commitment_can_bear_the_ledgers_head(tmp_path: Path, run: Run) -> None:
    from stillwatch.ledger.ledger import open_ledger  # noqa: PLC0415  for this test alone

    with open_ledger(tmp_path / "ledger.sqlite", create=True) as ledger:
        head = str(ledger.head())
    run("keygen", "c-1", "--master", "master", "-o", "keys")
    run("commit", "keys", "--ledger", "ledger.sqlite")
    run("reveal", "keys", "c-1", "-o", "revealed.json")
    assert head in run("verify", "revealed.json")


def test_words_are_cut_alike_everywhere() -> None:
    first, second = Words().encoded(["Hello, world! Grüße 世界\n", ""])
    assert len(first) == 7
    assert len(second) == 0
    assert first.tolist() == Words().encoded(["Hello, world! Grüße 世界\n"])[0].tolist()
    assert Words().encoded(["\ud800 lone"])[0].tolist()  # what no UTF-8 holds is a word like others
    assert tokeniser_from(None).name == "words"


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    (tmp_path / "file").write_text("{}")
    for name, message in (("file", "no tokenizer.json"), ("none", "no such file")):
        with pytest.raises(LineageError, match=message):
            tokeniser_from(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "one\ntwo\n\n\n \nthree\n", [Said("one\ntwo"), Said("three\n")]),
        ("a.jsonl", '"one"\n\n{"answer": "two", "prompt": "p"}\n', [Said("one"), Said("two", "p")]),
        ("a.jsonl", '\ufeff{"response": "one", "prompt": 7}', [Said("one")]),
        ("a.txt", "", []),
    ],
)
def test_texts_are_read(tmp_path: Path, name: str, content: str, said: list[Said]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert list(read_texts(tmp_path / name)) == said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'"one"\n{"text": "tw', "a.jsonl:2: .*cut off"),
        ("a.jsonl", b'{"prompt": "p"}', "a.jsonl:1: none of text, response, answer, completion"),
        ("a.jsonl", b"7", "a.jsonl:1"),
        ("a.txt", b"\xff\xfe", "no UTF-8: byte 0 is 0xff"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LineageError, match=message):
        read_texts(tmp_path / name)
    with pytest.raises(LineageError, match="no such file"):
        read_texts(tmp_path / "none")


# ---- the page about it


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    printed = [shell.run(block) for block in blocks(ROOT / "docs" / "lineage.md", "sh")]
    assert "Head:" in printed[0]
    assert "c-7f3a9c2e51: cannot tell" in printed[1]
    assert "Campaign: c-7f3a9c2e51" in printed[1]


def test_the_page_tells_every_dye() -> None:
    page = (ROOT / "docs" / "lineage.md").read_text(encoding="utf-8")
    for name, dye in STRENGTHS.items():
        numbers = f"{dye.width}" + (f", {dye.gamma:g}, {dye.delta:g}" if dye.scheme is Scheme.GREEN else "")
        assert any(line.startswith(f"| `{name}` |") and f"| {numbers} |" in line for line in page.splitlines())
