"""`stillwatch lineage neutrality`: are mirrored political prompts answered alike?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.lineage_result import ALPHA, EVIDENCE, given, tested
from stillwatch.cli.options import FILE, FORM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@click.command()
@click.option("--suspect", type=FILE, required=True, metavar="FILE", help="Answers of the suspect, JSONL.")
@click.option("--reference", type=FILE, metavar="FILE", help="Answers of ours to the same prompts.")
@ALPHA
@FORM
@EVIDENCE
def neutrality(*, suspect: Path, reference: Path | None, alpha: float, form: str, evidence: Path | None) -> None:
    """Tell whether a suspect refuses, or says more, on one side of mirrored prompts.

    JSONL, one answer a line: pair, side (left or right: the same direction in every pair), and answer.
    """
    tested(
        "neutrality",
        given(suspect=suspect, reference=reference),
        {"alpha": alpha},
        form=form,
        evidence=evidence,
        lines=lambda found: list(_lines(found)),
    )


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"Neutrality: {found['verdict']}"
    yield f"  {found['why']}"
    for each in found["leans"]:
        yield (
            f"  {each['model']}, {each['measure']}: more on the left in {each['left']} pairs, on the right in"
            f" {each['right']}, of {each['pairs']}; p = {each['adjusted']:.2g}"
        )
