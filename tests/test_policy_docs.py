"""docs/policy.md against the code: every example loads, every field and fact is told, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from tests.documents import ROOT, Shell, blocks, documented_fields
from tests.policies import policy
from tests.policy_tables import facts_table, refusals_table

from stillwatch.decisions.action import Action, Instruct, RefuseWith, Serve
from stillwatch.decisions.limit import AMOUNT_FACT, ITEMS_FACT, SUBJECT_FACT, Limit
from stillwatch.decisions.openness import AtMost, Bias, Openness, Summary
from stillwatch.decisions.policy import Decide, PlaceList, PolicyDocument, Steps, parse_policy
from stillwatch.decisions.rule import Rule
from stillwatch.decisions.sentences import of_rule

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "policy.md"
EXAMPLES = blocks(PAGE, "yaml")
PARTS: dict[str, Any] = {
    "policy": PolicyDocument,
    "decide": Decide,
    "places.NAME": PlaceList,
    "steps": Steps,
    "rules[]": Rule,
    "then": Action,
    "then.refuse": RefuseWith,
    "then.limit": Limit,
    "then.openness": Openness,
    "then.openness.PARAMETER": AtMost,
    "then.openness.logit_bias": Bias,
    "then.openness.reasoning": Summary,
    "then.serve": Serve,
    "then.instruct": Instruct,
}


def between(name: str) -> str:
    found = re.search(
        rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    return found[1]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_loads_and_can_be_said(example: str) -> None:
    content = yaml.safe_load(example)
    loaded = parse_policy(example, where="example") if "schema" in content else policy(**content)
    assert all(of_rule(rule).endswith(".") for rule in loaded.document.rules)


def test_every_part_is_documented_and_nothing_else() -> None:
    assert set(documented_fields(PAGE)) == set(PARTS)


@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_field_is_documented_with_its_default_and_has_an_example(part: str) -> None:
    said = documented_fields(PAGE)[part]
    fields = {field.name: field for field in msgspec.structs.fields(PARTS[part])}
    if part == "then.refuse":
        said = {name: default for name, default in said.items() if name in fields}
    assert list(said) == list(fields)
    for name, field in fields.items():
        assert any(re.search(rf"\b{name}:", example) for example in EXAMPLES), name
        if field.required:
            assert said[name] == "required"
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            shown = "none" if default is None else f"`{msgspec.json.encode(default).decode()}`"
            assert said[name] == (f"`{default}`" if isinstance(default, str) and default else shown)


def test_every_fact_is_documented_as_it_is() -> None:
    assert between("facts") == facts_table()


def test_every_reason_is_documented_as_it_is() -> None:
    assert between("refusals") == refusals_table()


def test_every_measure_and_subject_is_documented() -> None:
    rows = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(("| `of` |", "| `per` |"))
    ]
    for name in (*AMOUNT_FACT, *ITEMS_FACT, "requests", *SUBJECT_FACT, "global"):
        assert any(f"`{name}`" in row for row in rows), name


def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    printed = Shell(tmp_path).run(blocks(PAGE, "sh")[0])
    assert "Rules (30)" in printed
    assert "strip logprobs of the request" in printed
