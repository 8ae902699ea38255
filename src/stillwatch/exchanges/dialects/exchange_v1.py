"""stillwatch's own log format, `exchange/1`: the columns of `schema.py` by their own names. Pure.

Every column may be absent but `time` and `account`; columns of other names are ignored. `answer` is made from
`response` and `request_id` from the row by the reader, for every dialect alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stillwatch.exchanges.dialects.dialect import Dialect, Exchange, Row
from stillwatch.exchanges.schema import EXCHANGE, REQUIRED, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLUMNS: Final = frozenset(EXCHANGE.names)


def _recognises(row: Row) -> bool:
    return all(name in row for name in REQUIRED)


def _convert(row: Row) -> Iterator[Exchange]:
    yield {name: value for name, value in row.items() if name in _COLUMNS}


EXCHANGE_V1: Final = Dialect(VERSION, {name: f"`{name}`" for name in EXCHANGE.names}, _recognises, _convert)
