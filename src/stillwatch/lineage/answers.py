"""Answers of a model to a prompt set, and those of several models matched prompt by prompt. Pure.

JSONL, one answer a line: `id` or `prompt` or both, and `answer`; `kind` and `category` too, unless a prompt set tells
them. A line's order means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stillwatch.errors import MaterialError
from stillwatch.lineage.prompts import NO_CATEGORY, Prompt, kind_of, prompt_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stillwatch.lineage.material import Material

MOST_MISSING: Final = 0.2  # share of prompts; a model that leaves out more of them may have chosen which


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a prompt."""

    prompt: Prompt
    text: str


def read_texts(material: Material) -> dict[str, str]:
    """Read answers by id (or prompt), where the kind of prompt does not matter.

    Raises:
        MaterialError: a field is missing or wrong, or a prompt comes twice.

    """
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, row in material.rows():
        prompt = material.string(row, "prompt", line, required=False)
        name = material.string(row, "id", line, required=False) or prompt_key(prompt)
        if not name:
            raise MaterialError("neither id nor prompt", path=material.name, line=line)
        _once(material, name, line, lines)
        texts[name] = material.string(row, "answer", line)
    return texts


def read_answers(material: Material, prompts: Sequence[Prompt] = ()) -> dict[str, Answer]:
    """Read answers by the id of their prompt.

    Raises:
        MaterialError: a field is missing or wrong, a prompt comes twice, or is not in the set.

    """
    by_id = {each.id: each for each in prompts}
    by_text = {prompt_key(each.text): each for each in prompts if each.text}
    answers: dict[str, Answer] = {}
    lines: dict[str, int] = {}
    for line, row in material.rows():
        name = material.string(row, "id", line, required=False)
        text = material.string(row, "prompt", line, required=False)
        if not name and not text:
            raise MaterialError("neither id nor prompt", path=material.name, line=line)
        if prompts:
            prompt = by_id.get(name) or by_text.get(prompt_key(text))
            if prompt is None:
                raise MaterialError("no such prompt in the prompt set", path=material.name, line=line)
        else:
            category = material.string(row, "category", line, required=False) or NO_CATEGORY
            prompt = Prompt(name or prompt_key(text), text, kind_of(material, row, line), category)
        _once(material, prompt.id, line, lines)
        answers[prompt.id] = Answer(prompt, material.string(row, "answer", line))
    return answers


def _once(material: Material, name: str, line: int, lines: dict[str, int]) -> None:
    if name in lines:
        reason = f"{name[:60]!r} is answered on line {lines[name]} already"
        raise MaterialError(reason, path=material.name, line=line, field="id")
    lines[name] = line


def shared(arms: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Ids that every arm answered, in one order whatever the files' orders."""
    return sorted(set.intersection(*(set(each) for each in arms.values())))


def missing(arms: Mapping[str, Mapping[str, object]]) -> int:
    """How many ids some arm answered and another did not."""
    return len(set().union(*arms.values())) - len(shared(arms))


def same_kinds(arms: Mapping[str, Mapping[str, Answer]], materials: Mapping[str, Material]) -> None:
    """See that all arms mean the same prompts by the same ids.

    Raises:
        MaterialError: two files give one id two kinds, categories or texts.

    """
    known: dict[str, tuple[str, Prompt]] = {}
    for arm, answers in arms.items():
        for name, answer in answers.items():
            first, prompt = known.setdefault(name, (arm, answer.prompt))
            for field in ("kind", "category", "text"):
                ours, theirs = getattr(prompt, field), getattr(answer.prompt, field)
                if ours != theirs and (field != "text" or (ours and theirs and prompt_key(ours) != prompt_key(theirs))):
                    reason = f"{name[:60]!r} has another {field} here than in {materials[first].name}"
                    raise MaterialError(reason, path=materials[arm].name, field="prompt" if field == "text" else field)
