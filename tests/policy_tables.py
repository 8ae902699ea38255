"""The tables of docs/policy.md that are held against the code."""

from __future__ import annotations

from stillwatch.decisions.facts import DERIVED, FACTS, PLACES, SHARES, STRINGS
from stillwatch.decisions.refusal import SHAPES

KINDS: dict[object, str] = {
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    STRINGS: "list(string)",
    SHARES: "map(string, double)",
}


def facts_table() -> str:
    """All facts: name, type, value where it is not known, meaning."""
    rows = ["| fact | type | not known | meaning |", "|---|---|---|---|"]
    for name, fact in {**FACTS, **DERIVED}.items():
        value = fact.unknown
        shown = {"": '`""`', (): "`[]`"}.get(value) if isinstance(value, str | tuple) else None
        plain = str(value).lower() if isinstance(value, bool) else str(value)
        rows.append(f"| `{name}` | {KINDS[fact.kind]} | {shown or f'`{plain}`'} | {fact.means} |")
    rows += [
        f"| `{above}.NAME` | bool | `false` | of the list of places NAME: {means} |" for above, means in PLACES.items()
    ]
    return "\n".join(rows) + "\n"


def refusals_table() -> str:
    """All reasons: status, message, words of both error bodies."""
    rows = ["| reason | status | message | OpenAI: type, code | Anthropic: type |", "|---|---|---|---|---|"]
    for reason, shape in SHAPES.items():
        openai = f"`{shape.openai_type}`, `{shape.openai_code}`"
        rows.append(f"| `{reason}` | {shape.status} | {shape.message} | {openai} | `{shape.anthropic_type}` |")
    return "\n".join(rows) + "\n"
