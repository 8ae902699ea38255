"""What a dialect is: how a log format is known, and how its rows become exchanges. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from stillwatch.errors import LogError

Row = Mapping[str, object]
Exchange = dict[str, object]

_NOTHING: Final[Row] = {}


def _some_hope(head: Sequence[Row]) -> str | None:
    del head
    return None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One log format.

    Attributes:
        name: as given to `--dialect`.
        fields: for each column of `exchange/1` that it fills, the field or fields it comes from, first choice first.
        recognises: whether a row looks like one of its own.
        convert: the exchanges that a row tells of, as loosely typed columns of `exchange/1`; a row may tell of none
            or of many. Raises LogError, naming the field, where a row cannot be understood.
        pieces: one exchange may be spread over several rows, which bear the same `request_id` and stand near each
            other; the reader puts them together.
        hopeless: why no row of a file that begins with such rows could ever be an exchange, and what to do about it;
            None where some could. Said once, it spares a million rejected rows.

    """

    name: str
    fields: Mapping[str, str]
    recognises: Callable[[Row], bool]
    convert: Callable[[Row], Iterator[Exchange]]
    pieces: bool = False
    hopeless: Callable[[Sequence[Row]], str | None] = _some_hope


def unreadable(field: str | None, reason: str) -> LogError:
    """Return the error of a row; the reader adds the file and the line."""
    return LogError(reason, path="", field=field)


# ---- reading loosely typed rows ---------------------------------------------------------------------------------


def mapping(value: object) -> Row:
    """Return an object, also one written as JSON text or given as pairs by Parquet; nothing for anything else."""
    if isinstance(value, dict):  # as nearly always
        return value
    value = _parsed(value, "{")
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and value and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return dict(value)
    return _NOTHING


def sequence(value: object) -> list[object]:
    """Return a list as it is, or one written as JSON text; nothing for anything else."""
    if isinstance(value, list):
        return value
    value = _parsed(value, "[")
    return value if isinstance(value, list) else []


def first(row: Row, *names: str) -> object:
    """Return the first of these fields that says something; dotted names are tried as they stand, then step by step."""
    for name in names:
        value = row.get(name)
        if value is None and "." in name:
            value = _stepped(row, name)
        if value is not None and value != "":
            return value
    return None


def _stepped(row: Row, name: str) -> object:
    outer, _, inner = name.partition(".")
    value = row.get(outer)
    if value is None:  # as nearly always
        return None
    for part in inner.split("."):
        value = mapping(value).get(part)
    return value


def count(value: object) -> object:
    """How many there are: the length of a list or an object; a number stands for itself."""
    value = _parsed(value, "[{")
    return len(value) if isinstance(value, list | Mapping) else value


def known(fields: Iterable[tuple[str, object]]) -> Exchange:
    """Return the columns that have a value."""
    return {name: value for name, value in fields if value is not None and value != ""}


_OPERATIONS: Final = {
    "chat": ("chat", "completion", "acompletion", "chat.completion", "chat.completions", "chat_completions",
             "responses", "aresponses", "response", "messages", "message", "anthropic_messages", "generate_content",
             "agenerate_content"),
    "completion": ("text_completion", "atext_completion", "completions"),
    "embeddings": ("embedding", "embeddings", "aembedding", "embed"),
    "fine-tune": ("fine_tuning", "fine_tuning.jobs", "fine-tune", "acreate_fine_tuning_job",
                  "create_fine_tuning_job"),
}  # fmt: skip
_OPERATION_OF: Final = {word: operation for operation, words in _OPERATIONS.items() for word in words}


def operation(name: object) -> object:
    """`chat`, `completion`, `embeddings` or `fine-tune` for the words that formats use; other words stay."""
    return _OPERATION_OF.get(name.lower(), name) if isinstance(name, str) else name


def operation_of_path(path: object) -> str | None:
    """Return the operation that an HTTP path asks for, e.g. `chat` for `/v1/chat/completions`; None for other paths."""
    if not isinstance(path, str):
        return None
    bare = path.partition("?")[0].rstrip("/")
    for ending, name in _PATHS:
        if bare.endswith(ending):
            return name
    return "fine-tune" if "/fine_tuning/jobs" in bare else None


_PATHS: Final = (
    ("/chat/completions", "chat"),
    ("/responses", "chat"),
    ("/messages", "chat"),
    (":generateContent", "chat"),
    (":streamGenerateContent", "chat"),
    ("/completions", "completion"),
    ("/complete", "completion"),
    ("/embeddings", "embeddings"),
    (":embedContent", "embeddings"),
    ("/fine_tuning/jobs", "fine-tune"),
)


def _parsed(value: object, openings: str) -> object:
    """JSON text that opens as expected, parsed; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in tuple(openings):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value
