"""`stillwatch lineage safety`: was refusal behaviour removed?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.lineage_result import ALPHA, EVIDENCE, given, percent, several, span, tested
from stillwatch.cli.options import FILE, FORM
from stillwatch.cli.output import say
from stillwatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from stillwatch.lineage.material import Material


@click.command()
@click.option("--suspect", type=FILE, required=True, metavar="FILE", help="Answers of the suspect, JSONL.")
@click.option("--reference", type=FILE, required=True, metavar="FILE", help="Answers of ours to the same prompts.")
@click.option("--base", type=FILE, metavar="FILE", help="Answers of the model that the suspect was made from.")
@click.option("--prompts", type=FILE, multiple=True, metavar="FILE", help="Prompt set: HarmBench or XSTest CSV, JSONL.")
@click.option("--labelled", type=FILE, metavar="FILE", help="Answers that people judged, to measure the judge with.")
@click.option("--judge", default="rules", show_default=True, metavar="rules|URL", help="Who tells what is a refusal.")
@click.option("--judge-model", default="", metavar="NAME", help="With a URL: which model judges.")
@click.option("--judge-key", default="", envvar="STILLWATCH_JUDGE_KEY", show_envvar=True, help="With a URL: its token.")
@click.option("--judgements", type=FILE, metavar="FILE", help="Where judgements of a URL are kept, and taken from.")
@click.option(
    "--margin",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Loss that matters, as a share of harmful prompts.",
)
@ALPHA
@FORM
@EVIDENCE
def safety(
    *,
    suspect: Path,
    reference: Path,
    base: Path | None,
    prompts: Sequence[Path],
    labelled: Path | None,
    judge: str,
    judge_model: str,
    judge_key: str,
    judgements: Path | None,
    margin: float,
    alpha: float,
    form: str,
    evidence: Path | None,
) -> None:
    """Tell whether a suspect lost refusals that ours has: `removed`, `kept`, or `cannot tell`.

    Answers are JSONL, one a line: id or prompt, answer, and kind (harmful or benign) and category, unless --prompts
    tells them. Give --labelled, or nobody knows how often the judge errs; with the arm in it, the errors are taken for
    each model by itself.
    """
    materials = [
        *given(suspect=suspect, reference=reference, base=base, labelled=labelled),
        *several("prompts", prompts),
    ]
    if judge != "rules":
        if judgements is None or not judge_model:
            raise UsageError(
                "a judge behind a URL needs --judge-model and --judgements, the file that keeps its answers"
            )
        _ask(judge, judge_model, judge_key, judgements, materials)
    if judgements is not None:
        materials += given(judgements=judgements)
    settings = {"alpha": alpha, "margin": margin}
    tested("safety", materials, settings, form=form, evidence=evidence, lines=lambda found: list(_lines(found)))


def _ask(url: str, model: str, key: str, kept: Path, materials: Sequence[Material]) -> None:
    from stillwatch.lineage.answers import read_answers
    from stillwatch.lineage.judge_endpoint import Endpoint, judge_all, wanted
    from stillwatch.lineage.judgements import read_judgements
    from stillwatch.lineage.prompts import read_prompts

    sets = [prompt for each in materials if each.role.startswith("prompts") for prompt in read_prompts(each)]
    texts = []
    for each in materials:
        if each.role in {"suspect", "reference", "base"}:
            texts += [(said.prompt.text, said.text) for said in read_answers(each, sets).values()]
        elif each.role == "labelled":
            texts += [
                (each.string(row, "prompt", line, required=False), each.string(row, "answer", line))
                for line, row in each.rows()
            ]
    pairs = wanted(texts)
    (before,) = given(judgements=kept) if kept.exists() else (None,)
    known = {} if before is None else read_judgements(before)
    left = {name: pair for name, pair in pairs.items() if name not in known}
    say(f"asking {model} about {len(left)} answers; {len(pairs) - len(left)} were judged before")
    judge_all(Endpoint(url, model, key), left, kept)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    named = ("all prompts" if each == "(all)" else each for each in found["categories"])
    where = f" ({', '.join(named)})" if found["categories"] else ""
    yield f"Refusal behaviour: {found['verdict']}{where}"
    yield from (f"  {why}" for why in found["why"])
    margin, sure = (percent(each) for each in (found["settings"]["margin"], 1 - found["settings"]["alpha"]))
    if found["verdict"] == "removed":
        yield f"  a loss of {margin} would have been found with probability {found['power']:.2f}"
    yield from _judge_lines(found)
    counts = found["prompts"]
    left = f"{found['missing']} left out, {found['repeated']} repeated"
    yield f"Prompts: {counts['harmful']} harmful, {counts['benign']} benign, {left}"
    for arm, rates in found["rates"].items():
        yield (
            f"  {arm}: as judged, refuses {percent(rates['harmful']['estimate'])} of harmful,"
            f" {percent(rates['benign']['estimate'])} of benign; {found['unclear'][arm]} unclear"
        )
    for side in found["comparisons"]:
        yield f"Against {side['against']}: refuses less by (each bound holds with {sure})"
        for name in ("harmful", "benign"):
            yield from (f"  {name}, {_row(each)}" for each in side[name])


def _judge_lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"Judge: {found['judge']}"
    for arm, errors in found["judge_errors"].items():
        seen, passed = (span(each) if each else "?" for each in (errors["sensitivity"], errors["specificity"]))
        yield f"  on {arm}: sees {seen} of refusals, passes {passed} of answers"
    if not found["judge_errors"]:
        yield "  nobody measured it (--labelled)"


def _row(row: Mapping[str, Any]) -> str:
    pairs = row["pairs"]
    return (
        f"{row['category']}: {span(row['loss'])}; lost {pairs['lost']}, gained {pairs['gained']} of"
        f" {sum(pairs.values())}; p = {row['adjusted']:.2g}"
    )
