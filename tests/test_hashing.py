from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.marks.hashing import combine, hash_strings
from stillwatch.marks.networks import hash_networks

words = st.lists(st.none() | st.text(max_size=30), max_size=20)
integers = st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20)


@given(words)
@settings(max_examples=150, deadline=None)
def test_strings_are_equal_where_their_hashes_are(texts: list[str | None]) -> None:
    hashes = hash_strings(pa.array(texts, pa.string()))
    assert hashes.dtype == np.uint64
    assert len(hashes) == len(texts)
    for text, value in zip(texts, hashes, strict=True):
        assert (value == 0) == (not text)
    assert len({text or "" for text in texts}) == len(set(hashes.tolist()))


@given(words, st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_slices_and_wide_strings_hash_alike(texts: list[str | None], start: int, length: int) -> None:
    whole = hash_strings(pa.array(texts, pa.string()))
    for kind in (pa.string(), pa.large_string()):
        assert np.array_equal(hash_strings(pa.array(texts, kind).slice(start, length)), whole[start : start + length])


def test_every_byte_counts_wherever_it_stands() -> None:
    texts = ["a" * size for size in range(1, 40)]
    texts += ["a" * place + "b" + "a" * (30 - place) for place in range(31)]
    texts += ["\0" * size for size in range(1, 20)]
    assert len(np.unique(hash_strings(pa.array(texts)))) == len(texts)


def test_bits_of_hashes_are_even() -> None:
    hashes = hash_strings(pa.array([f"account-{n}" for n in range(20_000)]))
    ones = np.unpackbits(hashes.view(np.uint8)).reshape(-1, 64).mean(axis=0)
    assert np.abs(ones - 0.5).max() < 0.02


def test_a_null_over_bytes_is_empty() -> None:
    held = pa.array(["seen", "hidden"])
    covered = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\x01"), *held.buffers()[1:]])
    assert hash_strings(covered).tolist() == [int(hash_strings(held)[0]), 0]


@given(integers)
@settings(max_examples=100, deadline=None)
def test_combining_tells_rows_and_the_order_of_columns(values: list[int]) -> None:
    first = np.array(values)
    second = first[::-1] + 1
    together = combine(first, second)
    assert np.array_equal(together, combine(first.copy(), second.copy()))
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    assert len(set(together.tolist())) == len(pairs)
    turned = combine(second, first)
    assert np.array_equal(turned == together, first == second)


def networks(*addresses: str | None) -> list[int]:
    return [int(value) for value in hash_networks(pa.array(addresses, pa.string()))]


def test_addresses_of_one_network_share_its_hash() -> None:
    one, same, other = networks("192.0.2.1", "192.0.2.254", "192.0.3.1")
    assert one == same != other
    one, same, other, near = networks("2001:db8:7::1", "2001:db8:7:ffff::9", "2001:db8:8::1", "2001:db9:7::1")
    assert one == same
    assert len({one, other, near}) == 3


def test_every_spelling_of_an_address_is_one() -> None:
    spelled = networks(
        "2001:db8::1", "2001:DB8:0::1", "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8:0:0:1::9%eth0"
    )
    assert len(set(spelled)) == 1
    assert len(set(networks("198.51.100.7", "::ffff:198.51.100.9", "::FFFF:c633:6401"))) == 1
    assert len(set(networks("::", "::1", "0:0:0:0:0:0:0:2", "0::7", "::1.2.3.4"))) == 1
    assert len(set(networks("1:2:3::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7::", "1:2:3::8"))) == 1


def test_what_is_no_address_has_no_network() -> None:
    wrong = (
        None, "", "unknown", "10.0.0", "10.0.0.0.1", "10.0.0.256", "10.0.0.1000", "10..0.1", "10.0.0.1:80", ":", ":::",
        "1::2::3",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "1:", "1:2:3:4:5:6:7:1.2.3.4", "a3f9c2",
    )  # fmt: skip
    assert networks(*wrong) == [0] * len(wrong)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
@settings(max_examples=300, deadline=None)
def test_networks_agree_with_the_standard_library(one: object, other: object) -> None:
    addresses = [value for value in (one, other) if not getattr(value, "ipv4_mapped", None)]
    bits = [int(value) >> 80 for value in addresses]  # type: ignore[call-overload]  # hypothesis types them loosely
    spellings = [
        networks(str(value), getattr(value, "exploded", "")) for value in addresses
    ]  # as RFC 5952 writes it, and in full
    assert all(short == full != 0 for short, full in spellings)
    assert len({short for short, _ in spellings}) == len(set(bits))


@given(st.text(alphabet="0123456789abcdef:.%", max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_parser(text: str) -> None:
    alone = networks(text)
    assert networks("1.2.3.4", text, "::1")[1:2] == alone
