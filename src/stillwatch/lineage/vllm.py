"""A dye for vLLM's V1 engine, asked for request by request. Touches the file of keys that the environment names.

    STILLWATCH_DYE_KEYS=keys.json vllm serve MODEL --logits-processors stillwatch.lineage.vllm:DyeLogitsProcessor

A request is dyed if its sampling parameters' `extra_args` have `stillwatch_dye`, the name of a campaign in the file;
the guard sends it as `vllm_xargs` and takes out whatever a client sent under that name. The interface is that of
`vllm.v1.sample.logits_processor` (vLLM 0.11 and later). vLLM refuses such processors together with speculative
decoding; where its second model runner is the default, VLLM_USE_V2_MODEL_RUNNER=0 chooses the first.

The Gumbel scheme chooses the token itself, so it tempers and truncates by the request's own parameters; a request of
temperature 0 has no chance to sway, and is left as it is. Penalties, which vLLM applies later, do not bear on it.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from stillwatch.errors import UsageError
from stillwatch.lineage.dye import Scheme
from stillwatch.lineage.key_ring import load_keys
from stillwatch.lineage.logits import choose_gumbel, seeds_of, sway_green, truncated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from stillwatch.lineage.keys import DyeKey

try:
    from vllm.v1.sample.logits_processor import LogitsProcessor
except ImportError:  # vLLM is not here; its interface can still be tried
    LogitsProcessor = object

ARGUMENT: Final = "stillwatch_dye"
KEYS: Final = "STILLWATCH_DYE_KEYS"


@dataclass(slots=True)
class _Request:
    """A request that is dyed: with which key, how it samples, and its tokens; the list of outputs grows by itself.

    `used` are the contexts up to the token number `upto`, kept so that a step costs the same however long the text is.
    """

    key: DyeKey
    params: Any
    prompt: Sequence[int]
    output: Sequence[int]
    used: set[tuple[int, ...]] = field(default_factory=set)
    upto: int = 0

    def context(self) -> tuple[int, ...] | None:
        """Give what `logits.context_of` gives of all its tokens."""
        gumbel = self.key.dye.scheme is Scheme.GUMBEL
        width, end = self.key.dye.width, len(self.prompt) + len(self.output)
        if end < width or (gumbel and self.params.temperature <= 0.0):
            return None
        if gumbel:
            self.used.update(self._window(each) for each in range(max(self.upto, width), end))
            self.upto = end
        context = self._window(end)
        return None if context in self.used or min(context) < 0 else context  # below 0: not sampled yet

    def _window(self, end: int) -> tuple[int, ...]:
        start, asked = end - self.key.dye.width, len(self.prompt)
        if start >= asked:
            return tuple(self.output[start - asked : end - asked])
        return (*self.prompt[start:end], *self.output[: max(end - asked, 0)])


class DyeLogitsProcessor(LogitsProcessor):  # type: ignore[misc]  # its types are passed over, as it may not be there
    """Dyes those requests of a batch that name a campaign.

    Args:
        vllm_config: not looked at.
        device: not looked at: the logits say where they lie.
        is_pin_memory: not looked at.

    Raises:
        UsageError: the environment names no file of keys.
        LineageError: it is no such file.
        KeyFileError: others can read it.

    """

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:  # noqa: ANN401  vLLM's signature
        del vllm_config, device, is_pin_memory
        self._keys = _keys()
        self._requests: dict[int, _Request] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:  # noqa: ANN401  vLLM's signature
        """Refuse a request that names a campaign without a key: better no answer than an undyed one.

        Raises:
            ValueError: it does.

        """
        name = (getattr(sampling_params, "extra_args", None) or {}).get(ARGUMENT)
        if name is not None and (not isinstance(name, str) or name not in _keys()):
            raise ValueError(f"{ARGUMENT}: no campaign of that name has a key here")

    def is_argmax_invariant(self) -> bool:
        """Whether greedy decoding is left as it is; a dye changes it."""
        return False

    def update_state(self, batch_update: Any) -> None:  # noqa: ANN401  vLLM's signature
        """Follow which request is in which row: removed, added, moved, in this order."""
        if batch_update is None:
            return
        for row in batch_update.removed:
            self._requests.pop(row, None)
        for row, params, prompt, output in batch_update.added:
            self._requests.pop(row, None)
            name = (params.extra_args or {}).get(ARGUMENT)
            if name is not None:
                self._requests[row] = _Request(self._keys[name], params, prompt or (), output)
        for source, target, direction in batch_update.moved:
            moved, other = self._requests.pop(source, None), self._requests.pop(target, None)
            if moved is not None:
                self._requests[target] = moved
            if other is not None and direction.name == "SWAP":
                self._requests[source] = other

    def apply(self, logits: Tensor) -> Tensor:
        """Dye the logits in place; [rows, vocabulary]."""
        by_campaign: dict[str, list[tuple[int, _Request, tuple[int, ...]]]] = {}
        for row, request in self._requests.items():
            context = request.context()
            if context is not None:
                by_campaign.setdefault(request.key.campaign, []).append((row, request, context))
        for some in by_campaign.values():
            _sway(logits, some)
        return logits


def _sway(logits: Tensor, some: Sequence[tuple[int, _Request, tuple[int, ...]]]) -> None:
    """Dye the rows of one campaign."""
    key = some[0][1].key
    rows = [row for row, _, _ in some]
    seeds = seeds_of(key, [context for _, _, context in some], logits.device)
    if key.dye.scheme is Scheme.GREEN:
        swayed = logits[rows]
        sway_green(swayed, key.dye, seeds)
        logits[rows] = swayed
        return
    kept = torch.stack([_truncated(logits[row], request.params) for row, request, _ in some])
    chosen = choose_gumbel(kept, seeds)
    logits[rows] = torch.full_like(logits[rows], -torch.inf).scatter(1, chosen[:, None], 0.0)


def _truncated(row: Tensor, params: Any) -> Tensor:  # noqa: ANN401  vLLM's SamplingParams
    return truncated(
        row,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        min_p=getattr(params, "min_p", 0.0),
    )


@functools.cache
def _keys() -> Mapping[str, DyeKey]:
    """Give the keys by campaign; read once a process."""
    path = os.environ.get(KEYS, "")
    if not path:
        raise UsageError(f"{KEYS}: names no file of dyes' keys; `stillwatch lineage keygen` makes one")
    return {key.campaign: key for key in load_keys(Path(path))}
