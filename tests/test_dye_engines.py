"""Dyes in torch against numpy's, in the real `generate` of transformers, and on vLLM's interface."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.markov import GUMBEL, key_for

from stillwatch.errors import UsageError
from stillwatch.lineage.dye import STRENGTHS, Dye, bits_of_vocabulary, swayed
from stillwatch.lineage.grams import Corpus, distinct_grams
from stillwatch.lineage.key_ring import save_keys
from stillwatch.lineage.radioactivity import scored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install 'stillwatch[lineage]'")

from stillwatch.lineage import logits as on_torch  # noqa: E402  needs torch
from stillwatch.lineage import vllm as on_vllm  # noqa: E402

DYES = [*STRENGTHS.values(), Dye(width=3, gamma=0.9, delta=1.0)]
ROW = st.lists(st.floats(-8.0, 8.0), min_size=2, max_size=50)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_torch_and_numpy_give_the_same_bits(one: int, two: int, size: int) -> None:
    key = key_for("c-1", GUMBEL)
    found = on_torch._bits(on_torch.seeds_of(key, [(one, two)], "cpu"), size)[0]
    assert (found.numpy().view(np.uint64) == bits_of_vocabulary(key.secret, (one, two), size)).all()


@given(ROW, st.sampled_from([0.01, 0.25, 0.5, 0.75, 0.99]))
def test_the_same_tokens_are_green(row: list[float], gamma: float) -> None:
    key = key_for("c-1", Dye(gamma=gamma, delta=2.0))
    dyed = torch.tensor([row], dtype=torch.float64)
    on_torch.sway_green(dyed, key.dye, on_torch.seeds_of(key, [(5, 6)], "cpu"))
    assert (dyed[0].numpy() == swayed(key.dye, key.secret, (5, 6), np.array(row))).all()


@given(ROW)
def test_the_same_token_is_chosen(row: list[float]) -> None:
    key = key_for("c-1", GUMBEL)
    chosen = on_torch.choose_gumbel(torch.tensor([row], dtype=torch.float64), on_torch.seeds_of(key, [(5, 6)], "cpu"))
    assert int(chosen[0]) == int(np.argmax(swayed(GUMBEL, key.secret, (5, 6), np.array(row))))


@given(ROW, st.integers(0, 60), st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.sampled_from([0.0, 0.1]))
@settings(max_examples=50)
def test_what_sampling_leaves_out_is_never_chosen(row: list[float], top_k: int, top_p: float, min_p: float) -> None:
    kept = on_torch.truncated(torch.tensor(row), temperature=0.7, top_k=top_k, top_p=top_p, min_p=min_p)
    probabilities = torch.softmax(kept, dim=-1)
    assert int(probabilities.argmax()) in np.flatnonzero(np.array(row, np.float32) == np.float32(max(row)))
    if 0 < top_k < len(row) and len(set(row)) == len(row):
        assert int((kept > -math.inf).sum()) <= top_k
    everything = on_torch.truncated(torch.tensor(row), temperature=0.7, top_k=0, top_p=1.0)
    assert torch.allclose(everything, torch.tensor(row).double() / 0.7)


# ---- transformers


def generated(dye: Dye, campaign: str, count: int = 24) -> list[list[int]]:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from stillwatch.lineage.transformers import DyeLogitsProcessor  # noqa: PLC0415  needs torch

    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=97, n_positions=80, n_embd=16, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=None
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    asked = torch.arange(count)[:, None] % 97
    with torch.no_grad():
        texts = model.generate(
            asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=60,
            do_sample=True,
            top_k=0,
            pad_token_id=0,
            logits_processor=transformers.LogitsProcessorList([DyeLogitsProcessor(key_for(campaign, dye))]),
        )
    found: list[list[int]] = texts.tolist()
    return found


@pytest.mark.parametrize("dye", [STRENGTHS["medium"], GUMBEL], ids=["medium", "gumbel"])
def test_what_transformers_generates_is_found_by_its_key_alone(dye: Dye) -> None:
    grams = distinct_grams(Corpus.of(generated(dye, "c-1")), dye.width)
    assert scored(key_for("c-1", dye), grams).log_p < math.log(1e-9)
    assert scored(key_for("c-2", dye), grams).log_p > math.log(1e-4)


def test_a_temperature_of_0_is_refused() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from stillwatch.lineage.transformers import DyeLogitsProcessor  # noqa: PLC0415  needs torch

    with pytest.raises(ValueError, match="temperature: must be above 0"):
        DyeLogitsProcessor(key_for("c-1", GUMBEL), temperature=0.0)


# ---- vLLM's interface, as it is published


@dataclass
class Params:
    """Of `vllm.SamplingParams`, what is looked at."""

    extra_args: dict[str, Any] | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


class Direction(Enum):
    """`MoveDirectionality`."""

    UNIDIRECTIONAL = 0
    SWAP = 1


@dataclass
class Update:
    """`BatchUpdate`."""

    batch_size: int = 4
    removed: Sequence[int] = ()
    added: Sequence[tuple[int, Params, list[int] | None, list[int]]] = ()
    moved: Sequence[tuple[int, int, Direction]] = field(default_factory=tuple)


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> on_vllm.DyeLogitsProcessor:
    save_keys(tmp_path / "keys", [key_for("green", STRENGTHS["medium"]), key_for("gumbel", GUMBEL)])
    monkeypatch.setenv(on_vllm.KEYS, str(tmp_path / "keys"))
    on_vllm._keys.cache_clear()
    return on_vllm.DyeLogitsProcessor(None, torch.device("cpu"), False)


def dyed(name: str, **others: float) -> Params:
    return Params({on_vllm.ARGUMENT: name}, **others)  # type: ignore[arg-type]  # numbers, as they come


def test_only_who_names_a_campaign_is_dyed(processor: on_vllm.DyeLogitsProcessor) -> None:
    plain = [Params(), Params({}), Params({"other": 1})]
    processor.update_state(Update(added=[(row, params, [1, 2, 3], []) for row, params in enumerate(plain)]))
    before = torch.randn(3, 50)
    assert torch.equal(processor.apply(before.clone()), before)
    assert not processor.is_argmax_invariant()


def test_rows_are_dyed_as_numpy_does(processor: on_vllm.DyeLogitsProcessor) -> None:
    output: list[int] = []
    processor.update_state(
        Update(added=[(0, dyed("green"), [1, 2], output), (1, Params(), [1, 2], []), (2, dyed("gumbel"), [1, 2], [])])
    )
    before = torch.randn(3, 50, dtype=torch.float64)
    after = processor.apply(before.clone()).numpy()
    for row, name, dye in ((0, "green", STRENGTHS["medium"]), (2, "gumbel", GUMBEL)):
        assert (after[row] == swayed(dye, key_for(name, dye).secret, (1, 2), before[row].numpy())).all()
    assert (after[1] == before[1].numpy()).all()
    output.append(7)  # vLLM adds what was sampled to the list that it gave
    processor.update_state(None)
    after = processor.apply(before.clone()).numpy()
    expected = swayed(STRENGTHS["medium"], key_for("green", STRENGTHS["medium"]).secret, (2, 7), before[0].numpy())
    assert (after[0] == expected).all()


def test_requests_are_followed_as_rows_move(processor: on_vllm.DyeLogitsProcessor) -> None:
    before = torch.zeros(4, 50)

    def changed() -> list[int]:
        return [row for row, found in enumerate(processor.apply(before.clone())) if found.any()]

    processor.update_state(Update(added=[(0, dyed("green"), [1, 2], []), (1, Params(), [1, 2], [])]))
    assert changed() == [0]
    processor.update_state(Update(moved=[(0, 1, Direction.SWAP)]))
    assert changed() == [1]
    processor.update_state(Update(moved=[(1, 3, Direction.UNIDIRECTIONAL)]))
    assert changed() == [3]
    processor.update_state(Update(removed=[3], added=[(2, dyed("green"), [1, 2], [])]))
    assert changed() == [2]
    processor.update_state(Update(added=[(2, Params(), [1, 2], [])]))  # in the place of the one that was there
    assert changed() == []


@pytest.mark.parametrize("tokens", [[], [1], [4, 5, 6, 4, 5], [1, -1]])
def test_what_is_left_to_chance(processor: on_vllm.DyeLogitsProcessor, tokens: list[int]) -> None:
    before = torch.randn(1, 50)
    for asked in range(len(tokens) + 1):  # wherever the prompt ends
        processor.update_state(Update(added=[(0, dyed("gumbel"), tokens[:asked] or None, tokens[asked:])]))
        assert torch.equal(processor.apply(before.clone()), before)
    assert (on_torch.context_of(key_for("gumbel", GUMBEL), tokens) is None) == (-1 not in tokens)


def test_greedy_decoding_has_no_chance_to_sway(processor: on_vllm.DyeLogitsProcessor) -> None:
    processor.update_state(Update(added=[(0, dyed("gumbel", temperature=0.0), [1, 2], [])]))
    before = torch.randn(1, 50)
    assert torch.equal(processor.apply(before.clone()), before)


@given(st.lists(st.integers(0, 3), max_size=25), st.integers(0, 25))
def test_following_a_text_gives_what_looking_at_all_of_it_gives(tokens: list[int], asked: int) -> None:
    key = key_for("c-1", GUMBEL)
    asked = min(asked, len(tokens))
    output: list[int] = []
    request = on_vllm._Request(key, Params(), tokens[:asked], output)
    for end in range(asked, len(tokens) + 1):
        assert request.context() == request.context() == on_torch.context_of(key, tokens[:end])
        output[:] = tokens[asked : end + 1]


@pytest.mark.parametrize("name", ["nobody", 7, "", ["green"]])
def test_a_campaign_without_a_key_is_refused(processor: on_vllm.DyeLogitsProcessor, name: object) -> None:
    with pytest.raises(ValueError, match="stillwatch_dye"):
        processor.validate_params(Params({on_vllm.ARGUMENT: name}))
    processor.validate_params(dyed("green"))
    processor.validate_params(Params())


def test_without_a_file_of_keys_the_engine_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(on_vllm.KEYS, raising=False)
    on_vllm._keys.cache_clear()
    with pytest.raises(UsageError, match="lineage keygen"):
        on_vllm.DyeLogitsProcessor(None, None, False)


def test_vllms_own_class_is_what_it_was() -> None:
    interface = pytest.importorskip("vllm.v1.sample.logits_processor", reason="vLLM is not installed")
    assert issubclass(on_vllm.DyeLogitsProcessor, interface.LogitsProcessor)
    for name in interface.LogitsProcessor.__abstractmethods__:
        theirs, ours = (getattr(each, name) for each in (interface.LogitsProcessor, on_vllm.DyeLogitsProcessor))
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
