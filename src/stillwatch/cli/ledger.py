"""`stillwatch ledger`: whether the audit trail is what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.ledger_options import FORM, LEDGER, opened, print_json
from stillwatch.errors import ChainError

if TYPE_CHECKING:
    from stillwatch.decisions.audit import Head


class _Head(click.ParamType[str]):
    """The head of a trail: `42:9f21...`."""

    name = "head"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401  the signature is click's
        from stillwatch.decisions.audit import Head

        try:
            return str(Head.parsed(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def ledger() -> None:
    """Look after the ledger that decisions are kept in."""


@ledger.command("verify")
@click.option("--head", type=_Head(), metavar="NUMBER:HASH", help="A head noted earlier, which the trail must hold.")
@LEDGER
@FORM
def verify_ledger(*, head: str | None, place: str, form: str) -> None:
    """Hold the audit trail against its own hashes, and say its head.

    Exits with 3 if it is broken, and names the first broken entry. Note the head elsewhere, where whoever can write
    the ledger cannot: against it, even a trail that was hashed anew or cut off is found out.
    """
    from stillwatch.ledger import decisions_v1

    with opened(place) as opened_ledger:
        verified = opened_ledger.verify(_parsed(head))
        shown = opened_ledger.place
    if verified.broken is not None:
        raise ChainError(f"{shown}: {verified.broken.damage}: {verified.broken.says}")
    if form == "json":
        print_json(decisions_v1.verified(verified.head, place=shown))
        return
    click.echo(f"Ledger:   {shown}")
    click.echo(f"Entries:  {verified.head.number:,}, none altered, missing or out of order")
    click.echo(f"Head:     {verified.head}")
    click.echo(f"Later:    stillwatch ledger verify --head {verified.head}")


def _parsed(head: str | None) -> Head | None:
    from stillwatch.decisions.audit import Head

    return None if head is None else Head.parsed(head)
