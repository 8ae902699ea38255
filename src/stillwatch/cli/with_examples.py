"""The option `--with-examples [N]`, whose number may be left out."""

from __future__ import annotations

from typing import Final

import click

EXAMPLES: Final = 3
_NAME: Final = "--with-examples"

WITH_EXAMPLES: Final = click.option(
    _NAME,
    type=click.IntRange(min=1),
    metavar="[N]",
    help=f"Show up to N (if not given, {EXAMPLES}) prompts of each cohort, from the logs.",
)


class TakesExamples(click.Command):
    """A command with this option; what follows it is its number only if it is written as one, else an argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the usual number where there is none."""
        end = args.index("--") if "--" in args else len(args)
        written = [
            f"{_NAME}={EXAMPLES}" if word == _NAME and not _number(args[place + 1 : end]) else word
            for place, word in enumerate(args[:end])
        ]
        return super().parse_args(ctx, written + args[end:])


def _number(following: list[str]) -> bool:
    return bool(following) and following[0].isascii() and following[0].isdigit()
