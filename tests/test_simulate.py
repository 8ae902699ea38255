from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import OutputError, UsageError
from stillwatch.exchanges.schema import ACCOUNT, EXCHANGE
from stillwatch.simulate import hours
from stillwatch.simulate.scenario import Scenario, as_yaml, load_scenario, parse_scenario
from stillwatch.simulate.traffic import Traffic, simulate
from stillwatch.simulate.wording import LANGUAGES, TASK_KINDS, load_wording
from stillwatch.simulate.world import TRUTH
from stillwatch.simulate.write import write_traffic

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    "person",
    "app user",
    "office seat",
    "student",
    "pipeline",
    "evaluator",
    "nightly job",
    "agent user",
    "reseller",
    "crowd worker",
    "hobbyist",
    "gateway",
    "rush",
    "campaign",
}


@pytest.fixture(scope="module")
def tiny() -> Traffic:
    return simulate(load_scenario("tiny"), seed=1)


@pytest.fixture(scope="module")
def people() -> Traffic:
    return simulate(scenario(ordinary={"people": {"count": 400, "requests_per_day": 3}}), seed=3)


def scenario(**changes: object) -> Scenario:
    head = {"schema": "stillwatch.scenario/1", "name": "made", "start": "2026-09-01", "days": 4}
    return parse_scenario(yaml.safe_dump({**head, **changes}), where="made")


def campaign(days: float = 4, **changes: object) -> Traffic:
    plan = {"name": "one", "tasks": ["instructions"], "accounts": 30, "requests_per_day": 12, **changes}
    models = {"new": "orion-5", "release_day": days / 2}
    return simulate(scenario(days=days, models=models, campaigns=[plan]), seed=5)


def column(traffic: Traffic, name: str) -> list[Any]:
    values: list[Any] = traffic.exchanges[name].to_pylist()
    return values


def counts(traffic: Traffic) -> np.ndarray[Any, Any]:
    busy: np.ndarray[Any, Any] = np.array(pc.value_counts(traffic.exchanges["account"]).field("counts"))
    return busy


def elapsed(traffic: Traffic) -> np.ndarray[Any, Any]:
    """Days since the start of each exchange."""
    time = traffic.exchanges["time"].cast(pa.int64()).to_numpy()
    start = np.datetime64(traffic.scenario.start, "us").astype(np.int64)
    days: np.ndarray[Any, Any] = (time - start) / 86_400e6
    return days


def of_kind(traffic: Traffic, kind: str) -> Traffic:
    """The same traffic with the accounts of one kind only."""
    names = traffic.truth.filter(pc.equal(traffic.truth["kind"], kind))["account"]
    rows = traffic.exchanges.filter(pc.is_in(traffic.exchanges["account"], names.combine_chunks()))
    accounts = traffic.accounts.filter(pc.is_in(traffic.accounts["account"], names.combine_chunks()))
    return Traffic(rows, accounts, traffic.truth, traffic.scenario, traffic.seed, traffic.scale)


# ---------------------------------------------------------------- what holds of every log


def test_tables_keep_to_their_schemas(tiny: Traffic) -> None:
    assert tiny.exchanges.schema == EXCHANGE
    assert tiny.accounts.schema == ACCOUNT
    assert tiny.truth.schema == TRUTH
    for table in (tiny.exchanges, tiny.accounts, tiny.truth):
        table.validate(full=True)
        for field in table.schema:
            assert field.nullable or not table[field.name].null_count, field.name


def test_the_log_is_sorted_and_inside_its_days(tiny: Traffic) -> None:
    days = elapsed(tiny)
    assert (np.diff(days) >= 0).all()
    assert days.min() >= 0
    assert days.max() < tiny.scenario.days


def test_names_are_unique_and_join(tiny: Traffic) -> None:
    assert len(set(column(tiny, "request_id"))) == tiny.exchanges.num_rows
    accounts = tiny.accounts["account"].to_pylist()
    assert len(set(accounts)) == len(accounts)
    assert accounts == tiny.truth["account"].to_pylist()
    assert set(column(tiny, "account")) <= set(accounts)


def test_every_kind_of_traffic_appears(tiny: Traffic) -> None:
    truth = tiny.truth.filter(pc.greater(tiny.truth["exchanges"], 0))
    assert set(truth["kind"].to_pylist()) == KINDS
    named = {campaign.name for campaign in tiny.scenario.campaigns}
    assert set(truth["campaign"].to_pylist()) == {"", *named}


def test_the_truth_counts_the_log(tiny: Traffic) -> None:
    assert sum(tiny.truth["exchanges"].to_pylist()) == tiny.exchanges.num_rows
    innocent = tiny.truth.filter(pc.equal(tiny.truth["campaign"], ""))
    assert not sum(innocent["harvest_exchanges"].to_pylist())
    for row in tiny.truth.to_pylist():
        assert row["harvest_exchanges"] <= row["exchanges"]


def test_nothing_in_log_or_accounts_tells_the_truth(tiny: Traffic) -> None:
    names = [*tiny.exchanges.column_names, *tiny.accounts.column_names]
    assert not {"cohort", "kind", "campaign", "harvest"} & set(names)
    told = [campaign.name for campaign in tiny.scenario.campaigns]
    for table in (tiny.exchanges, tiny.accounts):
        for field in table.schema:
            if pa.types.is_string(field.type) and field.name not in ("prompt", "system"):
                for value in pc.unique(table[field.name]).to_pylist():
                    assert not value or not any(name in value for name in told), (field.name, value)


def test_answers_that_are_sent_back_were_given_before(tiny: Traffic) -> None:
    given_at: dict[str, int] = {}
    for number, (answer, previous) in enumerate(zip(column(tiny, "answer"), column(tiny, "previous"), strict=True)):
        if previous is not None and previous not in given_at:
            pytest.fail(f"row {number} sends back an answer that nobody was given")
        if answer is not None:
            given_at[answer] = number


def test_rows_make_sense(tiny: Traffic) -> None:
    failed = 0
    for row in tiny.exchanges.to_pylist():
        assert row["prompt"]
        assert row["turns"] % 2 == 1
        assert (row["previous"] is None) or row["turns"] > 1
        assert 0 <= row["output_tokens"] <= row["max_tokens"]
        assert row["input_tokens"] > 0
        failed += row["status"] != 200
        assert (row["status"] == 200) == (row["answer"] is not None) == (row["finish_reason"] is not None)
        assert (row["status"] == 200) == (row["output_tokens"] > 0)
    assert 0 < failed < 0.05 * tiny.exchanges.num_rows


# ---------------------------------------------------------------- determinism and scale


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_the_same_seed_gives_the_same_bytes(tiny: Traffic, tmp_path: Path, kind: str) -> None:
    write_traffic(tiny, tmp_path / "a", format=kind)
    write_traffic(simulate(load_scenario("tiny"), seed=1), tmp_path / "b", format=kind)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_another_seed_gives_another_log_of_the_same_kind(tiny: Traffic) -> None:
    other = simulate(load_scenario("tiny"), seed=2)
    assert not set(column(other, "request_id")) & set(column(tiny, "request_id"))
    assert 0.7 < other.exchanges.num_rows / tiny.exchanges.num_rows < 1.4


def test_chance_outside_does_not_matter() -> None:
    plan = scenario(ordinary={"people": {"count": 5}})
    np.random.seed(1)  # noqa: NPY002 - the global state is what must not matter
    first = simulate(plan, seed=1)
    np.random.seed(2)  # noqa: NPY002 - the same
    assert simulate(plan, seed=1).exchanges.equals(first.exchanges)


def test_ordinary_traffic_does_not_depend_on_the_campaigns(tiny: Traffic) -> None:
    quiet = simulate(changed(load_scenario("tiny"), campaigns=[]), seed=1)
    names = quiet.truth["account"].combine_chunks()
    rest = tiny.exchanges.filter(pc.is_in(tiny.exchanges["account"], names))
    assert rest.equals(quiet.exchanges)


def changed(plan: Scenario, **changes: object) -> Scenario:
    return parse_scenario(yaml.safe_dump(yaml.safe_load(as_yaml(plan)) | changes), where="changed")


@pytest.mark.parametrize("scale", [0.25, 2.0])
def test_scale_multiplies_accounts(people: Traffic, scale: float) -> None:
    scaled = simulate(people.scenario, seed=3, scale=scale)
    assert scaled.accounts.num_rows == round(people.accounts.num_rows * scale)
    assert 0.7 * scale < scaled.exchanges.num_rows / people.exchanges.num_rows < 1.4 * scale


def test_what_is_there_at_all_stays_there_at_a_small_scale() -> None:
    small = simulate(load_scenario("tiny"), seed=1, scale=0.01)
    assert set(small.truth["kind"].to_pylist()) == KINDS


@pytest.mark.parametrize(("seed", "scale"), [(-1, 1.0), (1, 0.0), (1, -2.0), (1, float("nan")), (1, float("inf"))])
def test_a_seed_or_scale_that_makes_no_sense_is_refused(seed: int, scale: float) -> None:
    with pytest.raises(UsageError):
        simulate(scenario(), seed=seed, scale=scale)


def test_an_empty_scenario_gives_empty_tables(tmp_path: Path) -> None:
    empty = simulate(scenario(), seed=1)
    assert empty.exchanges.schema == EXCHANGE
    assert not empty.exchanges.num_rows + empty.accounts.num_rows + empty.truth.num_rows
    write_traffic(empty, tmp_path / "empty")
    assert pq.read_table(tmp_path / "empty" / "exchanges").num_rows == 0


@pytest.mark.parametrize("days", [0.02, 0.5, 1])
def test_short_logs_work(days: float) -> None:
    models = {"new": "next", "release_day": days / 2}
    short = simulate(changed(load_scenario("tiny"), days=days, models=models), seed=1)
    assert short.exchanges.num_rows
    assert elapsed(short).max() < days


# ---------------------------------------------------------------- words


def test_people_hardly_ever_say_the_same(people: Traffic) -> None:
    speakers = defaultdict(set)
    for account, prompt in zip(column(people, "account"), column(people, "prompt"), strict=True):
        speakers[prompt].add(account)
    long = [who for prompt, who in speakers.items() if len(prompt.encode()) > 60]
    assert sum(len(who) > 1 for who in long) < 0.01 * len(long)
    assert sum(len(who) > 1 for who in speakers.values()) < 0.05 * len(speakers)


def alike(traffic: Traffic) -> float:
    """How much more alike two prompts of one account are than two of two accounts (intraclass correlation)."""
    vectors = np.zeros((traffic.exchanges.num_rows, 1024))
    for row, prompt in enumerate(column(traffic, "prompt")):
        for word in prompt.lower().split():
            vectors[row, hash_of(word) % 1024] += 1
    vectors *= np.log(len(vectors) / (1 + (vectors > 0).sum(axis=0)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-12
    _, group = np.unique(column(traffic, "account"), return_inverse=True)
    size = np.bincount(group).astype(float)
    sums = np.zeros((len(size), 1024))
    np.add.at(sums, group, vectors)
    squares = (sums**2).sum(axis=1)
    within = (squares - size).sum() / (size * (size - 1)).sum()
    total = sums.sum(axis=0)
    between = (total @ total - squares.sum()) / (size.sum() ** 2 - (size**2).sum())
    return float((within - between) / (1 - between))


def hash_of(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little")


def test_one_persons_prompts_are_more_alike_than_two_persons() -> None:
    english = simulate(
        scenario(languages={"en": 1}, ordinary={"people": {"count": 200, "requests_per_day": 4}}), seed=1
    )
    assert alike(english) > 0.05


def test_accounts_fed_from_one_queue_are_as_alike_as_draws_from_one_pile() -> None:
    assert abs(alike(campaign(accounts=60))) < 0.01


SCRIPTS = {"zh": "CJK", "ja": "HIRAGANA", "ar": "ARABIC", "en": "LATIN", "es": "LATIN", "de": "LATIN"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_speaks_in_its_script(language: str) -> None:
    made = simulate(scenario(languages={language: 1}, ordinary={"people": {"count": 60}}), seed=1)
    prompts = column(made, "prompt")
    script = SCRIPTS[language]
    said = [any(script in unicodedata.name(letter, "") for letter in prompt) for prompt in prompts]
    assert sum(said) > 0.95 * len(said)
    assert not any("{" in prompt or "\\n" in prompt for prompt in prompts)


@pytest.mark.parametrize("kind", TASK_KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pile_of_tasks_has_hardly_any_twice(language: str, kind: str) -> None:
    pile = load_wording(language).tasks(np.random.default_rng(1), (kind,), 3000).to_pylist()
    assert len(set(pile)) > 0.99 * len(pile)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from(LANGUAGES))
def test_two_draws_from_one_table_differ(seed: int, rows: int, language: str) -> None:
    wording = load_wording(language)
    rng = np.random.default_rng(seed)
    number = next(
        place
        for place, frame in enumerate(wording.frames["asks"])
        if {(part.table, part.copy) for part in frame if not isinstance(part, str)} == {("thing", 0), ("thing", 2)}
    )
    frame = np.full(rows, number, dtype=np.int64)
    same = wording.fill(rng, "asks", wording.any_topic(rng, rows), frame=frame)
    things = sorted(wording.tables["thing"].values.to_pylist(), key=len, reverse=True)
    for text in same.to_pylist():
        found = [thing for thing in things if thing in text]
        assert len(found) >= 2, text


# ---------------------------------------------------------------- ordinary traffic


def test_an_application_shares_system_prompt_client_and_parameters(tiny: Traffic) -> None:
    apps = tiny.truth.filter(pc.equal(tiny.truth["kind"], "app user"))
    for cohort in set(apps["cohort"].to_pylist()):
        names = apps.filter(pc.equal(apps["cohort"], cohort))["account"].combine_chunks()
        rows = tiny.exchanges.filter(pc.is_in(tiny.exchanges["account"], names))
        for name in ("system", "ja4", "user_agent", "temperature", "max_tokens"):
            assert len(pc.unique(rows[name])) == 1, name
        assert len(pc.unique(rows["ip"])) > len(names) / 2


def test_an_office_shares_line_card_and_organization(tiny: Traffic) -> None:
    office = of_kind(tiny, "office seat")
    assert len(set(column(office, "ip"))) == 1
    assert len(set(office.accounts["payment"].to_pylist())) == 1
    assert len(set(column(office, "organization"))) == 1
    weekday = {time.weekday() for time in column(office, "time")}
    assert weekday <= {0, 1, 2, 3, 4}


def test_evaluators_put_the_same_items() -> None:
    labs = simulate(scenario(ordinary={"evaluators": {"count": 12, "items": 50}}), seed=1)
    prompts = column(labs, "prompt")
    assert len(set(prompts)) <= 150
    assert len(prompts) > 3 * len(set(prompts))


def test_a_nightly_job_repeats_itself_every_night() -> None:
    jobs = simulate(scenario(days=6, ordinary={"nightly": {"count": 1, "prompts": 20}}), seed=1)
    nights = [int(day) for day in elapsed(jobs)]
    asked = defaultdict(set)
    for night, prompt in zip(nights, column(jobs, "prompt"), strict=True):
        asked[prompt].add(night)
    assert np.median([len(seen) for seen in asked.values()]) >= 5


def test_an_agent_sends_its_handles_back_to_the_same_account_only(tiny: Traffic) -> None:
    agents = of_kind(tiny, "agent user")
    assert set(column(agents, "tools")) == {16}
    owner: dict[str, str] = {}
    for handle, account in zip(column(agents, "reasoning_handle"), column(agents, "account"), strict=True):
        if handle is not None:
            assert owner.setdefault(handle, account) == account
    assert owner


def carried_over(traffic: Traffic) -> float:
    """Share of answers sent back that were given to another account."""
    owner = dict(zip(column(traffic, "answer"), column(traffic, "account"), strict=True))
    back = [(p, a) for p, a in zip(column(traffic, "previous"), column(traffic, "account"), strict=True) if p]
    return float(np.mean([owner[previous] != account for previous, account in back]))


def test_a_gateway_carries_conversations_over_its_own_accounts_and_people_do_not(
    people: Traffic, tiny: Traffic
) -> None:
    assert carried_over(people) == 0.0
    gateway = of_kind(tiny, "gateway")
    assert carried_over(gateway) > 0.3
    assert len(set(column(gateway, "organization"))) == 1


def test_a_reseller_is_one_account_with_many_voices(tiny: Traffic) -> None:
    reseller = of_kind(tiny, "reseller")
    assert len(set(column(reseller, "account"))) == 1
    assert len(set(column(reseller, "prompt"))) > 0.8 * reseller.exchanges.num_rows


def test_people_sleep(people: Traffic) -> None:
    lengths = []
    for account in pc.unique(people.exchanges["account"]).to_pylist():
        theirs = people.exchanges.filter(pc.equal(people.exchanges["account"], account))
        angle = theirs["time"].cast(pa.int64()).to_numpy() / 86_400e6 * 2 * np.pi
        if len(angle) >= 8:
            lengths.append(((abs(np.exp(1j * angle).sum()) ** 2) - len(angle)) / len(angle) / (len(angle) - 1))
    assert np.mean(lengths) > 0.2


def test_the_rush_comes_with_the_release(tiny: Traffic) -> None:
    rush = of_kind(tiny, "rush")
    assert elapsed(rush).min() >= 1.5
    assert column(rush, "model").count("orion-5") > 0.9 * rush.exchanges.num_rows


# ---------------------------------------------------------------- campaigns


def test_an_even_queue_is_less_dispersed_than_people(people: Traffic) -> None:
    even, uneven = counts(campaign(accounts=80)), counts(campaign(accounts=80, dealing="uneven"))
    spread = [np.log(busy).std() for busy in (even, uneven, counts(people))]
    assert spread[0] < 0.25
    assert spread[1] > 2 * spread[0]
    assert spread[2] > 2 * spread[0]
    assert 0.7 < even.var() / even.mean() < 1.4  # Poisson, as dealing at random makes it


def test_a_queue_is_a_partition() -> None:
    prompts = column(campaign(), "prompt")
    assert len(set(prompts)) > 0.99 * len(prompts)


def test_a_resampled_queue_asks_each_task_several_times_from_different_accounts() -> None:
    made = campaign(resample=3)
    asked = defaultdict(list)
    for account, prompt in zip(column(made, "account"), column(made, "prompt"), strict=True):
        asked[prompt].append(account)
    times = [len(accounts) for accounts in asked.values()]
    assert np.mean(times) > 2.9
    assert max(times) <= 4
    assert np.mean([len(set(accounts)) > 1 for accounts in asked.values()]) > 0.9


def test_a_relay_carries_conversations_over_accounts() -> None:
    assert carried_over(campaign(relay=True, requests_per_day=40)) > 0.8
    assert not any(column(campaign(), "previous"))


def test_cover_is_other_peoples_traffic_and_no_harvest() -> None:
    made = campaign(cover=0.75, accounts=60)
    harvest = sum(made.truth["harvest_exchanges"].to_pylist())
    assert 0.15 < harvest / made.exchanges.num_rows < 0.4


def test_customers_without_a_queue_are_harvest_all_the_same() -> None:
    made = campaign(tasks=["customers"], accounts=60, relay=True)
    assert sum(made.truth["harvest_exchanges"].to_pylist()) > 0.95 * made.exchanges.num_rows
    assert carried_over(made) > 0.5


def test_logits_ask_for_one_token_at_a_time() -> None:
    made = campaign(elicits="logits")
    assert set(column(made, "max_tokens")) == {1}
    assert set(column(made, "top_logprobs")) == {20}
    assert min(column(made, "logit_bias")) > 0
    assert set(column(made, "output_tokens")) <= {0, 1}


def test_replay_hands_the_same_blocks_in_from_several_accounts() -> None:
    made = campaign(elicits="replay", wording="varied")
    owners = defaultdict(set)
    for handle, account in zip(column(made, "reasoning_handle"), column(made, "account"), strict=True):
        owners[handle].add(account)
    assert None not in owners
    assert np.mean([len(accounts) > 1 for accounts in owners.values()]) > 0.3


def test_tool_tasks_are_runs_of_calls_on_one_account() -> None:
    made = campaign(elicits="tools", wording="fixed", tasks=["tools"])
    assert set(column(made, "tools")) == {6}
    assert max(column(made, "turns")) >= 5
    assert carried_over(made) == 0.0


def test_a_fixed_wording_is_one_and_a_varied_one_many() -> None:
    def beginnings(wording: str) -> int:
        prompts = column(campaign(wording=wording, elicits="reasoning", tasks=["maths"]), "prompt")
        return len({prompt[:12] for prompt in prompts})

    assert beginnings("fixed") == 1
    assert beginnings("varied") >= 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_campaign_speaks_any_language(language: str) -> None:
    made = campaign(language=language, wording="varied", elicits="rubric", tasks=["questions"])
    script = SCRIPTS[language]
    assert all(any(script in unicodedata.name(x, "") for x in prompt) for prompt in column(made, "prompt"))


@pytest.mark.parametrize(
    ("client", "least", "most"), [("own", 1, 1), ("common", 1, 1), ("spoofed", 8, 30), ("random", 30, 400)]
)
def test_clients(client: str, least: int, most: int) -> None:
    made = campaign(client=client)
    pairs = set(zip(column(made, "account"), column(made, "user_agent"), strict=True))
    agents = {agent for _, agent in pairs}
    assert least <= len(agents) <= most
    assert (len(pairs) > len(set(column(made, "account")))) == (client == "random")


@pytest.mark.parametrize(("network", "shared"), [("own", False), ("pool", True), ("hosting", True)])
def test_networks(network: str, shared: bool) -> None:
    made = campaign(network=network)
    owners = defaultdict(set)
    for ip, account in zip(column(made, "ip"), column(made, "account"), strict=True):
        owners[ip].add(account)
    assert (max(len(accounts) for accounts in owners.values()) > 5) == shared


def test_cards_mails_and_sign_ups() -> None:
    plain, pooled = campaign(), campaign(payment="pool", mail="disposable", sign_up="burst", organization="shared")
    assert len(set(plain.accounts["payment"].to_pylist())) == plain.accounts.num_rows
    assert len(set(pooled.accounts["payment"].to_pylist())) <= 4
    assert len(set(pooled.accounts["email_domain"].to_pylist())) <= 4
    assert len(set(pooled.accounts["organization"].to_pylist())) == 1
    opened = [np.array(made.accounts["created_at"].cast(pa.int64())) / 86_400e6 for made in (plain, pooled)]
    assert np.ptp(opened[1]) < 2 < np.ptp(opened[0])
    own = campaign(organization="own")
    assert len(set(own.accounts["organization"].to_pylist())) == own.accounts.num_rows


def test_banned_accounts_stop_and_others_take_their_place() -> None:
    made = campaign(days=6, bans_per_day=0.5, accounts=40, cover=0.3)
    assert made.accounts.num_rows > 100
    still = defaultdict(set)
    for account, day in zip(column(made, "account"), elapsed(made), strict=True):
        still[int(day)].add(account)
    assert all(20 < len(accounts) < 90 for accounts in still.values())
    assert len(still[0] & still[5]) < 10
    born = dict(zip(made.accounts["account"].to_pylist(), made.accounts["created_at"].to_pylist(), strict=True))
    for account, time in zip(column(made, "account"), column(made, "time"), strict=True):
        assert time > born[account]


def test_a_sweep_is_refused_until_a_wording_works() -> None:
    sweep = {"days": 1, "variants": 20, "accounts": 4, "requests": 500, "refused": 0.7}
    made = campaign(wording="fixed", elicits="reasoning", tasks=["maths"], sweep=sweep)
    days, reasons = elapsed(made), np.array(column(made, "finish_reason"), dtype=object)
    prompts = np.array([prompt[:12] for prompt in column(made, "prompt")])
    first = days < 1
    assert np.mean(reasons[first] == "refusal") > 0.4
    assert not (reasons[~first] == "refusal").any()
    assert len(set(prompts[first])) >= 5
    assert len(set(prompts[~first])) == 1
    assert len(set(np.array(column(made, "account"))[first])) <= 4
    harvest = sum(made.truth["harvest_exchanges"].to_pylist())
    assert harvest < made.exchanges.num_rows


def test_a_pivot_moves_to_the_new_model_within_a_day() -> None:
    for pivot in (0.0, 0.8):
        made = campaign(days=6, pivot=pivot)
        days, new = elapsed(made), np.array(column(made, "model")) == "orion-5"
        assert not new[days < 3].any()
        assert abs(new[days > 4].mean() - max(pivot, 0.15)) < 0.08


def test_schedules_differ() -> None:
    def night(schedule: str) -> float:
        hour = elapsed(campaign(schedule=schedule, days=5)) % 1
        return float(np.mean((hour < 0.05) | (hour > 0.45)))

    assert night("shifts") == 0.0
    assert 0.5 < night("flat") < 0.7
    human = campaign(schedule="human", days=5)
    assert human.exchanges.num_rows > 1000


def test_start_and_end_are_kept() -> None:
    days = elapsed(campaign(start_day=1, end_day=2.5))
    assert days.min() >= 1
    assert days.max() < 2.5


# ---------------------------------------------------------------- times, as laws


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(0, 30), min_size=0, max_size=8),
    st.floats(0.01, 20),
    st.integers(0, 6),
    st.booleans(),
)
def test_sittings_are_sorted_and_inside(seed: int, asked: list[int], days: float, weekday: int, office: bool) -> None:
    people = len(asked)
    sat = hours.sittings(
        np.random.default_rng(seed),
        np.array(asked, dtype=np.int64),
        days=days,
        first_weekday=weekday,
        offset=np.zeros(people),
        favourite=np.full(people, 14.0),
        spread=2.0,
        goes_on=0.7,
        office=office,
    )
    assert (np.diff(sat.who) >= 0).all()
    same = np.diff(sat.who) == 0
    assert (np.diff(sat.time)[same] >= 0).all()
    assert ((sat.time >= 0) & (sat.time < days)).all()
    assert (np.bincount(sat.who, minlength=people) <= np.array(asked, dtype=np.int64)).all()
    assert not sat.goes_on[np.flatnonzero(np.r_[True, ~same][: len(sat.who)])].any()


# ---------------------------------------------------------------- files


def test_what_is_written_is_what_was_made(tiny: Traffic, tmp_path: Path) -> None:
    write_traffic(tiny, tmp_path / "log", rows_per_file=1000)
    parts = sorted((tmp_path / "log" / "exchanges").iterdir())
    assert [part.name for part in parts] == [f"part-{number:05d}.parquet" for number in range(len(parts))]
    assert len(parts) == -(-tiny.exchanges.num_rows // 1000)
    back = pa.concat_tables([pq.read_table(part) for part in parts])
    assert back.equals(tiny.exchanges.select(back.column_names))
    assert not {"response", "conversation"} & set(back.column_names)
    assert pq.read_table(tmp_path / "log" / "accounts.parquet").equals(tiny.accounts)
    assert pq.read_table(tmp_path / "log" / "truth" / "accounts.parquet").equals(tiny.truth)


def test_the_scenario_as_run_runs_again(tiny: Traffic, tmp_path: Path) -> None:
    write_traffic(tiny, tmp_path / "log")
    text = (tmp_path / "log" / "scenario.yaml").read_text(encoding="utf-8")
    assert text.startswith("# made by `stillwatch simulate` --seed 1 --scale 1\n")
    assert load_scenario(tmp_path / "log" / "scenario.yaml") == tiny.scenario


def test_jsonl_and_csv_hold_the_same(tiny: Traffic, tmp_path: Path) -> None:
    for kind in ("jsonl", "csv"):
        write_traffic(tiny, tmp_path / kind, format=kind)
    lines = pa.json.read_json(tmp_path / "jsonl" / "exchanges" / "part-00000.jsonl")
    options = pa.csv.ParseOptions(newlines_in_values=True)
    table = pa.csv.read_csv(tmp_path / "csv" / "exchanges" / "part-00000.csv", parse_options=options)
    for name in ("request_id", "account", "prompt", "max_tokens", "output_tokens"):
        assert lines[name].to_pylist() == column(tiny, name), name
        assert table[name].to_pylist() == column(tiny, name), name
    for read in (lines, table):
        assert read["time"].cast(pa.timestamp("us", tz="UTC")).to_pylist() == column(tiny, "time")


def test_columns_that_are_omitted_are_not_there(tmp_path: Path) -> None:
    made = simulate(scenario(omit=["prompt", "ip", "payment"], ordinary={"people": {"count": 3}}), seed=1)
    assert made.exchanges.schema == EXCHANGE
    assert made.exchanges["prompt"].null_count == made.exchanges.num_rows
    write_traffic(made, tmp_path / "log")
    log = pq.read_schema(tmp_path / "log" / "exchanges" / "part-00000.parquet").names
    accounts = pq.read_schema(tmp_path / "log" / "accounts.parquet").names
    assert not {"prompt", "ip"} & set(log)
    assert "payment" not in accounts


def test_a_folder_of_somebody_else_is_left_alone(tiny: Traffic, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="not empty"):
        write_traffic(tiny, tmp_path / "theirs")
    (tmp_path / "theirs" / "scenario.yaml").write_text("schema: something else\n", encoding="utf-8")
    with pytest.raises(OutputError, match="not empty"):
        write_traffic(tiny, tmp_path / "theirs")
    assert sorted(path.name for path in (tmp_path / "theirs").iterdir()) == ["notes.txt", "scenario.yaml"]
    with pytest.raises(OutputError, match="is a file"):
        write_traffic(tiny, tmp_path / "theirs" / "notes.txt")
    with pytest.raises(OutputError, match="cannot be written"):
        write_traffic(tiny, tmp_path / "theirs" / "notes.txt" / "deeper")


def test_a_folder_of_an_earlier_run_is_replaced_whole(tiny: Traffic, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "log"
    write_traffic(tiny, folder, rows_per_file=100)
    (folder / "findings.json").write_text("{}", encoding="utf-8")
    write_traffic(tiny, folder, format="csv")
    assert [path.name for path in (folder / "exchanges").iterdir()] == ["part-00000.csv"]
    assert (folder / "findings.json").read_text(encoding="utf-8") == "{}"
    assert [path.name for path in folder.parent.iterdir()] == ["log"]


def test_a_write_that_fails_leaves_the_earlier_run_untouched(
    tiny: Traffic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_traffic(tiny, tmp_path / "log")
    before = digest(tmp_path / "log")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OutputError, match="No space left"):
        write_traffic(tiny, tmp_path / "log")
    assert digest(tmp_path / "log") == before
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("options", [{"format": "xml"}, {"rows_per_file": 0}])
def test_options_that_make_no_sense_are_refused(tiny: Traffic, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        write_traffic(tiny, tmp_path / "log", **options)
    assert not (tmp_path / "log").exists()
