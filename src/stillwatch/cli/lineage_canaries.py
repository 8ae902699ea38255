"""`stillwatch lineage canaries`: deal answers to campaigns by key, and look for them in a suspect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.lineage_result import ALPHA, EVIDENCE, given, tested
from stillwatch.cli.options import FILE, FORM
from stillwatch.cli.output import require_writable, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

DECK = click.option("--deck", type=FILE, required=True, metavar="FILE", help="Canaries, JSONL: id, prompt, choices.")


@click.group()
def canaries() -> None:
    """Answers of which several are as good, dealt to each campaign by its key."""


@canaries.command()
@DECK
@click.option("--key-file", type=FILE, required=True, metavar="FILE", help="Master key; made if it is not there.")
@click.option("--campaign", "campaigns", multiple=True, required=True, metavar="ID", help="Whom to deal to.")
@click.option("--deals", type=FILE, required=True, metavar="FILE", help="Where to write choices and keys; secret.")
def deal(*, deck: Path, key_file: Path, campaigns: Sequence[str], deals: Path) -> None:
    """Deal every campaign one choice of each canary, and print the commitments to publish before using them."""
    from stillwatch.lineage.canaries import deal as dealt
    from stillwatch.lineage.canaries import read_deck, write_deals
    from stillwatch.report.key_file import load_or_make_key
    from stillwatch.report.output_file import write_whole

    require_writable(deals, read=(deck, key_file))
    (material,) = given(deck=deck)
    made = dealt(read_deck(material), material.sha256, load_or_make_key(key_file), campaigns)
    write_whole(deals, write_deals(material.sha256, made), private=True)
    for each in made:
        click.echo(f"{each.campaign}  {each.commitment}")
    say(f"choices are in {deals}: keep it secret; publish the commitments above before the first answer is given")


@canaries.command("test")
@DECK
@click.option("--deals", type=FILE, required=True, metavar="FILE", help="What `deal` wrote.")
@click.option("--suspect", type=FILE, required=True, metavar="FILE", help="Answers, JSONL: id of the canary, answer.")
@ALPHA
@FORM
@EVIDENCE
def test_suspect(*, deck: Path, deals: Path, suspect: Path, alpha: float, form: str, evidence: Path | None) -> None:
    """Test whether a suspect makes a campaign's choices more often than by chance."""
    tested(
        "canaries",
        given(deck=deck, deals=deals, suspect=suspect),
        {"alpha": alpha},
        form=form,
        evidence=evidence,
        lines=lambda found: list(_lines(found)),
    )


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"Canaries: {found['canaries']} told something, {found['silent']} did not"
    for each in found["agreements"]:
        yield (
            f"  {each['campaign']}: {each['agreements']} agree, {each['expected']:.1f} expected;"
            f" p = {each['adjusted']:.2g} over all campaigns, e = {each['e_value']:.3g}"
        )
    yield f"  a fifth of a campaign's canaries would have been found with probability {found['power']:.2f}"
    if found["power"] < 0.8:
        yield f"  for a probability of 0.8 it takes {found['needed']} canaries"
