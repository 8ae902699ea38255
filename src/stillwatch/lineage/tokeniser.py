"""Texts into token ids: by a model's own `tokenizer.json`, or into words where there is none. Touches that file.

A dye lies in token ids, so a test needs the tokenizer of the model that dyed, not the suspect's.

The words of `Words` are for tests, and for providers whose dye is put in word by word: a word with at most one blank
before it, a single other character, or a run of blanks; its id is 31 bits of the BLAKE2b of its UTF-8. Nothing is
learned and nothing is kept, so that it is the same everywhere.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from stillwatch.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stillwatch.lineage.prf import Tokens

_WORD: Final = re.compile(r" ?\w+| ?[^\w\s]|\s")
_AT_ONCE: Final = 1_000  # texts handed to the package in one call, which tokenises them side by side


class Tokeniser(Protocol):
    """Makes token ids of texts."""

    @property
    def name(self) -> str:
        """SHA-256 of its file, or `words`."""

    def encoded(self, texts: Iterable[str]) -> list[Tokens]:
        """Give each text's token ids, without special tokens."""


class Words:
    """Words as tokens; see above."""

    name = "words"

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def encoded(self, texts: Iterable[str]) -> list[Tokens]:
        """Give each text's words as ids."""
        return [np.fromiter(map(self._id, _WORD.findall(text)), np.uint32) for text in texts]

    def _id(self, word: str) -> int:
        known = self._ids.get(word)
        if known is None:
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4).digest()
            known = self._ids[word] = int.from_bytes(digest, "little") >> 1
        return known


class FromFile:
    """A `tokenizer.json`, read by the package `tokenizers`.

    Raises:
        LineageError: the file cannot be read, or is none.

    """

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer  # noqa: PLC0415  installed by wish only

        try:
            data = path.read_bytes()
            self._tokenizer = Tokenizer.from_buffer(data)
        except OSError as error:
            raise LineageError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
        except Exception as error:  # the package raises no narrower one
            raise LineageError(f"{path}: no tokenizer.json: {error}") from error
        self._tokenizer.no_truncation()  # files of models often bear one, which would drop most of a text
        self._tokenizer.no_padding()
        self.name = hashlib.sha256(data).hexdigest()

    def encoded(self, texts: Iterable[str]) -> list[Tokens]:
        """Give each text's token ids.

        Raises:
            LineageError: it has no token for what a text says.

        """
        whole = list(texts)
        found: list[Tokens] = []
        for start in range(0, len(whole), _AT_ONCE):
            some = whole[start : start + _AT_ONCE]
            try:
                encodings = self._tokenizer.encode_batch_fast(some, add_special_tokens=False)
            except Exception as error:  # the package raises no narrower one
                raise LineageError(f"the tokenizer cannot read the texts: {error}") from error
            found += [np.asarray(each.ids, np.uint32) for each in encodings]
        return found


def tokeniser_from(path: Path | None) -> Tokeniser:
    """Give the tokeniser in a file, or words where none is named.

    Raises:
        LineageError: the file cannot be read, or is none.

    """
    return Words() if path is None else FromFile(path)
