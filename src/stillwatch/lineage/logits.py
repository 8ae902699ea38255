"""Dyes on an engine's logits, in torch, on whatever device they lie. Touches nothing.

The arithmetic of `prf` in signed 64-bit integers, which wrap alike, so that what is dyed on a GPU is found by numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from stillwatch.lineage import prf
from stillwatch.lineage.dye import Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from stillwatch.lineage.dye import Dye
    from stillwatch.lineage.keys import DyeKey

_WORD: Final = 2**64


def sway_green(logits: Tensor, dye: Dye, seeds: Tensor) -> None:
    """Add delta to the green tokens of each row, in place; [rows, vocabulary], [rows]."""
    bits = _bits(seeds, logits.shape[-1])
    bound = min(int(dye.gamma * 2.0**64), _WORD - 1)
    # unsigned order is signed order with the highest bit turned
    green = (bits ^ _signed(1 << 63)) < _signed(bound ^ 1 << 63)
    logits.add_(green.to(logits.dtype), alpha=dye.delta)


def choose_gumbel(logits: Tensor, seeds: Tensor) -> Tensor:
    """Give the token that each row's keyed noise chooses; the logits are tempered and truncated; [rows]."""
    uniforms = (_shifted(_bits(seeds, logits.shape[-1]), 11).double() + 0.5) * 2.0**-53
    return torch.argmax(logits.double() - torch.log(-torch.log(uniforms)), dim=-1)


def seeds_of(key: DyeKey, contexts: Sequence[Sequence[int]], device: torch.device | str) -> Tensor:
    """Give the seeds of some contexts, each of the dye's width."""
    seeds = prf.seeds(key.secret, np.asarray(contexts, np.uint64).reshape(len(contexts), key.dye.width))
    return torch.from_numpy(seeds.view(np.int64)).to(device)


def truncated(logits: Tensor, *, temperature: float, top_k: int, top_p: float, min_p: float = 0.0) -> Tensor:
    """Temper one row's logits and leave out what sampling would; [vocabulary].

    Args:
        logits: as the model gave them.
        temperature: above 0.
        top_k: tokens to keep; all if below 1.
        top_p: mass to keep; all if 1.
        min_p: least share of the likeliest token's probability; none if 0.

    """
    row = logits.double() / temperature
    if 0 < top_k < len(row):
        row = row.masked_fill(row < torch.topk(row, top_k).values[-1], -torch.inf)
    if min_p > 0.0:
        probabilities = torch.softmax(row, dim=-1)
        row = row.masked_fill(probabilities < min_p * probabilities.max(), -torch.inf)
    if top_p < 1.0:
        ordered, places = torch.sort(row, descending=True)
        mass = torch.cumsum(torch.softmax(ordered, dim=-1), dim=-1)
        beyond = torch.cat((mass.new_zeros(1), mass[:-1])) >= top_p
        beyond[0] = False  # the likeliest token is always kept
        row = row.masked_fill(torch.zeros_like(beyond).scatter(0, places, beyond), -torch.inf)
    return row


def context_of(key: DyeKey, tokens: Sequence[int]) -> tuple[int, ...] | None:
    """Give the context that sways the token after some, or None where that is left to chance.

    It is, where there is too little context, and, to be undistorted, under Gumbel where the context came before.
    """
    width = key.dye.width
    if len(tokens) < width:
        return None
    ids = np.asarray(tokens, np.int64)
    if key.dye.scheme is Scheme.GUMBEL:
        windows = np.lib.stride_tricks.sliding_window_view(ids, width)
        if (windows[:-1] == windows[-1]).all(axis=1).any():
            return None
    return tuple(ids[-width:].tolist())


def _bits(seeds: Tensor, size: int) -> Tensor:
    tokens = torch.arange(1, size + 1, dtype=torch.int64, device=seeds.device)
    bits = seeds[:, None] + tokens * _signed(prf.GOLDEN)
    bits = (bits ^ _shifted(bits, 30)) * _signed(prf.FIRST_FACTOR)
    bits = (bits ^ _shifted(bits, 27)) * _signed(prf.SECOND_FACTOR)
    return bits ^ _shifted(bits, 31)


def _shifted(words: Tensor, by: int) -> Tensor:
    """Shift right and fill with zeros, where torch would fill with the sign."""
    return (words >> by) & ((1 << 64 - by) - 1)


def _signed(word: int) -> int:
    return word - _WORD if word >= _WORD // 2 else word
