"""Harder campaigns, each hard in one way, to be scored by `detect.py`.

    hard_suite.py OUT --arena-source PATH [--seed N] [--scale S] [--only NAME,...]
    detect.py OUT/*

Every variant starts from one plain campaign (250 accounts, one client, template in several wordings, own addresses and
cards) and changes what its name says, so that a table tells what each disguise costs. The last two wear all disguises
at once. Variants are spread over arenas of ordinary traffic in which no two share a queue of prompts or a template;
the ordinary traffic and the campaigns are made by the arena's own machinery, loaded from `--arena-source`, with
templates written here.

Two arenas ask about innocents instead:
    copied    campaigns that took over an innocent company's template and client: an app's, an office's (with its
              organization and mail domain claimed too) and a pipeline's. The innocent company must not be accused;
              `detect.py` counts its accounts apart.
    doubled   no campaign, twice the ordinary traffic: nobody may be accused.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arenas import load_machinery

DAYS = 14.0
ORDINARY_COUNTS = (
    "people",
    "apps",
    "offices",
    "classes",
    "pipelines",
    "evaluators",
    "nightly",
    "agents",
    "resellers",
    "hobbyists",
    "crowds",
)

# Templates of the campaigns here, one set a variant, so that two campaigns of one arena never share one.
TEMPLATES = (
    (
        "Work on the item underneath and hand back a finished piece of writing, no preamble.\n\n{}",
        "Item to complete, in good prose and at proper length:\n{}\nBegin now.",
        "{}\n\nWrite the best possible reply to the above, thorough and self-contained.",
    ),
    (
        "Entry for the collection. Prompt follows between the bars.\n---\n{}\n---\nReply only with the entry.",
        "You fill in the reply column of a table. Request: {}\nReply:",
        "Give the model reply to this request as a careful senior colleague would.\n{}",
    ),
    (
        "Q) {}\nA) (full sentences, no headings)",
        "Respond to the user turn below as usefully as you can.\nUSER: {}\nRESPONSE:",
        "Complete this exchange with one long, correct turn.\n\n{}",
    ),
    (
        "Task card\n{}\nDeliver the result, nothing about how you got there.",
        "Please carry out: {}\nUse plain language and leave nothing out.",
        "The request is quoted here: «{}». Fulfil it.",
    ),
    (
        "Produce an exemplary output for the input.\nInput = {}\nOutput =",
        "Handle this one next and be exhaustive: {}",
        "A reader sent us this: {}\nDraft the answer that we print.",
    ),
)

PLAIN: dict[str, Any] = {"accounts": 250, "per_account_day": 2.9, "wording": "varied"}
COVERED: dict[str, Any] = {"cover": 0.9, "per_account_day": 1.2}
ORGANIC: dict[str, Any] = {"organic": True, "relay": True, "wording": "none"}
DISGUISED: dict[str, Any] = {
    "client": "spoofed",
    "schedule": "human",
    "share": "uneven",
    "wording": "none",
    "params": "jittered",
    "organization": "own",
    **COVERED,
}

HARD: dict[str, dict[str, dict[str, Any]]] = {  # arena -> campaign -> what it changes in PLAIN
    "hard-1": {
        "plain": {},
        "spoofed-clients": {"client": "spoofed"},
        "human-hours": {"schedule": "human"},
        "uneven-dealing": {"share": "uneven"},
        "thirty-accounts": {"accounts": 30, "per_account_day": 12.0},
    },
    "hard-2": {
        "cover-90": COVERED,
        "no-template": {"wording": "none", "client": "spoofed", "params": "jittered"},
        "resampled-5": {"resample": 5},
        "organic-relay": ORGANIC,
        "shifts": {"schedule": "shifts"},
    },
    "hard-3": {
        "own-organizations": {"organization": "own"},
        "random-clients": {"client": "random"},
        "no-template-30": {
            "wording": "none",
            "client": "spoofed",
            "params": "jittered",
            "accounts": 30,
            "per_account_day": 12.0,
        },
        "all-disguises": DISGUISED | {"resample": 5},
        "all-disguises-organic": DISGUISED | ORGANIC,
    },
}
COPIED: dict[str, dict[str, Any]] = {  # who copies a template brings none of its own
    "copies-app": {"wording": "none"},
    "copies-office": {},
    "copies-pipeline": {"wording": "none"},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One arena to be made: its campaigns, how much ordinary traffic, and whether innocents are copied."""

    name: str
    campaigns: dict[str, dict[str, Any]] = field(default_factory=dict)
    ordinary: float = 1.0
    copied: bool = False


PLANS = (
    *(Plan(name, campaigns) for name, campaigns in HARD.items()),
    Plan("copied", COPIED, copied=True),
    Plan("doubled", ordinary=2.0),
)


def build(plan: Plan, out: Path, machinery: Any, suites: Any, *, corpora: Path, seed: int, scale: float) -> None:  # noqa: ANN401 - modules loaded at run time have no static type
    """Make one arena under `out / plan.name`."""
    amount = plan.ordinary * scale
    counts = {k: max(1, round(getattr(suites.ORDINARY, k) * amount)) for k in ORDINARY_COUNTS}
    ordinary = machinery.replace(suites.ORDINARY, **counts)
    texts = machinery.Corpora(corpora)
    log = machinery.Log(np.random.default_rng(seed), DAYS)
    machinery.ordinary(log, texts, ordinary)

    pile = np.random.default_rng(seed + 1).permutation(texts["alpaca_en"])
    queues = np.array_split(pile, max(1, len(plan.campaigns)))
    for i, (name, changes) in enumerate(plan.campaigns.items()):
        settings = PLAIN | changes
        organic = settings.get("organic", False)
        settings["accounts"] = max(12, round(settings["accounts"] * scale))
        requests = round(settings["accounts"] * settings["per_account_day"] * DAYS)
        # No longer than what is asked, so that a queue that is resampled five times is indeed asked five times.
        texts.cache[f"queue-{name}"] = queues[i][: -(-requests // settings.get("resample", 1))]
        machinery.WORDS["harvest"][name] = list(TEMPLATES[i])
        queue = () if organic else (f"queue-{name}",)
        machinery.campaign(log, texts, ordinary, machinery.Campaign(name, queue, elicits=name, **settings))

    folder = out / plan.name
    summary = machinery.save(log, folder)
    if plan.copied:
        copy_innocents(folder)
    (folder / "summary.json").write_text(json.dumps(summary | {"seed": seed, "scale": scale, "days": DAYS}))
    print(json.dumps({"arena": plan.name, **summary}))


def copy_innocents(arena: Path) -> None:
    """Make each campaign of an arena look like an innocent company, and write down which."""
    truth = pq.read_table(arena / "truth" / "accounts.parquet").to_pylist()
    accounts_of: dict[str, set[str]] = {}
    for row in truth:
        accounts_of.setdefault(row["cohort"], set()).add(row["account"])
    log = pq.read_table(arena / "exchanges")
    people = pq.read_table(arena / "accounts.parquet")
    chosen = []
    for name in COPIED:
        # The largest company of its sort that is not larger than the campaign, so that neither drowns the other.
        sort = name.removeprefix("copies-") + "-"
        fitting = [c for c in accounts_of if c.startswith(sort) and len(accounts_of[c]) <= len(accounts_of[name])]
        company = max(fitting or [c for c in accounts_of if c.startswith(sort)], key=lambda c: len(accounts_of[c]))
        chosen.append(company)
        log = wear(log, accounts_of[name], accounts_of[company])
        if sort == "office-":
            people = claim(people, accounts_of[name], accounts_of[company])
    rewrite(arena / "exchanges", log)
    pq.write_table(people, arena / "accounts.parquet")
    (arena / "truth" / "copied.json").write_text(json.dumps(chosen))


def wear(log: pa.Table, impostors: set[str], company: set[str]) -> pa.Table:
    """The log in which impostors send the company's template, system prompt, client and parameters.

    The template is what all the company's prompts have in common at their beginning and end; where an app has a system
    prompt instead, that is taken over.
    """
    accounts = log["account"]
    theirs = log.filter(pc.is_in(accounts, pa.array(sorted(company))))
    mine = pc.is_in(accounts, pa.array(sorted(impostors)))
    prompts = theirs["prompt"].to_pylist()
    head = shared_beginning(prompts)
    tail = shared_beginning([p[len(head) :][::-1] for p in prompts])[::-1]
    dressed = pc.binary_join_element_wise(head, log["prompt"], tail, "")
    log = replaced(log, "prompt", mine, dressed)
    for column in ("system", "user_agent", "ja4", "temperature", "max_tokens", "stream"):
        common = theirs[column].value_counts()
        value = max(common.to_pylist(), key=lambda v: int(v["counts"]))["values"]
        log = replaced(log, column, mine, pa.scalar(value, log[column].type))
    return log


def shared_beginning(texts: list[str]) -> str:
    """The longest text that all `texts` begin with."""
    first, last = min(texts), max(texts)  # between these two lie all others, so what they share is shared by all
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length]


def claim(people: pa.Table, impostors: set[str], company: set[str]) -> pa.Table:
    """The account file in which impostors claim the company's organization, mail domain, tier and country."""
    theirs = people.filter(pc.is_in(people["account"], pa.array(sorted(company))))
    mine = pc.is_in(people["account"], pa.array(sorted(impostors)))
    for column in ("organization", "email_domain", "tier", "country"):
        people = replaced(people, column, mine, pa.scalar(theirs[column][0].as_py(), people[column].type))
    return people


def replaced(table: pa.Table, column: str, where: pa.ChunkedArray, value: pa.Scalar | pa.ChunkedArray) -> pa.Table:
    """The table with `value` in one column in the rows of `where`."""
    return table.set_column(
        table.column_names.index(column), table.field(column), pc.if_else(where, value, table[column])
    )


def rewrite(folder: Path, log: pa.Table) -> None:
    """Write a log over the files it was read from, with as many rows in each as before."""
    start = 0
    for path in sorted(folder.glob("*.parquet")):
        rows = pq.ParquetFile(path).metadata.num_rows
        pq.write_table(log.slice(start, rows), path, compression="zstd")
        start += rows


def main() -> None:
    """Make the arenas."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--arena-source", type=Path, required=True, help="the script that makes arenas")
    parser.add_argument("--corpora", type=Path, help="its corpora, if not beside it")
    parser.add_argument("--seed", type=int, default=901)
    parser.add_argument("--scale", type=float, default=1.0, help="of accounts, ordinary and campaigns' alike")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="ARENA,...")
    args = parser.parse_args()
    unknown = set(args.only or ()) - {plan.name for plan in PLANS}
    if unknown:
        parser.error(f"no such arena: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PLANS)}")
    machinery, suites = load_machinery(args.arena_source)
    corpora = args.corpora or args.arena_source.resolve().parent / "corpora"
    for i, plan in enumerate(PLANS):
        if args.only is None or plan.name in args.only:
            build(plan, args.out, machinery, suites, corpora=corpora, seed=args.seed + 10 * i, scale=args.scale)


if __name__ == "__main__":
    main()
