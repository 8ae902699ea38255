"""Canaries, behaviour, and the verdict that combines them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.lineage_answers import jsonl

from stillwatch.errors import MaterialError, UsageError
from stillwatch.lineage.behaviour import behaviour, likeness, nearness
from stillwatch.lineage.canaries import (
    Canary,
    CanaryTest,
    agreements,
    canary_test,
    chosen,
    deal,
    read_deals,
    read_deck,
    write_deals,
)
from stillwatch.lineage.material import Material
from stillwatch.lineage.verdict import Strand, combine, read_strands, strands_of_behaviour, strands_of_canaries

if TYPE_CHECKING:
    from numpy.random import Generator

MASTER = bytes(range(32))
WORDS = ("amber", "birch", "cedar", "dune")
CAMPAIGNS = [f"c-{at}" for at in range(16)]


def deck_rows(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"k{at}", "prompt": f"Name a thing, {at}", "choices": list(WORDS[: 2 + at % 3])} for at in range(count)
    ]


def deck_of(count: int) -> list[Canary]:
    return read_deck(jsonl("deck", deck_rows(count)))


def looked_for(rng: Generator, *, copies: float, of: int = 0, count: int = 120, tastes: bool = True) -> CanaryTest:
    """Test a suspect with tastes of its own that copies a share of one campaign's choices; the key is drawn anew."""
    deck = deck_of(count)
    deals = deal(deck, "d", rng.bytes(32), CAMPAIGNS)
    made = {}
    for each in deck:
        own = 0 if tastes else int(rng.integers(len(each.choices)))
        made[each.id] = deals[of].choices[each.id] if rng.random() < copies else own
    return agreements(deck, deals, made, 0.01)


# ---- canaries


def test_choices_are_dealt_evenly_and_apart() -> None:
    deck = [Canary(f"k{at}", "", ("a", "b", "c")) for at in range(3000)]
    one, two = deal(deck, "d", MASTER, ["x", "y"])
    for dealt in (one, two):
        assert stats.chisquare(np.bincount(list(dealt.choices.values()))).pvalue > 1e-4
    same = sum(one.choices[each.id] == two.choices[each.id] for each in deck)
    assert stats.binomtest(same, 3000, 1 / 3).pvalue > 1e-4
    assert deal(deck, "d", MASTER, ["y"])[0] == two
    assert one.key != two.key != MASTER.hex()


def test_null_p_values_are_super_uniform_though_the_suspect_has_tastes() -> None:
    rng = np.random.default_rng(1)
    p_values = [each.p_value for _ in range(120) for each in looked_for(rng, copies=0.0, count=40).agreements]
    for level in (0.01, 0.05, 0.2, 0.5):
        below = sum(p <= level for p in p_values)
        assert stats.binomtest(below, len(p_values), level, alternative="greater").pvalue > 0.001


def test_null_e_values_have_a_mean_of_at_most_one() -> None:
    rng = np.random.default_rng(2)
    e_values = np.array([each.e_value for _ in range(200) for each in looked_for(rng, copies=0.0, count=20).agreements])
    assert e_values.mean() < 1.0 + 4.0 * e_values.std() / np.sqrt(len(e_values))


def test_a_suspect_that_learnt_points_to_its_campaign_and_to_no_other() -> None:
    rng = np.random.default_rng(3)
    right = 0
    for at in range(40):
        found = looked_for(rng, copies=0.4, of=at % 16)
        named = [each.campaign for each in found.agreements if each.adjusted <= 0.01]
        right += named == [f"c-{at % 16}"]
    assert right >= 38


def test_the_power_told_is_that_shown() -> None:
    rng = np.random.default_rng(4)
    found = [looked_for(rng, copies=0.2, count=250, tastes=False) for _ in range(150)]
    shown = sum(each.p_value <= 0.01 / 16 for test in found for each in test.agreements if each.campaign == "c-0")
    assert stats.binomtest(shown, 150, found[0].power).pvalue > 0.001
    assert found[0].needed > 0


def test_the_choice_is_read_from_the_answers() -> None:
    canary = Canary("k", "", ("big apple", "pear"))
    assert chosen(canary, ["I would say a Big  Apple."]) == 0
    assert chosen(canary, ["pear", "a pear!", "big apple"]) == 1
    for silent in ([], ["neither"], ["pear or big apple"], ["pear", "big apple"]):
        assert chosen(canary, silent) is None


def _files(count: int = 30) -> dict[str, Material]:
    deck = jsonl("deck", deck_rows(count))
    deals = deal(read_deck(deck), deck.sha256, MASTER, ["x", "y"])
    said = [{"id": each.id, "answer": each.choices[deals[0].choices[each.id]]} for each in read_deck(deck)]
    return {
        "deck": deck,
        "deals": Material("deals", "deals.json", write_deals(deck.sha256, deals)),
        "suspect": jsonl("suspect", said),
    }


def test_files_make_a_test_and_their_order_changes_nothing() -> None:
    files = _files()
    found = canary_test(files)
    assert (found.canaries, found.silent, found.agreements[0].campaign) == (30, 0, "x")
    assert found.agreements[0].adjusted < 1e-9
    backwards = b"".join(reversed(files["suspect"].data.splitlines(keepends=True)))
    assert canary_test(files | {"suspect": Material("suspect", "s", backwards)}) == found


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"id": "a", "prompt": "p", "choices": ["x"]}], ":1: choices: must be a list of two"),
        ([{"id": "a", "prompt": "p", "choices": ["x", ""]}], "a choice is empty"),
        ([{"id": "a", "prompt": "p", "choices": ["x", "X y"]}], "part of another"),
        ([{"id": "a", "prompt": "p", "choices": ["x", "y"]}] * 2, ":2: id: 'a' is there already"),
        ([{"id": "a", "choices": ["x", "y"]}], ":1: prompt: is missing"),
    ],
)
def test_wrong_decks_are_named(rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(MaterialError, match=says):
        read_deck(jsonl("deck", rows))


def test_deals_that_were_changed_are_refused() -> None:
    files = _files()
    deck, document = read_deck(files["deck"]), json.loads(files["deals"].data)

    def refused(change: Any, says: str) -> None:  # noqa: ANN401  a lambda
        changed = json.loads(files["deals"].data)
        change(changed)
        with pytest.raises(MaterialError, match=says):
            read_deals(Material("deals", "d", json.dumps(changed).encode()), deck, files["deck"].sha256)

    refused(lambda d: d.update(schema="other/1"), "schema: is not stillwatch.canaries/1")
    refused(lambda d: d.update(deck_sha256="00"), "another deck")
    refused(lambda d: d["deals"][0].update(key="00" * 32), "commitment: x: does not match")
    refused(lambda d: d["deals"][0].update(key="no"), "key: x: not hexadecimal")
    refused(
        lambda d: d["deals"][0]["choices"].update(k0=1 - document["deals"][0]["choices"]["k0"]), "follow from the key"
    )
    refused(lambda d: d["deals"].append(d["deals"][0]), "each campaign once")
    with pytest.raises(MaterialError, match="no canary of the deck"):
        canary_test(files | {"suspect": jsonl("suspect", [{"id": "other", "answer": "x"}])})
    with pytest.raises(UsageError, match="32 bytes"):
        deal(deck, "d", b"short", ["x"])
    with pytest.raises(UsageError, match="each once"):
        deal(deck, "d", MASTER, ["x", "x"])


# ---- behaviour


def test_innocent_suspects_are_first_among_the_controls_as_often_as_chance_has_it() -> None:
    rng = np.random.default_rng(6)
    found = []
    for _ in range(600):
        skill = rng.normal(0.5, 0.1, size=10)[:, None]
        suspect, *controls = skill + rng.normal(0, 0.3, size=(10, 120))
        found.append(nearness(list(suspect), {f"control {at}": list(each) for at, each in enumerate(controls)}, 0.01))
    assert (
        stats.binomtest(sum(each.p_controls <= 0.1 for each in found), 600, 0.1, alternative="greater").pvalue > 0.001
    )
    e_values = np.array([each.e_value for each in found])
    assert e_values.mean() < 1.0 + 4.0 * e_values.std() / np.sqrt(600)
    assert e_values.max() <= 10.0


def _models(rng: Generator, *, copies: float, controls: int = 9, prompts: int = 150) -> dict[str, Material]:
    def rows(said: list[str]) -> list[dict[str, Any]]:
        return [{"id": str(at), "answer": each} for at, each in enumerate(said)]

    def own() -> list[str]:
        return [" ".join(rng.choice(WORDS, size=12)) for _ in range(prompts)]

    ours, theirs = own(), own()
    suspect = [mine if rng.random() < copies else other for mine, other in zip(ours, theirs, strict=True)]
    made = {"reference": jsonl("reference", rows(ours)), "suspect": jsonl("suspect", rows(suspect))}
    return made | {f"control {at}": jsonl(f"control {at}", rows(own())) for at in range(controls)}


def test_a_suspect_that_copies_is_nearer_than_every_control() -> None:
    found = behaviour(_models(np.random.default_rng(7), copies=0.5))
    assert found.verdict == "nearer than every control"
    assert found.p_controls == pytest.approx(0.1)
    assert 5.0 < found.e_value <= 10.0
    assert behaviour(_models(np.random.default_rng(8), copies=0.0)).verdict == "no nearer"


def test_too_few_controls_or_prompts_cannot_tell_and_weigh_nothing() -> None:
    for models, says in (
        (_models(np.random.default_rng(9), copies=0.9, controls=4), "4 controls; 5 are the least"),
        (_models(np.random.default_rng(9), copies=0.9, prompts=99), "99 prompts"),
    ):
        found = behaviour(models)
        assert found.verdict == "cannot tell"
        assert says in found.why
        assert found.e_value == 1.0
    with pytest.raises(UsageError, match="controls"):
        behaviour({})


@given(st.frozensets(st.text(max_size=3)), st.frozensets(st.text(max_size=3)))
def test_likeness_is_mutual(one: frozenset[str], two: frozenset[str]) -> None:
    assert likeness(one, two) == likeness(two, one)
    assert likeness(one, one) == 1.0


# ---- verdict

STRANDS = st.lists(
    st.builds(
        Strand,
        st.sampled_from(["dye", "canaries"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["k1", "k2"]),
        st.floats(0.0, 1e6),
    ),
    min_size=1,
    max_size=8,
)


@given(STRANDS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_tests_changes_nothing(strands: list[Strand], chance: Any) -> None:  # noqa: ANN401  hypothesis's
    shuffled = list(strands)
    chance.shuffle(shuffled)
    assert combine(shuffled).e_value == pytest.approx(combine(strands).e_value)


def test_the_combined_evidence_of_innocents_has_a_mean_of_at_most_one() -> None:
    rng = np.random.default_rng(10)
    combined = []
    for _ in range(400):
        keyed = strands_of_canaries(looked_for(rng, copies=0.0, count=15))
        scores = rng.normal(size=8)
        near = nearness(
            [float(scores[0])] * 100, {f"control {at}": [float(each)] * 100 for at, each in enumerate(scores[1:])}, 0.01
        )
        dye = [Strand("dye", name, f"dye {name}", p_value=float(rng.random())) for name in CAMPAIGNS]
        found = combine([*keyed, *strands_of_behaviour(near), *dye])
        assert found.verdict != "distilled" or found.e_value >= 100
        combined.append(found.e_value)
    values = np.array(combined)
    assert values.mean() < 1.0 + 4.0 * values.std() / np.sqrt(len(values))


def test_tests_of_two_keys_add_up_and_of_one_key_do_not() -> None:
    two = [Strand("dye", "a", "k1", 20.0), Strand("canaries", "a", "k2", 20.0)]
    assert combine(two).verdict == "distilled"
    assert combine(two).named == ["a"]
    one = [Strand("dye", "a", "k1", 20.0), Strand("dye again", "a", "k1", 20.0)]
    assert combine(one).e_value == pytest.approx(20.0)
    assert combine(one).verdict == "cannot tell"


def test_nothing_found_is_evidence_only_with_power() -> None:
    weak = Strand("canaries", "a", "k", 0.5, 0.6, 0.3, "a fifth of its canaries", "200 canaries")
    strong = Strand("canaries", "a", "k", 0.5, 0.6, 0.9, "a fifth of its canaries")
    assert combine([weak]).verdict == "cannot tell"
    assert combine([weak]).needed == ["200 canaries"]
    assert combine([strong]).verdict == "no evidence"
    assert "with probability 0.90" in combine([strong]).why[0]
    assert combine([Strand("dye", "a", "k", 30.0, 1e-4, 0.9, "x")]).verdict == "cannot tell"
    assert combine([Strand("behaviour", e_value=9.0)]).needed == ["a test with a key: dyed answers, or canaries"]


@pytest.mark.parametrize(
    "strand", [Strand("x"), Strand("x", e_value=-1.0), Strand("x", p_value=1.5), Strand("x", e_value=float("nan"))]
)
def test_what_is_no_evidence_is_refused(strand: Strand) -> None:
    with pytest.raises(UsageError):
        combine([strand])


def test_results_of_a_dye_are_read() -> None:
    campaign = {"campaign": "a", "p_value": 1e-6, "e_value_log10": 4.0, "power": 0.9, "finding": "dyed"}
    document = {"schema": "stillwatch.radioactivity/1", "settings": {"effect": 0.01}, "campaigns": [campaign]}
    (strand,) = read_strands(Material("result 1", "dye.json", json.dumps(document).encode()))
    assert (strand.campaign, strand.power) == ("a", 0.9)
    assert strand.e_value == pytest.approx(1e4)
    for text, says in (
        ("[]", "is neither"),
        ("{", "no result"),
        ('{"schema": "stillwatch.lineage-result/1", "strands": []}', "descent"),
    ):
        with pytest.raises(MaterialError, match=says):
            read_strands(Material("result 1", "r.json", text.encode()))
    with pytest.raises(UsageError, match="nothing to combine"):
        combine([])
