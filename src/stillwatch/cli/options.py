"""Arguments and options that several commands share, and the kinds of values that they take."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from stillwatch.errors import UsageError
from stillwatch.exchanges.source import LogSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Time(click.ParamType[datetime]):
    """A time: RFC 3339, or a day; without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401  the signature is click's
        try:
            parsed = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-07-01 or 2026-07-01T12:00:00Z", param, ctx)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


class _Memory(click.ParamType[int]):
    """An amount of memory: `2GB`, `512MiB`, or bytes."""

    name = "size"
    _UNITS: Final[Mapping[str, int]] = {
        **dict.fromkeys(("", "b"), 1),
        **{unit: 1000**power for power, unit in enumerate(("kb", "mb", "gb", "tb"), start=1)},
        **{unit: 1024**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), start=1)},
    }

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401  the signature is click's
        written = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value).lower())
        if written is None or written[2] not in self._UNITS:
            self.fail(f"{value!r} is no amount of memory; write 2GB or 512MiB", param, ctx)
        size = int(float(written[1]) * self._UNITS[written[2]])
        if size < 1:
            self.fail("no memory at all is too little", param, ctx)
        return size


FILE: Final = click.Path(path_type=Path)
QUIET: Final = click.option("-q", "--quiet", is_flag=True, help="No progress, no notes, no second copy of the report.")
FORM: Final = click.option(
    "-o",
    "--output",
    "--format",
    "form",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="How the result is printed.",
)
KEY_FILE: Final = click.option("--key-file", type=FILE, metavar="FILE", help="Key of the marks; made on first use.")

_READING: Final = (
    click.argument("logs", nargs=-1, required=True, metavar="LOGS..."),
    click.option("--accounts", type=FILE, metavar="FILE", help="Table of accounts: sign-up, payment, tier."),
    click.option("--dialect", metavar="NAME", help="How the logs are written; recognised if not given."),
    click.option("--since", type=_Time(), metavar="TIME", help="Leave out what is earlier than this."),
    click.option("--until", type=_Time(), metavar="TIME", help="Leave out this moment and what is later."),
    click.option("--strict", is_flag=True, help="Stop at the first row that cannot be read."),
    click.option("--rejects", type=FILE, metavar="FILE", help="Write the rows that cannot be read here."),
    click.option("--limit-memory", type=_Memory(), metavar="SIZE", help="Use the disk beyond this, e.g. 2GB."),
)


def reads_logs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments of reading logs; it gets `source`, `accounts` and `limit_memory`."""

    @functools.wraps(command)
    def gathered(
        *,
        logs: tuple[str, ...],
        dialect: str | None,
        since: datetime | None,
        until: datetime | None,
        strict: bool,
        rejects: Path | None,
        **others: object,
    ) -> None:
        if since is not None and until is not None and since >= until:
            raise UsageError(
                f"--since {since.isoformat()} is not before --until {until.isoformat()}: nothing lies between"
            )
        command(source=LogSource(logs, dialect, since, until, strict, rejects), **others)

    for option in reversed(_READING):
        gathered = option(gathered)
    return gathered
