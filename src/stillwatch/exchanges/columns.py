"""Loosely typed columns made into exactly typed ones: text to numbers, any clock to UTC microseconds. Pure.

Logs say the same thing in many types: a time as RFC 3339 text or as an epoch in four units, a number as text, a flag
as 0 and 1. `typed` turns a whole column at once where it can, and looks at values one by one only in a column where
some value resists. What cannot be read is named by row and reason; nothing is guessed.

Rules, the same for every format:

- empty text, NaN and null are null;
- bytes that are no UTF-8 become U+FFFD;
- an epoch's unit follows from its size: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else
  nanoseconds (so 1973 to 5138 reads rightly in every unit);
- a time without a zone is UTC; parts of a microsecond are cut off;
- a whole number may be written as 3, 3.0 or "3"; a flag as true, 1, "true" or "1".
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MICROSECONDS = pa.timestamp("us", tz="UTC")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = 253_402_300_799_999_999  # the last microsecond of the year 9999, the end of RFC 3339
_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW = 10**11, 10**14, 10**17
_INT64_MAX: Final = 2**63 - 1
_LARGEST: Final = sys.float_info.max
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE: Final = re.compile(r"[+-]?\d{1,19}")
_TRUE: Final = frozenset({"true", "1", "yes", "t"})
_FALSE: Final = frozenset({"false", "0", "no", "f"})

MISSING: Final = "missing"
NO_TEXT, NO_WHOLE, NO_NUMBER, NO_FLAG, NO_TIME = (
    "not text",
    "not a whole number",
    "not a number",
    "neither true nor false",
    "not a time",
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A column of exactly one type, and the rows whose value could not be read (null in `values`) with the reason."""

    values: pa.Array
    unreadable: Mapping[int, str]


def typed(values: pa.Array | pa.ChunkedArray | list[object], to: pa.DataType) -> Typed:
    """Return a column of any type made into text, int64, float64, bool or UTC microseconds.

    Args:
        values: an Arrow column, or plain Python values of mixed types.
        to: `string`, `int64`, `float64`, `bool` or `timestamp[us, UTC]`.

    """
    if isinstance(values, list):
        try:
            array = pa.array(values)
        except (pa.ArrowException, ValueError, OverflowError, TypeError, UnicodeError):  # mixed types, lone surrogates
            return _one_by_one(values, to)
    else:
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        return Typed(pa.nulls(len(array), to), {})
    return _WHOLE_COLUMN[to](array)


def no_empty_text(array: pa.Array) -> pa.Array:
    """Return the same strings with empty ones null; text and offsets are shared, not copied."""
    length = len(array)
    if not length:
        return array
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, dtype=np.int32, count=length + 1, offset=4 * array.offset)
    filled = starts[1:] != starts[:-1]
    if filled.all():
        return array
    if array.null_count:
        filled &= array.is_valid().to_numpy(zero_copy_only=False)
    bits = pa.py_buffer(np.packbits(filled, bitorder="little"))
    return pa.Array.from_buffers(
        pa.string(), length, [bits, pa.py_buffer(starts), data], null_count=length - int(np.count_nonzero(filled))
    )


# ---- whole columns ----------------------------------------------------------------------------------------------


def _text_column(array: pa.Array) -> Typed:
    kind = array.type
    if pa.types.is_integer(kind):
        return Typed(array.cast(pa.string()), {})
    if pa.types.is_string(kind):
        text = array
    elif pa.types.is_large_string(kind) or kind == pa.string_view():
        text = array.cast(pa.string())
    elif _is_binary(kind):
        raw = array.cast(pa.binary())
        text = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers(), offset=raw.offset)
    else:
        return _one_by_one(array.to_pylist(), pa.string())
    try:
        text.validate(full=True)  # readers hand text over unchecked
    except pa.ArrowInvalid:
        raw = pa.Array.from_buffers(pa.binary(), len(text), text.buffers(), offset=text.offset)
        text = pa.array([None if v is None else v.decode("utf-8", "replace") for v in raw.to_pylist()], pa.string())
    return Typed(no_empty_text(text), {})


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or kind == pa.binary_view()
    )


def _whole_column(array: pa.Array) -> Typed:
    kind = array.type
    if pa.types.is_floating(kind):
        array = _no_nan(array)
    elif _is_texty(kind):
        array = _text_column(array).values
    elif not (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return _one_by_one(array.to_pylist(), pa.int64())
    try:
        return Typed(array.cast(pa.int64()), {})  # safe: refuses fractions and overflow
    except pa.ArrowInvalid:
        return _one_by_one(array.to_pylist(), pa.int64())


def _number_column(array: pa.Array) -> Typed:
    kind = array.type
    if _is_texty(kind):
        array = _text_column(array).values
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return _one_by_one(array.to_pylist(), pa.float64())
    try:
        numbers = _no_nan(array.cast(pa.float64(), safe=False))
    except pa.ArrowInvalid:
        return _one_by_one(array.to_pylist(), pa.float64())
    if pc.any(pc.is_inf(numbers)).as_py():
        return _one_by_one(numbers.to_pylist(), pa.float64())
    return Typed(numbers, {})


def _flag_column(array: pa.Array) -> Typed:
    if pa.types.is_boolean(array.type):
        return Typed(array, {})
    if pa.types.is_string(array.type):
        text = _text_column(array).values
        try:
            return Typed(text.cast(pa.bool_()), {})
        except pa.ArrowInvalid:
            return _one_by_one(text.to_pylist(), pa.bool_())
    return _one_by_one(array.to_pylist(), pa.bool_())


def _time_column(array: pa.Array) -> Typed:
    kind = array.type
    try:
        if pa.types.is_date(kind):
            array = array.cast(pa.timestamp("ms"))
        if pa.types.is_timestamp(array.type):
            return _clock_column(array)
        if pa.types.is_integer(kind):
            return _epoch_column(array.cast(pa.int64()))
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return _epoch_column(_no_nan(array.cast(pa.float64(), safe=False)))
        if _is_texty(kind):
            array = _text_column(array).values
            return _time_texts(array)
    except pa.ArrowInvalid:  # nanoseconds, forms that differ from row to row, past 2^63, or no time at all
        pass
    return _one_by_one(array.to_pylist(), MICROSECONDS)


def _time_texts(array: pa.Array) -> Typed:
    """Texts that are all written alike: with a zone, without one, or as an epoch.

    Raises:
        pyarrow.ArrowInvalid: they are not.

    """
    if pc.all(pc.utf8_is_digit(array)).as_py():
        return _epoch_column(array.cast(pa.int64()))
    try:
        ticks = array.cast(MICROSECONDS)
    except pa.ArrowInvalid:
        ticks = array.cast(pa.timestamp("us"))
    return _within_years(ticks.cast(pa.int64()))


def _clock_column(array: pa.Array) -> Typed:
    """Timestamps of any unit; without a zone they are UTC."""
    ticks = array.cast(pa.int64()) if array.type.tz is None else array.cast(pa.timestamp(array.type.unit)).cast("int64")
    factor = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[array.type.unit]
    if array.type.unit == "ns":
        return _within_years(pc.divide(ticks, 1_000))
    low, high = -_LATEST // factor, _LATEST // factor
    inside = pc.and_(pc.greater_equal(ticks, low), pc.less_equal(ticks, high))
    if pc.all(inside).as_py() is False:
        ticks = pc.if_else(inside, ticks, -1)  # refused below, as every time before 1970 is
    return _within_years(ticks if factor == 1 else pc.multiply(ticks, factor))


def _epoch_column(array: pa.Array) -> Typed:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, each value by its own size."""
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    value = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
    whole = value.dtype.kind == "i"
    value = np.where(value > 0, value, 0) if whole else np.where(np.isfinite(value) & (value > 0), value, 0.0)
    seconds, millis, micros = (value < b for b in (_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW))
    if whole:
        scale = np.where(seconds, 1_000_000, np.where(millis, 1_000, 1))
        ticks = np.where(micros, np.where(micros, value, 0) * scale, value // 1_000)
    else:
        ticks = np.rint(value * np.where(seconds, 1e6, np.where(millis, 1e3, np.where(micros, 1.0, 1e-3))))
        ticks = np.where(ticks > _LATEST, 0, ticks).astype(np.int64)
    return _within_years(pa.array(ticks, pa.int64(), mask=~valid))


def _within_years(ticks: pa.Array) -> Typed:
    """Microseconds as UTC timestamps; 1970-01-01T00:00:00 and before, and past the year 9999, are no times."""
    inside = pc.and_(pc.greater(ticks, 0), pc.less_equal(ticks, _LATEST))
    if pc.all(inside).as_py() is not False:  # nulls are skipped; no row at all gives null or true
        return Typed(ticks.cast(pa.timestamp("us")).cast(MICROSECONDS), {})
    outside = np.flatnonzero(~pc.fill_null(inside, True).to_numpy(zero_copy_only=False))
    kept = pc.if_else(inside, ticks, pa.scalar(None, pa.int64()))
    return Typed(kept.cast(pa.timestamp("us")).cast(MICROSECONDS), {int(i): NO_TIME for i in outside})


def _no_nan(array: pa.Array) -> pa.Array:
    nan = pc.is_nan(array)
    return pc.if_else(nan, pa.scalar(None, array.type), array) if pc.any(nan).as_py() else array


def _is_texty(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view() or _is_binary(kind)
    )


# ---- one value --------------------------------------------------------------------------------------------------


def text_of(value: object) -> str | None:
    """Text as it is; numbers that name something (an account 4711) in digits.

    Raises:
        ValueError: with the reason, for anything else.

    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value) if not value.isascii() else value or None
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(_whole(value, NO_TEXT))
    raise ValueError(NO_TEXT)


def whole_of(value: object) -> int | None:
    """Return a whole number that fits into 64 bits.

    Raises:
        ValueError: with the reason.

    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return None
        if _WHOLE.fullmatch(value):
            value = int(value)
        elif _NUMBER.fullmatch(value):
            value = float(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = _whole(value, NO_WHOLE)
        if -_INT64_MAX <= number <= _INT64_MAX:
            return number
    raise ValueError(NO_WHOLE)


def number_of(value: object) -> float | None:
    """Return a finite number.

    Raises:
        ValueError: with the reason.

    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        value = value.strip()
        if not value or value.lower() == "nan":
            return None
        value = float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if math.isnan(value):
            return None
        if -_LARGEST <= value <= _LARGEST:
            return float(value)
    raise ValueError(NO_NUMBER)


def flag_of(value: object) -> bool | None:
    """Return true or false, also as 1 and 0, "true" and "false".

    Raises:
        ValueError: with the reason.

    """
    if isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and math.isnan(value):
        return None
    word = str(int(value)) if isinstance(value, int | float) and value in (0, 1) else value
    if isinstance(word, str):
        word = word.strip().lower()
        if not word:
            return None
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise ValueError(NO_FLAG)


def time_of(value: object) -> int | None:
    """Microseconds since 1970, UTC, from RFC 3339 text, an epoch in any unit, a date or a datetime.

    Raises:
        ValueError: with the reason.

    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        value = _from_text(text)
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        ticks = (moment - _EPOCH) // timedelta(microseconds=1)
    elif isinstance(value, date):
        ticks = (datetime(value.year, value.month, value.day, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if math.isnan(value):
            return None
        ticks = _from_epoch(value)
    else:
        ticks = 0
    if 0 < ticks <= _LATEST:
        return ticks
    raise ValueError(NO_TIME)


def _from_text(text: str) -> datetime | int | float:
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    upper = text.upper().removesuffix("UTC").removesuffix("GMT").rstrip()
    try:
        try:
            return datetime.fromisoformat(upper)
        except ValueError:
            if ":60" not in upper:  # RFC 3339 section 5.6 allows a leap second; Python does not
                raise
            return datetime.fromisoformat(upper.replace(":60", ":59", 1)) + timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise ValueError(NO_TIME) from None


def _from_epoch(value: float | Decimal) -> int:
    if not math.isfinite(value) or value <= 0:
        raise ValueError(NO_TIME)
    if value < _SECONDS_BELOW:
        return round(value * 1_000_000)
    if value < _MILLISECONDS_BELOW:
        return round(value * 1_000)
    return int(value) if value < _MICROSECONDS_BELOW else int(value) // 1_000


def _whole(value: float | Decimal, reason: str) -> int:
    if not isinstance(value, int) and (not math.isfinite(value) or value != int(value)):
        raise ValueError(reason)
    return int(value)


def _one_by_one(values: list[object], to: pa.DataType) -> Typed:
    read = _ONE_VALUE[to]
    kept: list[object] = []
    unreadable: dict[int, str] = {}
    for row, value in enumerate(values):
        if value is None:
            kept.append(None)
            continue
        try:
            kept.append(read(value))
        except ValueError as error:
            kept.append(None)
            unreadable[row] = str(error)
    if to == MICROSECONDS:
        return Typed(pa.array(kept, pa.int64()).cast(pa.timestamp("us")).cast(MICROSECONDS), unreadable)
    return Typed(pa.array(kept, to), unreadable)


_WHOLE_COLUMN: Final[Mapping[pa.DataType, Callable[[pa.Array], Typed]]] = {
    pa.string(): _text_column,
    pa.int64(): _whole_column,
    pa.float64(): _number_column,
    pa.bool_(): _flag_column,
    MICROSECONDS: _time_column,
}
_ONE_VALUE: Final[Mapping[pa.DataType, Callable[[object], object]]] = {
    pa.string(): text_of,
    pa.int64(): whole_of,
    pa.float64(): number_of,
    pa.bool_(): flag_of,
    MICROSECONDS: time_of,
}
