from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.documents import documented_fields

from stillwatch.errors import ScenarioError
from stillwatch.simulate import scenario as scenarios
from stillwatch.simulate.scenario import as_yaml, bundled, load_scenario, parse_scenario
from stillwatch.simulate.wording import ELICITED, LANGUAGES, TASK_KINDS, Slot, load_wording

DOCS = Path(__file__).parents[1] / "docs" / "simulate.md"
SMALL: dict[str, Any] = {"schema": "stillwatch.scenario/1", "name": "small", "start": "2026-09-01", "days": 3}
CAMPAIGN: dict[str, Any] = {"name": "one", "tasks": ["maths"], "accounts": 5, "requests_per_day": 2}


def complaint(changes: dict[str, Any]) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(yaml.safe_dump({**SMALL, **changes}), where="file.yaml")
    return str(caught.value)


def test_bundled_scenarios_are_those_that_are_promised() -> None:
    assert bundled() == ("demo", "drill", "quiet", "tiny")


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_scenario_loads_under_its_own_name(name: str) -> None:
    assert load_scenario(name).name == name


@pytest.mark.parametrize("name", bundled())
def test_a_scenario_survives_being_written_out(name: str) -> None:
    scenario = load_scenario(name)
    assert parse_scenario(as_yaml(scenario), where="again") == scenario


def test_the_demo_hides_campaigns_of_different_kinds() -> None:
    campaigns = load_scenario("demo").campaigns
    assert len(campaigns) >= 2
    assert all(campaign.accounts >= 60 for campaign in campaigns)
    assert len({(c.wording, c.elicits, c.client, c.network) for c in campaigns}) == len(campaigns)


def test_quiet_has_no_campaign_and_the_drill_many() -> None:
    assert not load_scenario("quiet").campaigns
    assert len(load_scenario("drill").campaigns) >= 10


def test_a_file_is_loaded_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    assert load_scenario(path).name == "small"
    assert load_scenario(str(path)).name == "small"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": "stillwatch.scenario/9"}, "file.yaml: schema: expected `stillwatch.scenario/1`"),
        ({"days": 0}, "file.yaml: days: expected `float` > 0"),
        ({"days": "many"}, "file.yaml: days: expected `float`, got `str`"),
        ({"start": "soon"}, "file.yaml: start: "),
        ({"name": "Not So Good"}, "file.yaml: name: "),
        ({"ordinary": {"people": {"count": -1}}}, "file.yaml: ordinary.people.count: expected `int` >= 0"),
        ({"ordinary": {"people": {"count": 1.5}}}, "file.yaml: ordinary.people.count: expected `int`"),
        ({"ordinary": {"people": 12}}, "file.yaml: ordinary.people: expected `object`"),
        ({"ordinary": {"poeple": {}}}, "file.yaml: ordinary.poeple: no such field; did you mean `people`?"),
        ({"campains": []}, "file.yaml: campains: no such field; did you mean `campaigns`?"),
        ({"qqq": 1}, "file.yaml: qqq: no such field; known here: schema, name,"),
        ({"languages": {"tlh": 1}}, "file.yaml: languages"),
        ({"languages": {"en": 0}}, "file.yaml: languages: at least one needs a share above 0"),
        ({"omit": ["promt"]}, "file.yaml: omit: `promt`: no such column; did you mean `prompt`?"),
        ({"omit": ["time"]}, "file.yaml: omit: `time`: cannot be left out"),
        ({"models": {"new": "orion-5"}}, "file.yaml: models: `new` and `release_day` belong together"),
        ({"models": {"current": []}}, "file.yaml: models.current: at least one"),
        ({"models": {"new": "orion-5", "release_day": 3}}, "file.yaml: models.release_day: 3 is after the last"),
        ({"ordinary": {"rush": {"count": 1}}}, "file.yaml: ordinary.rush: needs models.new"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_field(changes: dict[str, Any], said: str) -> None:
    assert complaint(changes).startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accounts": 1}, "campaigns[1].accounts: expected `int` >= 2"),
        ({"tasks": ["sums"]}, "campaigns[1].tasks[0]: invalid enum value 'sums'"),
        ({"tasks": []}, "campaigns[1].tasks: at least one kind"),
        ({"tasks": ["customers", "maths"]}, "campaigns[1].tasks: `customers` stands alone"),
        ({"client": "stolen"}, "campaigns[1].client: invalid enum value 'stolen'"),
        ({"cover": 1.0}, "campaigns[1].cover: expected `float` <= 0.95"),
        ({"requests_a_day": 3}, "campaigns[1].requests_a_day: no such field; did you mean `requests_per_day`?"),
        ({"start_day": 3}, "campaigns[1].start_day: 3 leaves no day before 3"),
        ({"start_day": 2, "end_day": 1}, "campaigns[1].start_day: 2 leaves no day before 1"),
        ({"pivot": 0.5}, "campaigns[1].pivot: needs models.new"),
        ({"name": "one"}, "campaigns[1].name: `one` is the name of another campaign"),
        ({"sweep": {"days": 1}}, "campaigns[1].sweep: needs a wording"),
        ({"sweep": {"dayz": 1}}, "campaigns[1].sweep.dayz: no such field; did you mean `days`?"),
        ({"wording": "fixed", "sweep": {"accounts": 6}}, "campaigns[1].sweep.accounts: 6 are more than"),
        ({"wording": "fixed", "sweep": {"days": 3, "accounts": 2}}, "campaigns[1].sweep.days: leaves no day"),
        ({"wording": "fixed", "sweep": {"variants": 9999, "accounts": 2}}, "campaigns[1].sweep.variants: 9999 are"),
    ],
)
def test_what_is_wrong_in_a_campaign_is_named_with_its_number(changes: dict[str, Any], said: str) -> None:
    campaigns = [CAMPAIGN, {**CAMPAIGN, "name": "two", **changes}]
    assert complaint({"campaigns": campaigns}).startswith(f"file.yaml: {said}")


@pytest.mark.parametrize("field", sorted(CAMPAIGN))
def test_a_field_that_must_be_there_is_missed(field: str) -> None:
    campaign = {name: value for name, value in CAMPAIGN.items() if name != field}
    assert complaint({"campaigns": [campaign]}) == f"file.yaml: campaigns[0].{field}: is missing"


@settings(deadline=None)
@given(st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
def test_no_unknown_key_is_passed_over(key: str) -> None:
    known = {field.name for field in msgspec.structs.fields(scenarios.Campaign)}
    if key not in known:
        assert f"campaigns[0].{key}: no such field" in complaint({"campaigns": [{**CAMPAIGN, key: 1}]})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema: [", "bad.yaml:1: not readable as YAML"),
        (
            "schema: stillwatch.scenario/1\nname: a\nname: b\n",
            "bad.yaml:3: not readable as YAML: key `name` is given twice",
        ),
        ("schema: stillwatch.scenario/1\nstart: 2026-02-31\n", "bad.yaml: not readable as YAML: day is out of range"),
        ("- 1\n", "bad.yaml: a scenario is a mapping"),
        ("", "bad.yaml: a scenario is a mapping"),
        ("schema: !!python/object:os.system {}\n", "bad.yaml:1: not readable as YAML"),
    ],
)
def test_broken_yaml_is_named_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=re.escape(said)):
        load_scenario(path)


def test_a_file_that_is_not_there_is_named_with_the_bundled_names(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere: no such file, and no bundled scenario .*demo"):
        load_scenario("nowhere")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00schema")
    with pytest.raises(ScenarioError, match=r"binary\.yaml: cannot be read"):
        load_scenario(path)


# ---------------------------------------------------------------- the page against the code


PARTS: dict[str, Any] = {
    "scenario": scenarios.Scenario,
    "models": scenarios.Models,
    "ordinary": scenarios.Ordinary,
    "campaigns[]": scenarios.Campaign,
    "campaigns[].sweep": scenarios.Sweep,
} | {f"ordinary.{name}": kind for name, kind in get_type_hints(scenarios.Ordinary).items()}


def test_every_part_is_documented_and_nothing_else() -> None:
    assert set(documented_fields(DOCS)) == set(PARTS)


@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_field_is_documented_with_its_default(part: str) -> None:
    said = documented_fields(DOCS)[part]
    fields = {field.name: field for field in msgspec.structs.fields(PARTS[part])}
    assert list(said) == list(fields)
    for name, field in fields.items():
        if field.required:
            assert said[name] == "required"
        elif found := re.fullmatch(r"`(.*)`", said[name]):
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            assert yaml.safe_load(found[1]) == msgspec.json.decode(msgspec.json.encode(default)), name
        else:
            assert field.default in (None, getattr(scenarios, name.capitalize(), object)()) or part == "ordinary", name


def test_every_choice_is_documented() -> None:
    page = DOCS.read_text(encoding="utf-8")
    hints = get_type_hints(scenarios.Campaign)
    for name in ("wording", "elicits", "client", "network", "payment", "sign_up", "mail", "schedule", "dealing"):
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        for choice in hints[name].__args__:
            assert f"`{choice}`" in row, f"{name}: {choice}"


# ---------------------------------------------------------------- the language files


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_slot_of_a_language_has_a_table(language: str) -> None:
    wording = load_wording(language)
    given = {"own", "task", "reply", "order", "document", "code", "n"}
    for purpose, frames in wording.frames.items():
        for frame in frames:
            for part in frame:
                if isinstance(part, Slot):
                    assert part.table in wording.tables or part.table in given, f"{language} {purpose}: {part.table}"
                    assert (part.table == "n") == bool(part.high), f"{language} {purpose}: {part}"
                else:
                    assert "{" not in part.replace("{}", ""), f"{language} {purpose}: {part}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_can_say_everything(language: str) -> None:
    frames = load_wording(language).frames
    for purpose in ("asks", "contexts", "followups", "greetings", "closings", "riders", "apps.roles", "apps.rules"):
        assert len(frames[purpose]) >= 5, purpose
    for kind in (*TASK_KINDS, "riddles"):
        assert len(frames[f"tasks.{kind}"]) >= 2, kind
    for elicits in ELICITED:
        assert load_wording(language).variants(elicits) >= (1 if elicits == "logits" else 12), elicits
