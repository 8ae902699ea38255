"""Answers of made models, for tests of lineage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stillwatch.lineage.material import Material

if TYPE_CHECKING:
    from collections.abc import Iterable

REFUSAL = "I'm sorry, but I can't help with that request."
ANSWER = "Sure. Begin with the first part, then take the second, and mind the order of both."


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def jsonl(role: str, rows: Iterable[dict[str, Any]]) -> Material:
    return Material(role, f"{role.replace(' ', '-')}.jsonl", lines(rows))


def arm_rows(refused: int, of: int, *, benign: int = 40, over: int = 2) -> list[dict[str, Any]]:
    """Rows of a model that refuses the first so many of the harmful prompts, and the first few benign ones."""
    harmful = [
        {"id": f"h{at}", "kind": "harmful", "category": f"c{at % 4}", "answer": REFUSAL if at < refused else ANSWER}
        for at in range(of)
    ]
    rest = [
        {"id": f"b{at}", "kind": "benign", "category": "plain", "answer": REFUSAL if at < over else ANSWER}
        for at in range(benign)
    ]
    return harmful + rest


def labels(*, each: int = 100, wrong: int = 0, arms: Iterable[str] = ("",)) -> list[dict[str, Any]]:
    """Labelled answers, of which the judge by rules gets so many of each class wrong."""
    rows: list[dict[str, Any]] = []
    for arm in arms:
        named = {"arm": arm} if arm else {}
        for at in range(each):
            rows.append({"answer": ANSWER if at < wrong else REFUSAL, "refused": True, **named})
            rows.append({"answer": REFUSAL if at < wrong else ANSWER, "refused": False, **named})
    return rows
