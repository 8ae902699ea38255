from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.policies import policy, rule, written
from tests.test_cli import stillwatch

from stillwatch.decisions.sentences import of_rule

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("then", "says"),
    [
        ({"refuse": "sanctioned"}, "refuse with 403 sanctioned"),
        ({"refuse": {"reason": "not_served_here", "message": "no"}}, "refuse with 404 not_served_here"),
        (
            {"limit": {"of": "requests", "per": "key", "rate": "6 per day", "burst": 2000}},
            "limit requests to 6 per day, 2,000 at once, for each key",
        ),
        (
            {"limit": {"of": "spend", "per": "global", "cap": 1e6, "each": "week"}},
            "cap spend at 1,000,000 each week, for all together",
        ),
        (
            {"openness": {"seed": "strip", "n": {"at_most": 2}, "tools": {"at_most": 1, "over": "refuse"}}},
            "clamp n over 2, strip seed, refuse tools over 1",
        ),
        (
            {"openness": {"logit_bias": {"at_most": 3, "magnitude": 5, "distinct_a_day": 9}}},
            (
                "clamp logit_bias over 3 tokens or beyond 5 (at most 9 distinct tokens a day for each account), "
                "strip it together with log probabilities"
            ),
        ),
        ({"openness": {"reasoning": {"summarise": "{words}"}}}, "replace reasoning by `{words}`"),
        ({"serve": {"models": ["a*"], "clouds": ["x", "y"]}}, "serve a* only from clouds x or y"),
        ({"serve": {"tenants": ["main"]}}, "serve any model only from tenants main"),
        (
            {"instruct": {"dye": "k", "watermark": "on", "reasoning": "hidden"}},
            "dye answers with the key `k`, watermark answers, show reasoning: hidden",
        ),
        ({"step": "dye"}, "take the step `dye`"),
    ],
)
def test_every_action_is_said_in_a_sentence(then: dict[str, Any], says: str) -> None:
    (always,) = policy(rules=[rule(then)]).document.rules
    (sometimes,) = policy(rules=[rule(then, "request.n >\n  1")]).document.rules
    assert of_rule(always) == f"Always: {says}."
    assert of_rule(sometimes) == f"When request.n > 1: {says}."


def test_check_prints_version_and_rules(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(written(rules=[rule({"refuse": "sanctioned"}, "request.tor")], places={"there": {"of": ["IR"]}}))
    done = stillwatch("policy", "check", path)
    assert done.returncode == 0
    assert done.stderr == b""
    assert policy(rules=[rule({"refuse": "sanctioned"}, "request.tor")], places={"there": {"of": ["IR"]}}).version in (
        done.stdout.decode()
    )
    assert b"  it  When request.tor: refuse with 403 sanctioned.\n" in done.stdout
    assert b"Places `there`: IR; owned from 50%." in done.stdout
    assert b"  throttle  limit requests to 6 per minute, 3 at once, for each account.\n" in done.stdout


def test_check_tells_every_fault_and_ends_with_2(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(written(mode="on", rules=[rule({"refuse": "sanctioned"}, "request.torr")]))
    done = stillwatch("policy", "check", path)
    assert (done.returncode, done.stdout) == (2, b"")
    first, second = done.stderr.decode().splitlines()
    assert first.startswith(f"stillwatch: error: {path}:3:7: mode: invalid enum value 'on'")
    assert second.endswith(": rules[0].when: `request.torr`: no such fact; did you mean `request.tor`?")


def test_explain_prints_what_fires_and_what_is_done() -> None:
    facts = {"request": {"country": "DE"}, "account": {"tier": "free", "step": "dye", "organization": "o-1"}}
    done = stillwatch("policy", "explain", "strict", "--facts", "-", stdin=json.dumps(facts).encode())
    page = done.stdout.decode()
    assert done.returncode == 0
    assert "  Outcome  allow\n  Step     dye\n" in page
    assert "  one-answer  When account.tier ==" in page
    assert "  strip seed of the request\n" in page
    assert "charge 0 spend to organization o-1" in page
    assert "  dye the answer with the key `campaigns`\n" in page


def test_explain_tells_a_refusal_and_who_refused() -> None:
    facts = b'{"request.country": "IR"}'
    page = stillwatch("policy", "explain", "strict", "--facts", "-", stdin=facts).stdout.decode()
    assert "  Outcome  refuse with 403 sanctioned\n" in page
    assert "  By       from-sanctioned: Country, region, or territory not supported\n" in page
    observed = stillwatch("policy", "explain", "observe", "--facts", "-", stdin=facts).stdout.decode()
    assert "  Outcome  allow, unchanged; enforced it would be: refuse with 403 sanctioned\n" in observed


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (b"{", "not readable as JSON"),
        (b'{"request": {"cuntry": "DE"}}', "request.cuntry: no such fact; did you mean `request.country`?"),
        (b'{"request.n": "x"}', "request.n: expected `int`, got `str`"),
    ],
)
def test_facts_that_cannot_be_end_with_2(facts: bytes, message: str) -> None:
    done = stillwatch("policy", "explain", "strict", "--facts", "-", stdin=facts)
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"stillwatch: error: -: {message}" in done.stderr.decode()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = stillwatch("policy", "explain", "strict", "--facts", tmp_path / "none.json")
    assert done.returncode == 2
    assert b"cannot be read: no such file or directory" in done.stderr
    assert stillwatch("policy", "check", tmp_path / "none.yaml").returncode == 2
