"""Options that several commands of `stillwatch share` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from stillwatch.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST: Final = 1024  # bytes of a token

SHARED: Final = click.option(
    "--store",
    "place",
    metavar="PATH|URL",
    envvar="STILLWATCH_SHARE",
    show_envvar=True,
    default="stillwatch-share.sqlite",
    show_default=True,
    help="What is served: a SQLite file, or postgresql://...",
)
RECEIVED: Final = click.option(
    "--store",
    "place",
    metavar="PATH|URL",
    envvar="STILLWATCH_INTEL",
    show_envvar=True,
    default="stillwatch-intel.sqlite",
    show_default=True,
    help="What was received from others: a SQLite file, or postgresql://...",
)


def token_in(path: Path) -> str:
    """Read the token in a file.

    Raises:
        UsageError: it cannot be read, others can read it, or it holds no token.

    """
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(f"{path}: the token cannot be read: {(error.strerror or str(error)).lower()}") from error
    if mode & 0o077:
        raise UsageError(f"{path}: others can read the token; chmod 600 {path}")
    token = data.decode("latin-1").strip()
    if len(data) > _LONGEST or not token.isascii() or not token.isprintable() or not token or " " in token:
        raise UsageError(f"{path}: holds no token")
    return token
