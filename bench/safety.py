"""Power and false alarms of the safety audit, by simulation of whole audits.

    safety.py                          the table at n = 400, alpha = 0.01
    safety.py --runs 2000 --pairs 200  other sizes

Models are simulated prompt by prompt: ours refuses 95 % of harmful prompts (the base 90 %), the suspect the same less
the loss; 3 % of prompts differ by chance each way. Judges err as told, each answer by itself; labels are drawn anew in
every run. `no arms named`: one error measured for all models; `by arm`: the judge errs otherwise on the suspect, and
labels are by arm; `unlabelled`: nobody measured it. A false alarm is `removed` without a loss.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.lineage.answers import Answer
from stillwatch.lineage.exact import share_interval
from stillwatch.lineage.judge_error import JudgeError
from stillwatch.lineage.prompts import Prompt
from stillwatch.lineage.refusal_judge import Judged
from stillwatch.lineage.safety import AuditSettings, compare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.random import Generator

REFUSES = 0.95
NOISE = 0.03
CATEGORIES = 5
LABELS = 200  # of each class; by arm as many for each


@dataclass(frozen=True)
class Judging:
    """A judge, and what is known of it."""

    name: str
    ours: tuple[float, float]  # sensitivity, specificity
    suspect: tuple[float, float]
    by_arm: bool = False
    labelled: bool = True


JUDGES = (
    Judging("never wrong, by arm", (1.0, 1.0), (1.0, 1.0), by_arm=True),
    Judging("0.98 by arm", (0.98, 0.98), (0.98, 0.98), by_arm=True),
    Judging("0.95 / 0.97 by arm", (0.95, 0.97), (0.95, 0.97), by_arm=True),
    Judging("0.98, suspect 0.90, by arm", (0.98, 0.98), (0.90, 0.98), by_arm=True),
    Judging("0.98, no arms named", (0.98, 0.98), (0.98, 0.98)),
    Judging("0.98, suspect 0.90, no arms named", (0.98, 0.98), (0.90, 0.98)),
    Judging("0.98, suspect 0.90, unlabelled", (0.98, 0.98), (0.90, 0.98), labelled=False),
)


def truths(
    rng: Generator, pairs: int, loss: float, base: bool
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Who truly refuses which prompt; the loss and the noise fall on prompts by chance."""
    ours = rng.random(pairs) < REFUSES
    # noise that keeps the rate: a refusal is dropped as often as one is added
    drop, add = NOISE / REFUSES, NOISE / (1.0 - REFUSES)
    arms = {
        "reference": ours,
        "suspect": np.where(ours, rng.random(pairs) >= drop + loss / REFUSES, rng.random(pairs) < add),
    }
    if base:
        arms["base"] = np.where(ours, rng.random(pairs) >= drop, rng.random(pairs) < add)
    return arms


def labels(rng: Generator, judging: Judging) -> dict[str, JudgeError]:
    """What labelling tells of the judge."""

    def measured(quality: tuple[float, float]) -> JudgeError:
        seen, passed = (int(rng.binomial(LABELS, each)) for each in quality)
        return JudgeError(seen, LABELS, passed, LABELS)

    if not judging.labelled:
        return {}
    if judging.by_arm:
        arms = {
            arm: measured(judging.suspect if arm == "suspect" else judging.ours)
            for arm in ("suspect", "reference", "base")
        }
        return {"": arms["reference"], **arms}
    return {"": measured(judging.ours)}


def verdict(rng: Generator, pairs: int, loss: float, judging: Judging, *, base: bool) -> tuple[str, float]:
    """One audit: its verdict, and the power that it claims."""
    arms: dict[str, dict[str, Answer]] = {}
    prompts = [Prompt(f"{each:05d}", "", "harmful", f"category {each % CATEGORIES}") for each in range(pairs)]
    for arm, refuses in truths(rng, pairs, loss, base).items():
        seen, passed = judging.suspect if arm == "suspect" else judging.ours
        said = np.where(refuses, rng.random(pairs) < seen, rng.random(pairs) >= passed)
        arms[arm] = {prompt.id: Answer(prompt, "r" if one else "a") for prompt, one in zip(prompts, said, strict=True)}
    ordered: Mapping[str, Mapping[str, Answer]] = {
        arm: arms[arm] for arm in ("suspect", "reference", "base") if arm in arms
    }
    errors = labels(rng, judging)
    found = compare(
        ordered, lambda _, text: Judged.REFUSED if text == "r" else Judged.ANSWERED, errors, AuditSettings()
    )
    return found.verdict, found.power


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(f"{asked.pairs} harmful prompts, {CATEGORIES} categories, alpha 0.01, {asked.runs} audits a line")
    heads = ("base", "loss", "removed", "99 % interval", "kept", "cannot", "claimed")
    print(
        f"{'judge':34s} {heads[0]:5s} {heads[1]:>5s} {heads[2]:>8s} {heads[3]:>16s}", *(f"{h:>7s}" for h in heads[4:])
    )
    rng = np.random.default_rng(asked.seed)
    for judging in JUDGES:
        for base in (False, True):
            for loss in (0.0, 0.05, 0.10):
                done = [verdict(rng, asked.pairs, loss, judging, base=base) for _ in range(asked.runs)]
                says = [each for each, _ in done]
                span = share_interval(says.count("removed"), asked.runs, 0.99)
                print(
                    f"{judging.name:34s} {'yes' if base else 'no':5s} {loss:5.2f} {span.estimate:8.3f}"
                    f" {span.low:7.3f} to {span.high:.3f} {says.count('kept') / asked.runs:7.3f}"
                    f" {says.count('cannot tell') / asked.runs:7.3f} {np.mean([power for _, power in done]):7.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
