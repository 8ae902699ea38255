"""Bundles of STIX objects as JSON. Touches the file that it is told to read.

What comes from others is bounded before it is looked at: so many bytes, so many objects; and nested as deep as the
decoder allows, which is far deeper than STIX ever is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from stillwatch.errors import BundleError
from stillwatch.intel.ids import object_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stillwatch.intel.stix import StixObject

BYTES_MOST: Final = 64 * 1024 * 1024
OBJECTS_MOST: Final = 500_000
_OWN_MOST: Final = 8 * 1024**3  # of an export of ours; a hundred thousand indicators come to 300 MiB


class _Bundle(msgspec.Struct):
    """The outermost object (STIX 2.1, section 8)."""

    type: Literal["bundle"]
    objects: list[msgspec.Raw] = []


def to_json(objects: Sequence[StixObject]) -> bytes:
    """Write objects as a bundle, one a line; the same objects give the same bytes."""
    lines = msgspec.json.Encoder().encode_lines(objects).rstrip(b"\n").replace(b"\n", b",\n")
    ids = msgspec.json.encode([[each["id"], each.get("modified", "")] for each in objects]).decode()
    head = f'{{"type":"bundle","id":"{object_id("bundle", ids)}","objects":[\n'
    return head.encode() + lines + b"\n]}\n" if objects else head.rstrip("\n").encode() + b"]}\n"


def objects_in(data: bytes, *, where: str, bounded: bool = True) -> list[msgspec.Raw]:
    """Give the objects of a bundle, each as the JSON that it was written in.

    Args:
        data: the bundle.
        where: which file, for messages.
        bounded: whether it may be too large; what we wrote ourselves may not.

    Raises:
        BundleError: it is too large, no JSON or no bundle.

    """
    if bounded and len(data) > BYTES_MOST:
        raise BundleError(f"{where}: larger than {BYTES_MOST // 2**20} MiB; nobody shares that much at once")
    try:
        objects = msgspec.json.decode(data, type=_Bundle).objects
    except msgspec.ValidationError as error:
        raise BundleError(f"{where}: no bundle of STIX objects: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{where}: no JSON: {error}") from error
    except RecursionError as error:
        raise BundleError(f"{where}: nested too deeply for STIX") from error
    if bounded and len(objects) > OBJECTS_MOST:
        raise BundleError(f"{where}: holds more than {OBJECTS_MOST:,} objects")
    return objects


def read(path: Path, *, most: int = BYTES_MOST) -> bytes:
    """Read a file that is not too large to be a bundle.

    Raises:
        BundleError: it is, or cannot be read.

    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > most:
        raise BundleError(f"{path}: larger than {most // 2**20} MiB; nobody shares that much at once")
    return data


def exported_before(path: Path) -> dict[str, StixObject]:
    """Give the objects of an earlier export of ours, by id.

    Raises:
        BundleError: it cannot be read.

    """
    found: dict[str, StixObject] = {}
    for raw in objects_in(read(path, most=_OWN_MOST), where=str(path), bounded=False):
        try:
            each = msgspec.json.decode(raw, type=dict)
            found[str(each["id"])] = each
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
            raise BundleError(f"{path}: holds what is no STIX object") from error
    return found
