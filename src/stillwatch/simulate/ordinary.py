"""Ordinary traffic, as hard as it is in life: one function a kind, each adds its accounts and requests to the world.

None of this is a campaign, however coordinated it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.simulate import clients, hours, places
from stillwatch.simulate.clients import Clients, Parameters
from stillwatch.simulate.persons import INTERESTS, Persons, draw_languages, gather, speak
from stillwatch.simulate.places import Addresses
from stillwatch.simulate.wording import LANGUAGES, Floats, Habits, Integers, Texts, fill_in, load_wording
from stillwatch.simulate.world import World, cards, handles, organizations, usual_domains

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = np.inf


def make_ordinary(world: World) -> None:
    """Make all ordinary traffic of the scenario."""
    for make in (
        make_people,
        make_apps,
        make_offices,
        make_classes,
        make_pipelines,
        make_evaluators,
        make_nightly,
        make_agents,
        make_resellers,
        make_crowds,
        make_hobbyists,
        make_gateways,
        make_rush,
    ):
        make(world)


def converse(
    world: World,
    rng: np.random.Generator,
    persons: Persons,
    mean: float,
    account: Callable[[Integers, Floats], Integers],
    *,
    client: Callable[[Integers, Integers], Clients],
    address: Callable[[Integers, Integers], Addresses],
    parameters: Parameters | None = None,
    system: Integers | None = None,
    office: bool = False,
    goes_on: float = 0.5,
    loops: float = 0.0,
    tools: int = 0,
    begins: Floats | None = None,
    adopts: Floats | None = None,
    until: Callable[[Integers], Floats] | None = None,
    output: tuple[float, float] = (5.3, 0.9),
    harvest: bool = False,
) -> None:
    """Let persons have conversations.

    Args:
        world: where they go.
        rng: where chance comes from.
        persons: who.
        mean: requests of a person over the whole log, on average.
        account: from person and time of each row to its account.
        client: from person and account of each row.
        address: from person and account of each row.
        parameters: one set a person; drawn if left out.
        system: number of each person's system prompt.
        office: no weekends.
        goes_on: probability that a request continues the one before.
        loops: share of those that carry the opening prompt again.
        tools: tools offered.
        begins: the day each person starts.
        adopts: the day each person takes the new model; drawn if left out.
        until: the day on which each row's account stops; never if left out.
        output: mean and deviation of the logarithm of answer tokens.
        harvest: the requests feed a campaign.

    """
    rows = len(persons)
    if not rows:
        return
    sat = hours.sittings(
        rng,
        hours.volumes(rng, mean, rows),
        days=world.days,
        first_weekday=world.first_weekday,
        offset=places.OFFSETS[persons.country],
        favourite=persons.hour,
        spread=2.2 if office else 3.2,
        goes_on=goes_on,
        office=office,
        begins=begins,
    )
    who, asked = sat.who, len(sat.who)
    release = world.scenario.models.release_day
    if adopts is None:
        late = np.where(rng.random(rows) < 0.5, rng.exponential(2.5, rows), NEVER)
        adopts = (NEVER if release is None else release) + late
    elif release is None:
        adopts = np.full(rows, NEVER)
    kept = parameters or clients.parameters(rng, rows)
    number = account(who, sat.time)
    time = sat.time if until is None else np.where(sat.time < until(number), sat.time, -1.0)  # -1 is outside the log
    at = np.arange(asked)
    opening = np.maximum.accumulate(np.where(sat.goes_on, 0, at)) if asked else at
    handle = None
    if tools:  # reasoning blocks that come back with a tool's result, always to the conversation that they are from
        issued = handles(rng, asked).take(pa.array(opening))
        handle = pc.if_else(pa.array(sat.goes_on), issued, pa.scalar(None, pa.large_string()))
    world.write_down(
        rng,
        number,
        time,
        speak(rng, persons, who, sat.goes_on, loops=loops),
        client=client(who, number),
        address=address(who, number),
        country=persons.country[who],
        parameters=kept.take(who),
        model=world.models(rng, sat.time, (rng.random(rows) < 0.3).astype(np.int64)[who], adopts[who]),
        output=rng.lognormal(*output, asked),
        system=0 if system is None else system[who],
        turns=2 * hours.turns(sat.goes_on) - 1,
        follows=np.where(sat.goes_on, at - 1, -1),
        tools=tools,
        handle=handle,
        harvest=harvest,
    )


def at_home(rng: np.random.Generator, persons: Persons) -> Callable[[Integers, Integers], Addresses]:
    """Give each person up to three lines of its own: home, work, phone."""
    lines = places.homes(rng, np.repeat(persons.country, 3))
    width = rng.integers(1, 4, len(persons))
    return lambda who, _: lines.take(3 * who + (rng.random(len(who)) * width[who]).astype(np.int64))


def _each(values: Clients) -> Callable[[Integers, Integers], Clients]:
    return lambda who, _: values.take(who)


def _at(values: Addresses) -> Callable[[Integers, Integers], Addresses]:
    return lambda who, _: values.take(who)


def make_people(world: World) -> None:
    """Unrelated people; some come through the exits of anonymising services."""
    plan = world.scenario.ordinary.people
    rng, rows = world.stream("people"), world.scaled(plan.count)
    persons = gather(rng, rows, world.scenario.languages)
    accounts = world.open_accounts(rng, rows, kind="person", cohort="people", country=persons.country)
    vpn, doors, home = rng.random(rows) < plan.vpn, places.exits(rng, 40, places.ANONYMISING), at_home(rng, persons)

    def address(who: Integers, account: Integers) -> Addresses:
        own, shared = home(who, account), doors.take(who % 40)
        hidden = vpn[who]
        return Addresses(pc.if_else(pa.array(hidden), shared.ip, own.ip), np.where(hidden, shared.asn, own.asn))

    converse(
        world,
        rng,
        persons,
        plan.requests_per_day * world.days,
        lambda who, _: accounts[who],
        client=_each(clients.common(rng, rows)),
        address=address,
    )


def make_apps(world: World) -> None:
    """Applications: users bring their own accounts, the application its system prompt, client and parameters."""
    plan = world.scenario.ordinary.apps
    rng, apps = world.stream("apps"), world.scaled(plan.count)
    size = np.clip((plan.users * (rng.pareto(1.6, apps) + 0.4) / 2.07).astype(np.int64), 3, 40 * plan.users)
    of = np.repeat(np.arange(apps), size)
    main = draw_languages(rng, apps, world.scenario.languages)
    strange = rng.random(len(of)) < 0.15  # most users speak the application's language
    language = np.where(strange, draw_languages(rng, len(of), world.scenario.languages), main[of])
    shelf = rng.random((apps, 6))
    tastes = shelf[of[:, None], rng.integers(0, 6, (len(of), INTERESTS))]
    persons = gather(rng, len(of), world.scenario.languages, language=language, tastes=tastes)
    accounts = world.open_accounts(
        rng, len(of), kind="app user", cohort=[f"app-{a}" for a in of.tolist()], country=persons.country
    )
    prompts = [load_wording(LANGUAGES[m]).system_prompts(rng, 1)[0] for m in main.tolist()]
    systems = world.add_systems(prompts) if apps else np.zeros(0, dtype=np.int64)
    names = [f"app{a}/{v}.{w} OpenAI/JS" for a, (v, w) in enumerate(rng.integers(1, 9, (apps, 2)).tolist())]
    converse(
        world,
        rng,
        persons,
        plan.requests_per_day * world.days,
        lambda who, _: accounts[who],
        client=_each(clients.own(names).take(of)),
        address=at_home(rng, persons),
        parameters=clients.parameters(rng, apps).take(of),
        system=systems[of],
    )


def make_offices(world: World) -> None:
    """Companies: seats behind one line, on one card, in one organization, at office hours."""
    plan = world.scenario.ordinary.offices
    rng, offices = world.stream("offices"), world.scaled(plan.count)
    size = np.clip((plan.seats * (rng.pareto(1.8, offices) + 0.45) / 1.7).astype(np.int64), 3, 20 * plan.seats)
    of = np.repeat(np.arange(offices), size)
    language = draw_languages(rng, offices, world.scenario.languages)
    country = places.countries(rng, language)
    shelf = rng.random((offices, 7))
    tastes = shelf[of[:, None], rng.integers(0, 7, (len(of), INTERESTS))]
    persons = gather(
        rng, len(of), world.scenario.languages, language=language[of], country=country[of], tastes=tastes, office=True
    )
    card, firm = cards(rng, offices), organizations(rng, offices)
    opened = -rng.uniform(20, 400, offices)
    accounts = world.open_accounts(
        rng,
        len(of),
        kind="office seat",
        cohort=[f"office-{o}" for o in of.tolist()],
        country=persons.country,
        created=opened[of] + rng.exponential(6.0, len(of)).clip(0, 19),
        payment=[card[o] for o in of.tolist()],
        email_domain=[f"office{o}.example" for o in of.tolist()],
        organization=[firm[o] for o in of.tolist()],
        tier="enterprise",
        verified=True,
    )
    converse(
        world,
        rng,
        persons,
        plan.requests_per_day * world.days,
        lambda who, _: accounts[who],
        client=_each(clients.common(rng, offices).take(of)),
        address=_at(places.homes(rng, country).take(of)),
        office=True,
    )


def make_classes(world: World) -> None:
    """School classes: the same few tasks, on the campus network, in the evenings before they are due."""
    plan = world.scenario.ordinary.classes
    rng, classes = world.stream("classes"), world.scaled(plan.count)
    size = np.clip(rng.normal(plan.students, plan.students / 3, classes).astype(np.int64), 5, 4 * plan.students)
    of = np.repeat(np.arange(classes), size)
    rows = len(of)
    language = draw_languages(rng, classes, world.scenario.languages)
    country = places.countries(rng, language)
    kinds = np.array(["tasks.maths", "tasks.coding", "tasks.questions"])[rng.integers(0, 3, classes)]
    sheet = [fill_in(rng, str(kind), np.full(8, language[c]), np.full(8, rng.random())) for c, kind in enumerate(kinds)]
    opened = -rng.uniform(1, 60, classes)
    accounts = world.open_accounts(
        rng,
        rows,
        kind="student",
        cohort=[f"class-{c}" for c in of.tolist()],
        country=country[of],
        created=opened[of] + rng.normal(0, 0.4, rows),
        email_domain=[f"college{c}.example" for c in of.tolist()],
        tier="education",
    )
    counts = rng.integers(2, 20, rows)
    who = np.repeat(np.arange(rows), counts)
    if not len(who):
        return
    due = rng.uniform(min(2.0, world.days / 2), world.days, classes)
    time = due[of[who]] - np.abs(rng.normal(0, 0.5, len(who)))
    order = np.lexsort((time, who))
    time = time[order]
    task = pa.concat_arrays(sheet).take(pa.array(8 * of[who] + rng.integers(0, 8, len(who))))
    campus = places.homes(rng, np.repeat(country, 4))
    world.write_down(
        rng,
        accounts[who],
        time,
        _in_own_words(rng, task, language[of[who]], 0.5),
        client=clients.common(rng, rows).take(who),
        address=campus.take((4 * of + rng.integers(0, 4, rows))[who]),
        country=country[of[who]],
        parameters=clients.parameters(rng, rows).take(who),
        model=world.models(rng, time, np.zeros(len(who), dtype=np.int64), np.full(len(who), NEVER)),
        output=rng.lognormal(5.6, 0.7, len(who)),
    )


def _in_own_words(rng: np.random.Generator, task: Texts, language: Integers, share: float) -> Texts:
    """Put a greeting before and a wish behind some of the tasks, as people do who copy an assignment."""
    rows, taste = len(task), rng.random(len(task))
    touched = pa.array(rng.random(rows) < share)
    space, line = pa.scalar(" ", pa.large_string()), pa.scalar("\n", pa.large_string())
    greeting, closing = (fill_in(rng, purpose, language, taste) for purpose in ("greetings", "closings"))
    longer = pc.binary_join_element_wise(greeting, space, task, line, closing, pa.scalar("", pa.large_string()))
    return pc.if_else(touched, longer, task)


def make_pipelines(world: World) -> None:
    """Pipelines: one template, a machine's hours; larger ones spread over several keys of the company."""
    plan = world.scenario.ordinary.pipelines
    rng, lines = world.stream("pipelines"), world.scaled(plan.count)
    several = rng.integers(min(3, plan.keys_at_most), plan.keys_at_most + 1, lines)
    keys = np.where(rng.random(lines) < 0.8, 1, several)
    of = np.repeat(np.arange(lines), keys)
    start = rng.uniform(-2.0, 0.6, lines) * world.days
    card, firm, named = cards(rng, lines), organizations(rng, lines), rng.random(lines) < 0.6
    domain = usual_domains(rng, lines)
    accounts = world.open_accounts(
        rng,
        len(of),
        kind="pipeline",
        cohort=[f"pipeline-{p}" for p in of.tolist()],
        country=np.full(len(of), places.US),
        created=start[of] - rng.uniform(0, 60, len(of)),
        payment=[card[p] for p in of.tolist()],
        email_domain=[domain[p] for p in of.tolist()],
        organization=[firm[p] if named[p] else None for p in of.tolist()],
        verified=(rng.random(lines) < 0.6)[of],
    )
    begin = np.maximum(start, 0.0)
    mean = plan.requests_per_day * (world.days - begin)
    counts = hours.volumes(rng, (mean / keys)[of], len(of), spread=1.0)
    who = np.repeat(np.arange(len(of)), counts)
    if not len(who):
        return
    line = of[who]
    time = begin[line] + rng.random(len(who)) * (world.days - begin[line])
    batch, hour = rng.random(lines) < 0.4, rng.random(lines)  # some work through the day's documents in two hours
    time = np.where(batch[line], np.floor(time) + hour[line] + rng.random(len(who)) / 12, time)
    world.write_down(
        rng,
        accounts[who],
        time,
        _templated(rng, world, line, lines, fresh=rng.random(lines) < 0.5),
        client=clients.common(rng, lines).take(line),
        address=places.exits(rng, lines, places.HOSTING).take(line),
        country=np.full(len(who), places.US),
        parameters=_machine(rng, lines).take(line),
        model=world.models(rng, time, (rng.random(lines) < 0.6).astype(np.int64)[line], np.full(len(who), NEVER)),
        output=rng.lognormal(3.4, 0.8, len(who)),
        choice_seed=7,
    )


def _templated(
    rng: np.random.Generator,
    world: World,
    line: Integers,
    lines: int,
    *,
    fresh: npt.NDArray[np.bool_],
    stock: int = 300,
) -> Texts:
    """Put documents into templates.

    Args:
        rng: where chance comes from.
        world: for its languages.
        line: for each row, whose template.
        lines: how many templates.
        fresh: for each template, whether its documents are always new rather than a stock of its own.
        stock: documents in such a stock.

    """
    rows = len(line)
    own = line * stock + rng.integers(0, stock, rows)
    wanted, document = np.unique(np.where(fresh[line], lines * stock + np.arange(rows), own), return_inverse=True)
    owner = np.empty(len(wanted), dtype=np.int64)
    owner[document] = line
    language = draw_languages(rng, lines, world.scenario.languages)
    habits = Habits.draw(rng, lines)
    texts = fill_in(rng, "tasks.documents", language[owner], rng.random(len(owner)), habits=habits.of(owner)).take(
        pa.array(document)
    )
    code = pa.array(rng.integers(100, 10_000, lines)).cast(pa.large_string()).take(pa.array(line))
    which, order = rng.integers(0, 1000, lines), rng.integers(0, 1000, lines)
    taste = np.zeros(rows)
    orders = fill_in(rng, "pipelines.orders", language[line], taste, frame=order[line])
    given = {"order": orders, "document": texts, "code": code}
    return fill_in(rng, "pipelines.frames", language[line], taste, frame=which[line], given=given)


def _machine(rng: np.random.Generator, rows: int) -> Parameters:
    """Give parameters as programs set them: cold and short."""
    return Parameters(
        temperature=rng.choice([0.0, 0.0, 0.2], rows),
        top_p=np.ones(rows),
        max_tokens=rng.choice([64, 256, 512], rows),
        stream=np.zeros(rows, dtype=np.bool_),
    )


def make_evaluators(world: World) -> None:
    """Laboratories: the same public items, the same harness, many of them on release day."""
    plan = world.scenario.ordinary.evaluators
    rng, labs = world.stream("evaluators"), world.scaled(plan.count)
    english = load_wording("en")
    kinds = ("maths", "coding", "safety")
    suites = [english.tasks(rng, (kind,), plan.items) for kind in kinds]
    suite = rng.integers(0, len(kinds), labs)
    counts = rng.integers(max(1, plan.items // 2), plan.items + 1, labs)
    accounts = world.open_accounts(
        rng,
        labs,
        kind="evaluator",
        cohort=[f"evaluators-{kinds[s]}" for s in suite.tolist()],
        country=np.full(labs, places.US),
        tier="research",
        verified=rng.random(labs) < 0.5,
    )
    who = np.repeat(np.arange(labs), counts)
    if not len(who):
        return
    release = world.scenario.models.release_day
    begin = rng.uniform(0, max(0.1, world.days - 0.2), labs)
    if release is not None:
        begin = np.where(rng.random(labs) < 0.6, release + rng.exponential(0.5, labs), begin)
    place = np.arange(len(who)) - np.repeat(np.cumsum(counts) - counts, counts)
    length = rng.uniform(0.03, 0.15, labs)
    time = begin[who] + length[who] * (place + rng.random(len(who))) / counts[who]
    mixed = np.concatenate([rng.permutation(plan.items)[:c] if rng.random() < 0.5 else np.arange(c) for c in counts])
    adopts = np.full(labs, NEVER) if release is None else np.where(begin >= release, 0.0, NEVER)
    world.write_down(
        rng,
        accounts[who],
        time,
        pa.concat_arrays(suites).take(pa.array(suite[who] * plan.items + mixed)),
        client=clients.common(rng, labs).take(who),
        address=places.exits(rng, labs, places.HOSTING).take(who),
        country=np.full(len(who), places.US),
        parameters=Parameters(
            np.zeros(len(who)), np.ones(len(who)), np.full(len(who), 2048), np.zeros(len(who), dtype=np.bool_)
        ),
        model=world.models(rng, time, np.zeros(len(who), dtype=np.int64), adopts[who]),
        output=rng.lognormal(5.5, 0.6, len(who)),
        top_logprobs=rng.choice([0, 0, 0, 5], labs)[who],
        choice_seed=0,
    )


def make_nightly(world: World) -> None:
    """Nightly jobs: a build's own regression prompts, at the same minute every night."""
    plan = world.scenario.ordinary.nightly
    rng, jobs = world.stream("nightly"), world.scaled(plan.count)
    accounts = world.open_accounts(
        rng,
        jobs,
        kind="nightly job",
        cohort=[f"nightly-{j}" for j in range(jobs)],
        country=np.full(jobs, places.US),
        verified=True,
    )
    nights = int(np.ceil(world.days))
    counts = np.clip(rng.poisson(plan.prompts, jobs), 2, None)
    owner = np.repeat(np.arange(jobs), counts)
    if not len(owner):
        return
    language = draw_languages(rng, jobs, world.scenario.languages)
    habits = Habits.draw(rng, jobs)
    own = fill_in(rng, "asks", language[owner], rng.random(jobs)[owner], habits=habits.of(owner))
    who, minute = np.tile(owner, nights), rng.random(jobs)
    night = np.repeat(np.arange(nights), len(owner))
    time = night + minute[who] + np.sort(rng.exponential(200.0, len(who))) / 86_400
    world.write_down(
        rng,
        accounts[who],
        time,
        pa.concat_arrays([own] * nights),
        client=clients.common(rng, jobs).take(who),
        address=places.exits(rng, jobs, places.HOSTING).take(who),
        country=np.full(len(who), places.US),
        parameters=_machine(rng, jobs).take(who),
        model=world.models(rng, time, np.zeros(len(who), dtype=np.int64), np.full(len(who), NEVER)),
        output=rng.lognormal(4.5, 0.7, len(who)),
        choice_seed=1,
    )


def make_agents(world: World) -> None:
    """Users of one coding agent, who take to a new model at once."""
    plan = world.scenario.ordinary.agents
    rng, rows = world.stream("agents"), world.scaled(plan.count)
    release = world.scenario.models.release_day
    tastes = rng.choice([0.09, 0.13, 0.17, 0.42], (rows, INTERESTS))  # programming and its neighbours
    persons = gather(rng, rows, world.scenario.languages, tastes=tastes)
    accounts = world.open_accounts(rng, rows, kind="agent user", cohort="agent", country=persons.country, tier="team")
    tool = clients.own(["code-companion/3.2 (external, terminal)"])
    converse(
        world,
        rng,
        persons,
        plan.requests_per_day * world.days,
        lambda who, _: accounts[who],
        client=lambda who, _: tool.take(np.zeros(len(who), dtype=np.int64)),
        address=at_home(rng, persons),
        parameters=Parameters(np.ones(rows), np.ones(rows), np.full(rows, 32_000), np.ones(rows, dtype=np.bool_)),
        system=np.repeat(world.add_systems([load_wording("en").agent_prompt()]), rows),
        goes_on=0.93,
        loops=0.5,
        tools=16,
        adopts=np.full(rows, NEVER) if release is None else release + rng.exponential(0.4, rows),
        output=(6.0, 1.0),
    )


def make_resellers(world: World) -> None:
    """Resale: one account each, and behind it people of all sorts."""
    plan = world.scenario.ordinary.resellers
    rng, shops = world.stream("resellers"), world.scaled(plan.count)
    behind = max(1, int(plan.requests_per_day * world.days / 10))
    persons = gather(rng, shops * behind, world.scenario.languages)
    accounts = world.open_accounts(
        rng,
        shops,
        kind="reseller",
        cohort=[f"reseller-{s}" for s in range(shops)],
        country=np.full(shops, places.US),
        organization=organizations(rng, shops),
        tier="enterprise",
        verified=True,
    )
    doors = places.exits(rng, 6 * shops, places.HOSTING)
    names = clients.own([f"aggregator{s}/1.4" for s in range(shops)])
    converse(
        world,
        rng,
        persons,
        9.0,
        lambda who, _: accounts[who // behind],
        client=lambda who, _: names.take(who // behind),
        address=lambda who, _: doors.take(6 * (who // behind) + rng.integers(0, 6, len(who))),
    )


def make_crowds(world: World) -> None:
    """Paid workers: one template and tool, documents dealt to them, but own hours, pace, line and card."""
    plan = world.scenario.ordinary.crowds
    rng, crowds = world.stream("crowds"), world.scaled(plan.count)
    size = np.clip(rng.normal(plan.workers, plan.workers / 3, crowds).astype(np.int64), 3, 4 * plan.workers)
    of = np.repeat(np.arange(crowds), size)
    rows = len(of)
    persons = gather(rng, rows, world.scenario.languages)
    opened = -rng.uniform(3, 60, crowds)
    accounts = world.open_accounts(
        rng,
        rows,
        kind="crowd worker",
        cohort=[f"crowd-{c}" for c in of.tolist()],
        country=persons.country,
        created=opened[of] + rng.normal(0, 4, rows),
    )
    if not rows:
        return
    sat = hours.sittings(
        rng,
        hours.volumes(rng, plan.requests_per_day * world.days, rows),
        days=world.days,
        first_weekday=world.first_weekday,
        offset=places.OFFSETS[persons.country],
        favourite=persons.hour,
        spread=3.0,
        goes_on=0.0,
    )
    who, asked = sat.who, len(sat.who)
    crowd = of[who]
    world.write_down(
        rng,
        accounts[who],
        sat.time,
        _templated(rng, world, crowd, crowds, fresh=np.ones(crowds, dtype=np.bool_)),
        client=clients.common(rng, crowds).take(crowd),
        address=at_home(rng, persons)(who, accounts[who]),
        country=persons.country[who],
        parameters=_machine(rng, crowds).take(crowd),
        model=world.models(rng, sat.time, np.ones(asked, dtype=np.int64), np.full(asked, NEVER)),
        output=rng.lognormal(3.8, 0.7, asked),
    )


def make_hobbyists(world: World) -> None:
    """Hobbyists: one person alone lets the model write a data set, in one day. Worth a look, but no campaign."""
    plan = world.scenario.ordinary.hobbyists
    rng, fans = world.stream("hobbyists"), world.scaled(plan.count)
    language = draw_languages(rng, fans, world.scenario.languages)
    country = places.countries(rng, language)
    accounts = world.open_accounts(
        rng, fans, kind="hobbyist", cohort=[f"hobbyist-{h}" for h in range(fans)], country=country
    )
    counts = np.clip(rng.lognormal(np.log(plan.prompts), 0.5, fans).astype(np.int64), 5, 8 * plan.prompts)
    begin = rng.uniform(0, max(0.1, world.days - 1), fans)
    who, time = hours.steady(rng, counts, begin, begin + rng.uniform(0.2, 1.0, fans))
    if not len(who):
        return
    public = np.random.default_rng(20)  # one data set, on a shelf that everybody can reach, whatever the seed
    shelf = {number: load_wording(LANGUAGES[number]).tasks(public, ("instructions",), 4000) for number in set(language)}
    first = {number: 4000 * place for place, number in enumerate(shelf)}
    book = np.array([first[number] for number in language.tolist()])[who] + rng.integers(0, 4000, len(who))
    world.write_down(
        rng,
        accounts[who],
        time,
        pa.concat_arrays(list(shelf.values())).take(pa.array(book)),
        client=clients.common(rng, fans).take(who),
        address=places.homes(rng, country).take(who),
        country=country[who],
        parameters=clients.parameters(rng, fans).take(who),
        model=world.models(rng, time, np.zeros(len(who), dtype=np.int64), np.full(len(who), NEVER)),
        output=rng.lognormal(5.9, 0.6, len(who)),
    )


def make_gateways(world: World) -> None:
    """Company gateways: each request of a conversation goes out on whichever key is free, all of one organization."""
    plan = world.scenario.ordinary.gateways
    rng, firms = world.stream("gateways"), world.scaled(plan.count)
    staff = max(2, int(plan.keys * plan.requests_per_day * world.days / 25))
    of = np.repeat(np.arange(firms), staff)
    language = draw_languages(rng, firms, world.scenario.languages)
    country = places.countries(rng, language)
    shelf = rng.random((firms, 7))
    tastes = shelf[of[:, None], rng.integers(0, 7, (len(of), INTERESTS))]
    persons = gather(
        rng, len(of), world.scenario.languages, language=language[of], country=country[of], tastes=tastes, office=True
    )
    name, card = organizations(rng, firms), cards(rng, firms)
    firm = np.repeat(np.arange(firms), plan.keys)
    accounts = world.open_accounts(
        rng,
        len(firm),
        kind="gateway",
        cohort=[f"gateway-{f}" for f in firm.tolist()],
        country=country[firm],
        created=(-rng.uniform(30, 300, firms))[firm] + rng.random(len(firm)) * 0.05,
        payment=[card[f] for f in firm.tolist()],
        email_domain=[f"gateway{f}.example" for f in firm.tolist()],
        organization=[name[f] for f in firm.tolist()],
        tier="enterprise",
        verified=True,
    )
    door = places.exits(rng, firms, places.HOSTING)
    tools = clients.own([f"model-gateway/{1 + f % 3}.{f % 10} firm{f}" for f in range(firms)])
    converse(
        world,
        rng,
        persons,
        24.0,
        lambda who, _: accounts[of[who] * plan.keys + rng.integers(0, plan.keys, len(who))],
        client=lambda who, _: tools.take(of[who]),
        address=lambda who, _: door.take(of[who]),
        office=True,
        goes_on=0.6,
    )


def make_rush(world: World) -> None:
    """Release-day rush: new accounts try the new model with the riddles that go round."""
    plan, release = world.scenario.ordinary.rush, world.scenario.models.release_day
    rng, rows = world.stream("rush"), world.scaled(plan.count)
    if not rows or release is None:
        return
    persons = gather(rng, rows, world.scenario.languages)
    joined = release + rng.exponential(0.5, rows)
    accounts = world.open_accounts(
        rng, rows, kind="rush", cohort="rush", country=persons.country, created=joined - 0.02
    )
    who = np.repeat(np.arange(rows), 1 + rng.poisson(plan.requests / 2, rows))
    time = joined[who] + rng.exponential(0.15, len(who))
    language = persons.language[who]
    riddle = fill_in(rng, "tasks.riddles", language, rng.random(len(who)))
    client, home = clients.common(rng, rows), at_home(rng, persons)
    world.write_down(
        rng,
        accounts[who],
        time,
        _in_own_words(rng, riddle, language, 0.3),
        client=client.take(who),
        address=home(who, accounts[who]),
        country=persons.country[who],
        parameters=clients.parameters(rng, rows).take(who),
        model=world.models(rng, time, np.zeros(len(who), dtype=np.int64), np.full(len(who), release)),
        output=rng.lognormal(4.8, 0.8, len(who)),
    )
    converse(
        world,
        rng,
        persons,
        plan.requests / 2,
        lambda who, _: accounts[who],
        client=_each(client),
        address=home,
        begins=np.minimum(joined, world.days - 1e-6),
        adopts=np.full(rows, release),
    )
