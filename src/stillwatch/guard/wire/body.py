"""Bodies: JSON that is read in one way only, and written again without loss. Pure.

What upstream would read must be what was read here. So whatever JSON readers differ on is refused: a name that stands
twice in the body (RFC 8259 section 4), a byte order mark or another encoding than UTF-8 (section 8.1), NaN and
infinities, lone surrogates, names that differ from a known one in case only (Go's `encoding/json` takes those).

Values that are not edited go on byte for byte.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import Raw

from stillwatch.errors import RequestError

_decode = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode
_WORD = 64  # bits that whole numbers have at most where they are written directly


def decode(content: bytes) -> Any:  # noqa: ANN401 - JSON may be anything
    """Read JSON; a number that no double holds stays as it is written.

    Raises:
        ValueError: it is no JSON, not in UTF-8, or nested too deep.

    """
    try:
        return _decode(content)
    except msgspec.ValidationError:  # a number that is out of range
        return _decode_exactly(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _decode_exactly(content: bytes) -> Any:  # noqa: ANN401
    try:
        return msgspec.json.Decoder(float_hook=_number).decode(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _number(written: str) -> float | Raw:
    number = float(written)
    return number if number - number == 0 else Raw(written.encode())  # infinite where it is out of range


def encode(value: object) -> bytes:
    """Write JSON, whole numbers of any length too."""
    try:
        return _encode(value)
    except OverflowError:
        return _encode(_long_numbers_written(value))


def _long_numbers_written(value: object) -> object:
    if isinstance(value, int) and value.bit_length() >= _WORD:
        return Raw(str(value).encode())
    if isinstance(value, list):
        return [_long_numbers_written(item) for item in value]
    if isinstance(value, dict):
        return {name: _long_numbers_written(item) for name, item in value.items()}
    return value


def read_body(content: bytes) -> dict[str, Any]:
    """Read a request's body.

    Raises:
        RequestError: it is no JSON object, or could be read in two ways.

    """
    try:
        body = decode(content)
        if not isinstance(body, dict):
            raise RequestError("the body must be a JSON object")
        members = _decode_members(content)
    except (ValueError, RecursionError) as error:  # msgspec's and Unicode's errors are ValueErrors
        raise RequestError(f"the body is no JSON that can be read: {error}") from error
    least = len(_encode(members))
    if len(content) != least and not _spaced_once(content, members, least):
        _refuse_doubled(content, members)
    return cast("dict[str, Any]", body)


def with_changes(content: bytes, changes: dict[str, object], *, absent: object) -> bytes:
    """Write a body with some members changed, or left out where they are `absent`; the others stay byte for byte."""
    members: dict[str, object] = dict(_decode_members(content))
    for name, value in changes.items():
        if value is absent:
            members.pop(name, None)
        else:
            members[name] = value
    return encode(members)


def _spaced_once(content: bytes, members: dict[str, Raw], least: int) -> bool:
    """Whether it is written as Python's `json` does, with a space after each comma and colon, and nothing besides."""
    if len(content) != least + 2 * len(members) - 1:
        return False
    return content == b"{%b}" % b", ".join([b"%b: %b" % (_encode(name), value) for name, value in members.items()])


def _refuse_doubled(content: bytes, members: dict[str, Raw]) -> None:
    """Walk over the members of an object that is known to be valid.

    Raises:
        RequestError: one of them stands there twice.

    """
    seen: set[str] = set()
    at = _skip(content, content.index(b"{") + 1)
    while content[at : at + 1] != b"}":
        end = _end_of_text(content, at)
        name = _decode_text(content[at:end])
        at = _skip(content, content.index(b":", end) + 1)
        value = bytes(members[name])
        after = _skip(content, at + len(value))
        if name in seen or not content.startswith(value, at) or content[after : after + 1] not in (b",", b"}"):
            raise RequestError("it stands in the body twice", parameter=name)
        seen.add(name)
        at = after if content[after : after + 1] == b"}" else _skip(content, after + 1)


def _skip(content: bytes, at: int) -> int:
    while content[at : at + 1] in (b" ", b"\t", b"\r", b"\n"):
        at += 1
    return at


def _end_of_text(content: bytes, at: int) -> int:
    end = at + 1
    while True:
        end = content.index(b'"', end) + 1
        escapes = end - 2
        while content[escapes] == 0x5C:  # a backslash
            escapes -= 1
        if (end - 2 - escapes) % 2 == 0:
            return end
