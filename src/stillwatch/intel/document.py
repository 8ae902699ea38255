"""Reading many STIX objects out of one document, within bounds: bundles, envelopes of TAXII. Touches a file if told.

A document is first cut into its objects without building any of them, so that one that is too deep, too large or broken
costs a look at its bytes and nothing more. Objects are then built one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stillwatch.errors import BundleError
from stillwatch.intel.shape import Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST: Final = 200_000_000  # bytes of a bundle
MOST: Final = 1_000_000  # objects in a document
LARGEST_OBJECT: Final = 1 << 20  # bytes
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_ENCODER: Final = msgspec.json.Encoder()
_SORTED: Final = msgspec.json.Encoder(order="deterministic")


class Document(msgspec.Struct, frozen=True):
    """A bundle (STIX 2.1, 8) or an envelope (TAXII 2.1, 3.7), cut into its objects.

    Attributes:
        objects: each as it stands in the document.
        type: `bundle` in a bundle; empty in an envelope.
        more: whether there is more to be had.
        next: what to ask for it with.
    """

    objects: list[msgspec.Raw] = []
    type: str = ""
    more: bool = False
    next: str | None = None


_DOCUMENTS: Final = msgspec.json.Decoder(Document)


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a document.

    Attributes:
        shape: its head.
        value: all of it.
        content: all of it, written anew: what its document said twice, or in another spelling, is said once.

    """

    shape: Shape
    value: dict[str, Any]
    content: str

    @property
    def canonical(self) -> bytes:
        """All of it with its keys in order, to tell whether two are the same."""
        return _SORTED.encode(self.value)


@dataclass(frozen=True, slots=True)
class Fault:
    """One object of a document that was not taken.

    Attributes:
        number: its place in the document, counted from 1.
        id: what it calls itself, if that can be told, or empty.
        version: the same.
        reason: why.

    """

    number: int
    id: str
    version: str
    reason: str


def cut(data: bytes, what: str = "the document") -> Document:
    """Cut a document into its objects.

    Raises:
        BundleError: it is no JSON in UTF-8, is nested too deep, or holds too many objects.

    """
    try:
        document = _DOCUMENTS.decode(data)
    except RecursionError:
        raise BundleError(f"{what} is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{what} is no JSON that holds objects: {error}") from None
    if len(document.objects) > MOST:
        raise BundleError(f"{what} holds more than {MOST:,} objects")
    return document


def items(document: Document) -> Iterator[Item | Fault]:
    """Build and check the objects of a document, one at a time."""
    for number, raw in enumerate(document.objects, start=1):
        yield _item(number, raw)


def read_bundle(path: Path) -> Document:
    """Read a bundle from a file.

    Raises:
        BundleError: it cannot be read, is larger than 200 MB, or is no bundle.

    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > LARGEST:
        raise BundleError(f"{path}: larger than {LARGEST // 1_000_000} MB; cut it into several bundles")
    document = cut(data, str(path))
    if document.type != "bundle":
        raise BundleError(f"{path}: no STIX bundle: its `type` is not `bundle`")
    return document


def _item(number: int, raw: msgspec.Raw) -> Item | Fault:
    data = memoryview(raw)
    if data.nbytes > LARGEST_OBJECT:
        return Fault(number, "", "", f"it is larger than {LARGEST_OBJECT:,} bytes")
    value: dict[str, Any] = {}
    try:
        value = _DECODER.decode(data)
        shape = shape_of(value)
        return Item(shape, value, _ENCODER.encode(value).decode())
    except RecursionError:
        reason = "it is nested too deep"
    except (msgspec.DecodeError, ValueError) as error:  # a UnicodeDecodeError is a ValueError
        reason = str(error)
    name, version = value.get("id"), value.get("modified", value.get("created"))
    return Fault(
        number, name[:200] if isinstance(name, str) else "", version[:40] if isinstance(version, str) else "", reason
    )
