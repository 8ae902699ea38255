"""The file of campaigns' keys, `stillwatch.dye-keys/1`. Touches that file.

It holds secrets: it is written for its owner's eyes only, and read only if that is still so. Readers must pass over
keys of the JSON that they do not know; whatever changes or takes away one makes it version 2.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from stillwatch.errors import KeyFileError, LineageError
from stillwatch.lineage.dye import Dye, Scheme
from stillwatch.lineage.keys import SALT_BYTES, DyeKey
from stillwatch.lineage.prf import KEY_BYTES
from stillwatch.report.output_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VERSION: Final = "stillwatch.dye-keys/1"


class WireDye(Struct):
    """How a key dyes."""

    scheme: Scheme
    width: int
    gamma: float
    delta: float


class WireKey(Struct):
    """A campaign's key."""

    campaign: str
    dye: WireDye
    key: str
    salt: str
    tokenizer: str = ""

    @classmethod
    def of(cls, key: DyeKey) -> WireKey:
        """Give what is written of a key."""
        dye = WireDye(key.dye.scheme, key.dye.width, key.dye.gamma, key.dye.delta)
        return cls(key.campaign, dye, key.secret.hex(), key.salt.hex(), key.tokenizer)

    def read(self) -> DyeKey:
        """Give what was written.

        Raises:
            ValueError: it is no key.

        """
        secret, salt = bytes.fromhex(self.key), bytes.fromhex(self.salt)
        if (len(secret), len(salt)) != (KEY_BYTES, SALT_BYTES):
            raise ValueError(f"a key has {KEY_BYTES} bytes and its salt {SALT_BYTES}, in hexadecimal")
        dye = Dye(self.dye.scheme, self.dye.width, self.dye.gamma, self.dye.delta)
        return DyeKey(self.campaign, dye, secret, salt, self.tokenizer)


class _WireRing(Struct):
    schema: str
    keys: list[WireKey]


class _Version(Struct):
    schema: str = "none"


def load_keys(path: Path) -> tuple[DyeKey, ...]:
    """Read campaigns' keys.

    Raises:
        KeyFileError: others can read the file, or it is no ordinary one.
        LineageError: it is not there, or is no file of keys.

    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path}: keys must be in an ordinary file")
        if os.name == "posix" and status.st_mode & 0o077:
            raise KeyFileError(f"{path}: others can read or change the keys; close the file with: chmod 600 {path}")
        data = path.read_bytes()
    except OSError as error:
        raise LineageError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    try:
        version = msgspec.json.decode(data, type=_Version).schema
        if version != VERSION:
            raise LineageError(f"{path}: this is `{version}`; only `{VERSION}` can be read")
        keys = tuple(each.read() for each in msgspec.json.decode(data, type=_WireRing).keys)
    except (msgspec.DecodeError, ValueError) as error:
        raise LineageError(f"{path}: no file of dyes' keys: {error}") from error
    if len({each.campaign for each in keys}) < len(keys):
        raise LineageError(f"{path}: a campaign has two keys in one file, so that nobody can say which one it got")
    return keys


def save_keys(path: Path, keys: Iterable[DyeKey]) -> None:
    """Write campaigns' keys, whole or not at all, for the owner only.

    Raises:
        OutputError: the file cannot be written.

    """
    ring = _WireRing(VERSION, [WireKey.of(each) for each in keys])
    write_whole(path, msgspec.json.format(msgspec.json.encode(ring), indent=2) + b"\n", private=True)
