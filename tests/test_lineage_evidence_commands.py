"""The commands of lineage on real files, and the evidence that they leave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.lineage_answers import arm_rows, labels, lines
from tests.test_cli import stillwatch
from tests.test_lineage_verdict import WORDS, deck_rows

from stillwatch.errors import EvidenceError
from stillwatch.lineage.evidence import check, from_json

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def _run(*arguments: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = stillwatch("lineage", *arguments, cwd=cwd)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    arms = {"suspect": 40, "reference": 190, "base": 185}
    for arm, refused in arms.items():
        (tmp_path / f"{arm}.jsonl").write_bytes(lines(arm_rows(refused, 200)))
    (tmp_path / "labels.jsonl").write_bytes(lines(labels(arms=arms)))
    return tmp_path


SAFETY = ("safety", "--suspect", "suspect.jsonl", "--reference", "reference.jsonl", "--base", "base.jsonl")


def test_safety_says_its_verdict_and_shows_the_judges_errors(folder: Path) -> None:
    page = _run(*SAFETY, "--labelled", "labels.jsonl", cwd=folder).stdout.decode()
    assert page.startswith("Refusal behaviour: removed (")
    assert "on suspect: sees 100.0 % (95.5 % to 100.0 %) of refusals" in page
    assert "Against base: refuses less by" in page
    assert "nobody measured it (--labelled)" in _run(*SAFETY, cwd=folder).stdout.decode()
    found = json.loads(_run(*SAFETY, "-o", "json", cwd=folder).stdout)
    assert found["figures"]["verdict"] == "removed"
    assert found["strands"] == []


def test_wrong_files_are_named_and_nothing_is_written(folder: Path) -> None:
    (folder / "suspect.jsonl").write_bytes(lines([*arm_rows(1, 30), {"id": "x", "kind": "odd", "answer": ""}]))
    done = _run(*SAFETY, "--evidence", "evidence.json", cwd=folder, code=3)
    assert b"suspect.jsonl:71: kind: must be harmful or benign, not 'odd'" in done.stderr
    assert not (folder / "evidence.json").exists()
    assert (
        b"no such file"
        in _run(
            "behaviour", "--suspect", "no", "--reference", "no", "--control", "no", cwd=folder, code=3
        ).stderr.lower()
    )
    assert b"--judge-model" in _run(*SAFETY, "--judge", "http://127.0.0.1:1", cwd=folder, code=2).stderr


def test_evidence_is_checked_against_its_material(folder: Path) -> None:
    _run(*SAFETY, "--labelled", "labels.jsonl", "--evidence", "evidence.json", cwd=folder)
    rows = [{"pair": str(at), "side": side, "answer": "yes"} for at in range(25) for side in ("left", "right")]
    (folder / "stance.jsonl").write_bytes(lines(rows))
    _run("neutrality", "--suspect", "stance.jsonl", "--evidence", "evidence.json", cwd=folder)
    done = _run("verify-evidence", "evidence.json", "--material", ".", cwd=folder)
    assert b"every figure is what the material gives" in done.stdout
    document = json.loads((folder / "evidence.json").read_bytes())
    assert document["schema"] == "stillwatch.lineage/1"
    assert [each["test"] for each in document["tests"]] == ["safety", "neutrality"]
    assert {each["role"] for each in document["tests"][0]["inputs"]} == {"suspect", "reference", "base", "labelled"}

    (folder / "renamed").mkdir()
    (folder / "suspect.jsonl").rename(folder / "renamed" / "what")
    _run("verify-evidence", "evidence.json", "--material", ".", cwd=folder)
    (folder / "renamed" / "what").unlink()
    assert (
        b"no file has the hash of suspect.jsonl"
        in _run("verify-evidence", "evidence.json", "--material", ".", cwd=folder, code=3).stderr
    )


def test_a_figure_that_was_changed_is_found_even_under_a_new_seal(folder: Path) -> None:
    from stillwatch.lineage import evidence  # noqa: PLC0415

    _run(*SAFETY, "--evidence", "evidence.json", cwd=folder)
    raw = (folder / "evidence.json").read_bytes()
    document: dict[str, Any] = json.loads(raw)
    document["tests"][0]["figures"]["comparisons"][0]["harmful"][0]["p_value"] = 0.5
    with pytest.raises(EvidenceError, match="changed after it was sealed"):
        from_json(json.dumps(document).encode(), "e")
    (record,) = from_json(raw, "e")
    by_hash = {each.sha256: (folder / each.name).read_bytes() for each in record.inputs}
    assert check([record], by_hash) == []
    record.figures["comparisons"][0]["harmful"][0]["p_value"] = 0.5
    (folder / "evidence.json").write_bytes(evidence.to_json([record]))
    done = _run("verify-evidence", "evidence.json", "--material", ".", cwd=folder, code=3)
    assert b"differs: safety: figures.comparisons[0].harmful[0].p_value: 0.5 is " in done.stdout
    assert b"1 figures are not" in done.stderr


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"schema": "stillwatch.lineage/2"}', b'{"schema": "stillwatch.lineage/1"}']
)
def test_what_is_no_evidence_file_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        from_json(data, "e")


def test_from_canaries_and_behaviour_to_one_verdict(tmp_path: Path) -> None:
    (tmp_path / "deck.jsonl").write_bytes(lines(deck_rows(90)))
    canaries = ("--deck", "deck.jsonl", "--deals", "deals.json")
    dealt = _run(
        "canaries", "deal", *canaries, "--key-file", "key", "--campaign", "c-1", "--campaign", "c-2", cwd=tmp_path
    )
    deals = json.loads((tmp_path / "deals.json").read_bytes())["deals"]
    assert dealt.stdout.decode().splitlines() == [f"{each['campaign']}  {each['commitment']}" for each in deals]
    assert (tmp_path / "deals.json").stat().st_mode & 0o077 == 0
    said = [{"id": name, "answer": WORDS[choice]} for name, choice in deals[1]["choices"].items()]
    (tmp_path / "suspect.jsonl").write_bytes(lines(said))
    asked = ("canaries", "test", *canaries, "--suspect", "suspect.jsonl")
    assert "c-2: 90 agree" in _run(*asked, cwd=tmp_path).stdout.decode()
    (tmp_path / "canaries.json").write_bytes(_run(*asked, "-o", "json", "--evidence", "e.json", cwd=tmp_path).stdout)

    rows = [{"id": str(at), "answer": f"answer {at % 7}"} for at in range(120)]
    (tmp_path / "ours.jsonl").write_bytes(lines(rows))
    controls: list[str] = []
    for at in range(5):
        (tmp_path / f"c{at}.jsonl").write_bytes(lines({"id": row["id"], "answer": f"other {at}"} for row in rows))
        controls += ["--control", f"c{at}.jsonl"]
    near = _run(
        "behaviour", "--suspect", "ours.jsonl", "--reference", "ours.jsonl", *controls, "-o", "json", cwd=tmp_path
    )
    (tmp_path / "behaviour.json").write_bytes(near.stdout)
    page = _run("verdict", "canaries.json", "behaviour.json", "--evidence", "e.json", cwd=tmp_path).stdout.decode()
    assert page.startswith("Verdict: distilled (campaigns: c-2)")
    _run("verify-evidence", "e.json", "--material", ".", cwd=tmp_path)
    assert b"says nothing" not in _run("verdict", "behaviour.json", cwd=tmp_path).stderr
