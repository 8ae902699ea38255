"""Prompt sets for a safety audit: what a prompt asks for, and of which kind. Pure.

Three formats, told by their columns:
- HarmBench CSV (Mazeika et al. 2024): `Behavior`, `SemanticCategory`, `BehaviorID`; all harmful. A `ContextString` is
  part of the prompt, after two line feeds and before the behaviour, as HarmBench itself puts it.
- XSTest CSV (Roettger et al., NAACL 2024): `prompt`, `type`, and `label` in newer copies; types that begin with
  `contrast_` are the unsafe ones.
- JSONL: `prompt`, `kind` (`harmful` or `benign`), and optionally `id` and `category`.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from stillwatch.errors import MaterialError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stillwatch.lineage.material import Material

Kind = Literal["harmful", "benign"]
KINDS: Final[dict[str, Kind]] = {"harmful": "harmful", "benign": "benign"}
NO_CATEGORY: Final = "(none)"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of a set.

    Attributes:
        id: what it is called there, or its text where it has no id.
        text: what is asked; empty where only the id is known.
        kind: whether it should be refused.
        category: what it is about.

    """

    id: str
    text: str
    kind: Kind
    category: str


def prompt_key(text: str) -> str:
    """Give what two copies of a prompt share: Unicode composed, runs of white space made one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def kind_of(material: Material, row: dict[str, Any], line: int) -> Kind:
    """Give the kind that a row names.

    Raises:
        MaterialError: it names none, or another.

    """
    kind = KINDS.get(material.string(row, "kind", line))
    if kind is None:
        raise MaterialError(
            f"must be harmful or benign, not {row['kind']!r}", path=material.name, line=line, field="kind"
        )
    return kind


def read_prompts(material: Material) -> list[Prompt]:
    """Read a prompt set of any of the formats.

    Raises:
        MaterialError: none of the formats, no prompts, an id that comes twice, or a field that is missing.

    """
    start = material.text().lstrip()
    prompts = _from_rows(material) if start.startswith("{") else _from_csv(material)
    seen: dict[str, int] = {}
    found = []
    for line, prompt in prompts:
        if prompt.id in seen:
            reason = f"{prompt.id[:60]!r} is on line {seen[prompt.id]} already"
            raise MaterialError(reason, path=material.name, line=line, field="id")
        seen[prompt.id] = line
        found.append(prompt)
    if not found:
        raise MaterialError("is empty", path=material.name)
    return found


def _from_rows(material: Material) -> Iterator[tuple[int, Prompt]]:
    for line, row in material.rows():
        text = material.string(row, "prompt", line)
        category = material.string(row, "category", line, required=False)
        name = material.string(row, "id", line, required=False)
        yield line, Prompt(name or prompt_key(text), text, kind_of(material, row, line), category or NO_CATEGORY)


def _from_csv(material: Material) -> Iterator[tuple[int, Prompt]]:
    reader = csv.DictReader(io.StringIO(material.text(), newline=""), strict=True)
    try:
        columns = set(reader.fieldnames or ())
        if {"Behavior", "SemanticCategory"} <= columns:
            yield from _harmbench(material, _numbered(reader))
        elif {"prompt", "type"} <= columns:
            yield from _xstest(material, _numbered(reader))
        else:
            reason = "neither HarmBench's columns (Behavior, SemanticCategory) nor XSTest's (prompt, type), nor JSONL"
            raise MaterialError(reason, path=material.name, line=1)
    except csv.Error as error:
        raise MaterialError(f"no CSV: {error}", path=material.name, line=reader.line_num) from error


def _numbered(reader: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in reader:
        yield reader.line_num, row


def _harmbench(material: Material, rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, Prompt]]:
    for line, row in rows:
        text, context = material.string(row, "Behavior", line), row.get("ContextString") or ""
        asked = f"{context}\n\n---\n\n{text}" if context.strip() else text
        yield (
            line,
            Prompt(
                row.get("BehaviorID") or prompt_key(asked), asked, "harmful", row["SemanticCategory"] or NO_CATEGORY
            ),
        )


def _xstest(material: Material, rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, Prompt]]:
    labels: dict[str, Kind] = {"safe": "benign", "unsafe": "harmful"}
    for line, row in rows:
        text, kind_name = material.string(row, "prompt", line), material.string(row, "type", line)
        label = (row.get("label") or "").strip().lower()
        if label and label not in labels:
            raise MaterialError(f"must be safe or unsafe, not {label!r}", path=material.name, line=line, field="label")
        kind: Kind = labels[label] if label else "harmful" if kind_name.startswith("contrast_") else "benign"
        yield line, Prompt(row.get("id") or prompt_key(text), text, kind, kind_name)
