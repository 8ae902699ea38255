"""Keys of dyes: one a campaign, all from one master secret, and what is committed to before one is used. Pure.

HKDF with SHA-256 (RFC 5869) derives them: whoever gets to know a campaign's key, which a court will, learns nothing
about the master secret or another campaign's key.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from stillwatch.decisions.audit import canonical
from stillwatch.lineage.prf import KEY_BYTES

if TYPE_CHECKING:
    from stillwatch.lineage.dye import Dye

LEAST_MASTER: Final = 32  # bytes
SALT_BYTES: Final = 32
_HASH_BYTES: Final = 32
_PURPOSE: Final = b"stillwatch.dye-keys/1"


@dataclass(frozen=True, slots=True)
class DyeKey:
    """A campaign's key and how it dyes.

    Attributes:
        campaign: whom it marks; a finding's id, or any name.
        dye: how.
        secret: the key.
        salt: hides what was committed to until it is revealed.
        tokenizer: SHA-256 of the `tokenizer.json` whose token ids are dyed, or empty where none was named.

    """

    campaign: str
    dye: Dye
    secret: bytes
    salt: bytes
    tokenizer: str = ""

    def __repr__(self) -> str:
        return f"DyeKey({self.campaign!r}, {self.dye!r})"  # a traceback shows no secret


def hkdf(secret: bytes, *, salt: bytes = b"", info: bytes = b"", length: int = _HASH_BYTES) -> bytes:
    """Derive a key: HKDF-SHA-256, extract and expand (RFC 5869, section 2).

    Args:
        secret: the input keying material.
        salt: of the extraction; need not be secret.
        info: what the key is for.
        length: bytes to give, at most 255 * 32.

    Raises:
        ValueError: more is asked for than HKDF can give.

    """
    if not 0 < length <= 255 * _HASH_BYTES:
        raise ValueError(f"HKDF gives 1 to {255 * _HASH_BYTES} bytes, not {length}")
    extracted = hmac.digest(salt or bytes(_HASH_BYTES), secret, "sha256")
    block, derived = b"", b""
    for number in range(1, -(-length // _HASH_BYTES) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        derived += block
    return derived[:length]


def derived_key(master: bytes, campaign: str, dye: Dye, tokenizer: str = "") -> DyeKey:
    """Derive a campaign's key; the same master, campaign, dye and tokenizer always give the same one.

    Raises:
        ValueError: the master is shorter than `LEAST_MASTER`, or the campaign has no name.

    """
    if len(master) < LEAST_MASTER:
        raise ValueError(f"the master secret is too short: {len(master)} bytes, needed are {LEAST_MASTER}")
    if not campaign.strip():
        raise ValueError("the campaign has no name")
    about = canonical({"campaign": campaign, "dye": asdict(dye), "tokenizer": tokenizer}).encode("ascii")
    secret, salt = (
        hkdf(master, salt=_PURPOSE, info=purpose + b"\0" + about, length=length)
        for purpose, length in ((b"key", KEY_BYTES), (b"salt", SALT_BYTES))
    )
    return DyeKey(campaign, dye, secret, salt, tokenizer)


def described(key: DyeKey) -> dict[str, Any]:
    """Give all that a commitment binds, but for the salt, as JSON's own types."""
    return {
        "campaign": key.campaign,
        "dye": asdict(key.dye),
        "key": key.secret.hex(),
        "tokenizer": key.tokenizer,
    }


def commitment(key: DyeKey) -> str:
    """Commit to a key: SHA-256 of its salt and the canonical JSON of key, dye, tokenizer and campaign; hexadecimal.

    Binding, because SHA-256 resists collisions; hiding, because nobody can guess the salt's 32 bytes.
    """
    return hashlib.sha256(key.salt + canonical(described(key)).encode("ascii")).hexdigest()
