"""Whether a sentence of a finding is one of ours: every word of it is in our signals' own texts. Pure; touches nothing.

Findings are read from files, and whoever writes a file can write anything into a sentence. A sentence goes into
a report only if it has been put together of our signals' words and of numbers; else the signal's question
takes its place.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final

from stillwatch.verdicts.innocent import EXPLANATIONS
from stillwatch.verdicts.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = 600
_PUNCTUATION: Final = ".,;:()%?'\"/"
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3}){0,3}|\d{1,6})(?:\.\d{1,4})?(?:e-?\d{1,3})?")
_HOUR: Final = re.compile(r"\d\d:\d\d")


def is_ours(sentence: str) -> bool:
    """Whether a sentence is made of our signals' words and of numbers."""
    return len(sentence) <= LONGEST and all(_known(word.strip(_PUNCTUATION)) for word in sentence.split())


def _known(word: str) -> bool:
    return not word or bool(_NUMBER.fullmatch(word) or _HOUR.fullmatch(word)) or word in _words()


@cache
def _words() -> frozenset[str]:
    texts = [text for signal in SIGNALS for text in (signal.question, signal.innocent_reading)]
    texts += [explanation.says for explanation in EXPLANATIONS]
    for module in {signal.says.__module__ for signal in SIGNALS}:
        for value in vars(sys.modules[module]).values():
            if isinstance(value, FunctionType) and value.__module__ == module:
                texts += _texts(value.__code__)
    for signal in SIGNALS:
        for cell in getattr(signal.says, "__closure__", None) or ():
            if isinstance(cell.cell_contents, str):
                texts.append(cell.cell_contents)
    return frozenset(word.strip(_PUNCTUATION) for text in texts for word in text.split())


def _texts(code: CodeType) -> Iterator[str]:
    """All texts that a function is written with."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _texts(constant)
