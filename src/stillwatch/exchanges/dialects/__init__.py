"""One file a log format; each maps its own fields onto `exchange/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.errors import UsageError
from stillwatch.exchanges.dialects.anthropic import ANTHROPIC
from stillwatch.exchanges.dialects.envoy import ENVOY
from stillwatch.exchanges.dialects.exchange_v1 import EXCHANGE_V1
from stillwatch.exchanges.dialects.litellm import LITELLM
from stillwatch.exchanges.dialects.openai import OPENAI
from stillwatch.exchanges.dialects.opentelemetry import OPENTELEMETRY
from stillwatch.exchanges.dialects.vllm import VLLM
from stillwatch.exchanges.schema import EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stillwatch.exchanges.dialects.dialect import Dialect, Row

DIALECTS: Final[tuple[Dialect, ...]] = (EXCHANGE_V1, OPENTELEMETRY, LITELLM, ANTHROPIC, OPENAI, VLLM, ENVOY)
_TELLING: Final = 3  # so many columns of exchange/1 make a row one of it, though a required one is missing


def dialect_named(name: str) -> Dialect:
    """Return the dialect of this name.

    Raises:
        UsageError: there is none.

    """
    for dialect in DIALECTS:
        if dialect.name == name:
            return dialect
    raise UsageError(f"no dialect {name!r}; there are {', '.join(d.name for d in DIALECTS)}")


def recognised(rows: Iterable[Row]) -> Dialect | None:
    """Return the dialect of the first row that any dialect knows as its own."""
    kept = list(rows)
    for row in kept:
        for dialect in DIALECTS:
            if dialect.recognises(row):
                return dialect
    for row in kept:
        if sum(name in row for name in EXCHANGE.names) >= _TELLING:
            return EXCHANGE_V1
    return None
