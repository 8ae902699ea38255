"""`stillwatch lineage behaviour`: does a suspect answer as ours does, more than other models do?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.lineage_result import ALPHA, EVIDENCE, given, several, tested
from stillwatch.cli.options import FILE, FORM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@click.command()
@click.option("--suspect", type=FILE, required=True, metavar="FILE", help="Answers of the suspect, JSONL.")
@click.option("--reference", type=FILE, required=True, metavar="FILE", help="Answers of ours to the same prompts.")
@click.option(
    "--control",
    "controls",
    type=FILE,
    multiple=True,
    required=True,
    metavar="FILE",
    help="Of another model of its kind.",
)
@ALPHA
@FORM
@EVIDENCE
def behaviour(
    *, suspect: Path, reference: Path, controls: Sequence[Path], alpha: float, form: str, evidence: Path | None
) -> None:
    """Tell whether a suspect is nearer to ours than controls are: models like it that did not learn from ours.

    JSONL, one answer a line: id or prompt, and answer. At least 5 controls and 100 prompts, or it cannot tell.
    """
    tested(
        "behaviour",
        [*given(suspect=suspect, reference=reference), *several("control", controls)],
        {"alpha": alpha},
        form=form,
        evidence=evidence,
        lines=lambda found: list(_lines(found)),
    )


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"Behaviour: {found['verdict']}"
    yield f"  {found['why']}"
    yield f"  suspect: likeness to ours {found['similarity']['suspect']:.3f}, on {found['prompts']} prompts"
    for each in found["controls"]:
        yield (
            f"  {each['control']}: {found['similarity'][each['control']]:.3f}; suspect nearer on {each['nearer']},"
            f" farther on {each['farther']}; p = {each['adjusted']:.2g}"
        )
    yield f"  by luck of the controls: p = {found['p_controls']:.2g}, e = {found['e_value']:.3g}"
