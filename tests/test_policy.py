from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies import SMALL, policy, rule, written

from stillwatch.decisions.policy import parse_policy
from stillwatch.errors import PolicyError
from stillwatch.guard.policy_file import bundled, load_policy

if TYPE_CHECKING:
    from pathlib import Path

NO_PLACE = "expected a country such as `DE` or a region such as `UA-43`"
NO_FACT = "`request.places.sanctionde`: no such fact; did you mean `request.places.sanctioned`?"


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, where="policy.yaml")
    return str(caught.value).splitlines()


def fields(**changes: Any) -> dict[str, str]:  # noqa: ANN401  whatever a policy may hold
    with pytest.raises(PolicyError) as caught:
        policy(**changes)
    return {fault.field: fault.reason for fault in caught.value.faults}


# ---- what is refused


@pytest.mark.parametrize("text", ["", "\n# nothing but a comment\n", "---\n"])
def test_an_empty_policy_is_refused(text: str) -> None:
    assert faults(text) == ["policy.yaml: is empty; a policy starts with `schema: stillwatch.policy/1`"]


def test_a_policy_without_rules_is_refused() -> None:
    assert fields(rules=[]) == {"rules": "there are none; an empty policy would allow everything"}


@pytest.mark.parametrize("text", ["- 1\n", "schema: stillwatch.policy/9\n", "42\n"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    assert faults(text) == ["policy.yaml:1:1: schema: a policy is a mapping with `schema: stillwatch.policy/1`"]


def test_broken_yaml_is_told_with_line_and_column() -> None:
    assert faults("schema: stillwatch.policy/1\nname: [\n")[0].startswith("policy.yaml:3:1: not readable as YAML")


@pytest.mark.parametrize("field", ["name", "mode", "on_outage", "steps", "rules"])
def test_nothing_that_matters_has_a_default(field: str) -> None:
    assert fields(**{field: None}) == {field: "is missing"}


@pytest.mark.parametrize("step", ["verify", "throttle", "narrow", "dye", "refuse"])
def test_every_step_of_the_ladder_is_said(step: str) -> None:
    steps = {name: actions for name, actions in SMALL["steps"].items() if name != step}
    assert fields(steps=steps) == {f"steps.{step}": "is missing"}


def test_every_fault_is_told_at_once_with_line_column_and_field() -> None:
    text = """\
schema: stillwatch.policy/1
name: ours
mode: enforce
stepz: {}
places:
  sanctioned: {of: [CU, IRR]}
rules:
  - id: borders
    when: request.places.sanctionde || request.n > "a"
    then: {refuse: sanctionde}
  - id: open
    when: >-
      account.tier == "free"
      && !account.verifed
    then: {openness: {n: {atmost: 1}}}
  - id: call
    when: |
      request.n > 1 ||
        foo(request.n)
    then: {refuse: sanctioned}
"""
    assert faults(text) == [
        "policy.yaml:1:1: on_outage: is missing",
        "policy.yaml:1:1: steps: is missing",
        "policy.yaml:4:1: stepz: no such field; did you mean `steps`?",
        f"policy.yaml:6:25: places.sanctioned.of[1]: {NO_PLACE}, got `IRR`",
        f"policy.yaml:9:11: rules[0].when: {NO_FACT}",
        "policy.yaml:9:50: rules[0].when: found no matching overload for '_>_' applied to '(int, string)'",
        "policy.yaml:10:20: rules[0].then.refuse: invalid enum value 'sanctionde'; did you mean `sanctioned`?",
        "policy.yaml:14:11: rules[1].when: `account.verifed`: no such fact; did you mean `account.verified`?",
        "policy.yaml:15:26: rules[1].then.openness.n.at_most: is missing",
        "policy.yaml:15:27: rules[1].then.openness.n.atmost: no such field; did you mean `at_most`?",
        "policy.yaml:19:9: rules[2].when: no such function: `foo`",
    ]


@pytest.mark.parametrize(
    ("then", "field", "why"),
    [
        ({}, "", "an action is exactly one of refuse, limit, openness, serve, instruct, step; here are none"),
        ({"step": "dye", "refuse": "sanctioned"}, "", "an action is exactly one of"),
        ({"openness": {}}, ".openness", "says nothing; known here: logprobs"),
        ({"instruct": {}}, ".instruct", "says nothing"),
        ({"serve": {"models": ["a"]}}, ".serve", "says which models, but not where"),
        ({"serve": {"clouds": ["a*b"]}}, ".serve.clouds[0]", "expected a name without spaces"),
        ({"step": "ban"}, ".step", "invalid enum value 'ban'; known here: observe, verify"),
        ({"openness": {"seed": "clamp"}}, ".openness.seed", "invalid enum value 'clamp'"),
        ({"instruct": {"watermark": "off"}}, ".instruct.watermark", "invalid enum value 'off'"),
        ({"refuse": {"reason": "sanctioned", "message": ""}}, ".refuse.message", "expected `str` of length >= 1"),
    ],
)
def test_an_action_that_cannot_be_meant_is_refused(then: dict[str, Any], field: str, why: str) -> None:
    found = fields(rules=[rule(then)])
    assert found[f"rules[0].then{field}"].startswith(why)


@pytest.mark.parametrize(
    ("limit", "field", "why"),
    [
        ({}, "rate", "a limit has either `rate` and `burst`, or `cap` and `each`"),
        ({"rate": "1 per day", "burst": 1, "cap": 1}, "rate", "a limit has either"),
        ({"rate": "1 per day"}, "burst", "is missing: how much may come at once"),
        ({"rate": "1 per day", "burst": 0.5}, "burst", "0.5 would let no request through"),
        ({"rate": "fast", "burst": 1}, "rate", "`fast` is no rate; write `60 per minute`"),
        ({"rate": "0 per day", "burst": 1}, "rate", "`0 per day` is no rate"),
        ({"rate": "1 per day", "burst": 1, "each": "day"}, "each", "belongs to `cap`"),
        ({"cap": 5}, "each", "is missing"),
        ({"cap": 5, "each": "day", "burst": 3}, "burst", "belongs to `rate`"),
        ({"cap": -5, "each": "day"}, "cap", "expected `float` > 0"),
        ({"of": "distinct_prompts", "rate": "1 per day", "burst": 1}, "rate", "`distinct_prompts` are counted in win"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(limit: dict[str, Any], field: str, why: str) -> None:
    found = fields(rules=[rule({"limit": {"of": "requests", "per": "key", **limit}})])
    assert found[f"rules[0].then.limit.{field}"].startswith(why)


def test_contradictions_are_found() -> None:
    assert fields(rules=[rule({"step": "dye"}), rule({"step": "dye"})]) == {
        "rules[1].id": "`it` is the id of another rule"
    }
    assert fields(rules=[rule({"step": "dye"}, False)]) == {"rules[0].when": "a rule that never fires"}
    assert fields(places={"none": {"of": []}}) == {"places.none.of": "names no place"}
    steps = {**SMALL["steps"], "refuse": [{"step": "dye"}], "observe": [{"refuse": "sanctioned"}]}
    assert fields(steps=steps) == {
        "steps.observe": "observing changes nothing: it has no actions",
        "steps.refuse": "does not refuse: it has no `refuse`",
        "steps.refuse[0].step": "a step says what it does and leads to no other step",
    }


@settings(deadline=None, max_examples=50)
@given(st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
def test_no_unknown_key_is_passed_over(key: str) -> None:
    if key not in {"schema", "name", "mode", "on_outage", "steps", "rules", "about", "places"}:
        assert fields(**{key: 1})[key].startswith("no such field")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text("abct[].>&|! '\"1=\n", max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["of", "then", "x", "id"]), inner),
    max_leaves=6,
)


def paths(content: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401  YAML
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [above, *(path for key, value in inner for path in paths(value, (*above, key)))]


STRICT = resources.files("stillwatch").joinpath("policies", "strict.yaml").read_text(encoding="utf-8")
PLACES_IN_STRICT = paths(yaml.safe_load(STRICT))[1:]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(PLACES_IN_STRICT), ANYTHING)
def test_whatever_stands_in_a_policy_it_loads_or_every_fault_has_its_place(path: tuple[Any, ...], put: object) -> None:
    content = yaml.safe_load(STRICT)
    inner = content
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = put
    text = yaml.safe_dump(content, sort_keys=False)
    lines = text.split("\n")
    try:
        parse_policy(text, where="policy.yaml")
    except PolicyError as error:
        found = error.faults
    else:
        return
    assert found
    for fault in found:
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1


# ---- versions


def test_a_version_is_of_what_is_said_not_of_how() -> None:
    plain = policy()
    shuffled = yaml.safe_dump({key: yaml.safe_load(written())[key] for key in reversed(SMALL)}, sort_keys=False)
    other = parse_policy(f"# a comment\n{shuffled}about: ''\n", where="other")
    assert other.version == plain.version
    assert plain.version.startswith("sha256:")
    assert len(plain.version) == 71


@pytest.mark.parametrize(
    "change", [{"on_outage": "allow"}, {"mode": "observe"}, {"about": "x"}, {"rules": [rule({"step": "dye"})]}]
)
def test_whatever_is_said_otherwise_is_another_version(change: dict[str, Any]) -> None:
    assert policy(**change).version != policy().version


# ---- bundled ones and files


def test_the_bundled_policies_are_those_that_are_promised() -> None:
    assert bundled() == ("observe", "strict")
    assert load_policy("observe").document.mode == "observe"
    strict = load_policy("strict").document
    assert (strict.mode, len(strict.rules)) == ("enforce", 30)


def test_a_file_is_loaded_by_path_and_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(written(), encoding="utf-8")
    assert load_policy(path).version == policy().version
    path.write_text("", encoding="utf-8")
    with pytest.raises(PolicyError, match=r"ours\.yaml: is empty"):
        load_policy(str(path))
    with pytest.raises(PolicyError, match=r"no such file, and no bundled policy of that name \(observe, strict\)"):
        load_policy("nowhere")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(path)
