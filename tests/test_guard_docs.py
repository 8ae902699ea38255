"""docs/guard.md against the code: the example loads, every setting is told with its default, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from tests.documents import ROOT, blocks, documented_fields

from stillwatch.guard.settings import (
    Deployment,
    GuardSettings,
    Identify,
    Known,
    LogTo,
    MetricsAt,
    NetworkFiles,
    Prices,
    SharedState,
    parse_settings,
)

PAGE = ROOT / "docs" / "guard.md"
PARTS: dict[str, Any] = {
    "settings": GuardSettings,
    "identify": Identify,
    "networks": NetworkFiles,
    "deployment": Deployment,
    "state": SharedState,
    "exchange_log": LogTo,
    "metrics": MetricsAt,
    "prices.MODEL": Prices,
    "known": Known,
}


def test_the_example_loads_and_has_every_setting() -> None:
    (example,) = blocks(PAGE, "yaml")
    parse_settings(example, where="example")
    for part in PARTS.values():
        for name in part.__struct_fields__:
            assert re.search(rf"\b{name}:", example), name


def test_every_part_is_documented_and_nothing_else() -> None:
    assert set(documented_fields(PAGE)) == set(PARTS)


@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_setting_is_documented_with_its_default(part: str) -> None:
    said = documented_fields(PAGE)[part]
    fields = {field.name: field for field in msgspec.structs.fields(PARTS[part])}
    assert set(said) == set(fields)
    for name, field in fields.items():
        if field.required:
            assert said[name] == "required", name
            continue
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        shown = "none" if default is None else f"`{msgspec.json.encode(default).decode()}`"
        assert said[name] == (f"`{default}`" if isinstance(default, str) and default else shown), name
