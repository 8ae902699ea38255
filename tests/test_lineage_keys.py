"""Keys of dyes against RFC 5869 and SipHash's own vectors, and what may be said about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.lineage import prf
from stillwatch.lineage.dye import STRENGTHS, Dye, Scheme
from stillwatch.lineage.keys import commitment, derived_key, hkdf

MASTER = bytes(range(32))


@pytest.mark.parametrize(
    ("secret", "salt", "info", "length", "derived"),
    [  # RFC 5869, appendix A, the three cases with SHA-256
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)).hex(),
            bytes(range(0x60, 0xB0)).hex(),
            bytes(range(0xB0, 0x100)).hex(),
            82,
            (
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
                "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
                "cc30c58179ec3e87c14c01d5c1f3434f1d87"
            ),
        ),
        (
            "0b" * 22,
            "",
            "",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_gives_what_the_rfc_says(secret: str, salt: str, info: str, length: int, derived: str) -> None:
    found = hkdf(bytes.fromhex(secret), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=length)
    assert found.hex() == derived


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_hkdf_gives_no_more_than_it_can(length: int) -> None:
    with pytest.raises(ValueError, match="HKDF gives 1 to 8160 bytes"):
        hkdf(b"secret", length=length)


@pytest.mark.parametrize(("words", "digest"), [(1, "6224939a79f5f593"), (2, "db9bc2577fcc2a3f")])
def test_contexts_are_hashed_by_siphash(words: int, digest: str) -> None:
    message = bytes(range(8 * words))  # the reference's vectors: key 00..0f, message 00..
    contexts = np.frombuffer(message, "<u8")[None]
    found = prf.seeds(bytes(range(16)), contexts)
    assert int(found[0]).to_bytes(8, "little").hex() == digest


@given(
    st.binary(min_size=16, max_size=16),
    st.lists(st.integers(0, 2**32 - 1), min_size=9, max_size=40),
    st.integers(1, 8),
)
def test_compiled_and_numpy_give_the_same_bits(key: bytes, ids: list[int], width: int) -> None:
    tokens = np.array(ids, np.uint32)
    ends = np.arange(width, len(ids), dtype=np.int64)
    contexts = np.array([ids[end - width : end] for end in ends], np.uint64)
    assert (prf.values_at(key, tokens, ends, width) == prf.values(prf.seeds(key, contexts), tokens[ends])).all()


def test_splitmix_gives_its_known_outputs() -> None:
    found = prf.values(np.array([1234567], np.uint64), np.arange(3))
    assert found.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_campaigns_have_their_own_keys(one: str, other: str) -> None:
    keys = [derived_key(MASTER, name, STRENGTHS["medium"]) for name in (one, other)]
    assert (keys[0].secret == keys[1].secret) == (one == other)
    assert (keys[0].salt == keys[1].salt) == (one == other)
    assert (commitment(keys[0]) == commitment(keys[1])) == (one == other)


def test_dyes_and_tokenizers_have_their_own_keys() -> None:
    made = [derived_key(MASTER, "c-1", dye, name) for dye in STRENGTHS.values() for name in ("", "ab")]
    assert len({key.secret for key in made}) == len(made)


def test_a_master_that_is_too_short_and_a_campaign_without_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match="too short: 31 bytes"):
        derived_key(MASTER[1:], "c-1", Dye())
    with pytest.raises(ValueError, match="no name"):
        derived_key(MASTER, " ", Dye())


def test_a_key_is_not_shown() -> None:
    key = derived_key(MASTER, "c-1", Dye())
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "width"),
        ({"width": 9}, "width"),
        ({"gamma": 0.0}, "gamma"),
        ({"gamma": float("nan")}, "gamma"),
        ({"delta": 0.0}, "delta"),
        ({"delta": float("inf")}, "delta"),
        ({"scheme": Scheme.GUMBEL}, "gumbel scheme has none"),
    ],
)
def test_what_is_no_dye_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dye(**wrong)
