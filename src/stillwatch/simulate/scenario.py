"""The scenario file, `stillwatch.scenario/1`: what traffic to make. Reads YAML and checks it; makes nothing.

Every field below stands in docs/simulate.md with its default and its meaning; a test holds the two together.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from datetime import date  # noqa: TC003 - msgspec reads the annotations
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

from stillwatch.errors import ScenarioError, YamlError
from stillwatch.exchanges.schema import ACCOUNT, EXCHANGE, REQUIRED
from stillwatch.simulate.wording import Language, load_wording
from stillwatch.typed_yaml import Part, complaints, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "stillwatch.scenario/1"

Count = Annotated[int, Meta(ge=0, le=10_000_000)]
Some = Annotated[int, Meta(ge=1, le=10_000_000)]
Rate = Annotated[float, Meta(gt=0, le=100_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Days = Annotated[float, Meta(gt=0, le=366)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
TaskKind = Literal["maths", "coding", "instructions", "questions", "tools", "safety", "documents", "customers"]


class People(Part, frozen=True):
    """Unrelated people, one account each."""

    count: Count = 0
    requests_per_day: Rate = 1.2
    vpn: Share = 0.04


class Apps(Part, frozen=True):
    """Applications whose users share a system prompt and a client."""

    count: Count = 0
    users: Some = 40
    requests_per_day: Rate = 1.5


class Offices(Part, frozen=True):
    """Companies with one network, one card and one organization for all seats."""

    count: Count = 0
    seats: Some = 30
    requests_per_day: Rate = 2.0


class Classes(Part, frozen=True):
    """School classes with one assignment, before one evening."""

    count: Count = 0
    students: Some = 60


class Pipelines(Part, frozen=True):
    """One template over many documents, at a machine's hours, on one or several keys of a company."""

    count: Count = 0
    requests_per_day: Rate = 30.0
    keys_at_most: Annotated[int, Meta(ge=1, le=14)] = 14


class Evaluators(Part, frozen=True):
    """Laboratories that put the same public test items."""

    count: Count = 0
    items: Some = 400


class Nightly(Part, frozen=True):
    """Builds that ask their own regression prompts every night."""

    count: Count = 0
    prompts: Some = 30


class Agents(Part, frozen=True):
    """Users of one coding agent: a large system prompt, tools, many turns."""

    count: Count = 0
    requests_per_day: Rate = 3.0


class Resellers(Part, frozen=True):
    """Aggregators: one account that carries everybody's traffic."""

    count: Count = 0
    requests_per_day: Rate = 900.0


class Crowds(Part, frozen=True):
    """Paid workers: one template and tool, documents dealt to them, own hours and pace."""

    count: Count = 0
    workers: Some = 40
    requests_per_day: Rate = 6.0


class Hobbyists(Part, frozen=True):
    """Single persons who let the model write a data set in a day."""

    count: Count = 0
    prompts: Some = 300


class Gateways(Part, frozen=True):
    """Company gateways that balance conversations over several accounts of one organization."""

    count: Count = 0
    keys: Annotated[int, Meta(ge=2, le=100)] = 6
    requests_per_day: Rate = 40.0


class Rush(Part, frozen=True):
    """People who sign up to try the new model when it comes out, and ask it what everybody asks."""

    count: Count = 0
    requests: Some = 6


class Ordinary(Part, frozen=True):
    """How much ordinary traffic of each kind."""

    people: People = People()
    apps: Apps = Apps()
    offices: Offices = Offices()
    classes: Classes = Classes()
    pipelines: Pipelines = Pipelines()
    evaluators: Evaluators = Evaluators()
    nightly: Nightly = Nightly()
    agents: Agents = Agents()
    resellers: Resellers = Resellers()
    crowds: Crowds = Crowds()
    hobbyists: Hobbyists = Hobbyists()
    gateways: Gateways = Gateways()
    rush: Rush = Rush()


class Sweep(Part, frozen=True):
    """Before the main run, a search for the wording that works: many variants, many refusals."""

    days: Days = 1.0
    variants: Some = 24
    accounts: Some = 6
    requests: Some = 400
    refused: Share = 0.6


class Campaign(Part, frozen=True):
    """One operator with many accounts and one queue of tasks to have answered."""

    name: Name
    tasks: tuple[TaskKind, ...]
    accounts: Annotated[int, Meta(ge=2, le=1_000_000)]
    requests_per_day: Rate
    language: Language = "en"
    start_day: Annotated[float, Meta(ge=0, le=366)] = 0.0
    end_day: Annotated[float, Meta(gt=0, le=366)] | None = None
    wording: Literal["none", "fixed", "varied"] = "none"
    elicits: Literal["plain", "reasoning", "rubric", "cleaning", "replay", "tools", "logits"] = "plain"
    cover: Annotated[float, Meta(ge=0, le=0.95)] = 0.0
    client: Literal["own", "common", "spoofed", "random"] = "common"
    network: Literal["own", "pool", "hosting"] = "own"
    payment: Literal["own", "pool"] = "own"
    sign_up: Literal["spread", "burst", "aged"] = "spread"
    mail: Literal["common", "disposable"] = "common"
    organization: Literal["none", "own", "shared"] = "none"
    schedule: Literal["flat", "human", "shifts"] = "flat"
    dealing: Literal["even", "uneven"] = "even"
    parameters: Literal["same", "varied"] = "same"
    bans_per_day: Share = 0.0
    resample: Annotated[int, Meta(ge=1, le=1000)] = 1
    relay: bool = False
    pivot: Share = 0.0
    sweep: Sweep | None = None


class Models(Part, frozen=True):
    """What is on offer, and what comes out when."""

    current: tuple[str, ...] = ("orion-4", "orion-4-mini")
    new: str | None = None
    release_day: Annotated[float, Meta(ge=0, le=366)] | None = None


class Scenario(Part, frozen=True):
    """What traffic to make: days, ordinary traffic, campaigns."""

    schema: Literal["stillwatch.scenario/1"]
    name: Name
    start: date
    days: Days
    about: str = ""
    languages: Mapping[Language, Annotated[float, Meta(ge=0)]] = msgspec.field(
        default_factory=lambda: {"en": 0.66, "zh": 0.1, "es": 0.08, "ja": 0.06, "de": 0.06, "ar": 0.04}
    )
    models: Models = Models()
    omit: tuple[str, ...] = ()
    ordinary: Ordinary = Ordinary()
    campaigns: tuple[Campaign, ...] = ()


def bundled() -> tuple[str, ...]:
    """Name the scenarios that come with stillwatch."""
    folder = resources.files(__package__).joinpath("scenarios")
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_scenario(source: Path | str) -> Scenario:
    """Read a scenario from a file, or one of the bundled ones by name.

    Raises:
        ScenarioError: no such file or name, no YAML, or a field that says something wrong; the text names
            the file and the field, or the line where YAML itself is broken.

    """
    if isinstance(source, str) and source in bundled():
        text = resources.files(__package__).joinpath("scenarios", f"{source}.yaml").read_text(encoding="utf-8")
        return parse_scenario(text, where=f"scenario {source}")
    try:
        text = Path(source).read_text(encoding="utf-8")
    except FileNotFoundError:
        names = ", ".join(bundled())
        raise ScenarioError(f"{source}: no such file, and no bundled scenario of that name ({names})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{source}: cannot be read: {error}") from error
    return parse_scenario(text, where=str(source))


def parse_scenario(text: str, *, where: str) -> Scenario:
    """Check the text of a scenario file.

    Args:
        text: YAML.
        where: the name to give in errors.

    Raises:
        ScenarioError: as `load_scenario`.

    """
    try:
        data = read_yaml(text).content
    except YamlError as error:
        line = "" if error.line is None else f":{error.line}"
        raise ScenarioError(f"{where}{line}: {error.reason}") from error
    if not isinstance(data, dict):
        raise ScenarioError(f"{where}: a scenario is a mapping that starts with `schema: {SCHEMA}`")
    if data.get("schema") != SCHEMA:
        raise ScenarioError(f"{where}: schema: expected `{SCHEMA}`, got `{data.get('schema')}`")
    for wrong in complaints(data, Scenario):
        raise ScenarioError(f"{where}: {wrong}")
    scenario = msgspec.convert(data, Scenario)
    for complaint in _contradictions(scenario):
        raise ScenarioError(f"{where}: {complaint}")
    return scenario


def as_yaml(scenario: Scenario) -> str:
    """Write a scenario out in full, defaults included; `parse_scenario` reads it back."""
    text: str = yaml.safe_dump(msgspec.to_builtins(scenario), sort_keys=False, allow_unicode=True, width=100)
    return text


def _contradictions(scenario: Scenario) -> Iterator[str]:
    """Find what is well-formed but cannot be meant."""
    if not sum(scenario.languages.values()):
        yield "languages: at least one needs a share above 0"
    yield from _omit_contradictions(scenario)
    yield from _model_contradictions(scenario)
    names = [campaign.name for campaign in scenario.campaigns]
    for number, campaign in enumerate(scenario.campaigns):
        for field, why in _campaign_contradictions(scenario, campaign):
            yield f"campaigns[{number}].{field}: {why}"
        if campaign.name in names[:number]:
            yield f"campaigns[{number}].name: `{campaign.name}` is the name of another campaign"


def _omit_contradictions(scenario: Scenario) -> Iterator[str]:
    known = set(EXCHANGE.names) | set(ACCOUNT.names)
    for name in scenario.omit:
        if name in REQUIRED or name not in known:
            near = difflib.get_close_matches(name, sorted(known - set(REQUIRED)), 1, 0.55)
            why = "cannot be left out" if name in REQUIRED else "no such column"
            yield f"omit: `{name}`: {why}" + (f"; did you mean `{near[0]}`?" if near and name not in REQUIRED else "")


def _model_contradictions(scenario: Scenario) -> Iterator[str]:
    models = scenario.models
    if not models.current:
        yield "models.current: at least one model is needed"
    if (models.new is None) != (models.release_day is None):
        yield "models: `new` and `release_day` belong together"
    if models.release_day is not None and models.release_day >= scenario.days:
        yield f"models.release_day: {models.release_day:g} is after the last of {scenario.days:g} days"
    if scenario.ordinary.rush.count and models.new is None:
        yield "ordinary.rush: needs models.new and models.release_day"


def _campaign_contradictions(scenario: Scenario, campaign: Campaign) -> Iterator[tuple[str, str]]:
    end = scenario.days if campaign.end_day is None else campaign.end_day
    if campaign.start_day >= min(end, scenario.days):
        yield "start_day", f"{campaign.start_day:g} leaves no day before {min(end, scenario.days):g}"
    if not campaign.tasks:
        yield "tasks", "at least one kind is needed"
    if "customers" in campaign.tasks and (len(campaign.tasks) > 1 or campaign.wording != "none" or campaign.cover):
        yield "tasks", "`customers` stands alone, with `wording: none` and no cover: there is no queue"
    if campaign.pivot and scenario.models.release_day is None:
        yield "pivot", "needs models.new and models.release_day"
    sweep = campaign.sweep
    if sweep is None:
        return
    if campaign.wording == "none" or campaign.elicits == "logits":
        yield "sweep", "needs a wording to look for: `wording: fixed` or `varied`, and not `elicits: logits`"
    elif sweep.variants > (most := load_wording(campaign.language).variants(campaign.elicits)):
        yield "sweep.variants", f"{sweep.variants} are more than the {most} that there are in `{campaign.language}`"
    if sweep.accounts > campaign.accounts:
        yield "sweep.accounts", f"{sweep.accounts} are more than the campaign's {campaign.accounts}"
    if campaign.start_day + sweep.days >= min(end, scenario.days):
        yield "sweep.days", "leaves no day for the main run"
