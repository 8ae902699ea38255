"""Figures of `stillwatch lineage`: how fast a dye is looked for, and what students of dyed answers show of it.

    lineage.py speed           tokens a second on one core, beside the detector of transformers where it is installed
    lineage.py students        p-values by tokens seen, for students of 0, 1, 5, 20 and 100 % dyed answers
    lineage.py roc             how many pieces of 5,000 tokens of them are found, and at what false alarms
    lineage.py campaigns       sixteen campaigns told apart
    lineage.py null            a thousand null tests over ten undyed students
    lineage.py quality         the teacher's perplexity of dyed answers
    lineage.py reworded        what is left after words were replaced
    lineage.py                 all of them

Teacher and students are small on purpose, so that everything runs on one core in minutes: the teacher is a table of
logits by the last token, a student counts which token follows each pair of tokens in the answers that it got and, where
it never saw the pair, each token. Figures for real models differ; what carries over is how they fall and grow.
Generation here is vectorised over answers, with the same keyed function as `stillwatch.lineage.dye` (asserted).
"""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from stillwatch.lineage import prf
from stillwatch.lineage.dye import STRENGTHS, Dye, Scheme, swayed, threshold, uniforms
from stillwatch.lineage.grams import Corpus, distinct_grams
from stillwatch.lineage.keys import DyeKey, derived_key
from stillwatch.lineage.radioactivity import Finding, radioactivity, scored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Answers = NDArray[np.int64]

MASTER: Final = bytes(range(32))
VOCABULARY: Final = 512
LENGTH: Final = 128  # tokens of an answer
ANSWERS: Final = 8_000  # that a student is trained on: a million tokens
SHARES: Final = (0.0, 0.01, 0.05, 0.2, 1.0)
SEEN: Final = (5_000, 10_000, 20_000, 40_000, 90_000)
DYES: Final = {name: STRENGTHS[name] for name in ("gumbel", "light", "medium")}


def key_of(campaign: str, dye: Dye) -> DyeKey:
    """Give a campaign's key."""
    return derived_key(MASTER, campaign, dye)


class Teacher:
    """Logits of the next token by the last one, a few likely tokens after each."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        popular = rng.permutation(-1.1 * np.log(np.arange(1, VOCABULARY + 1)))  # words have Zipf's frequencies
        self.logits = popular + rng.normal(0.0, 1.8, (VOCABULARY, VOCABULARY))

    def answers(self, count: int, rng: np.random.Generator, key: DyeKey | None = None) -> Answers:
        """Write answers, dyed where a key is given; [count, LENGTH]."""
        texts = np.empty((count, LENGTH), np.int64)
        texts[:, :2] = rng.integers(VOCABULARY, size=(count, 2))
        used: list[set[tuple[int, int]]] = [set() for _ in range(count)]
        for place in range(2, LENGTH):
            logits = self.logits[texts[:, place - 1]]
            noise = -np.log(-np.log(rng.random(logits.shape)))
            if key is not None:
                noise, logits = _dyed(key, texts[:, place - 2 : place], logits, noise, used)
            texts[:, place] = np.argmax(logits + noise, axis=1)
        return texts


def _dyed(
    key: DyeKey,
    contexts: Answers,
    logits: NDArray[np.float64],
    noise: NDArray[np.float64],
    used: list[set[tuple[int, int]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give noise and logits of a step, dyed."""
    bits = prf.values(prf.seeds(key.secret, contexts)[:, None], np.arange(VOCABULARY))
    if key.dye.scheme is Scheme.GREEN:
        return noise, logits + key.dye.delta * (bits < threshold(key.dye.gamma))
    pairs = [(one, two) for one, two in contexts.tolist()]
    fresh = np.array([pair not in seen for pair, seen in zip(pairs, used, strict=True)])
    for pair, seen in zip(pairs, used, strict=True):
        seen.add(pair)
    keyed = -np.log(-np.log(uniforms(bits)))
    first = int(np.argmax(logits[0] + keyed[0]))
    assert first == int(np.argmax(swayed(key.dye, key.secret, contexts[0], logits[0])))  # noqa: S101  a benchmark's own
    return np.where(fresh[:, None], keyed, noise), logits


class Student:
    """Counts of the next token by the last two, backing off to the last one."""

    def __init__(self, answers: Answers) -> None:
        pairs = (answers[:, :-2] * VOCABULARY + answers[:, 1:-1]).ravel()
        order = np.argsort(pairs, kind="stable")
        self._nexts = answers[:, 2:].ravel()[order]
        self._starts = np.searchsorted(pairs[order], np.arange(VOCABULARY**2 + 1))
        singles = answers[:, :-1].ravel()
        order = np.argsort(singles, kind="stable")
        self._single_nexts = answers[:, 1:].ravel()[order]
        self._single_starts = np.searchsorted(singles[order], np.arange(VOCABULARY + 1))

    def answers(self, count: int, rng: np.random.Generator) -> Answers:
        """Write answers of its own: a token that followed, drawn from all that did."""
        texts = np.empty((count, LENGTH), np.int64)
        texts[:, :2] = rng.integers(VOCABULARY, size=(count, 2))
        for place in range(2, LENGTH):
            last = texts[:, place - 1]
            pairs = texts[:, place - 2] * VOCABULARY + last
            start, end = self._starts[pairs], self._starts[pairs + 1]
            back, back_end = self._single_starts[last], self._single_starts[last + 1]
            known = end > start
            low, high = np.where(known, start, back), np.where(known, end, back_end)
            drawn = low + (rng.random(count) * np.maximum(high - low, 1)).astype(np.int64)
            pick = np.minimum(drawn, len(self._nexts) - 1)
            single = np.minimum(drawn, len(self._single_nexts) - 1)
            texts[:, place] = np.where(known, self._nexts[pick], self._single_nexts[single])
        return texts


def corpus_of(answers: Answers, tokens: int | None = None) -> Corpus:
    """Give a corpus of about so many tokens."""
    return Corpus.of(list(answers if tokens is None else answers[: max(tokens // LENGTH, 1)]))


def log10(log: float) -> str:
    """Write a p-value's exponent."""
    return f"{log / math.log(10):8.1f}"


def speed(tokens: int = 2_000_000) -> None:
    """Tokens a second of one key, deduplication and all, on one core."""
    rng = np.random.default_rng(1)
    ids = (rng.zipf(1.2, tokens) % 50_000).astype(np.int64)
    corpus = Corpus.of(list(ids.reshape(-1, 500)))
    print(f"\nspeed: {tokens:,} tokens, one core; least of 5 runs")
    for name, dye in STRENGTHS.items():
        key = key_of("c-1", dye)
        scored(key, distinct_grams(corpus, dye.width))  # compiles
        grams_seconds, seconds = math.inf, math.inf
        for _ in range(5):
            begun = time.perf_counter()
            grams = distinct_grams(corpus, dye.width)
            middle = time.perf_counter()
            scored(key, grams)
            end = time.perf_counter()
            grams_seconds, seconds = min(grams_seconds, middle - begun), min(seconds, end - begun)
        rate, further = tokens / seconds, tokens / (seconds - grams_seconds)
        print(f"  {name:8} {rate / 1e6:6.1f} million tokens a second; each further key {further / 1e6:6.1f} million")
    _speed_of_transformers(ids, corpus)


def _speed_of_transformers(ids: NDArray[np.int64], corpus: Corpus, some: int = 4_000) -> None:
    try:
        import torch  # noqa: PLC0415  may not be there
        from transformers import PretrainedConfig, WatermarkDetector, WatermarkingConfig  # noqa: PLC0415
    except ImportError:
        print("  transformers: not installed")
        return
    torch.set_num_threads(1)
    config = PretrainedConfig(vocab_size=50_000, bos_token_id=0)
    config.is_encoder_decoder = False
    for unique in (False, True):
        detector = WatermarkDetector(
            config, "cpu", WatermarkingConfig(greenlist_ratio=0.5, bias=2.0), ignore_repeated_ngrams=unique
        )
        rows = torch.from_numpy(ids[:some].reshape(-1, 500) + 1)
        begun = time.perf_counter()
        detector(rows)
        theirs = some / (time.perf_counter() - begun)
        dye = Dye(width=1)
        begun = time.perf_counter()
        scored(key_of("c-1", dye), distinct_grams(corpus, 1))
        ours = len(corpus.tokens) / (time.perf_counter() - begun)
        print(
            f"  transformers' detector (width 1, repeated k-grams {'left out' if unique else 'counted'}):"
            f" {theirs:,.0f} tokens a second; ours, width 1: {ours / theirs:,.0f} times as many"
        )


def students(seeds: Sequence[int] = (1, 2, 3)) -> None:
    """p-values of students by share of dyed answers and tokens seen: the median over seeds."""
    taught = f"{ANSWERS:,} answers ({ANSWERS * LENGTH:,} tokens)"
    print(f"\nstudents of {taught}: log10 p by tokens seen, median of {len(seeds)}")
    for name, dye in DYES.items():
        heading = "".join(f"{seen:>8,}" for seen in SEEN)
        print(f"  {name}: dyed share, seen:{heading}   with what was given, 40,000")
        for share in SHARES:
            rows, knowing = [], []
            for seed in seeds:
                texts, dyed, key = _student_texts(seed, share, dye)
                rows.append([scored(key, distinct_grams(corpus_of(texts, seen), 2)).log_p for seen in SEEN])
                if len(dyed):
                    grams = distinct_grams(corpus_of(texts, 40_000), 2, given=corpus_of(dyed))
                    knowing.append(scored(key, grams, selected=True).log_p)
            median = np.median(rows, axis=0)
            with_given = log10(float(np.median(knowing))) if knowing else "       -"
            print(f"    {share:6.0%}            " + "".join(map(log10, median)) + "   " + with_given, flush=True)


def _student_texts(seed: int, share: float, dye: Dye) -> tuple[Answers, Answers, DyeKey]:
    rng = np.random.default_rng(100 + seed)
    teacher, key = Teacher(seed), key_of(f"c-{seed}", dye)
    count = round(ANSWERS * share)
    dyed = teacher.answers(count, rng, key) if count else np.empty((0, LENGTH), np.int64)
    student = Student(np.concatenate([dyed, teacher.answers(ANSWERS - count, rng)]))
    return student.answers(SEEN[-1] // LENGTH + 1, rng), dyed, key


def roc(parts: int = 40, tokens: int = 5_000) -> None:
    """Share of students' pieces that are found at a given share of innocent ones."""
    print(f"\nROC: {parts} pieces of {tokens:,} tokens a student; found at false alarms of 1 % and 5 %, and the area")
    for name, dye in DYES.items():
        logs = {}
        for share in SHARES:
            logs[share] = _pieces(7, share, key_of("c-7", dye), parts, tokens)
        innocent = np.sort(logs[0.0])
        for share in SHARES[1:]:
            found = logs[share]
            area = float((found[:, None] < innocent).mean() + 0.5 * (found[:, None] == innocent).mean())
            at = [float((found <= math.log(error)).mean()) for error in (0.01, 0.05)]
            print(f"  {name:8} {share:5.0%} dyed: {at[0]:5.0%} {at[1]:5.0%}   area {area:.3f}", flush=True)


def _pieces(seed: int, share: float, key: DyeKey, parts: int, tokens: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(500 + seed)
    teacher, count = Teacher(seed), round(ANSWERS * share)
    dyed = teacher.answers(count, rng, key) if count else np.empty((0, LENGTH), np.int64)
    student = Student(np.concatenate([dyed, teacher.answers(ANSWERS - count, rng)]))
    each = tokens // LENGTH
    texts = student.answers(each * parts, rng)
    pieces = (corpus_of(texts[part * each : (part + 1) * each]) for part in range(parts))
    return np.array([scored(key, distinct_grams(piece, 2)).log_p for piece in pieces])


def campaigns(count: int = 16, tokens: int = 40_000) -> None:
    """Sixteen campaigns, each with a student of its own; every student is tested for every key."""
    print(f"\ncampaigns: {count} keys, {tokens:,} tokens seen, family-wise error 1 %")
    for name, dye in DYES.items():
        for share in (0.05, 0.2):
            right, wrong = _told_apart([key_of(f"c-{number}", dye) for number in range(count)], share, tokens)
            said = f"{right} of {count} named, and only that one; {wrong} named wrongly"
            print(f"  {name:8} {share:4.0%} dyed: {said}", flush=True)


def _told_apart(keys: Sequence[DyeKey], share: float, tokens: int) -> tuple[int, int]:
    """Count students whose campaign alone was named, and campaigns that were named wrongly."""
    teacher, rng, right, wrong = Teacher(1), np.random.default_rng(3), 0, 0
    plain = teacher.answers(round(ANSWERS * (1 - share)), rng)
    for number, key in enumerate(keys):
        student = Student(np.concatenate([teacher.answers(round(ANSWERS * share), rng, key), plain]))
        told = radioactivity(corpus_of(student.answers(tokens // LENGTH, rng)), keys).campaigns
        found = [index for index, each in enumerate(told) if each.finding is Finding.DYED]
        right += found == [number]
        wrong += sum(index != number for index in found)
    return right, wrong


def null(undyed: int = 10, keys: int = 100) -> None:
    """Undyed students under keys that nobody used: p-values must be uniform (Kolmogorov and Smirnov)."""
    print(f"\nnull: {undyed} undyed students, {keys} keys each, 10,000 tokens")
    for name, dye in DYES.items():
        p = []
        for seed in range(undyed):
            rng = np.random.default_rng(900 + seed)
            student = Student(Teacher(50 + seed).answers(2_000, rng))
            grams = distinct_grams(corpus_of(student.answers(10_000 // LENGTH, rng)), 2)
            p += [math.exp(scored(key_of(f"n-{seed}-{number}", dye), grams).log_p) for number in range(keys)]
        ordered, size = np.sort(p), len(p)
        distance = float(np.abs(ordered - (np.arange(size) + 0.5) / size).max() + 0.5 / size)
        print(
            f"  {name:8} distance from uniform {distance:.4f} (5 % bound {1.358 / math.sqrt(size):.4f});"
            f" share below 1 %: {np.mean(ordered < 0.01):.2%}, 0.1 %: {np.mean(ordered < 0.001):.2%}",
            flush=True,
        )


def quality(keys: int = 100, count: int = 20) -> None:
    """Perplexity of dyed answers, by the teacher that wrote them, against undyed ones; over keys, and their spread."""
    teacher, rng = Teacher(1), np.random.default_rng(5)
    normal = teacher.logits - np.log(np.exp(teacher.logits).sum(axis=1, keepdims=True))

    def surprise(answers: Answers) -> float:
        return -float(normal[answers[:, 1:-1], answers[:, 2:]].mean())

    plain = [surprise(teacher.answers(count, rng)) for _ in range(keys)]
    undyed = math.exp(float(np.mean(plain)))
    print(f"\nquality: the teacher's perplexity of dyed answers, against {undyed:.2f} of undyed ones;")
    print(f"  {keys} keys of {count} answers each, and the standard error of their mean")
    for name, dye in STRENGTHS.items():
        if dye.width != 2:  # the generator here has two tokens of context
            continue
        found = [surprise(teacher.answers(count, rng, key_of(f"q-{number}", dye))) for number in range(keys)]
        error = math.sqrt((np.var(found) + np.var(plain)) / keys)
        print(f"  {name:8} {math.exp(float(np.mean(found) - np.mean(plain))) - 1:+.2%} (+- {error:.2%})", flush=True)


def reworded(seed: int = 1, tokens: int = 40_000) -> None:
    """p-values where a share of the dyed answers' words was replaced before the student learned from them."""
    print(f"\nreworded: log10 p of a student of 20 % and 100 % dyed answers, {tokens:,} tokens seen, by words replaced")
    for name, dye in DYES.items():
        for share in (0.2, 1.0):
            row = []
            for replaced in (0.0, 0.1, 0.3, 0.5):
                rng = np.random.default_rng(700 + seed)
                teacher, key, count = Teacher(seed), key_of("c-1", dye), round(ANSWERS * share)
                dyed = teacher.answers(count, rng, key)
                dyed = np.where(rng.random(dyed.shape) < replaced, rng.integers(VOCABULARY, size=dyed.shape), dyed)
                student = Student(np.concatenate([dyed, teacher.answers(ANSWERS - count, rng)]))
                grams = distinct_grams(corpus_of(student.answers(tokens // LENGTH, rng)), 2)
                row.append(f"{replaced:.0%}" + log10(scored(key, grams).log_p))
            print(f"  {name:8} {share:5.0%} dyed: " + "  ".join(row), flush=True)


PARTS: Final = (speed, students, roc, campaigns, null, quality, reworded)


def main() -> None:
    """Print the figures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="?", choices=[part.__name__ for part in PARTS])
    which = parser.parse_args().which
    for part in PARTS:
        if which in {None, part.__name__}:
            part()


if __name__ == "__main__":
    main()
