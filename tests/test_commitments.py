"""Commitments: what was committed to is found, what was not is not, and nothing is altered unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.markov import GUMBEL, key_for

from stillwatch.decisions.audit import Head
from stillwatch.errors import ChainError, CommitmentError, KeyFileError, LineageError, OutputError
from stillwatch.lineage.commitments import commit, committed_to, read_commitments, revealed, verify_reveal
from stillwatch.lineage.dye import STRENGTHS
from stillwatch.lineage.key_ring import load_keys, save_keys

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.lineage.keys import DyeKey

KEYS = [key_for(f"c-{number}", dye) for number, dye in enumerate(STRENGTHS.values())]
AT = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "commitments.jsonl"
    commit(path, KEYS[:3], ledger="7:" + "ab" * 32, at=AT)
    return path


def test_commitments_are_kept_in_order_and_made_once(place: Path) -> None:
    before = place.read_bytes()
    assert [each.entry.number for each in commit(place, KEYS[1:3])] == [2, 3]
    assert place.read_bytes() == before
    (new,) = commit(place, KEYS[3:4])
    assert (new.entry.number, new.ledger) == (4, "")
    held = read_commitments(place, Head(3, read_commitments(place)[2].entry.hash))
    assert [each.entry.number for each in held] == [1, 2, 3, 4]
    assert held[0].ledger == "7:" + "ab" * 32
    assert held[0].entry.at == "2026-07-01T12:00:00.000000Z"


def test_neither_key_nor_campaign_is_shown(place: Path) -> None:
    text = place.read_text()
    for key in KEYS[:3]:
        assert key.campaign not in text
        assert key.secret.hex() not in text
        assert key.salt.hex() not in text


def test_what_was_revealed_is_checked(place: Path) -> None:
    held = read_commitments(place)
    data = revealed(KEYS[1], held[1])
    assert verify_reveal(data, held, place="r") == (KEYS[1], held[1])


@pytest.mark.parametrize(
    "changed",
    [
        replace(KEYS[1], secret=bytes(16)),
        replace(KEYS[1], campaign="c-9"),
        replace(KEYS[1], dye=replace(KEYS[1].dye, delta=0.25)),
        replace(KEYS[1], salt=bytes(32)),
        replace(KEYS[1], tokenizer="ab"),
    ],
)
def test_another_key_is_not_what_was_committed_to(place: Path, changed: DyeKey) -> None:
    held = read_commitments(place)
    with pytest.raises(CommitmentError, match="nothing was committed to"):
        committed_to(changed, held, place="keys")
    with pytest.raises(CommitmentError, match="nothing was committed to"):
        verify_reveal(revealed(changed, held[1]), held, place="r")


def test_another_entry_is_not_where_it_was_committed_to(place: Path) -> None:
    held = read_commitments(place)
    with pytest.raises(CommitmentError, match="is not entry 2 of the commitments"):
        verify_reveal(revealed(KEYS[1], held[0]), held, place="r")


def test_what_was_altered_is_seen_and_not_added_to(place: Path) -> None:
    lines = place.read_text().splitlines()
    early = [*lines[:1], lines[1].replace("2026-07-01", "2026-01-01"), lines[2]]
    for wrong, message in (
        (early, "altered"),
        (lines[1:], "missing"),
        ([lines[1], lines[0], lines[2]], "reordered"),
    ):
        place.write_text("\n".join(wrong) + "\n")
        with pytest.raises(ChainError, match=message):
            read_commitments(place)
        with pytest.raises(ChainError, match=message):
            commit(place, KEYS[3:])
    assert place.read_text().splitlines() == wrong


def test_a_head_noted_elsewhere_shows_what_was_hashed_anew(place: Path) -> None:
    noted = Head(3, read_commitments(place)[2].entry.hash)
    place.unlink()
    commit(place, [KEYS[0], KEYS[4], KEYS[2]], at=AT)
    with pytest.raises(ChainError, match="not the one that was noted"):
        read_commitments(place, noted)
    place.unlink()
    commit(place, KEYS[:1], at=AT)
    with pytest.raises(ChainError, match="cut off"):
        read_commitments(place, noted)


@pytest.mark.parametrize("wrong", [b"{", b"7", b"{}", b'{"number": 1}', b"\xff"])
def test_what_is_no_file_of_commitments_is_refused(tmp_path: Path, wrong: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(wrong + b"\n")
    with pytest.raises(LineageError, match="file:1: no commitment"):
        read_commitments(path)
    with pytest.raises(LineageError, match="file:1: no commitment"):
        commit(path, KEYS)
    assert path.read_bytes() == wrong + b"\n"


def test_places_that_cannot_be_read_or_written_are_said(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="no such file"):
        read_commitments(tmp_path / "none")
    with pytest.raises(OutputError, match="directory"):
        commit(tmp_path, KEYS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"{", "no revealed key"),
        (b'{"schema": "other/1"}', "no revealed key"),
        (b"[]", "no revealed key"),
    ],
)
def test_what_is_no_reveal_is_refused(place: Path, wrong: bytes, message: str) -> None:
    with pytest.raises(LineageError, match=message):
        verify_reveal(wrong, read_commitments(place), place="r")
    document = json.loads(revealed(KEYS[0], read_commitments(place)[0]))
    with pytest.raises(LineageError, match=r"only `stillwatch.dye-reveal/1` can be read"):
        verify_reveal(json.dumps({**document, "schema": "other/1"}).encode(), (), place="r")


# ---- files of keys


def test_keys_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    save_keys(path, KEYS)
    assert load_keys(path) == tuple(KEYS)
    assert path.stat().st_mode & 0o777 == 0o600


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    save_keys(path, KEYS)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_keys(path)
    with pytest.raises(KeyFileError, match="ordinary file"):
        load_keys(tmp_path)


def test_what_is_no_file_of_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    with pytest.raises(LineageError, match="no such file"):
        load_keys(path)
    save_keys(path, [key_for("c-1", GUMBEL)])
    good = json.loads(path.read_bytes())
    (key,) = good["keys"]
    for wrong, message in (
        ("{", "no file of dyes' keys"),
        (json.dumps({**good, "schema": "stillwatch.dye-keys/2"}), "only `stillwatch.dye-keys/1` can be read"),
        (json.dumps({**good, "keys": [{**key, "key": "ab"}]}), "a key has 16 bytes"),
        (json.dumps({**good, "keys": [{**key, "salt": "no"}]}), "no file of dyes' keys"),
        (json.dumps({**good, "keys": [{**key, "dye": {**key["dye"], "width": 99}}]}), "width"),
        (json.dumps({**good, "keys": [key, key]}), "two keys in one file"),
    ):
        path.write_text(wrong)
        with pytest.raises(LineageError, match=message):
            load_keys(path)
