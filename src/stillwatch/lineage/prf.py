"""The keyed function behind every dye: (key, context, token) -> 64 pseudo-random bits. Pure; touches nothing.

In two steps. The context, which is the ids of the last tokens as 64-bit words, is hashed with the campaign's key by
SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", Indocrypt 2012) into a secret seed; the token's
bits are output number `token` of SplitMix64 from that seed (Steele, Lea and Flood, OOPSLA 2014). Whoever reads a
context's bits off many answers learns the seed of that context at the most: the key stays behind SipHash.

All of it is integer arithmetic modulo 2^64, so that numpy here, compiled code here and torch in `logits` agree bit for
bit. The compiled function is for detectors, which ask of many contexts one token each; numpy's for generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from stillwatch.compiled import compiled, inlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words: TypeAlias = NDArray[np.uint64]
    Tokens: TypeAlias = NDArray[np.uint32]

KEY_BYTES: Final = 16  # SipHash's
GOLDEN: Final = 0x9E3779B97F4A7C15  # SplitMix64's step and multipliers
FIRST_FACTOR: Final = 0xBF58476D1CE4E5B9
SECOND_FACTOR: Final = 0x94D049BB133111EB
_INITIAL: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_STEP, _FIRST, _SECOND = np.uint64(GOLDEN), np.uint64(FIRST_FACTOR), np.uint64(SECOND_FACTOR)


def halves(key: bytes) -> tuple[int, int]:
    """Give a key as SipHash takes it: two words, lowest byte first.

    Raises:
        ValueError: it has not `KEY_BYTES` bytes.

    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a dye's key has {KEY_BYTES} bytes, not {len(key)}")
    return int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")


def seeds(key: bytes, contexts: NDArray[np.integer]) -> Words:
    """SipHash-2-4 of each row of token ids; [contexts, width] -> [contexts]."""
    words = np.atleast_2d(contexts).astype(np.uint64)
    count, width = words.shape
    first, second = halves(key)
    state = [
        np.full(count, initial ^ half, np.uint64) for initial, half in zip(_INITIAL, (first, second) * 2, strict=True)
    ]
    last = np.full(count, (8 * width & 0xFF) << 56, np.uint64)
    for word in (*words.T, last):
        state[3] = state[3] ^ word
        state = _rounds(state, 2)
        state[0] = state[0] ^ word
    state[2] = state[2] ^ np.uint64(0xFF)
    state = _rounds(state, 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def values(seed: Words, tokens: NDArray[np.integer]) -> Words:
    """Bits of each token under each seed; the two are broadcast against one another."""
    bits = np.atleast_1d(seed) + (np.atleast_1d(tokens).astype(np.uint64) + np.uint64(1)) * _STEP
    bits = (bits ^ bits >> np.uint64(30)) * _FIRST
    bits = (bits ^ bits >> np.uint64(27)) * _SECOND
    return np.asarray(bits ^ bits >> np.uint64(31))


def values_at(key: bytes, tokens: Tokens, ends: NDArray[np.int64], width: int) -> Words:
    """Bits of the tokens at some places of a text, each after the `width` tokens before it.

    Args:
        key: the campaign's.
        tokens: token ids of all texts, one after the other.
        ends: places in `tokens`, each at least `width`.
        width: tokens of context.

    """
    found = np.empty(len(ends), np.uint64)
    first, second = halves(key)
    _values_at(tokens, ends, width, np.uint64(first), np.uint64(second), found)
    return found


def _rounds(state: list[Words], count: int) -> list[Words]:
    a, b, c, d = state
    for _ in range(count):
        a, c = a + b, c + d
        b, d = _left(b, 13) ^ a, _left(d, 16) ^ c
        a, c = _left(a, 32) + d, c + b
        b, d = _left(b, 17) ^ c, _left(d, 21) ^ a
        c = _left(c, 32)
    return [a, b, c, d]


def _left(words: Words, by: int) -> Words:
    return np.asarray(words << np.uint64(by) | words >> np.uint64(64 - by))


@inlined
def _turned(word: np.uint64, by: int) -> np.uint64:
    return word << np.uint64(by) | word >> np.uint64(64 - by)


@inlined
def _round(a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    a, c = a + b, c + d
    b, d = _turned(b, 13) ^ a, _turned(d, 16) ^ c
    a, c = _turned(a, 32) + d, c + b
    b, d = _turned(b, 17) ^ c, _turned(d, 21) ^ a
    return a, b, _turned(c, 32), d


@compiled
def _values_at(  # noqa: PLR0917  compiled code takes no keywords
    tokens: Tokens, ends: NDArray[np.int64], width: int, first: np.uint64, second: np.uint64, found: Words
) -> None:
    start_a, start_b = np.uint64(0x736F6D6570736575) ^ first, np.uint64(0x646F72616E646F6D) ^ second
    start_c, start_d = np.uint64(0x6C7967656E657261) ^ first, np.uint64(0x7465646279746573) ^ second
    length = np.uint64(8 * width & 0xFF) << np.uint64(56)
    for index in range(len(ends)):
        end = ends[index]
        a, b, c, d = start_a, start_b, start_c, start_d
        for place in range(end - width, end + 1):
            word = np.uint64(tokens[place]) if place < end else length
            d ^= word
            a, b, c, d = _round(a, b, c, d)
            a, b, c, d = _round(a, b, c, d)
            a ^= word
        c ^= np.uint64(0xFF)
        for _ in range(4):
            a, b, c, d = _round(a, b, c, d)
        bits = (a ^ b ^ c ^ d) + (np.uint64(tokens[end]) + np.uint64(1)) * _STEP
        bits = (bits ^ bits >> np.uint64(30)) * _FIRST
        bits = (bits ^ bits >> np.uint64(27)) * _SECOND
        found[index] = bits ^ bits >> np.uint64(31)
