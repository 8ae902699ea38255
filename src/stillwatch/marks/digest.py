"""From a batch of exchanges to its digest: marks, a sketch and a few numbers a row; no text is kept. Touches nothing.

A digest is all that later stages see of an exchange. Digests of two logs are put together by joining their rows: the
order does not matter, since what follows sorts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stillwatch.marks.hashing import combine, hash_strings
from stillwatch.marks.networks import hash_networks
from stillwatch.marks.text import DIMENSIONS, PHRASES, read_text
from stillwatch.marks.wants import WANTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike, NDArray

SWEEPS, HANDLE, RELAYED, CONTINUED, REFUSED, TOOLS, NEW_MODEL = 1, 2, 4, 8, 16, 32, 64
"""Bits of the column `flags`. RELAYED and NEW_MODEL are set once the whole log is known."""

SWEEP_TOKENS = 4  # a request for so few tokens with their probabilities asks for the distribution, not for an answer

COLUMNS: Mapping[str, tuple[DTypeLike, int]] = {
    "account": (np.int32, 0),
    "second": (np.float64, 0),
    "prompt": (np.uint64, 0),
    "opening": (np.uint64, 0),
    "closing": (np.uint64, 0),
    "shape": (np.uint64, 0),
    "phrases": (np.uint64, PHRASES),
    "sketch": (np.int8, DIMENSIONS),
    "wants": (np.uint8, len(WANTS)),
    "system": (np.uint64, 0),
    "client": (np.uint64, 0),
    "parameters": (np.uint64, 0),
    "address": (np.uint64, 0),
    "network": (np.uint64, 0),
    "answer": (np.uint64, 0),
    "previous": (np.uint64, 0),
    "handle": (np.uint64, 0),
    "conversation": (np.uint64, 0),
    "model": (np.uint64, 0),
    "flags": (np.uint8, 0),
    "biased": (np.int32, 0),
    "input_tokens": (np.int32, 0),
    "output_tokens": (np.int32, 0),
    "turns": (np.int16, 0),
}
"""Columns of a digest: type and width (0 for one value a row). `account` is numbered by whoever joins batches."""

NEEDED = (
    "time", "account", "model", "ip", "asn", "ja4", "user_agent", "system", "prompt", "conversation", "answer",
    "previous", "turns", "tools", "temperature", "top_p", "max_tokens", "n", "top_logprobs", "logit_bias", "seed",
    "stream", "reasoning_handle", "input_tokens", "output_tokens", "status", "finish_reason",
)  # fmt: skip
"""Columns of `exchange/1` that a digest is made of; the others need not be read."""

PARAMETERS = ("temperature", "top_p", "max_tokens", "n", "top_logprobs", "logit_bias", "stream", "tools")
"""Columns that the mark `parameters` is made of; where none of the first `TOLD` is told, there is none."""
TOLD = 5
MOST = 1e15  # no count is larger, and a thousand times it is still an exact int64
_REFUSALS = frozenset({"content_filter", "refusal", "safety", "blocked"})
_REFUSAL_STATUS = (403, 451)


def digest(batch: pa.RecordBatch) -> dict[str, NDArray[np.generic]]:
    """Digest one batch of `exchange/1` (columns `NEEDED`, absent ones as nulls), all of `COLUMNS` but `account`."""
    size = batch.num_rows
    column = batch.column
    text = read_text(column("prompt"))
    system_hash, system_wants = _by_value(column("system"))
    params = _parameters(batch)
    previous = hash_strings(column("previous"))
    handle = hash_strings(column("reasoning_handle"))
    address = hash_strings(column("ip"))
    top_logprobs, bias, limit = (_numbers(column(name)) for name in ("top_logprobs", "logit_bias", "max_tokens"))
    sweeps = (limit > 0) & (limit <= SWEEP_TOKENS) & ((top_logprobs > 0) | (bias > 0))
    flags = (
        SWEEPS * sweeps
        + HANDLE * (handle != 0)
        + CONTINUED * (previous != 0)
        + REFUSED * _refused(column("status"), column("finish_reason"))
        + TOOLS * (_numbers(column("tools")) > 0)
    ).astype(np.uint8)
    agent, fingerprint = _hash_repeated(column("user_agent")), _hash_repeated(column("ja4"))
    return {
        "second": column("time").cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6,
        "prompt": text.prompt,
        "opening": text.opening,
        "closing": text.closing,
        "shape": text.shape,
        "phrases": text.phrases,
        "sketch": text.sketch,
        "wants": np.maximum(text.wants, system_wants),
        "system": system_hash,
        "client": np.where((agent | fingerprint) != 0, combine(agent, fingerprint), np.uint64(0)),
        "parameters": params,
        "address": address,
        "network": _network(column("ip"), column("asn")),
        "answer": hash_strings(column("answer")),
        "previous": previous,
        "handle": handle,
        "conversation": hash_strings(column("conversation")),
        "model": _hash_repeated(column("model")),
        "flags": flags,
        "biased": np.minimum(bias, 1e6).astype(np.int32),
        "input_tokens": np.minimum(_numbers(column("input_tokens")), 2e9).astype(np.int32),
        "output_tokens": np.minimum(_numbers(column("output_tokens")), 2e9).astype(np.int32),
        "turns": np.clip(_numbers(column("turns")), 0, 30_000).astype(np.int16) if size else np.empty(0, np.int16),
    }


def _numbers(values: pa.Array) -> NDArray[np.float64]:
    """Return a column of numbers within 0 and MOST; what is absent or no number counts 0."""
    numbers: NDArray[np.float64] = values.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy(zero_copy_only=False)
    return np.clip(np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0), 0.0, MOST)


def _repeated(values: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Different values of a column, and which of them each row has; null is the last of them."""
    coded = values.dictionary_encode()
    distinct = pa.concat_arrays([coded.dictionary, pa.array([None], coded.dictionary.type)])
    return distinct, coded.indices.fill_null(len(distinct) - 1).to_numpy(zero_copy_only=False)


def _hash_repeated(values: pa.Array) -> NDArray[np.uint64]:
    """Hash a column of few different strings."""
    distinct, which = _repeated(values)
    return hash_strings(distinct)[which]


def _by_value(values: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Hash of each row's system prompt, by its tokens, and what it wants; long prompts recur, so each is read once."""
    distinct, which = _repeated(values)
    text = read_text(distinct)
    return text.prompt[which], text.wants[which]


def _parameters(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """Hash of the sampling parameters; 0 where the row tells none."""
    told = PARAMETERS[:TOLD]
    values = [np.rint(_numbers(batch.column(name)) * 1000).astype(np.int64) for name in told]
    known = np.logical_or.reduce([batch.column(name).is_valid().to_numpy(zero_copy_only=False) for name in told])
    values += [
        (_numbers(batch.column("logit_bias")) > 0).astype(np.int64),
        batch.column("stream").cast(pa.int8()).fill_null(2).to_numpy(zero_copy_only=False).astype(np.int64),
        _numbers(batch.column("tools")).astype(np.int64),
    ]
    return np.where(known, combine(*values), np.uint64(0))


def _network(addresses: pa.Array, systems: pa.Array) -> NDArray[np.uint64]:
    """Hash of each address's network; where there is no address, of the AS number."""
    networks = hash_networks(addresses)
    numbers = systems.fill_null(0).to_numpy(zero_copy_only=False)
    return np.where((networks == 0) & (numbers != 0), combine(numbers), networks)


def _refused(status: pa.Array, reason: pa.Array) -> NDArray[np.bool_]:
    """Whether the model or a filter refused, as far as the log tells."""
    distinct, which = _repeated(reason)
    by_reason = np.array([str(text).lower() in _REFUSALS for text in distinct.to_pylist()])[which]
    return by_reason | np.isin(_numbers(status), _REFUSAL_STATUS)
