"""Embeddings of prompts for the published detector: hashed TF-IDF by default, a sentence encoder where one is at hand.

Touches files only to load an encoder.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from stillwatch.compiled import compiled

if TYPE_CHECKING:
    from pathlib import Path

Matrix: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.float32]]

BUCKETS = 1 << 15
DIMENSIONS = 256
LONGEST = 2_000  # words and pairs of words of one prompt that are looked at
TOKENS = 128  # a sentence encoder reads this many
BATCH = 64  # prompts a call of a sentence encoder


class Encoder(Protocol):
    """Turns prompts into vectors of unit length."""

    name: str

    def encode(self, prompts: pa.Array) -> Matrix:
        """Encode each prompt as one row of unit length."""
        ...


@compiled
def _buckets(data: Any, start: int, end: int, out: Any) -> int:  # noqa: ANN401 - compiled for Arrow's buffers
    """Write the sorted buckets of one prompt's words and pairs of neighbouring words; return how many there are."""
    prime = np.uint64(1099511628211)
    empty = np.uint64(14695981039346656037)
    size = np.uint64(BUCKETS)
    word, before = empty, empty
    count = 0
    for i in range(start, end + 1):
        byte = np.int64(data[i]) if i < end else 32
        if 65 <= byte <= 90:
            byte += 32
        if byte >= 128 or 97 <= byte <= 122 or 48 <= byte <= 57:
            word = (word ^ np.uint64(byte)) * prime
        elif word != empty:
            if count + 2 > LONGEST:
                break
            out[count] = np.int64((word >> np.uint64(20)) % size)
            count += 1
            if before != empty:
                pair = (before * prime) ^ word
                out[count] = np.int64(((pair * prime) >> np.uint64(20)) % size)
                count += 1
            before, word = word, empty
    out[:count].sort()
    return count


@compiled
def _document_counts(data: Any, offsets: Any) -> Any:  # noqa: ANN401 - compiled for Arrow's buffers
    """In how many prompts each bucket occurs."""
    counts = np.zeros(BUCKETS, np.int64)
    out = np.empty(LONGEST, np.int64)
    for row in range(len(offsets) - 1):
        n = _buckets(data, offsets[row], offsets[row + 1], out)
        for i in range(n):
            if i == 0 or out[i] != out[i - 1]:
                counts[out[i]] += 1
    return counts


@compiled
def _project(data: Any, offsets: Any, weights: Any, directions: Any) -> Any:  # noqa: ANN401 - compiled for Arrow's buffers
    """Sum (1 + ln tf) idf times the bucket's random direction, and scale to unit length."""
    rows = len(offsets) - 1
    result = np.zeros((rows, directions.shape[1]), np.float32)
    out = np.empty(LONGEST, np.int64)
    for row in range(rows):
        n = _buckets(data, offsets[row], offsets[row + 1], out)
        i = 0
        while i < n:
            j = i
            while j < n and out[j] == out[i]:
                j += 1
            weight = np.float32((1.0 + np.log(j - i)) * weights[out[i]])
            for d in range(directions.shape[1]):
                result[row, d] += weight * directions[out[i], d]
            i = j
        length = np.sqrt((result[row] * result[row]).sum())
        if length > 0:
            result[row] /= length
    return result


def _text_buffers(prompts: pa.Array) -> tuple[Any, Any]:
    """Bytes and offsets of a string array without nulls."""
    filled = prompts.cast(pa.large_string()).fill_null("")
    if filled.offset:
        filled = pa.concat_arrays([filled, filled.slice(0, 0)])
    _, offsets, data = filled.buffers()
    texts = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    starts = np.frombuffer(offsets, np.int64)[filled.offset : filled.offset + len(filled) + 1]
    return texts, starts


class HashedTfIdf:
    """Words and pairs of neighbouring words, weighted by TF-IDF, hashed and randomly projected."""

    name = f"hashed TF-IDF of words and pairs of words, projected to {DIMENSIONS} dimensions"

    def __init__(self, ordinary: pa.Array) -> None:
        counts = _document_counts(*_text_buffers(ordinary))
        self._weights = np.log((1.0 + len(ordinary)) / (1.0 + counts)) + 1.0
        directions = np.random.default_rng(20260605).standard_normal((BUCKETS, DIMENSIONS))
        self._directions = directions.astype(np.float32)

    def encode(self, prompts: pa.Array) -> Matrix:
        """Encode each prompt as one row of unit length."""
        result: Matrix = _project(*_text_buffers(prompts), self._weights, self._directions)
        return result


class SentenceEncoder:
    """A sentence encoder from a folder with `model.onnx` and `tokenizer.json`: mean of the last layer.

    Needs the packages onnxruntime and tokenizers, which the project does not depend on. Every text is encoded once.
    """

    def __init__(self, folder: Path) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        tokenizers: Any = importlib.import_module("tokenizers")
        self.name = f"sentence encoder in {folder.name}, {TOKENS} tokens"
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(TOKENS)
        self._tokenizer.enable_padding()
        self._session = runtime.InferenceSession(str(folder / "model.onnx"))
        self._inputs = {i.name for i in self._session.get_inputs()}
        self._known: dict[str, Any] = {}

    def encode(self, prompts: pa.Array) -> Matrix:
        """Encode each prompt as one row of unit length."""
        texts = ["" if p is None else p for p in prompts.to_pylist()]
        fresh = sorted(set(texts) - self._known.keys(), key=len)
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            for text, vector in zip(batch, self._encode(batch), strict=True):
                self._known[text] = vector
        return np.stack([self._known[t] for t in texts])

    def _encode(self, texts: list[str]) -> Matrix:
        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        last = self._session.run(None, {k: v for k, v in given.items() if k in self._inputs})[0]
        mean = (last * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        result: Matrix = (mean / (np.linalg.norm(mean, axis=1, keepdims=True) + 1e-9)).astype(np.float32)
        return result
