# ruff: noqa: E501, RUF001  # text in wide scripts, which is counted twice, and look-alikes are what is tested
from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.marks.text import DIMENSIONS, PHRASES, TextMarks, read_text
from stillwatch.marks.wants import WANTS, score_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS = ("prompt", "opening", "closing", "shape", "phrases", "sketch", "wants")
TEMPLATES = {
    "English": (
        "Read the following question carefully, and then, thinking as an expert would, answer the question about {} "
        "at once; give the final result in square brackets at the end."
    ),
    "Chinese": "请仔细阅读下面的问题,然后用通顺的文字一步一步地说明你的推理过程。题目是:{}。请在最后把答案写在方括号里面。",
    "Japanese": "次の問題をよく読んで、考え方を順番に詳しく説明してください。問題は{}です。最後に答えを括弧の中に書いてください。",
    "Thai": "โปรดอ่านคำถามต่อไปนี้อย่างละเอียดแล้วอธิบายทีละขั้นตอน คำถามคือ {} และเขียนคำตอบสุดท้ายไว้ในวงเล็บเหลี่ยม",
    "Arabic": "اقرأ السؤال التالي بعناية ثم اشرح طريقة التفكير خطوة بخطوة عن {} واكتب الجواب النهائي بين قوسين في آخر السطر",
    "Russian": (
        "Внимательно прочитайте следующий вопрос и подробно объясните ход рассуждений по теме {} "
        "а затем напишите окончательный ответ в квадратных скобках."
    ),
}
SLOTS = ("owls", "the tides 12", "图论", "ローマ", "вулканы", "البحر", "ปลา")
SENTENCES = {
    "baking": (
        "How long should sourdough bread rest before baking in a cast iron oven",
        "My sourdough starter smells of vinegar and the bread dough will not rise",
        "Which flour makes the crust of sourdough bread crisp after baking",
        "Can bread dough rest overnight in the fridge before baking the loaf",
        "Why does the crumb of my baked sourdough loaf stay dense and the crust pale",
    ),
    "shipping": (
        "Write the customs declaration for a container of turbines shipped to Rotterdam",
        "Which harbour charges the lowest container storage fee after customs clearance",
        "The freight forwarder lost our container documents and customs wants a declaration",
        "Compare freight rates for a shipped container from Shanghai harbour to Rotterdam",
        "Who pays customs storage when the shipped freight waits in the harbour",
    ),
    "courts": (
        "Does the appellate court review the jury verdict when the statute is ambiguous",
        "Summarise the plaintiff's arguments in the appellate hearing about the statute",
        "The defendant asks the court to dismiss the verdict because the jury was biased",
        "Which statute lets a plaintiff appeal a verdict of the lower court",
        "Explain to the jury how the defendant and plaintiff read the ambiguous statute",
    ),
}  # fmt: skip
CHINESE = {
    "股票": (
        "昨天股票市场大幅下跌的主要原因是什么",
        "请分析今天股票市场大幅上涨之后投资者应该怎样买卖股票",
        "股票市场下跌的时候投资者为什么急着卖出股票",
        "怎样用市盈率判断股票市场上一只股票的价格高低",
    ),
    "番茄": (
        "阳台上种植番茄应该用什么样的土壤和肥料",
        "番茄的叶子发黄是不是因为浇水太多或者肥料太少",
        "种植番茄和黄瓜的时候多久浇水一次比较合适",
        "请告诉我阳台上种植的番茄什么时候可以收获",
    ),
}
"""Prompts on a topic each, in a script with spaces and in one without."""
texts = st.text(max_size=120) | st.lists(
    st.sampled_from(["alpha", "Beta", "gamma", "12", "3.5", "图", "论", "\n- ", "{{", "}}", "<tag>", "?", "слово"]),
    max_size=40,
).map(" ".join)


def read(*rows: str | None) -> TextMarks:
    return read_text(pa.array(rows, pa.string()))


def shared(marks: TextMarks, one: int, other: int) -> int:
    """Count the phrases that two texts have in common."""
    return len(set(marks.phrases[one].tolist()) & set(marks.phrases[other].tolist()) - {0})


def equal(one: TextMarks, other: TextMarks) -> bool:
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in PARTS)


@given(st.lists(st.none() | texts, max_size=12), st.data())
@settings(max_examples=150, deadline=None)
def test_batches_change_nothing(rows: list[str | None], data: st.DataObject) -> None:
    whole = read(*rows)
    cut = data.draw(st.integers(0, len(rows)))
    first, second = read(*rows[:cut]), read(*rows[cut:])
    sliced = read_text(pa.array(["before", *rows, "after"], pa.large_string()).slice(1, len(rows)))
    for part in PARTS:
        assert np.array_equal(getattr(whole, part), np.concatenate([getattr(first, part), getattr(second, part)]))
        assert np.array_equal(getattr(whole, part), getattr(sliced, part))


@given(st.lists(texts, min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_widths_and_ranges_are_as_told(rows: list[str]) -> None:
    marks = read(*rows)
    size = len(rows)
    for part in ("prompt", "opening", "closing", "shape"):
        assert getattr(marks, part).dtype == np.uint64
        assert getattr(marks, part).shape == (size,)
    assert marks.phrases.shape == (size, PHRASES)
    assert marks.sketch.dtype == np.int8
    assert marks.sketch.shape == (size, DIMENSIONS)
    assert marks.wants.dtype == np.uint8
    assert marks.wants.shape == (size, len(WANTS))
    lengths = np.linalg.norm(marks.sketch.astype(float), axis=1)
    assert all(length == 0 or abs(length - 127) < 4 for length in lengths)
    for row in marks.phrases.tolist():
        found = [phrase for phrase in row if phrase]
        assert found == sorted(set(found))  # no phrase twice, smallest first
        assert not any(row[len(found) :])  # what is missing comes last


@given(texts)
@settings(max_examples=100, deadline=None)
def test_wants_are_those_of_the_model(text: str) -> None:
    expected = score_texts(pa.array([text])) if text else np.zeros((1, len(WANTS)))
    assert np.array_equal(read(text).wants, expected)


@given(
    st.lists(st.sampled_from(["write", "Explain", "naïve", "straße", "слово", "λόγος", "17"]), min_size=1, max_size=20)
)
@settings(max_examples=100, deadline=None)
def test_case_and_spacing_change_nothing(words: list[str]) -> None:
    plain = " ".join(words)
    spaced = "  " + " \t\u00a0 ".join(words) + " ."
    assert equal(read(plain), read(spaced))
    lowered = read(plain.lower())
    assert equal(read(plain), lowered)


@pytest.mark.parametrize(
    "disguised",
    [
        "Wr\u200bite \u2060the full chain of thou\u00adght, step by step, for question 12.",  # takes no room
        "Ｗｒｉｔｅ the ｆｕｌｌ chain of thought, step by step, for question １２.",
        "Writе thе full сhаin оf thought, step by step, for question 12.",  # Cyrillic letters
        "𝐖𝐫𝐢𝐭𝐞 the full 𝓬𝓱𝓪𝓲𝓷 of thought, step by step, for question 𝟏𝟐.",  # mathematical letters
        "WRITE THE FULL CHAIN OF THOUGHT,   STEP BY STEP,   FOR QUESTION 12",
        "\u202eWrite\u202c the full chain of thought, \ufeffstep by step, for question 12.",
    ],
)
def test_texts_that_look_alike_have_the_same_marks(disguised: str) -> None:
    plain = read("Write the full chain of thought, step by step, for question 12.")
    found = read(disguised)
    assert plain.opening[0]
    assert plain.closing[0]
    for part in PARTS:
        if part != "sketch":  # letters count by their bytes there, which look-alikes need not keep
            assert np.array_equal(getattr(plain, part), getattr(found, part)), part


@pytest.mark.parametrize("language", TEMPLATES)
def test_a_template_shows_whatever_fills_it(language: str) -> None:
    rows = [TEMPLATES[language].format(slot) for slot in SLOTS]
    marks = read(*rows)
    assert len(np.unique(marks.prompt)) == len(rows)
    assert marks.opening[0]
    assert len(np.unique(marks.opening)) == 1
    assert marks.closing[0]
    assert len(np.unique(marks.closing)) == 1
    pairs = list(itertools.combinations(range(len(rows)), 2))
    assert sum(shared(marks, *pair) > 0 for pair in pairs) >= 0.4 * len(
        pairs
    )  # by chance, the slot may hold the smallest


def test_templates_of_different_languages_share_nothing() -> None:
    marks = read(*(template.format("7") for template in TEMPLATES.values()))
    for part in (marks.prompt, marks.opening, marks.closing):
        assert len(np.unique(part)) == len(TEMPLATES)
    assert len(np.unique(marks.phrases)) == len(TEMPLATES) * PHRASES


def reworded(words: list[str], share: float, source: random.Random) -> str:
    """Put another word for about a share of them."""
    return " ".join(f"other{chr(97 + source.randrange(26))}" if source.random() < share else word for word in words)


def test_reworded_templates_share_phrases_and_unrelated_texts_do_not() -> None:
    source = random.Random(5)  # noqa: S311  # made wordings hold no secret
    vocabulary = ["".join(source.choices("abcdefghijklmnop", k=source.randint(2, 9))) for _ in range(3000)]
    met = {0.0: 0, 0.03: 0, 0.08: 0, 1.0: 0}
    rounds = 150
    for _ in range(rounds):
        words = source.choices(vocabulary, k=60)
        rows = [" ".join(words), *(reworded(words, share, source) for share in list(met)[:-1])]
        marks = read(*rows, " ".join(source.choices(vocabulary, k=60)))
        for place, share in enumerate(met):
            met[share] += shared(marks, 0, place + 1) > 0
    assert met[0.0] == rounds
    assert met[0.03] > 0.8 * rounds
    assert met[0.08] > 0.5 * rounds
    assert met[0.0] >= met[0.03] >= met[0.08] > met[1.0]
    assert met[1.0] == 0


@given(st.integers(0, 10**9), st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_numbers_are_masked_but_in_the_prompt(one: int, other: int) -> None:
    pattern = "Question {} of the morning exam asks for all the prime factors of number {}"
    marks = read(pattern.format(one, other), pattern.format(other, one))
    assert marks.opening[0] == marks.opening[1] != 0
    assert marks.closing[0] == marks.closing[1] != 0
    assert np.array_equal(marks.phrases[0], marks.phrases[1])
    assert (marks.prompt[0] == marks.prompt[1]) == (one == other)


def test_order_of_words_counts() -> None:
    marks = read("one two three four five six seven eight", "two one three four five six eight seven")
    for part in (marks.prompt, marks.opening, marks.closing):
        assert part[0] != part[1]


def test_an_opening_needs_six_words_and_a_closing_five() -> None:
    marks = read(
        "a b c d", "a b c d e", "a b c d e f", "一二三四五六七八九", "一二三四五六七八九十", "一二三四五六七八九十百千"
    )
    assert (marks.opening != 0).tolist() == [False, False, True, False, False, True]
    assert (marks.closing != 0).tolist() == [False, True, True, False, True, True]
    assert (marks.phrases[:, 0] != 0).tolist() == [False, True, True, True, True, True]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=5, max_size=40))
@settings(max_examples=150, deadline=None)
def test_phrases_are_the_smallest_hashes_of_all_runs_of_five_words(words: list[str]) -> None:
    runs = [" ".join(words[start : start + 5]) for start in range(len(words) - 4)]
    alone = {int(phrase) for phrase in read(*runs).phrases[:, 0]}  # a text of five words has one phrase
    found = [int(phrase) for phrase in read(" ".join(words)).phrases[0] if phrase]
    assert found == sorted(alone)[:PHRASES]


def test_the_shape_is_the_layout_without_the_words() -> None:
    laid_out = "# {}\n\n- {}: {}\n- {}: {}\n\n```\n{}\n```\n<answer>{}</answer>"
    one, same, other, prose = read(
        laid_out.format(*"abcdefg"),
        laid_out.format("Some", "quite", "other", "words", "here", "and", "there"),
        laid_out.replace("- ", "").format(*"abcdefg"),
        "Nothing but words in a row here.",
    ).shape.tolist()
    assert one == same != 0
    assert other not in {one, 0}
    assert prose == 0


def similarity(sketch: NDArray[np.int8]) -> NDArray[np.float64]:
    rows = sketch.astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ rows.T)


@pytest.mark.parametrize("sentences", [SENTENCES, CHINESE], ids=["English", "Chinese"])
def test_prompts_on_one_topic_are_nearer_than_on_two(sentences: dict[str, tuple[str, ...]]) -> None:
    topics = [topic for topic, prompts in sentences.items() for _ in prompts]
    near = similarity(read(*itertools.chain.from_iterable(sentences.values())).sketch)
    pairs = list(itertools.combinations(range(len(topics)), 2))
    between = [near[pair] for pair in pairs if topics[pair[0]] != topics[pair[1]]]
    for topic in sentences:
        within = [near[pair] for pair in pairs if topics[pair[0]] == topics[pair[1]] == topic]
        assert np.mean(within) > np.mean(between) + 0.05


def test_a_long_prompt_is_read_whole() -> None:
    words = [f"{first}{second}{third}" for first, second, third in itertools.product("bcdfg", "aeiou", "klmnp")]
    body = " ".join(itertools.islice(itertools.cycle(words), 5_000_000 // 4))
    assert len(body) > 4_900_000
    marks = read(body, body + " end", "start " + body, body)
    assert marks.prompt[0] == marks.prompt[3]
    assert len(np.unique(marks.prompt)) == 3
    assert marks.opening[0] == marks.opening[1] != marks.opening[2]
    assert marks.closing[0] == marks.closing[2] != marks.closing[1]
    assert shared(marks, 0, 1)
    assert np.abs(np.linalg.norm(marks.sketch.astype(float), axis=1) - 127).max() < 4


def test_nothing_leaves_no_marks() -> None:
    marks = read("", None)
    for part in PARTS:
        assert not getattr(marks, part).any(), part
    assert len(read().prompt) == 0
    assert len(read_text(pa.array([None, None], pa.large_string())).prompt) == 2


def test_emoji_and_signs_are_a_prompt_without_words() -> None:
    marks = read("🙂🙂", "🎉", "... , ;", "\u200b")
    assert marks.prompt[:3].all()
    assert not marks.prompt[3]  # nothing is left of characters that take no room
    for part in ("opening", "closing", "shape", "phrases", "sketch"):
        assert not getattr(marks, part).any(), part


def test_bytes_that_are_no_text_only_separate() -> None:
    broken = pa.array([b"one two \xff\xfe three \xc3", b"one two three", b"\xed\xa0\x80 \x80", b"one tw\xc3\xb6"])
    marks = read_text(broken.view(pa.string()))
    assert marks.prompt[0] == marks.prompt[1] != marks.prompt[3]
    assert marks.prompt.all()
