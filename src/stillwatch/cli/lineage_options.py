"""Options that the commands of `stillwatch lineage` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from stillwatch.cli.options import FILE

if TYPE_CHECKING:
    from stillwatch.decisions.audit import Head


class _Head(click.ParamType[Any]):
    """The head of a chain: `42:9f21...`."""

    name = "head"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Head:  # noqa: ANN401  the signature is click's
        from stillwatch.decisions.audit import Head

        try:
            return Head.parsed(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


COMMITMENTS: Final = click.option(
    "--commitments",
    type=FILE,
    metavar="FILE",
    default="stillwatch-commitments.jsonl",
    show_default=True,
    help="Where keys were committed to.",
)
HEAD: Final = click.option(
    "--head", type=_Head(), metavar="NUMBER:HASH", help="A head of the commitments noted earlier, which they must hold."
)
TOKENIZER: Final = click.option(
    "--tokenizer", type=FILE, metavar="FILE", help="tokenizer.json of the model that dyes; words if not given."
)
