"""`stillwatch lineage keygen`: keys of campaigns, from one master secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stillwatch.cli.lineage_options import TOKENIZER
from stillwatch.cli.options import FILE
from stillwatch.cli.output import say
from stillwatch.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("keygen")
@click.argument("campaigns", nargs=-1, required=True, metavar="CAMPAIGN...")
@click.option("--master", type=FILE, required=True, metavar="FILE", help="The master secret; made on first use.")
@click.option(
    "--dye",
    "strength",
    type=click.Choice(["gumbel", "faint", "light", "medium", "strong"]),
    default="gumbel",
    show_default=True,
    help="How answers are dyed, from what alters no probability to what is found soonest.",
)
@click.option("--width", type=click.IntRange(1, 8), help="Tokens of context, where the dye's own number is not wanted.")
@click.option("--gamma", type=click.FloatRange(0.01, 0.99), help="Green share, the same.")
@click.option("--delta", type=click.FloatRange(0, 20, min_open=True), help="Push of green tokens in nats, the same.")
@TOKENIZER
@click.option("-o", "--output", type=FILE, required=True, metavar="FILE", help="File of keys; is added to.")
def keygen(
    *,
    campaigns: tuple[str, ...],
    master: Path,
    strength: str,
    width: int | None,
    gamma: float | None,
    delta: float | None,
    tokenizer: Path | None,
    output: Path,
) -> None:
    """Derive a key for each campaign, and add it to a file of keys.

    The same master secret always gives a campaign the same key, so that only the master needs a backup. Commit to the
    keys before they are used: stillwatch lineage commit.
    """
    from dataclasses import replace

    from stillwatch.lineage.dye import STRENGTHS
    from stillwatch.lineage.key_ring import load_keys, save_keys
    from stillwatch.lineage.keys import derived_key
    from stillwatch.lineage.tokeniser import tokeniser_from
    from stillwatch.report.key_file import load_or_make_key

    usual = STRENGTHS[strength]
    first_use = not master.exists()
    name = "" if tokenizer is None else tokeniser_from(tokenizer).name
    try:
        dye = replace(
            usual,
            width=usual.width if width is None else width,
            gamma=usual.gamma if gamma is None else gamma,
            delta=usual.delta if delta is None else delta,
        )
        secret = load_or_make_key(master)
        made = [derived_key(secret, campaign, dye, name) for campaign in dict.fromkeys(campaigns)]
    except ValueError as error:
        raise UsageError(str(error)) from error
    if first_use:
        say(f"made a new master secret: {master}\nKeep it, and a copy elsewhere: without it no key can be made again.")
    keys = {key.campaign: key for key in load_keys(output)} if output.exists() else {}
    for key in made:
        if keys.setdefault(key.campaign, key) != key:
            raise UsageError(f"{output}: campaign {key.campaign!r} has another key or dye there; name another file")
    save_keys(output, keys.values())
    click.echo(f"Keys:     {output} ({len(keys):,}; {len(made):,} asked for)")
    click.echo(
        f"Dye:      {dye.scheme}, width {dye.width}"
        + (f", gamma {dye.gamma:g}, delta {dye.delta:g}" if dye.delta else "")
    )
    click.echo(f"Next:     stillwatch lineage commit {output}")
