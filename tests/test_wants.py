from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.marks.normalise import normalise, text_buffers
from stillwatch.marks.wants import BUCKETS, HEAD, TAIL, WANTS, load_wants, score_texts

MATERIAL = Path(__file__).parent.parent / "tools" / "wants"
# Written for this test; no file of tools/wants holds these sentences.
ASKED = {
    "reasoning": [
        "Put your entire thinking process in <think></think>, then the answer in <answer></answer>. What is 17 * 23?",
        "Write out your full chain of thought, with every false start, before the final answer.",
        "请先写出完整的思考过程,再给出最终答案。",
    ],
    "rubric": [
        "Score this response from an AI assistant from 1 to 5 for accuracy and helpfulness, as JSON. Response: hello",
        "Which assistant answered better? Assistant A: yes. Assistant B: no. Output [[A]] or [[B]].",
        "请给模型的回答打分,满分10分,标准是准确性和有用性。",
    ],
    "cleaning": [
        "Rewrite this reasoning trace in clean prose and keep each step: first I add, then I halve.",
        "Remove refusals and apologies from these responses and convert them to the chat format for fine-tuning.",
        "把下面的思维链改写成通顺的文字,保留每一步。",
    ],
    "tools": [
        "Record each tool call with its arguments and its full output, as Thought, Action and Observation.",
        "按照ReAct格式写出思考、行动和观察,记录所有工具调用的结果。",
    ],
    "synthesis": [
        "Generate 40 diverse instructions with answers as JSONL for fine-tuning a language model.",
        "生成50条多样化的指令和回答,用于训练语言模型,每行一个JSON。",
    ],
}
ORDINARY = [
    "Explain step by step how to bake a cake.",
    "Solve 48 over 6, then take away 2. Show your work please.",
    "Triage the ticket and score its urgency 0 to 10: my card was declined twice.",
    "Translate into Spanish: the train is late again.",
    "Think of a name for our new kitten.",
    "How many stars would you give this hotel? The room was small but clean.",
    "Extract the date and the total from the invoice as JSON.",
    "今天天气怎么样?",
    "请把这句话翻译成英文:我明天去北京。",
    "Explique-moi comment réparer un vélo.",
    "Wie wird das Wetter morgen in Bremen?",
    "明日の会議の案内を書いてください。",
]
DOCUMENT = (
    "The valley was quiet that year and nobody came over the pass until late in June, when the snow had gone. " * 30
)


def score(text: str) -> dict[str, int]:
    (row,) = score_texts(pa.array([text]))
    return dict(zip(WANTS, (int(value) for value in row), strict=True))


@pytest.mark.parametrize(("want", "text"), [(want, text) for want, texts in ASKED.items() for text in texts])
def test_what_is_asked_for_stands_out(want: str, text: str) -> None:
    scores = score(text)
    assert scores[want] == max(scores.values())
    assert scores[want] > 160


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_requests_score_low(text: str) -> None:
    assert max(score(text).values()) < 160


@pytest.mark.parametrize("want", WANTS)
def test_a_long_document_does_not_drown_the_request(want: str) -> None:
    request = ASKED[want][0]
    alone = score(request)[want]
    document = score(DOCUMENT)[want]
    assert document < 128
    for text in (f"{request}\n\n{DOCUMENT}", f"{DOCUMENT}\n\n{request}"):
        assert score(text)[want] > (alone + document) / 2


def test_sentences_of_this_test_were_not_learned_from() -> None:
    material = [
        pattern
        for path in MATERIAL.glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
        for pattern in json.loads(line).get("say", ())
    ]
    assert len(material) > 500
    assert not {text for texts in ASKED.values() for text in texts} & set(material)


def test_every_language_has_every_want_and_ordinary_requests() -> None:
    for path in MATERIAL.glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        wanted = [line["want"] for line in lines if "family" in line]
        assert set(wanted) == {*WANTS, None}, path.name
        assert min(wanted.count(want) for want in (*WANTS, None)) >= 4, path.name


@given(st.lists(st.none() | st.text(max_size=80), max_size=6))
@settings(max_examples=200, deadline=None)
def test_rows_do_not_touch_each_other(rows: list[str | None]) -> None:
    together = score_texts(pa.array(rows, type=pa.large_string()))
    assert together.shape == (len(rows), len(WANTS))
    for row, scores in zip(rows, together, strict=True):
        alone = score_texts(pa.array([row], type=pa.string()))[0]
        assert np.array_equal(alone, scores)


@given(st.text(alphabet="abc xyz", min_size=1, max_size=60), st.integers(1, 20))
@settings(deadline=None)
def test_case_and_spacing_do_not_matter(text: str, spaces: int) -> None:
    wide = text.replace(" ", " " * spaces)
    assert score(text) == score(wide.upper())


@given(st.lists(st.sampled_from([f"word{chr(97 + n)}" for n in range(26)]), min_size=HEAD + TAIL, max_size=300))
@settings(max_examples=50, deadline=None)
def test_only_head_and_tail_count(words: list[str]) -> None:
    middle = ["never", "seen", "before"] * 40
    changed = [*words[:HEAD], *middle, *words[-TAIL - 1 :]]
    plain = [*words[:HEAD], *(["other"] * 7), *words[-TAIL - 1 :]]
    assert score(" ".join(changed)) == score(" ".join(plain))


def test_an_empty_text_is_scored_by_the_bias_alone() -> None:
    model = load_wants()
    expected = (255 / (1 + np.exp(-model.bias)) + 0.5).astype(np.uint8)
    assert np.array_equal(score_texts(pa.array([""]))[0], expected)
    assert np.array_equal(score_texts(pa.array([None], type=pa.string()))[0], np.zeros(len(WANTS), dtype=np.uint8))


def test_the_model_is_small_and_whole() -> None:
    model = load_wants()
    assert model.weights.shape == (BUCKETS, len(WANTS))
    assert model.weights.dtype == np.int8
    assert (np.abs(model.weights).max(axis=0) == 127).all()
    assert not model.weights.flags.writeable
    with files("stillwatch.marks").joinpath("wants.npz").open("rb") as file:
        assert len(file.read()) < 200_000


def test_lookalike_and_zero_width_letters_change_nothing() -> None:
    text = ASKED["reasoning"][1]
    assert score(text.replace("o", "\u043e").replace("th", "t\u200bh")) == score(text)
    offsets, data = text_buffers(normalise(pa.array([text])))
    assert bytes(data[offsets[0] : offsets[1]]).decode() == text
