"""Replays: laws that hold for any traffic, and a made log from end to end."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies import rule, written
from tests.snapshots import console
from tests.test_cli import stillwatch

from stillwatch import api
from stillwatch.decisions.decide import decide
from stillwatch.decisions.facts import facts_from
from stillwatch.decisions.policy import parse_policy
from stillwatch.errors import UsageError
from stillwatch.exchanges.schema import ACCOUNT, EXCHANGE
from stillwatch.report.findings_v1 import to_json as findings_json
from stillwatch.report.replay import print_replay
from stillwatch.report.replay_v1 import to_json

if TYPE_CHECKING:
    from stillwatch.decisions.price import Price, Replay, RuleEffect, Toll

BEGIN = datetime(2026, 9, 1, 22, tzinfo=UTC)
REFUSE_ALL = [rule({"refuse": "account_suspended"})]

Row = dict[str, Any]

exchanges = st.lists(
    st.fixed_dictionaries(
        {
            "minute": st.integers(0, 300),
            "account": st.sampled_from(["a", "b", "c", "d"]),
            "model": st.sampled_from(["small", "large", None]),
            "country": st.sampled_from(["DE", "KP", None]),
            "prompt": st.sampled_from(["one", "two", "three"]),
            "n": st.sampled_from([None, 1, 4]),
            "top_logprobs": st.sampled_from([None, 5]),
            "logit_bias": st.sampled_from([None, 2]),
            "output_tokens": st.integers(0, 900),
            "status": st.sampled_from([200, None, 429]),
        }
    ),
    min_size=1,
    max_size=30,
)
TIERS = {"a": "free", "b": "team", "c": None}
TRUTH = {"a": ("quarry", "campaign"), "b": ("", "person"), "c": ("", "app user"), "d": ("", "")}


def put(rows: list[Row], policy: str, *, against: str | None = None, files: int = 1, **others: Any) -> Replay:  # noqa: ANN401  of the verb
    """Put rows to a policy, by way of files as a user would."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        table = pa.Table.from_pylist(
            [{"request_id": f"r-{number}", **row, "time": at(row)} for number, row in enumerate(rows)],
            schema=EXCHANGE,
        )
        size = -(-table.num_rows // files)
        for number in range(files):
            pq.write_table(table.slice(number * size, size), folder / "logs" / f"{number}.parquet")
        accounts = pa.Table.from_pylist(
            [{"account": account, "tier": tier, "verified": account == "b"} for account, tier in TIERS.items()],
            schema=ACCOUNT,
        )
        pq.write_table(accounts, folder / "accounts.parquet")
        truth = [{"account": key, "campaign": campaign, "kind": kind} for key, (campaign, kind) in TRUTH.items()]
        pq.write_table(pa.Table.from_pylist(truth), folder / "truth.parquet")
        (folder / "new.yaml").write_text(policy)
        (folder / "old.yaml").write_text(against or policy)
        return api.replay(
            [folder / "logs"],
            folder / "new.yaml",
            against=None if against is None else folder / "old.yaml",
            accounts=folder / "accounts.parquet",
            truth=folder / "truth.parquet",
            **others,
        )


def at(row: Row) -> datetime:
    return BEGIN + timedelta(minutes=row["minute"])


def served(rows: list[Row]) -> list[Row]:
    return [row for row in rows if (row["status"] or 200) < 400]


def effect(price: Price, name: str) -> RuleEffect:
    return next(each for each in price.rules if each.id == name)


def added(tolls: list[Toll]) -> list[int]:
    return [
        sum(numbers)
        for numbers in zip(
            *(
                (toll.accounts, toll.touched, toll.exchanges, toll.stopped, toll.edited, toll.tokens_stopped)
                for toll in tolls
            ),
            strict=True,
        )
    ]


MIXED = [
    rule({"refuse": "sanctioned"}, "request.country == 'KP'", "border"),
    rule({"limit": {"of": "requests", "per": "account", "cap": 2, "each": "hour"}}, True, "few"),
    rule({"limit": {"of": "output_tokens", "per": "key", "cap": 1500, "each": "day"}}, "!account.verified", "short"),
    rule({"openness": {"n": {"at_most": 2}, "top_logprobs": "strip"}}, "account.tier == 'free'", "closed"),
    rule({"openness": {"logit_bias": "refuse"}}, "request.model == 'large'", "no-bias"),
]


@settings(max_examples=15)
@given(rows=exchanges, chance=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_files_does_not_matter(rows: list[Row], chance: Any) -> None:  # noqa: ANN401  hypothesis gives no type
    numbered = [{**row, "request_id": f"r-{number}"} for number, row in enumerate(rows)]
    plain = put(rows, written(rules=MIXED))
    chance.shuffle(numbered)
    shuffled = put(numbered, written(rules=MIXED), files=min(3, len(rows)), limit_memory=1)
    assert replace(shuffled, columns_absent=()) == replace(plain, columns_absent=())


@settings(max_examples=15)
@given(rows=exchanges)
def test_who_refuses_everything_stops_all_harvest_and_touches_everybody(rows: list[Row]) -> None:
    price = put(rows, written(rules=REFUSE_ALL)).asked
    for toll in (price.harvest, price.honest, *price.by_tier.values(), *price.by_kind.values()):
        assert (toll.stopped, toll.tokens_stopped) == (toll.exchanges, toll.tokens)
    there = served(rows)
    assert price.harvest.tokens == sum(row["output_tokens"] for row in there if row["account"] == "a")
    assert price.honest.touched == price.honest.refused == len({row["account"] for row in there} - {"a"})
    for held in price.campaigns:
        assert (held.first is None) == (held.toll.exchanges == 0)
        assert held.first is None or (held.first.exchange, held.first.tokens) == (1, 0)


@settings(max_examples=10)
@given(rows=exchanges)
def test_a_policy_that_never_fires_touches_nobody(rows: list[Row]) -> None:
    price = put(rows, written(mode="observe")).asked
    assert (price.honest.touched, price.harvest.touched, price.harvest.tokens_stopped) == (0, 0, 0)
    assert all(held.first is None for held in price.campaigns)


@settings(max_examples=10)
@given(rows=exchanges)
def test_against_itself_nothing_differs_and_observing_is_replayed_as_enforced(rows: list[Row]) -> None:
    found = put(rows, written(rules=MIXED), against=written(rules=MIXED, mode="observe"))
    assert found.against is not None
    assert replace(found.against, mode="enforce", version="") == replace(found.asked, version="")
    stream = console()
    print_replay(found, stream[0])
    assert "→" not in stream[1].getvalue()


@settings(max_examples=15)
@given(rows=exchanges)
def test_parts_add_up_to_the_whole(rows: list[Row]) -> None:
    found = put(rows, written(rules=MIXED))
    price = found.asked
    assert added(list(price.by_tier.values())) == added(list(price.by_kind.values())) or not price.by_tier
    assert not price.by_tier or added(list(price.by_tier.values())) == added([price.honest])
    assert found.accounts == price.honest.accounts + price.harvest.accounts
    assert price.honest.touched + price.honest.untouched == price.honest.accounts
    assert found.exchanges == len(rows)
    assert found.failed == len(rows) - len(served(rows))
    assert price.honest.exchanges + price.harvest.exchanges == len(served(rows))
    stops = sum(each.honest.stops + each.campaign.stops for each in price.rules)
    assert stops == price.honest.stopped + price.harvest.stopped


@settings(max_examples=15)
@given(rows=exchanges)
def test_limits_count_as_counting_by_hand_does(rows: list[Row]) -> None:
    rules = [
        rule({"limit": {"of": "requests", "per": "account", "cap": 2, "each": "hour"}}, True, "few"),
        rule({"limit": {"of": "distinct_prompts", "per": "account", "cap": 2, "each": "day"}}, True, "fresh"),
    ]
    by_time = sorted({row["minute"]: row for row in rows}.values(), key=lambda row: row["minute"])
    for only, kind in ((rules[:1], "hour"), (rules[1:], "day")):
        price = put(by_time, written(rules=only)).asked
        used: dict[tuple[Any, ...], list[str]] = {}
        stopped = Counter[str]()
        for row in by_time:
            moment = at(row)
            window = used.setdefault((row["account"], moment.date(), moment.hour if kind == "hour" else 0), [])
            full = len(window) >= 2 if kind == "hour" else len({*window, row["prompt"]}) > 2
            if not full:
                window.append(row["prompt"])
            elif (row["status"] or 200) < 400:
                stopped[row["account"]] += 1
        assert price.harvest.stopped == stopped.pop("a", 0)
        assert price.honest.stopped == stopped.total()
        assert price.honest.refused == len(stopped)


@settings(max_examples=15)
@given(rows=exchanges)
def test_remembered_answers_are_those_of_deciding_anew(rows: list[Row]) -> None:
    price = put(rows, written(rules=MIXED)).asked
    policy = parse_policy(written(rules=MIXED), where="policy.yaml")
    fired, refused = Counter[str](), Counter[str]()
    for row in served(rows):
        told = {
            "request.model": row["model"],
            "request.country": row["country"],
            "request.n": row["n"],
            "request.logit_bias": row["logit_bias"],
            "account.verified": row["account"] == "b",
            "account.tier": TIERS.get(row["account"]),
        }
        ruling = decide(policy, facts_from({name: value for name, value in told.items() if value is not None}))
        fired.update(ruling.fired)
        refused.update(() if ruling.refusal is None else (ruling.refusal.by,))
    for each in price.rules:
        if each.tried != "not":
            assert each.campaign.fires + each.honest.fires == fired[each.id]
            assert each.campaign.refuses + each.honest.refuses == refused[each.id]


# ---- what is cut, what is not told


def one(**columns: Any) -> list[Row]:  # noqa: ANN401  values of columns
    return [{"minute": 0, "account": "b", "model": "small", "output_tokens": 800, "status": 200, **columns}]


@pytest.mark.parametrize(
    ("openness", "row", "stopped", "edited"),
    [
        ({"n": {"at_most": 1}}, {"n": 4}, 600, 1),
        ({"n": {"at_most": 4}}, {"n": 4}, 0, 0),
        ({"max_tokens": {"at_most": 300}}, {}, 500, 1),
        ({"max_tokens": {"at_most": 300}}, {"n": 2}, 200, 1),
        ({"max_tokens": {"at_most": 900}}, {}, 0, 0),
        ({"top_logprobs": "strip"}, {"top_logprobs": 5}, 0, 1),
        ({"top_logprobs": {"at_most": 2}}, {"top_logprobs": 2}, 0, 0),
        ({"seed": "strip"}, {"seed": 7}, 0, 1),
        ({"n": {"at_most": 1}, "max_tokens": {"at_most": 100}}, {"n": 4}, 700, 1),
    ],
)
def test_edits_touch_where_they_change_something(openness: dict[str, Any], row: Row, stopped: int, edited: int) -> None:
    price = put(one(**row), written(rules=[rule({"openness": openness})])).asked
    assert (price.honest.tokens_stopped, price.honest.edited, price.honest.stopped) == (stopped, edited, 0)
    assert effect(price, "it").honest.edits == edited
    assert effect(price, "it").honest.accounts == edited


def test_rules_that_ask_for_what_the_log_does_not_tell_are_not_tried() -> None:
    rules = [
        rule({"refuse": "sanctioned"}, "!request.hosting", "hosted"),
        rule({"serve": {"clouds": ["aws"]}}, True, "at-home"),
        rule({"limit": {"of": "spend", "per": "account", "cap": 1, "each": "day"}}, True, "dear"),
        rule({"openness": {"logit_bias": {"at_most": 1, "magnitude": 5}}}, True, "bias"),
    ]
    found = put(one(logit_bias=3), written(rules=rules))
    assert [each.tried for each in found.asked.rules] == ["not", "not", "not", "in part"]
    assert found.asked.honest.stopped == 0
    assert set(found.asked.untold) >= {"request.hosting", "deployment.cloud", "request.cost"}
    given_ = put(one(logit_bias=3), written(rules=rules), given=facts_from({"deployment.cloud": "gcp"}))
    assert effect(given_.asked, "at-home").honest.refuses == 1
    assert given_.assumed == {"deployment.cloud": "gcp"}


def test_lists_of_networks_tell_what_an_address_is(tmp_path: Path) -> None:
    (tmp_path / "vpn.txt").write_text("192.0.2.0/24\n")
    rules = [rule({"refuse": "sanctioned"}, "request.vpn", "vpn")]
    for address, refused in (("192.0.2.9", 1), ("198.51.100.9", 0)):
        found = put(one(ip=address), written(rules=rules), lists={"vpn": [tmp_path / "vpn.txt"]})
        assert effect(found.asked, "vpn").honest.refuses == refused


def test_an_account_stands_for_keys_that_are_not_told() -> None:
    rules = [rule({"limit": {"of": "requests", "per": "key", "cap": 1, "each": "day"}})]
    rows = [*one(api_key="k"), *one(api_key="k", account="c"), *one(account="d"), *one(account="b")]
    price = put(rows, written(rules=rules)).asked
    assert price.honest.stopped == 1  # the second use of the key; without one, each account is on its own


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="--decide-after needs --findings"):
        put(one(), written(), decide_after=timedelta(days=1))


# ---- a made log from end to end


@cache
def made() -> Path:
    folder = Path(tempfile.mkdtemp()) / "log"
    api.simulate("tiny", folder)
    return folder


THROTTLE = {"throttle": [{"refuse": "account_suspended"}]}


def test_a_made_log_from_scan_to_replay(tmp_path: Path) -> None:
    log = tmp_path / "log"
    api.simulate("demo", log)
    findings = api.scan([log / "exchanges"], accounts=log / "accounts.parquet", key=bytes(32))
    assert any(each.verdict == "campaign" for each in findings.campaigns)
    (tmp_path / "findings.json").write_bytes(findings_json(findings))
    steps = {**parsed(written())["steps"], **THROTTLE}
    (tmp_path / "new.yaml").write_text(written(steps=steps))
    arguments: list[str | Path] = [
        log / "exchanges",
        "--accounts",
        log / "accounts.parquet",
        "--policy",
        tmp_path / "new.yaml",
    ]
    arguments += ["--findings", tmp_path / "findings.json", "--decide-after", "1d", "-q"]
    done = stillwatch("replay", *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert found["schema"] == "stillwatch.replay/1"
    assert found["policy"]["honest"]["touched"] == 0
    for each in found["policy"]["campaigns"]:
        assert each["accounts"] >= each["touched"] > 0
        assert each["first_touched"]["after"] >= 86_400
        assert 0 < each["share_stopped"] < 1
    steps_said = {each["id"]: each for each in found["policy"]["rules"]}
    assert steps_said["steps.throttle[0]"]["campaign"]["refuses"] == found["policy"]["harvest"]["stopped"]


def test_a_step_of_the_ledger_stands_as_it_stood(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    done = stillwatch(
        "decisions", "add", "account:b", "--step", "throttle", "--reason", "why", "--approver", "ann",
        "--ledger", ledger,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    steps = {**parsed(written())["steps"], **THROTTLE}
    before = put(one(), written(steps=steps), ledger=ledger)
    assert before.asked.honest.stopped == 0  # it was decided after these exchanges
    late = int((datetime.now(UTC) - BEGIN).total_seconds() // 60) + 5
    after = put(one(minute=late), written(steps=steps), ledger=ledger)
    assert after.asked.honest.stopped == 1
    assert "ledger" in after.decisions


def test_the_truth_names_campaigns_and_kinds() -> None:
    log = made()
    found = api.replay([log / "exchanges"], "strict", accounts=log / "accounts.parquet", truth=truth_of(log))
    assert [each.name for each in found.asked.campaigns] == ["thinkers", "wrapped"]
    assert "person" in found.asked.by_kind
    assert json.loads(to_json(found))["known"] == "truth"


def test_wrong_usage_ends_with_2(tmp_path: Path) -> None:
    log = made()
    for arguments, message in (
        (["--policy", tmp_path / "none.yaml"], b"no such file"),
        (["--policy", "strict", "--given", "deployment.clod=aws"], b"no such fact"),
        (["--policy", "strict", "--given", "nothing"], b"write NAME=VALUE"),
        (["--policy", "strict", "--network-list", "bad=file"], b"there are lists of"),
        (["--policy", "strict", "--decide-after", "1d"], b"--findings"),
    ):
        done = stillwatch("replay", log / "exchanges", "-q", *arguments)
        assert (done.returncode, done.stdout) == (2, b""), done.stderr.decode()
        assert message in done.stderr
    missing = stillwatch("replay", log / "exchanges", "-q", "--policy", "strict", "--ledger", tmp_path / "none")
    assert missing.returncode == 3


def parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def truth_of(log: Path) -> Path:
    return log / "truth" / "accounts.parquet"
