"""`stillwatch lineage test`: do a suspect's texts carry a dye?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli.lineage_options import COMMITMENTS, HEAD, TOKENIZER
from stillwatch.cli.options import FILE
from stillwatch.cli.output import require_writable, say
from stillwatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stillwatch.decisions.audit import Head
    from stillwatch.lineage.keys import DyeKey
    from stillwatch.lineage.radioactivity import Radioactivity, Told
    from stillwatch.lineage.suspect import Said
    from stillwatch.lineage.tokeniser import Tokeniser


class _Given(click.ParamType[Any]):
    """What a campaign got: `c-7f3a=answers.jsonl`."""

    name = "given"

    def convert(
        self,
        value: Any,  # noqa: ANN401  the signature is click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, Path]:
        campaign, equals, path = str(value).rpartition("=")
        if not (campaign and equals and path):
            self.fail(f"{value!r}: write CAMPAIGN=FILE", param, ctx)
        return campaign, Path(path)


@click.command("test")
@click.option("--suspect", type=FILE, metavar="TEXTS", help="What the suspect said: .jsonl or text.")
@click.option("--endpoint", metavar="URL", help="Ask the suspect here instead, e.g. https://host/v1.")
@click.option("--model", metavar="NAME", help="The suspect's name at the endpoint.")
@click.option("--prompts", type=FILE, metavar="FILE", help="What to ask the endpoint: .jsonl or text.")
@click.option("--answers", type=FILE, metavar="FILE", help="Where its answers are kept; is gone on with.")
@click.option("--budget", type=click.IntRange(1), metavar="N", help="Requests to send to it at most, in this run.")
@click.option("--keys", type=FILE, required=True, metavar="KEYS", help="Every key that is to be tried.")
@TOKENIZER
@click.option(
    "--given", type=_Given(), multiple=True, metavar="CAMPAIGN=FILE", help="Answers a campaign got: look only there."
)
@COMMITMENTS
@HEAD
@click.option("--uncommitted", is_flag=True, help="Try keys that were not committed to; nothing for a court.")
@click.option(
    "--error",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Probability of accusing anybody innocent, over all keys.",
)
@click.option(
    "--effect",
    type=click.FloatRange(0, 10, min_open=True),
    default=0.05,
    show_default=True,
    help="Least surplus a k-gram to be found, in standard deviations.",
)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write the result here as JSON.")
def test_suspect(
    *,
    suspect: Path | None,
    endpoint: str | None,
    model: str | None,
    prompts: Path | None,
    answers: Path | None,
    budget: int | None,
    keys: Path,
    tokenizer: Path | None,
    given: tuple[tuple[str, Path], ...],
    commitments: Path,
    head: Head | None,
    uncommitted: bool,
    error: float,
    effect: float,
    output: Path | None,
) -> None:
    """Test a suspect's texts for the dye of every key, corrected for all of them.

    Give all keys that you would look at, not only the one that you suspect: what is tried and not told spoils the
    p-value. Each different k-gram is counted once, so that a suspect that repeats itself does not look guilty. The
    endpoint's key is read from the environment, STILLWATCH_SUSPECT_KEY.
    """
    from stillwatch.lineage.grams import Corpus
    from stillwatch.lineage.key_ring import load_keys
    from stillwatch.lineage.keys import commitment
    from stillwatch.lineage.radioactivity import Settings, radioactivity
    from stillwatch.lineage.radioactivity_v1 import written
    from stillwatch.lineage.suspect import read_prompts, read_texts
    from stillwatch.lineage.tokeniser import tokeniser_from
    from stillwatch.report.output_file import write_whole

    texts = _texts_file(suspect, endpoint, answers, {"--model": model, "--prompts": prompts, "--budget": budget})
    require_writable(output, read=(texts, prompts, keys, tokenizer, *(path for _, path in given)))
    ring = load_keys(keys)
    if not ring:
        raise UsageError(f"{keys}: holds no key, so that there is nothing to test for")
    unknown = {campaign for campaign, _ in given} - {key.campaign for key in ring}
    if unknown:
        raise UsageError(f"--given: no key of {', '.join(sorted(unknown))} in {keys}")
    if not uncommitted:
        _require_commitments(ring, commitments, head, keys)
    tokeniser = tokeniser_from(tokenizer)
    _require_tokenizer(ring, tokeniser)
    if endpoint is None:
        said = read_texts(texts)
    else:
        said = _asked(endpoint, model or "", read_prompts(prompts or texts), texts, budget or 0)
    corpus = Corpus.of(tokeniser.encoded(each.text for each in said))
    asked = Corpus.of(tokeniser.encoded(each.prompt for each in said if each.prompt))
    got = {campaign: Corpus.of(tokeniser.encoded(each.text for each in read_texts(path))) for campaign, path in given}
    settings = Settings(error, effect)
    found = radioactivity(corpus, ring, settings, prompts=asked, given=got)
    if output is not None:
        made_of = {
            "suspect": _digest(texts),
            "tokenizer": tokeniser.name,
            "commitments": [commitment(key) for key in ring],
            "committed": not uncommitted,
            "given": {campaign: _digest(path) for campaign, path in given},
        }
        write_whole(output, written(found, settings, made_of=made_of))
    _print(found)


def _texts_file(
    suspect: Path | None, endpoint: str | None, answers: Path | None, asking: dict[str, object | None]
) -> Path:
    """Give the file that the suspect's texts are in, or will be."""
    asking = {"--answers": answers, **asking}
    if endpoint is None:
        given = [name for name, value in asking.items() if value is not None]
        if given:
            raise UsageError(f"{given[0]}: is for --endpoint")
        if suspect is None:
            raise UsageError("name the suspect's texts with --suspect, or where to ask it with --endpoint")
        return suspect
    missing = [name for name, value in asking.items() if value is None]
    if missing or answers is None:
        raise UsageError(f"--endpoint needs {', '.join(missing)} as well")
    if suspect is not None:
        raise UsageError("--suspect and --endpoint: give one of them")
    return answers


def _asked(url: str, model: str, prompts: Sequence[str], answers: Path, budget: int) -> tuple[Said, ...]:
    """Ask the endpoint, with a bar on a terminal."""
    import os

    from stillwatch.lineage.endpoint import Endpoint, ask

    endpoint = Endpoint(url, model, os.environ.get("STILLWATCH_SUSPECT_KEY", ""))
    with click.progressbar(length=len(prompts), label="asking", file=sys.stderr) as bar:
        said = ask(endpoint, prompts, answers, budget, lambda done: bar.update(done - bar.pos))
    if len(said) < len(prompts):
        say(f"{len(said):,} of {len(prompts):,} prompts are answered; run this again to go on, if the budget ended")
    return said


def _require_commitments(ring: tuple[DyeKey, ...], path: Path, head: Head | None, keys: Path) -> None:
    from stillwatch.lineage.commitments import committed_to, read_commitments

    if not path.exists():
        raise UsageError(f"{path}: no commitments; name them with --commitments, or try keys with --uncommitted")
    held = read_commitments(path, head)
    for key in ring:
        committed_to(key, held, place=str(keys))


def _require_tokenizer(ring: tuple[DyeKey, ...], tokeniser: Tokeniser) -> None:
    for key in ring:
        if key.tokenizer and key.tokenizer != tokeniser.name:
            raise UsageError(
                f"campaign {key.campaign!r}: its dye lies in token ids of another tokenizer (SHA-256 {key.tokenizer});"
                " name that one with --tokenizer"
            )
    if tokeniser.name == "words":
        say("no --tokenizer: texts are cut into words; a model's dye cannot be seen in those")


def _digest(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _print(found: Radioactivity) -> None:
    click.echo(
        f"Texts:    {found.texts:,}, {found.tokens:,} tokens; {found.repeated:.0%} of the k-grams repeat themselves"
    )
    for told in found.campaigns:
        click.echo(f"{told.scored.campaign}: {told.finding}")
        click.echo(f"  {told.why}")
        click.echo(
            f"  p {_power_of_ten(told.scored.log_p)}, over all keys {_power_of_ten(told.log_p_holm)};"
            f" e {_power_of_ten(told.scored.log_e)}; power {told.power:.2f}"
        )
        _print_needed(told)


def _print_needed(told: Told) -> None:
    from stillwatch.lineage.radioactivity import Finding

    if told.finding is not Finding.CANNOT_TELL:
        return
    if told.tokens_needed is None:
        click.echo(f"  to tell: texts with {told.grams_needed:,} different k-grams")
    else:
        click.echo(f"  to tell: about {told.tokens_needed:,} tokens of texts like these")


def _power_of_ten(log: float) -> str:
    import math

    if not math.isfinite(log):
        return "0"
    exponent = math.floor(log / math.log(10.0))
    return (
        f"{math.exp(log - exponent * math.log(10.0)):.1f}e{exponent:+03d}"
        if exponent not in range(-3, 4)
        else f"{math.exp(log):.3g}"
    )
