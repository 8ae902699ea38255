"""Transcripts: a rule, facts, and what is done."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies import SMALL, policy, rule, ruled

from stillwatch.decisions.decide import decide, rule_in_outage
from stillwatch.decisions.facts import FACTS, FactValue, KnownFacts, facts_from
from stillwatch.decisions.limit import Cap, Pace
from stillwatch.decisions.refusal import SHAPES, RefusalReason
from stillwatch.decisions.ruling import Charge, Edit, Outcome, Ruling
from stillwatch.decisions.step import Step
from stillwatch.errors import FactsError
from stillwatch.guard.policy_file import load_policy


def refused(ruling: Ruling) -> tuple[int, str, str | None] | None:
    refusal = ruling.refusal
    assert (ruling.outcome is Outcome.REFUSE) == (refusal is not None)
    return None if refusal is None else (refusal.status, refusal.reason.value, refusal.parameter)


# ---- openness


@pytest.mark.parametrize(
    ("openness", "edits"),
    [
        ({"logprobs": "strip"}, [("request", "logprobs", "strip", None), ("answer", "logprobs", "strip", None)]),
        ({"top_logprobs": {"at_most": 5}}, [(on, "top_logprobs", "clamp", 5) for on in ("request", "answer")]),
        ({"n": {"at_most": 1}}, [("request", "n", "clamp", 1)]),
        ({"seed": "strip"}, [("request", "seed", "strip", None)]),
        ({"max_tokens": {"at_most": 9}}, [("request", "max_tokens", "clamp", 9)]),
        ({"tools": "strip"}, [("request", "tools", "strip", None)]),
        ({"logit_bias": "strip"}, [("request", "logit_bias", "strip", None)]),
        (
            {"logit_bias": {"at_most": 3, "magnitude": 20}},
            [("request", "logit_bias", "clamp", 3), ("request", "logit_bias_magnitude", "clamp", 20)],
        ),
        ({"reasoning": "drop"}, [("answer", "reasoning", "strip", None)]),
    ],
)
def test_what_is_closed_is_edited(openness: dict[str, Any], edits: list[tuple[str, str, str, float | None]]) -> None:
    ruling = ruled({"openness": openness}, {})
    assert [
        (edit.on, edit.field, edit.action, edit.bound) for edit in ruling.edits if edit.field != "instructions"
    ] == edits


def test_reasoning_is_summarised_by_a_template() -> None:
    ruling = ruled({"openness": {"reasoning": {"summarise": "{words} words"}}}, {})
    assert Edit("answer", "reasoning", "summarise", text="{words} words") in ruling.edits


@pytest.mark.parametrize(
    ("openness", "request_facts", "parameter"),
    [
        ({"logprobs": "refuse"}, {"logprobs": True}, "logprobs"),
        ({"top_logprobs": "refuse"}, {"top_logprobs": 1}, "top_logprobs"),
        ({"n": {"at_most": 2, "over": "refuse"}}, {"n": 3}, "n"),
        ({"seed": "refuse"}, {"seed": True}, "seed"),
        ({"max_tokens": {"at_most": 10, "over": "refuse"}}, {"max_tokens": 11}, "max_tokens"),
        ({"tools": {"at_most": 1, "over": "refuse"}}, {"tools": 2}, "tools"),
        ({"logit_bias": "refuse"}, {"logit_bias": 1}, "logit_bias"),
        ({"logit_bias": {"at_most": 3, "over": "refuse"}}, {"logit_bias": 4}, "logit_bias"),
        (
            {"logit_bias": {"at_most": 3, "magnitude": 5, "over": "refuse"}},
            {"logit_bias": 1, "logit_bias_magnitude": 6.0},
            "logit_bias_magnitude",
        ),
    ],
)
def test_what_is_over_a_bound_is_refused_and_what_is_not_passes(
    openness: dict[str, Any], request_facts: dict[str, Any], parameter: str
) -> None:
    assert refused(ruled({"openness": openness}, {"request": request_facts})) == (
        400,
        "parameter_not_allowed",
        parameter,
    )
    assert refused(ruled({"openness": openness}, {})) is None


@pytest.mark.parametrize(
    ("field", "operation"), [("embeddings", "embeddings"), ("fine_tuning", "fine-tune"), ("batch", "batch")]
)
def test_closed_operations_are_refused(field: str, operation: str) -> None:
    ruling = ruled({"openness": {field: "refuse"}}, {"request": {"operation": operation}})
    assert refused(ruling) == (403, "operation_not_allowed", field)
    assert refused(ruled({"openness": {field: "refuse"}}, {})) is None


@pytest.mark.parametrize("shown", [{"logprobs": True}, {"top_logprobs": 2}])
def test_biases_never_come_together_with_log_probabilities(shown: dict[str, Any]) -> None:
    both = {"request": {"logit_bias": 1, **shown}}
    stripped = ruled({"openness": {"logit_bias": {"at_most": 5}}}, both)
    assert Edit("request", "logit_bias", "strip") in stripped.edits
    strict = {"openness": {"logit_bias": {"at_most": 5, "with_logprobs": "refuse"}}}
    assert refused(ruled(strict, both)) == (400, "parameter_not_allowed", "logit_bias")
    assert refused(ruled(strict, {"request": {"logit_bias": 1}})) is None
    closed = {"openness": {**strict["openness"], "logprobs": "strip", "top_logprobs": "strip"}}
    assert refused(ruled(closed, both)) is None


def test_the_stricter_of_two_edits_stands_in_any_order() -> None:
    rules = [
        rule({"openness": {"n": {"at_most": 4}, "logprobs": "strip"}}, name="one"),
        rule({"openness": {"n": {"at_most": 2}, "top_logprobs": {"at_most": 3}}}, name="two"),
        rule({"openness": {"top_logprobs": "strip", "reasoning": "drop"}}, name="three"),
        rule({"openness": {"reasoning": {"summarise": "x"}}}, name="four"),
    ]
    forwards, backwards = (decide(policy(rules=order), KnownFacts()) for order in (rules, rules[::-1]))
    assert set(forwards.edits) == set(backwards.edits)
    assert Edit("request", "n", "clamp", 2) in forwards.edits
    assert Edit("request", "top_logprobs", "strip") in forwards.edits
    assert Edit("answer", "reasoning", "strip") in forwards.edits


# ---- limits


def test_a_pace_and_a_cap_are_charged_to_whom_they_are_for() -> None:
    pace = ruled({"limit": {"of": "requests", "per": "key", "rate": "60 per minute", "burst": 5}}, {"account.key": "k"})
    assert [(c.quota.bound, c.subject, c.amount) for c in pace.charges] == [(Pace(1.0, 5.0), "k", 1.0)]
    cap = ruled({"limit": {"of": "spend", "per": "global", "cap": 9, "each": "week"}}, {"request.cost": 0.25})
    assert [(c.quota.bound, c.subject, c.amount) for c in cap.charges] == [(Cap(9.0, 604_800), "", 0.25)]


@pytest.mark.parametrize(
    ("per", "fact"),
    [
        ("account", "account.id"),
        ("organization", "account.organization"),
        ("cohort", "account.cohort"),
        ("country", "request.country"),
        ("network", "request.network"),
    ],
)
def test_every_subject_has_its_fact(per: str, fact: str) -> None:
    limit = {"limit": {"of": "input_tokens", "per": per, "cap": 9, "each": "day"}}
    (charge,) = ruled(limit, {fact: "it", "request.input_tokens": 7}).charges
    assert (charge.subject, charge.amount) == ("it", 7.0)
    assert len(ruled(limit, {}).charges) == (0 if per in {"organization", "cohort"} else 1)


def test_output_is_charged_as_the_edits_bound_it() -> None:
    limit = rule({"limit": {"of": "output_tokens", "per": "key", "cap": 9, "each": "day"}}, name="limit")
    bounds = rule({"openness": {"max_tokens": {"at_most": 100}, "n": {"at_most": 2}}}, name="bounds")
    asked = facts_from({"request": {"output_tokens": 500, "n": 3}})
    assert [c.amount for c in decide(policy(rules=[limit]), asked).charges] == [1500.0]
    assert [c.amount for c in decide(policy(rules=[limit, bounds]), asked).charges] == [200.0]
    assert [c.amount for c in decide(policy(rules=[limit, bounds]), KnownFacts()).charges] == [100.0]


def test_distinct_things_are_charged_by_name() -> None:
    limit = {"limit": {"of": "distinct_prompts", "per": "account", "cap": 9, "each": "day"}}
    (charge,) = ruled(limit, {"request.prompt": "7f", "account.id": "a"}).charges
    assert charge == Charge(charge.quota, "a", 0.0, ("7f",))
    assert ruled(limit, {}).charges == ()
    bias = {"openness": {"logit_bias": {"at_most": 5, "distinct_a_day": 30}}}
    (charge,) = ruled(bias, {"request.bias_tokens": ["1", "2"], "request.logit_bias": 2}).charges
    assert (charge.quota.id, charge.quota.bound, charge.items) == ("it:bias", Cap(30, 86_400), ("1", "2"))


# ---- borders


PLACES = {"sanctioned": {"of": ["IR", "CU", "UA-43"]}, "quarter": {"of": ["IR"], "owned_from": 0.25}}


@pytest.mark.parametrize(
    ("when", "facts", "fires"),
    [
        ("request.places.sanctioned", {"request.country": "IR"}, True),
        ("request.places.sanctioned", {"request.country": "UA", "request.region": "UA-43"}, True),
        ("request.places.sanctioned", {"request.country": "UA"}, False),
        ("request.places.sanctioned", {}, False),
        ("account.places.sanctioned", {"account.country": "CU"}, True),
        ("owner.places.sanctioned", {"owner.shares": {"IR": 0.3, "CU": 0.2}}, True),
        ("owner.places.sanctioned", {"owner.shares": {"IR": 0.3, "CU": 0.19}}, False),
        ("owner.places.sanctioned", {}, False),
        ("owner.places.quarter", {"owner.shares": {"IR": 0.25, "DE": 0.75}}, True),
        ("owner.share >= 0.75 && owner.country == 'DE'", {"owner.shares": {"IR": 0.25, "DE": 0.75}}, True),
        ("request.abroad", {"request.country": "DE", "account.country": "US"}, True),
        ("request.abroad", {"request.country": "DE", "account.country": "DE"}, False),
        ("request.abroad", {"request.country": "DE"}, False),
        ("owner.abroad", {"owner.shares": {"CN": 0.6}, "account.country": "SG"}, True),
        ("request.tor || request.vpn || request.hosting || request.residential_proxy", {"request.vpn": True}, True),
    ],
)
def test_borders(when: str, facts: dict[str, Any], fires: bool) -> None:
    ruling = ruled({"refuse": "unsupported_region"}, facts, when, places=PLACES)
    assert refused(ruling) == ((403, "unsupported_region", None) if fires else None)


def test_regions_are_refused_as_the_official_clients_expect() -> None:
    shape = SHAPES[RefusalReason.UNSUPPORTED_REGION]
    assert (shape.status, shape.openai_type, shape.openai_code) == (
        403,
        "request_forbidden",
        "unsupported_country_region_territory",
    )
    assert shape.anthropic_type == "forbidden"
    assert SHAPES[RefusalReason.SANCTIONED] == shape
    assert set(SHAPES) == set(RefusalReason)


def test_a_refusal_may_have_words_of_its_own() -> None:
    ruling = ruled({"refuse": {"reason": "sanctioned", "message": "Not here."}}, {})
    assert ruling.refusal is not None
    assert (ruling.refusal.message, ruling.refusal.by) == ("Not here.", "it")


# ---- deployment


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"request.model": "orion-5-mini", "deployment.cloud": "aws", "deployment.region": "eu-1"}, None),
        ({"request.model": "orion-5-mini", "deployment.cloud": "aws", "deployment.region": "ap-1"}, 404),
        ({"request.model": "orion-5-mini", "deployment.cloud": "own", "deployment.region": "eu-1"}, 404),
        ({"request.model": "orion-5-mini"}, 404),
        ({"request.model": "orion-4"}, None),
    ],
)
def test_a_model_is_served_only_from_where_it_may(facts: dict[str, Any], status: int | None) -> None:
    serve = {"serve": {"models": ["orion-5*"], "clouds": ["aws"], "regions": ["eu-*"]}}
    ruling = ruled(serve, facts)
    assert (None if ruling.refusal is None else ruling.refusal.status) == status


def test_tenants_are_asked_of_every_model() -> None:
    assert refused(ruled({"serve": {"tenants": ["main"]}}, {"deployment.tenant": "other"})) is not None
    assert refused(ruled({"serve": {"tenants": ["main"]}}, {"deployment.tenant": "main"})) is None


# ---- inference


def test_instructions_are_put_together_and_clients_cannot_switch_them_off() -> None:
    rules = [
        rule({"instruct": {"dye": "one", "reasoning": "summary"}}, name="one"),
        rule({"instruct": {"dye": "two", "watermark": "on", "reasoning": "full"}}, name="two"),
    ]
    ruling = decide(policy(rules=rules), KnownFacts())
    assert (ruling.instructions.dye, ruling.instructions.watermark, ruling.instructions.reasoning) == (
        "one",
        True,
        "summary",
    )
    assert Edit("request", "instructions", "strip") in ruling.edits


def test_a_policy_that_never_instructs_strips_no_instructions() -> None:
    steps = {**SMALL["steps"], "dye": []}
    assert ruled({"openness": {"seed": "strip"}}, {}, steps=steps).edits == (Edit("request", "seed", "strip"),)


# ---- steps


@pytest.mark.parametrize(
    ("step", "done"),
    [
        ("observe", (None, 0, None, False)),
        ("verify", ((403, "verification_required", None), 0, None, False)),
        ("throttle", (None, 1, None, False)),
        ("narrow", (None, 0, None, True)),
        ("dye", (None, 0, "campaigns", False)),
        ("refuse", ((403, "account_suspended", None), 0, None, False)),
    ],
)
@pytest.mark.parametrize("by_rule", [False, True])
def test_each_step_does_what_the_policy_says(step: str, done: tuple[object, ...], by_rule: bool) -> None:
    ruling = ruled({"step": step}, {}) if by_rule else decide(policy(), facts_from({"account.step": step}))
    narrowed = any(edit.field == "logprobs" for edit in ruling.edits)
    assert (refused(ruling), len(ruling.charges), ruling.instructions.dye, narrowed) == done
    assert ruling.step is Step(step)


def test_the_gravest_step_counts() -> None:
    assert ruled({"step": "dye"}, {"account.step": "throttle"}).step is Step.DYE
    assert ruled({"step": "verify"}, {"account.step": "narrow"}).step is Step.NARROW


@pytest.mark.parametrize("step", ["narrow", "dye"])
def test_answers_of_researchers_are_never_altered(step: str) -> None:
    then = {"instruct": {"dye": "one", "watermark": "on", "reasoning": "hidden"}}
    ruling = ruled(then, {"account.step": step, "account.researcher": True})
    assert ruling.step is Step.THROTTLE
    assert ruling.instructions.dye is None
    assert not ruling.instructions.watermark
    assert ruling.instructions.reasoning is None
    assert ruling.withheld == (f"steps.{step}", "it")
    drop = ruled({"openness": {"reasoning": "drop", "seed": "strip"}}, {"account.researcher": True})
    assert {edit.field for edit in drop.edits} == {"seed", "instructions"}
    assert drop.withheld == ("it",)


def test_researchers_can_be_refused_all_the_same() -> None:
    assert refused(decide(policy(), facts_from({"account.step": "refuse", "account.researcher": True}))) is not None


# ---- which rules, which refusal, which version


def test_all_rules_that_fire_are_named_and_the_first_refusal_is_told() -> None:
    rules = [
        rule({"step": "throttle"}, name="slow"),
        rule({"refuse": "sanctioned"}, "request.country == 'IR'", "borders"),
        rule({"refuse": "account_suspended"}, name="suspended"),
    ]
    ours = policy(rules=rules)
    ruling = decide(ours, facts_from({"request.country": "IR"}))
    assert ruling.fired == ("slow", "borders", "suspended")
    assert ruling.refusal is not None
    assert ruling.refusal.by == "borders"
    assert (ruling.edits, ruling.charges, ruling.policy) == ((), (), ours.version)
    assert decide(ours, KnownFacts()).fired == ("slow", "suspended")


@pytest.mark.parametrize(("on_outage", "status"), [("refuse", 503), ("allow", None)])
def test_a_condition_that_cannot_be_told_is_an_outage(on_outage: str, status: int | None) -> None:
    when = "request.model == '' || 10 / request.n > 0"
    ruling = ruled({"step": "dye"}, {"request.model": "m", "request.n": 0}, when, on_outage=on_outage)
    assert (None if ruling.refusal is None else ruling.refusal.status) == status
    assert (ruling.fired, ruling.failed) == ((), ("it",))


@pytest.mark.parametrize(("on_outage", "outcome"), [("refuse", Outcome.REFUSE), ("allow", Outcome.ALLOW)])
def test_an_outage_is_ruled_as_the_policy_says(on_outage: str, outcome: Outcome) -> None:
    assert rule_in_outage(policy(on_outage=on_outage)).outcome is outcome
    assert rule_in_outage(policy(on_outage=on_outage, mode="observe")).outcome is Outcome.ALLOW


# ---- laws


NAMES = sorted(FACTS)
VALUES: dict[object, st.SearchStrategy[FactValue]] = {
    bool: st.booleans(),
    int: st.integers(0, 5000),
    float: st.floats(0, 100),
    str: st.sampled_from(["", "DE", "IR", "CN", "free", "orion-5-mini", "embeddings", "aws", "eu-1"]),
    tuple[str, ...]: st.lists(st.sampled_from("1234"), max_size=3).map(tuple),
    dict[str, float]: st.dictionaries(st.sampled_from(["DE", "IR", "CN"]), st.floats(0, 1), max_size=3),
}
FACTS_OF_REQUESTS: st.SearchStrategy[dict[str, FactValue]] = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from([step.value for step in Step]) if name == "account.step" else VALUES[FACTS[name].kind]
        for name in NAMES
    },
)


@settings(deadline=None, max_examples=200)
@given(FACTS_OF_REQUESTS)
def test_observing_changes_nothing_whatever_comes(known: dict[str, FactValue]) -> None:
    ruling = decide(load_policy("observe"), KnownFacts(known))
    assert (ruling.outcome, ruling.refusal, ruling.edits, ruling.charges) == (Outcome.ALLOW, None, (), ())
    assert (ruling.instructions.dye, ruling.instructions.watermark, ruling.step) == (None, False, Step.OBSERVE)
    assert ruling.would is not None
    assert ruling.would.fired == ruling.fired


STRICT = load_policy("strict")


@settings(deadline=None, max_examples=300)
@given(FACTS_OF_REQUESTS)
def test_strict_keeps_its_word_whatever_comes(known: dict[str, FactValue]) -> None:
    ruling = decide(STRICT, KnownFacts(known))
    assert ruling.failed == ()
    if known.get("request.country") == "IR":
        assert ruling.outcome is Outcome.REFUSE
    if known.get("account.researcher"):
        assert ruling.step not in {Step.NARROW, Step.DYE}
        assert ruling.instructions == type(ruling.instructions)()
        assert all(edit.field != "reasoning" for edit in ruling.edits)
    if ruling.outcome is Outcome.ALLOW and not known.get("account.verified"):
        assert Edit("request", "logprobs", "strip") in ruling.edits
    assert len({(edit.on, edit.field) for edit in ruling.edits}) == len(ruling.edits)
    assert decide(STRICT, KnownFacts(known)) == ruling


# ---- facts from outside


def test_facts_may_be_nested_or_dotted() -> None:
    nested = facts_from({"request": {"country": "DE"}, "owner": {"shares": {"CN": 1}}})
    assert nested.known == {"request.country": "DE", "owner.shares": {"CN": 1.0}}
    assert facts_from({"request.country": "DE", "owner.shares": {"CN": 1.0}}) == nested


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([], "facts are a mapping"),
        ({"request": {"cuntry": "DE"}}, "request.cuntry: no such fact; did you mean `request.country`?"),
        ({"request.n": "two"}, "request.n: expected `int`, got `str`"),
        ({"owner.shares": {"CN": "x"}}, "owner.shares: expected `float`, got `str`"),
        ({"account.step": "bann"}, "account.step: no such step"),
    ],
)
def test_facts_that_cannot_be_are_refused(content: object, why: str) -> None:
    with pytest.raises(FactsError) as caught:
        facts_from(content)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize("name", NAMES)
def test_every_fact_has_a_value_of_its_kind_where_it_is_not_known(name: str) -> None:
    fact: Any = FACTS[name]
    assert msgspec.convert(fact.unknown, fact.kind) == fact.unknown
    assert KnownFacts().look_up(name) == fact.unknown
