"""`stillwatch lineage verdict`: several tests, one verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.lineage_result import ALPHA, EVIDENCE, several, tested
from stillwatch.cli.options import FILE, FORM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@click.command()
@click.argument("results", type=FILE, nargs=-1, required=True, metavar="RESULT...")
@ALPHA
@FORM
@EVIDENCE
def verdict(*, results: Sequence[Path], alpha: float, form: str, evidence: Path | None) -> None:
    """Combine results of tests into one verdict: `distilled`, `no evidence` or `cannot tell`.

    RESULT is what `lineage test`, `canaries test` or `behaviour` printed with -o json.
    """
    tested(
        "verdict",
        several("result", results),
        {"alpha": alpha},
        form=form,
        evidence=evidence,
        lines=lambda found: list(_lines(found)),
    )


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"Verdict: {found['verdict']}" + (f" (campaigns: {', '.join(found['named'])})" if found["named"] else "")
    yield f"  evidence {found['e_value']:.3g}, needed {found['threshold']:.3g}"
    yield from (f"  {why}" for why in found["why"])
    yield from (f"  needed: {what}" for what in found["needed"])
    for each in found["strands"]:
        p_value = "" if each["p_value"] is None else f", p = {each['p_value']:.2g}"
        evidence = "" if each["e_value"] is None else f", e = {each['e_value']:.3g}"
        yield f"  {' '.join([each['test'], each['campaign']]).strip()}{p_value}{evidence}"
