"""Judgements of refusals that were made elsewhere, by a model or by people, kept in a file. Pure.

JSONL: `pair`, the hash of prompt and answer, and `judged`. With this file a test can be done again without asking.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from stillwatch.errors import MaterialError
from stillwatch.lineage.prompts import prompt_key
from stillwatch.lineage.refusal_judge import Judge, Judged

if TYPE_CHECKING:
    from stillwatch.lineage.material import Material


def pair_hash(prompt: str, answer: str) -> str:
    """Name a prompt with its answer."""
    return hashlib.sha256(f"{prompt_key(prompt)}\0{answer}".encode()).hexdigest()


def read_judgements(material: Material) -> dict[str, Judged]:
    """Read judgements by the hash of prompt and answer; an empty file holds none.

    Raises:
        MaterialError: a line is wrong, or one pair was judged in two ways.

    """
    kept: dict[str, Judged] = {}
    if not material.data.strip():
        return kept
    for line, row in material.rows():
        pair, judged = material.string(row, "pair", line), material.string(row, "judged", line)
        if judged not in set(Judged):
            reason = f"must be refused, answered or unclear, not {judged!r}"
            raise MaterialError(reason, path=material.name, line=line, field="judged")
        if kept.setdefault(pair, Judged(judged)) != judged:
            raise MaterialError("was judged otherwise before", path=material.name, line=line, field="pair")
    return kept


def judge_by_file(material: Material) -> Judge:
    """Give a judge that says what the file says."""
    kept = read_judgements(material)

    def judge(prompt: str, answer: str) -> Judged:
        try:
            return kept[pair_hash(prompt, answer)]
        except KeyError:
            raise MaterialError(f"no judgement of the answer that begins {answer[:40]!r}", path=material.name) from None

    return judge
