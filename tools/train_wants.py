"""Learn the model of what a text asks for from the wordings in `tools/wants/`; print how it does on rewordings.

    python tools/train_wants.py            evaluate, then write src/stillwatch/marks/wants.npz
    python tools/train_wants.py --quick    write it without evaluating

The material is one JSON Lines file a language. A line is either a slot, a list of fillers that every class shares, or
a family: one way of asking for one thing, as sentence patterns. `(a|b)` is a choice and may nest, `$name` a filler of
that slot, `$n` a number, `$tag` a tag's name. A pattern stands for the many sentences that it expands to.

Evaluation never tests on a wording that was trained on:
    patterns    every pattern is scored by a model that saw four fifths of the patterns, and not this one
    families    every family is scored by a model that saw it in no language, with a family of ordinary requests held
                out beside it
    languages   every language is scored by a model that saw none of it

Needs numpy and scipy. Deterministic: the same material gives the same file.
"""

# ruff: noqa: INP001, T201, S311
# It is a script; it prints figures; its random choices make sentences, not secrets.

from __future__ import annotations

import argparse
import json
import os
import random
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads slow the fit tenfold, and change its last bits

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from stillwatch.compiled import compiled
from stillwatch.marks.normalise import normalise, text_buffers
from stillwatch.marks.tokens import END, NUMBER, NUMBER_HASH, next_token
from stillwatch.marks.wants import _NONE_BEFORE, BUCKETS, HEAD, TAIL, VERSION, WANTS, bucket, pair_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stillwatch.marks.tokens import Bytes

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

MATERIAL = Path(__file__).parent / "wants"
MODEL = Path(__file__).parent.parent / "src" / "stillwatch" / "marks" / "wants.npz"
TAGS = ("think", "thinking", "reasoning", "scratchpad", "thought", "analysis", "reflection", "cot", "inner_monologue")
SAMPLES = 12
"""Texts drawn from one pattern."""
GARBLE = 0.7
"""Share of a filler's words that are made up."""
FOLDS = 5
"""Parts that patterns are dealt to."""
PENALTY = 0.2
"""Half the inverse variance of the weights' prior."""
FORGET = 0.12
"""Share of tokens left out of a training text, so that no single word carries a want."""


@dataclass(frozen=True)
class Text:
    """One made text, what it wants (None: nothing that is harvested), and where it is from.

    `window` says which end of it holds the request.
    """

    text: str
    want: str | None
    language: str
    family: str
    pattern: str
    window: str


def main() -> None:
    """Read the arguments, evaluate, write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="write the model without evaluating")
    arguments = parser.parse_args()
    texts = list(made_texts())
    features = features_of(texts)
    print(f"{len(texts)} texts, {len({(t.language, t.want, t.family) for t in texts})} families")
    if not arguments.quick:
        report("held-out patterns", texts, scored_by_patterns(texts, features))
        report("held-out wording families", texts, scored_by_families(texts, features))
        report("held-out languages", texts, scored_by_languages(texts, features))
    write_model(fitted(features, texts, np.ones(len(texts), dtype=bool)))


def made_texts() -> Iterable[Text]:
    """Expand the material into texts."""
    for path in sorted(MATERIAL.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        slots = {line["slot"]: line["values"] for line in lines if "slot" in line}
        for line in lines:
            if "family" in line:
                yield from family_texts(path.stem, line, slots)


def family_texts(language: str, family: dict[str, Any], slots: dict[str, list[str]]) -> Iterable[Text]:
    """Draw sentences from one family: as they are, or with a document before or after."""
    for pattern in family["say"]:
        choice = random.Random(f"{language} {family['want']} {pattern}")
        for number in range(SAMPLES):
            request = expanded(pattern, slots, choice)
            document = " ".join(
                garbled(choice.choice(slots["text"] + slots["task"]), choice) for _ in range(choice.randint(2, 16))
            )
            text, window = request, "head"
            if number % 4 == 2:
                text = f"{request}\n{document}"
            elif number % 4 == 3:
                text, window = f"{document}\n\n{request}", "tail"
            yield Text(text, family["want"], language, family["family"], pattern, window)


def garbled(text: str, choice: random.Random) -> str:
    """Put made-up words for most words of a filler, so that what is asked is learned and not what it is asked about."""

    def other(word: re.Match[str]) -> str:
        if choice.random() > GARBLE:
            return word[0]
        if word[0] > "\u3000":  # Han and kana; Hangul keeps its own script
            first, count = (0xAC00, 11172) if word[0] >= "\uac00" else (0x4E00, 6000)
            return "".join(chr(first + choice.randrange(count)) for _ in word[0])
        return "".join(chr(choice.randrange(97, 123)) for _ in range(choice.randint(2, 9)))

    return re.sub(r"[^\W\d_]+", other, text)


def expanded(pattern: str, slots: dict[str, list[str]], choice: random.Random) -> str:
    """Turn a pattern into one sentence."""
    innermost = re.compile(r"\(([^()]*\|[^()]*)\)")
    while found := innermost.search(pattern):
        pattern = pattern[: found.start()] + choice.choice(found[1].split("|")) + pattern[found.end() :]
    # How a request and what it is about are set apart says nothing of the request.
    pattern = re.sub(r"(?<=\w)[.:]\s(?=\$t[ea])", lambda old: choice.choice((old[0], ". ", ": ", "\n", ":\n")), pattern)
    tag = choice.choice(TAGS)

    def filled(name: re.Match[str]) -> str:
        if name[1] == "n":
            return str(choice.choice((2, 3, 4, 5, 8, 10, 12, 20, 25, 30, 50, 100)))
        return tag if name[1] == "tag" else garbled(choice.choice(slots[name[1]]), choice)

    return re.sub(r"\$(n(?![a-z])|tag|task|text|subject)", filled, pattern)


@compiled
def _token_hashes(
    offsets: np.ndarray[Any, np.dtype[Any]], data: Bytes
) -> tuple[np.ndarray[Any, np.dtype[np.uint64]], np.ndarray[Any, np.dtype[np.int64]]]:
    hashes = np.empty(len(data) + 1, dtype=np.uint64)
    starts = np.zeros(len(offsets), dtype=np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        position, end = int(offsets[row]), int(offsets[row + 1])
        while True:
            token, kind, position = next_token(data, position, end)
            if kind == END:
                break
            hashes[count] = NUMBER_HASH if kind == NUMBER else token
            count += 1
        starts[row + 1] = count
    return hashes[:count], starts


@compiled
def _features(hashes: np.ndarray[Any, np.dtype[np.uint64]], before: np.uint64) -> np.ndarray[Any, np.dtype[np.uint64]]:
    found = np.empty(2 * len(hashes), dtype=np.uint64)
    for place in range(len(hashes)):
        found[2 * place] = hashes[place]
        found[2 * place + 1] = pair_hash(hashes[place - 1] if place else before, hashes[place])
    return found


@compiled
def _bucket_rows(features: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    rows = np.empty(len(features), dtype=np.int64)
    for place in range(len(features)):
        rows[place] = bucket(features[place])
    return rows


@dataclass(frozen=True)
class Features:
    """Presence over the square root of tokens, one row a text: thinned for training, whole (head; tail) for testing."""

    training: csr_matrix
    head: csr_matrix
    tail: csr_matrix


def features_of(texts: list[Text]) -> Features:
    """Turn texts into features, by the same functions that score."""
    hashes, starts = _token_hashes(*text_buffers(normalise(pa.array([text.text for text in texts]))))
    thin = np.random.default_rng(2024)
    training, head, tail = [], [], []
    for row, text in enumerate(texts):
        whole = hashes[starts[row] : starts[row + 1]]
        head.append((whole[:HEAD], _NONE_BEFORE))
        long = len(whole) > HEAD
        tail.append((whole[-TAIL:], whole[-TAIL - 1]) if long else head[-1])
        window, before = tail[-1] if text.window == "tail" and long else head[-1]
        kept = window[thin.random(len(window)) >= FORGET]
        training.append((kept, before))
    return Features(*(_matrix(windows) for windows in (training, head, tail)))


def _matrix(windows: list[tuple[np.ndarray[Any, np.dtype[np.uint64]], np.uint64]]) -> csr_matrix:
    columns = [_bucket_rows(np.unique(_features(window, np.uint64(before)))) for window, before in windows]
    values = [np.full(len(c), 1 / np.sqrt(max(len(w), 1))) for c, (w, _) in zip(columns, windows, strict=True)]
    ends = np.cumsum([0, *map(len, columns)])
    matrix = csr_matrix((np.concatenate(values), np.concatenate(columns), ends), shape=(len(windows), BUCKETS))
    matrix.sum_duplicates()
    return matrix


def fitted(features: Features, texts: list[Text], used: Flags, wants: Iterable[str] = WANTS) -> dict[str, Floats]:
    """Fit one logistic head a want on the texts that are `used`; each is bias and weights, in one array.

    Languages count alike, and so do what is wanted and what is not.
    """
    rows = np.flatnonzero(used)
    matrix = features.training[rows]
    heads = {}
    for want in wants:
        truth = np.array([texts[row].want == want for row in rows])
        weight = np.zeros(len(rows))
        languages = np.array([texts[row].language for row in rows])
        ordinary = np.array([texts[row].want is None for row in rows])
        for language in np.unique(languages):
            here = languages == language
            # What is not wanted is mostly ordinary requests: telling wants from one another matters less.
            for group, share in ((here & truth, 0.5), (here & ordinary, 0.42), (here & ~truth & ~ordinary, 0.08)):
                weight[group] = share * 1000 / max(group.sum(), 1)

        def loss(head: Floats, truth: Flags = truth, weight: Floats = weight) -> tuple[float, Floats]:
            logit = head[0] + matrix @ head[1:]
            error = weight * (1 / (1 + np.exp(-logit)) - truth)
            value = float(weight @ np.logaddexp(0, np.where(truth, -logit, logit)) + PENALTY * head[1:] @ head[1:])
            return value, np.concatenate(([error.sum()], matrix.T @ error + 2 * PENALTY * head[1:]))

        found = minimize(
            loss, np.zeros(BUCKETS + 1), jac=True, method="L-BFGS-B", options={"maxiter": 100, "ftol": 1e-6}
        )
        heads[want] = found.x
    return heads


def scored(features: Features, head: Floats, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Score texts as the package does: the higher of head and tail."""
    return np.asarray(head[0] + np.maximum(features.head[rows] @ head[1:], features.tail[rows] @ head[1:]), dtype=float)


def scored_by_patterns(texts: list[Text], features: Features) -> dict[str, Floats]:
    """Logit of every text for every want, by a model that did not see its pattern."""
    folds = np.array([zlib.crc32(text.pattern.encode()) % FOLDS for text in texts])
    result = {want: np.full(len(texts), np.nan) for want in WANTS}
    for fold in range(FOLDS):
        for want, head in fitted(features, texts, folds != fold).items():
            result[want][folds == fold] = scored(features, head, np.flatnonzero(folds == fold))
    return result


def scored_by_families(texts: list[Text], features: Features) -> dict[str, Floats]:
    """Logit of every text for every want; a text of that want, or of none, by a model without its family."""
    kinds = sorted({text.family for text in texts if text.want is None})
    result = {}
    for want in WANTS:
        families = sorted({text.family for text in texts if text.want == want})
        logits = np.full(len(texts), np.nan)
        for fold in range(max(len(families), len(kinds))):
            ours = families[fold % len(families)]
            ordinary = kinds[fold % len(kinds)]
            out = np.array(
                [(t.want == want and t.family == ours) or (t.want is None and t.family == ordinary) for t in texts]
            )
            head = fitted(features, texts, ~out, (want,))[want]
            logits[out] = scored(features, head, np.flatnonzero(out))
        result[want] = logits
    return result


def scored_by_languages(texts: list[Text], features: Features) -> dict[str, Floats]:
    """Logit of every text for every want, by a model that saw nothing of its language."""
    result = {want: np.full(len(texts), np.nan) for want in WANTS}
    for language in sorted({text.language for text in texts}):
        out = np.array([text.language == language for text in texts])
        for want, head in fitted(features, texts, ~out).items():
            result[want][out] = scored(features, head, np.flatnonzero(out))
    return result


def report(title: str, texts: list[Text], logits: dict[str, Floats]) -> None:
    """Print the area under the curve, and recall where 1 % of the ordinary requests pass, by want and language."""
    languages = sorted({text.language for text in texts})
    print(f"\n{title}: area under the curve / recall at 1 % false positives among ordinary requests")
    print(f"{'':>10}" + "".join(f"{language:>12}" for language in [*languages, "all"]))
    for want in WANTS:
        cells = []
        for language in [*languages, None]:
            here = np.array([language in (text.language, None) for text in texts])
            wanted = logits[want][here & np.array([text.want == want for text in texts])]
            ordinary = logits[want][here & np.array([text.want is None for text in texts])]
            above = np.searchsorted(np.sort(ordinary), wanted) / len(ordinary)
            cells.append(f"{above.mean():.3f}/{np.mean(wanted > np.quantile(ordinary, 0.99)):.2f}")
        byte = 255 / (1 + np.exp(-np.quantile(logits[want][[text.want is None for text in texts]], 0.99)))
        print(f"{want:>10}" + "".join(f"{cell:>12}" for cell in cells) + f"   at a score of {byte:.0f}")


def write_model(heads: dict[str, Floats]) -> None:
    """Round the weights to bytes and write the file, the same bytes for the same weights."""
    weights = np.stack([heads[want][1:] for want in WANTS], axis=1)
    scale = np.abs(weights).max(axis=0) / 127
    model = {
        "version": np.int64(VERSION),
        "weights": np.rint(weights / scale).astype(np.int8),
        "scale": scale,
        "bias": np.array([heads[want][0] for want in WANTS]),
    }
    np.savez_compressed(MODEL, **model)
    print(f"\n{MODEL.name}: {MODEL.stat().st_size} bytes, digest {zlib.crc32(model['weights'].tobytes()):08x}")


if __name__ == "__main__":
    main()
