"""Options of the commands that read or write the ledger, and the kinds of values that they take."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from stillwatch.decisions.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stillwatch.ledger.ledger import Ledger


class _Subject(click.ParamType[Subject]):
    """A subject: `account:acct-7`."""

    name = "subject"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Subject:  # noqa: ANN401  the signature is click's
        try:
            return Subject.parsed(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Span(click.ParamType[timedelta]):
    """A span of time: `7d`, `12h`, `30m`."""

    name = "span"
    _UNITS: Final[Mapping[str, str]] = {"d": "days", "h": "hours", "m": "minutes"}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401  the signature is click's
        written = re.fullmatch(r"(\d{1,5})([dhm])", str(value).strip().lower())
        if written is None or not int(written[1]):
            self.fail(f"{value!r} is no span of time; write 7d, 12h or 30m", param, ctx)
        return timedelta(**{self._UNITS[written[2]]: int(written[1])})


SUBJECT: Final = _Subject()
SPAN: Final = _Span()
LEDGER: Final = click.option(
    "--ledger",
    "place",
    metavar="PATH|URL",
    envvar="STILLWATCH_LEDGER",
    show_envvar=True,
    default="stillwatch-ledger.sqlite",
    show_default=True,
    help="Where decisions are kept: a SQLite file, or postgresql://...",
)
FORM: Final = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="How the result is printed.",
)
BY: Final = click.option("--by", metavar="NAME", required=True, help="Who does this.")
REASON: Final = click.option("--reason", metavar="TEXT", required=True, help="Why.")
APPROVERS: Final = click.option(
    "--approver", "approvers", metavar="NAME", multiple=True, help="Operator who approves it; as often as there are."
)
STEPS: Final = click.Choice(["observe", "verify", "throttle", "narrow", "dye", "refuse"])


def opened(place: str, *, create: bool = False) -> Ledger:
    """Open the ledger that a command was given, to be used in a `with`."""
    from stillwatch.ledger.ledger import open_ledger

    return open_ledger(ledger_place(place), create=create)


def ledger_place(text: str) -> str | Path:
    """Tell a URL from a path."""
    return text if "://" in text else Path(text)


def print_json(document: bytes) -> None:
    """Print a result to stdout as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document)
    sys.stdout.buffer.flush()
