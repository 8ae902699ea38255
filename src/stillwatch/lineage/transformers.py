"""A dye for the generation of Hugging Face `transformers`. Needs the extra `lineage`.

    dye = DyeLogitsProcessor(key)
    model.generate(**inputs, do_sample=True, logits_processor=LogitsProcessorList([dye]))

Greedy and beam search can be dyed green only. The Gumbel scheme chooses the token itself, so it does its own tempering
and truncation: `generate` may keep its defaults of both, which change nothing once one token is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import LogitsProcessor

from stillwatch.lineage.dye import Scheme
from stillwatch.lineage.logits import choose_gumbel, context_of, seeds_of, sway_green, truncated

if TYPE_CHECKING:
    from torch import Tensor

    from stillwatch.lineage.keys import DyeKey


class DyeLogitsProcessor(LogitsProcessor):  # type: ignore[misc]  # its types are passed over, as it may not be there
    """Dyes all rows of a batch with one campaign's key.

    Args:
        key: the campaign's.
        temperature: of the Gumbel scheme.
        top_k: the same; 0 keeps all.
        top_p: the same.
        min_p: the same.

    """

    def __init__(
        self, key: DyeKey, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
    ) -> None:
        if temperature <= 0.0:
            raise ValueError(f"temperature: must be above 0, not {temperature:g}")
        self._key = key
        self._temperature, self._top_k, self._top_p, self._min_p = temperature, top_k, top_p, min_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Give the next token's logits, dyed; [rows, length], [rows, vocabulary]."""
        scores = scores.clone()
        found = {row: context_of(self._key, tokens) for row, tokens in enumerate(input_ids.tolist())}
        contexts = {row: context for row, context in found.items() if context is not None}
        if not contexts:
            return scores
        rows = list(contexts)
        seeds = seeds_of(self._key, list(contexts.values()), scores.device)
        some = scores[rows]
        if self._key.dye.scheme is Scheme.GREEN:
            sway_green(some, self._key.dye, seeds)
            scores[rows] = some
            return scores
        kept = torch.stack([self._truncated(row) for row in some])
        chosen = choose_gumbel(kept, seeds)
        scores[rows] = torch.full_like(some, -torch.inf).scatter(1, chosen[:, None], 0.0)
        return scores

    def _truncated(self, row: Tensor) -> Tensor:
        return truncated(row, temperature=self._temperature, top_k=self._top_k, top_p=self._top_p, min_p=self._min_p)
