"""The library's verbs: they join files, clock and memory to the pure stages. All that the command line does is here.

    scan            logs -> findings
    scan_table      the same of an Arrow table in memory
    fit_baseline    logs -> what ordinary traffic looks like; save_baseline, load_baseline keep it
    examples        findings, the logs and the key -> example prompts of their harvest
    cohort_p_values    logs -> the p-value of every cohort, reported or not (to check calibration)
    replay          logs and a policy -> what it would have done to them, and to whom
    simulate        a scenario -> a log with known truth

Touches: the files it is given, temporary files when memory is bounded, and the clock (to tell rows of the future).
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stillwatch.cohorts.survey import Surveyor
from stillwatch.decisions.events import Decided
from stillwatch.decisions.parties import Party, by_findings, by_truth
from stillwatch.decisions.price import Replay
from stillwatch.decisions.standing import Standing, foreseen
from stillwatch.decisions.step import Step
from stillwatch.engine.local import populate_from
from stillwatch.errors import UsageError
from stillwatch.exchanges.accounts import read_accounts
from stillwatch.exchanges.read import LogReader, ReadReport, conform
from stillwatch.exchanges.schema import ACCOUNT
from stillwatch.exchanges.source import LogSource
from stillwatch.intel.tips import hearsay_of
from stillwatch.marks.digest import NEEDED
from stillwatch.marks.families import FAMILIES
from stillwatch.report.baseline_v1 import load_baseline, save_baseline
from stillwatch.report.examples import Example, Sought, find_examples
from stillwatch.report.figures import lasting
from stillwatch.report.findings_v1 import finding_digest
from stillwatch.report.truth import read_truth
from stillwatch.simulate.scenario import load_scenario
from stillwatch.simulate.traffic import simulate as make_traffic
from stillwatch.simulate.write import write_traffic
from stillwatch.verdicts.baseline import FAMILY_CAP, FAMILY_FLOOR, Baseline
from stillwatch.verdicts.conclude import Conclusion
from stillwatch.verdicts.evidence import Finding, Findings, Rejected, Scan
from stillwatch.verdicts.hearsay import IN_ALL, PER_SOURCE
from stillwatch.verdicts.judge import Judge, Judgement, ScanSettings
from stillwatch.verdicts.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from stillwatch.cohorts.population import Population
    from stillwatch.decisions.events import Event
    from stillwatch.decisions.facts import KnownFacts
    from stillwatch.guard.networks import NetworkKind
    from stillwatch.intel.tip import Tip
    from stillwatch.verdicts.hearsay import Hearsay

__all__ = [
    "Baseline",
    "CohortPValue",
    "Example",
    "Findings",
    "LogSource",
    "Progress",
    "ScanSettings",
    "SimulationSummary",
    "cohort_p_values",
    "examples",
    "fit_baseline",
    "load_baseline",
    "replay",
    "save_baseline",
    "scan",
    "scan_table",
    "simulate",
]

ENGINE = "local"
_FAMILIES_SURVEYED = len(FAMILIES)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is.

    Attributes:
        stage: `reading`, `gathering`, `judging`, `finding examples` or `replaying`.
        done: bytes while logs are read, exchanges while they are replayed, else steps.
        total: of the same.
        exchanges: read so far.
    """

    stage: str
    done: int
    total: int
    exchanges: int


@dataclass(frozen=True, slots=True)
class CohortPValue:
    """One cohort that was looked at: its size, how strong its strongest view is, in bits, and its p-value."""

    accounts: int
    exchanges: int
    strength: float
    p_value: float


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What was made: rows, accounts, accounts of campaigns."""

    exchanges: int
    accounts: int
    campaign_accounts: int


@dataclass(frozen=True, slots=True)
class _Read:
    population: Population
    report: ReadReport
    accounts: pa.Table | None


def scan(
    logs: LogSource | Sequence[str | Path],
    *,
    accounts: Path | None = None,
    baseline: Path | Baseline | None = None,
    key: bytes,
    limit_memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    note: Callable[[str], None] | None = None,
    settings: ScanSettings | None = None,
    tips: Sequence[Tip] = (),
    shared_keys: Sequence[bytes] = (),
) -> Findings:
    """Scan request logs.

    Args:
        logs: files, folders or globs; or a `LogSource`, which says besides how they are read.
        accounts: one row an account, if there is such a file.
        baseline: what ordinary traffic looks like, or the file that holds it; the log's own population if None.
        key: names marks and cohorts; at least 16 bytes.
        limit_memory: bytes above which the disk is used.
        progress: called now and then.
        note: called once the logs are read, for each thing worth knowing about them: files passed over, rows that
            came twice, times in the future.
        settings: bounds of the verdict.
        tips: what others say about marks; moves the odds that cohorts start from, within bounds, and is no evidence.
        shared_keys: keys that groups of providers share; marks are named under these too.

    Raises:
        StillwatchError: see `errors.py`; `LogError` and `DialectError` for logs, `BaselineError`, `OutputError`.
    """
    read = _read(logs, accounts, limit_memory=limit_memory, progress=progress)
    if note is not None:
        for text in read.report.notes:
            note(text)
    held = load_baseline(baseline) if isinstance(baseline, Path) else baseline
    return _concluded(read, held, key, settings or ScanSettings(), progress, tips=tips, shared_keys=shared_keys)


def examples(
    logs: LogSource | Sequence[str | Path],
    findings: Iterable[Finding],
    *,
    key: bytes,
    at_most: int = 3,
    account: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, tuple[Example, ...]]:
    """Find example prompts of findings in the logs, which are read once more: findings hold none.

    Args:
        logs: the logs that were scanned; what of them cannot be read is passed over.
        findings: whose examples.
        key: what the findings' marks were named with.
        at_most: examples of each finding, from different accounts as far as there are.
        account: take the examples from this account only.
        progress: called now and then.

    Returns:
        Examples by the finding's id; a prompt in them is one short line that can do no harm on a terminal.

    Raises:
        NoExamplesError: none was found; the text says what is missing.
        StillwatchError: the logs cannot be read, as for `scan`.

    """
    sought = [Sought(finding, account) for finding in findings]
    if not sought:
        return {}
    source = replace(_source(logs), strict=False, rejects=None)  # a scan has reported those rows before
    reader = LogReader(source, columns=NEEDED)
    return find_examples(_watched(reader, progress, "finding examples"), sought, key=key, at_most=at_most)


def scan_table(
    exchanges: pa.Table | pa.RecordBatch,
    *,
    accounts: pa.Table | None = None,
    baseline: Baseline | None = None,
    key: bytes,
    settings: ScanSettings | None = None,
) -> Findings:
    """Scan a table in memory, with columns of `exchange/1` (at least `time` and `account`).

    Raises:
        LogError: a column cannot be cast; names the column.
    """
    table = conform(exchanges)
    seen = frozenset(name for name in table.column_names if table.column(name).null_count < table.num_rows)
    report = ReadReport(table.num_rows, 0, {}, (), seen, (), {}, table.nbytes)
    known = None if accounts is None else _conformed_accounts(accounts)
    population = populate_from((batch.select(NEEDED) for batch in table.to_batches(max_chunksize=65_536)), known)
    return _concluded(_Read(population, report, known), baseline, key, settings or ScanSettings(), None)


def fit_baseline(
    logs: LogSource | Sequence[str | Path],
    *,
    accounts: Path | None = None,
    limit_memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Baseline:
    """Learn what ordinary traffic looks like; campaigns found in the logs are left out. Arguments as for `scan`.

    A baseline holds figures and no marks, so that it needs no key.
    """
    read = _read(logs, accounts, limit_memory=limit_memory, progress=progress)
    _, judgement = _judged(read.population, None, ScanSettings(), progress, read.report.rows)
    return judgement.baseline


def cohort_p_values(
    logs: LogSource | Sequence[str | Path],
    *,
    accounts: Path | None = None,
    baseline: Path | Baseline | None = None,
    settings: ScanSettings | None = None,
) -> list[CohortPValue]:
    """Test every cohort of some logs, and give all of them, reported or not. Arguments as for `scan`."""
    read = _read(logs, accounts)
    held = load_baseline(baseline) if isinstance(baseline, Path) else baseline
    judge, judgement = _judged(read.population, held, settings or ScanSettings(), None, read.report.rows)
    survey = judge.survey
    scores = judgement.baseline.score(survey.figures, (settings or ScanSettings()).without)
    best: dict[int, int] = {}
    for stream in np.argsort(scores.strength, kind="stable"):
        best[int(survey.leader[stream])] = int(stream)
    chosen = np.array(sorted(best.values()), np.int64)
    p_values = judgement.baseline.p_values(scores.pick(chosen))
    return [
        CohortPValue(
            int(survey.figures["accounts"][stream]),
            int(survey.figures["exchanges"][stream]),
            float(scores.strength[stream]),
            float(p),
        )
        for stream, p in zip(chosen, p_values, strict=True)
    ]


def replay(
    logs: LogSource | Sequence[str | Path],
    policy: str | Path,
    *,
    against: str | Path | None = None,
    accounts: Path | None = None,
    findings: Findings | None = None,
    truth: Path | None = None,
    ledger: str | Path | None = None,
    decide_after: timedelta | None = None,
    step: Step = Step.THROTTLE,
    given: KnownFacts | None = None,
    databases: Sequence[Path] = (),
    lists: Mapping[NetworkKind, Sequence[Path]] | None = None,
    limit_memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Replay:
    """Tell what a policy would have done to past traffic: the harvest that it stops, and what honest users pay.

    Args:
        logs: as for `scan`.
        policy: a file, or the name of a policy that comes with stillwatch.
        against: another one, to hold it against.
        accounts: one row an account, if there is such a file.
        findings: who is in a campaign, who is watched, and who was cleared as what.
        truth: the same of a made log; not together with findings.
        ledger: where decisions are kept: steps stand as they stood at each exchange's time.
        decide_after: take accounts of campaigns in the findings as decided on so long after they were first seen.
        step: how far to go against these.
        given: facts that the log does not tell, the same for every exchange.
        databases: of networks, in MaxMind's format, for what they tell of addresses.
        lists: of networks, by their kind.
        limit_memory: bytes above which the disk is used.
        progress: called now and then.
        note: called for each thing worth knowing about the logs.

    Raises:
        UsageError: findings and truth at once, or `decide_after` without findings.
        PolicyError: a policy says something wrong.
        StillwatchError: the logs, the ledger or a file beside them cannot be read, as for `scan`.

    """
    from stillwatch.engine.in_order import ALWAYS, InOrder  # noqa: PLC0415  what policies need is an extra
    from stillwatch.guard import logged  # noqa: PLC0415
    from stillwatch.guard.networks import Networks  # noqa: PLC0415
    from stillwatch.guard.policy_file import load_policy  # noqa: PLC0415
    from stillwatch.guard.replay import Replayed, facts_of  # noqa: PLC0415
    from stillwatch.guard.replay import replay as put_to  # noqa: PLC0415

    if findings is not None and truth is not None:
        raise UsageError("either findings or the truth say who is in a campaign, not both")
    if decide_after is not None and findings is None:
        raise UsageError("without findings there is nobody to be decided on (--decide-after needs --findings)")
    policies = [load_policy(each) for each in (policy, against) if each is not None]
    wanted = frozenset(name for each in policies for name in facts_of(each))
    known = None if accounts is None else read_accounts(accounts)
    real = None if truth is None else read_truth(truth)
    whose = {} if real is None else by_truth(real.campaign, real.kind)
    whose = whose if findings is None else by_findings(findings)
    standing, decisions = _standing(ledger, findings, decide_after, step)
    with (
        closing(Networks(databases, lists)) as networks,
        closing(InOrder(columns := logged.columns_for(wanted, networks=True), limit_memory=limit_memory)) as rows,
    ):
        reader = LogReader(_source(logs), columns=sorted({*columns, *ALWAYS, "request_id"}), now=datetime.now(UTC))
        with closing(_watched(reader, progress)) as batches:
            for batch in batches:
                rows.add(batch)
        report = reader.report()
        if note is not None:
            for text in report.notes:
                note(text)
        columns_known = frozenset() if known is None else _columns_told(known)
        told = logged.told(report.columns_seen, columns_known, networks=networks.tells(), decided=standing is not None)
        facts = logged.LoggedFacts(
            wanted & told,
            names := rows.names,
            {} if known is None else logged.who(known),
            address=networks.look_up,
            standing=standing,
        )
        constants = {} if given is None else dict(given.known)
        replayed = [Replayed(each, told, constants) for each in policies]
        prices, totals = put_to(
            _counted(rows.chunks(), progress, report.rows),
            facts.of,
            replayed,
            [whose.get(name, Party()) for name in names["account"]],
            facts.tiers(),
        )
    return Replay(
        exchanges=totals.exchanges,
        failed=totals.failed,
        accounts=len(names["account"]),
        first=_moment(totals.first),
        last=_moment(totals.last),
        known="findings" if findings is not None else "truth" if real is not None else "",
        decisions=decisions,
        assumed={name: str(value) for name, value in sorted(constants.items())},
        columns_absent=tuple(sorted({*columns, *ALWAYS} - report.columns_seen)),
        asked=prices[0],
        against=prices[1] if len(prices) > 1 else None,
    )


def simulate(
    scenario: str | Path,
    out: Path,
    *,
    seed: int = 1,
    scale: float = 1.0,
    format: str = "parquet",  # noqa: A002  # the option's name
) -> SimulationSummary:
    """Make a log with known truth in the folder `out`: exchanges/, accounts.parquet, truth/accounts.parquet.

    Raises:
        ScenarioError: the scenario says something wrong.
        OutputError: the folder cannot be written, or holds something else.
    """
    traffic = make_traffic(load_scenario(scenario), seed=seed, scale=scale)
    write_traffic(traffic, out, format=format)
    campaigns = sum(bool(name) for name in traffic.truth.column("campaign").to_pylist())
    return SimulationSummary(traffic.exchanges.num_rows, traffic.accounts.num_rows, campaigns)


# ---------------------------------------------------------------- between the rim and the pure stages


def _read(
    logs: LogSource | Sequence[str | Path],
    accounts: Path | None,
    *,
    limit_memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> _Read:
    reader = LogReader(_source(logs), columns=NEEDED, now=datetime.now(UTC))
    known = None if accounts is None else read_accounts(accounts)
    with closing(_watched(reader, progress)) as batches:  # broken off, it takes away what it had begun to write
        population = populate_from(batches, known, limit_memory=limit_memory)
    return _Read(population, reader.report(), known)


def _source(logs: LogSource | Sequence[str | Path]) -> LogSource:
    return logs if isinstance(logs, LogSource) else LogSource(logs)


def _watched(
    reader: LogReader, progress: Callable[[Progress], None] | None, stage: str = "reading"
) -> Generator[pa.RecordBatch, None, None]:
    exchanges = 0
    with closing(reader.batches()) as batches:
        for batch in batches:
            exchanges += batch.num_rows
            yield batch
            if progress is not None:
                progress(Progress(stage, reader.bytes_read, reader.bytes_total, exchanges))


def _judged(
    population: Population,
    baseline: Baseline | None,
    settings: ScanSettings,
    progress: Callable[[Progress], None] | None,
    exchanges: int,
    *,
    hearsay: Hearsay | None = None,
) -> tuple[Judge, Judgement]:
    def step(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(stage, done, total, exchanges))

    surveyor = Surveyor(population)
    survey = surveyor.survey(lambda done: step("gathering", done, _FAMILIES_SURVEYED))
    step("judging", 0, 1)
    judge = Judge(surveyor, survey, settings=settings, baseline=baseline, hearsay=hearsay)
    judgement = judge.judge()
    step("judging", 1, 1)
    return judge, judgement


def _concluded(
    read: _Read,
    baseline: Baseline | None,
    key: bytes,
    settings: ScanSettings,
    progress: Callable[[Progress], None] | None,
    *,
    tips: Sequence[Tip] = (),
    shared_keys: Sequence[bytes] = (),
) -> Findings:
    population, report = read.population, read.report
    hearsay = hearsay_of(tips, (key, *shared_keys), datetime.now(UTC)) if tips else None
    judge, judgement = _judged(population, baseline, settings, progress, report.rows, hearsay=hearsay)
    absent = _absent(report, read.accounts)
    some = population.exchanges > 0
    return Findings(
        Scan(
            exchanges=population.exchanges,
            accounts=len(population.accounts.name),
            first=datetime.fromtimestamp(population.start, tz=UTC) if some else None,
            last=datetime.fromtimestamp(population.end, tz=UTC) if some else None,
            rejected=Rejected(report.rejected, report.reasons),
            columns_absent=absent,
            blind_to=_blind_to(frozenset(absent)),
            engine=ENGINE,
            baseline=judgement.baseline.name,
            cohorts_tested=judgement.tested,
            settings={
                **{name: value for name, value in asdict(settings).items() if name != "without"},
                "without": ",".join(sorted(settings.without)),
                **{f"cap_{family.value}": cap for family, cap in FAMILY_CAP.items()},
                **{f"floor_{family.value}": floor for family, floor in FAMILY_FLOOR.items()},
                **({"tips": len(tips), "tips_source": PER_SOURCE, "tips_all": IN_ALL} if tips else {}),
            },
        ),
        Conclusion(judge, judgement, key, shared_keys).findings(),
    )


def _standing(
    ledger: str | Path | None, findings: Findings | None, after: timedelta | None, step: Step
) -> tuple[Standing | None, str]:
    """Steps as they stood, and would have stood; with where they come from, in words."""
    from stillwatch.ledger.ledger import open_ledger  # noqa: PLC0415  no scan needs databases

    events: tuple[Event, ...] = ()
    said = []
    if ledger is not None:
        with open_ledger(ledger) as opened:
            events = opened.changes_since().events
        said.append(f"as the ledger tells, {len(events):,} entries")
    if findings is not None and after is not None:
        made = foreseen(findings, after=after, step=step, digest=finding_digest, known=events)
        subjects = {each.decision.subject for each in made if isinstance(each, Decided)}
        said.append(
            f"up to `{step}` against {len(subjects):,} accounts of the findings, each {lasting(after)} after it was "
            "first seen, as if as many operators had approved as it takes"
        )
        events += made
    if not said:
        return None, ""
    members = (
        {}
        if findings is None
        else {each.id: [member.account for member in each.accounts] for each in findings.campaigns}
    )
    return Standing(events, members), "; ".join(said)


def _counted(
    chunks: Iterable[NDArray[np.void]], progress: Callable[[Progress], None] | None, total: int
) -> Iterator[NDArray[np.void]]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if progress is not None:
            progress(Progress("replaying", done, total, done))


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, tz=UTC)


def _columns_told(table: pa.Table) -> frozenset[str]:
    return frozenset(name for name in table.column_names if _told(table, name))


def _absent(report: ReadReport, accounts: pa.Table | None) -> tuple[str, ...]:
    """Columns of the log, then of the accounts, that no row had."""
    log = [name for name in NEEDED if name not in report.columns_seen]
    known = () if accounts is None else [name for name in accounts.column_names if _told(accounts, name)]
    return (*log, *(name for name in ACCOUNT.names if name != "account" and name not in known and name not in log))


def _told(table: pa.Table, name: str) -> bool:
    return bool(table.column(name).null_count < table.num_rows)


def _blind_to(absent: frozenset[str]) -> tuple[str, ...]:
    """What cannot be seen without these columns, one a signal."""
    return tuple(
        f"{signal.id}: {signal.question} (needs {' and '.join(' or '.join(group) for group in signal.needs)})"
        for signal in SIGNALS
        if any(all(name in absent for name in group) for group in signal.needs)
    )


def _conformed_accounts(accounts: pa.Table) -> pa.Table:
    columns: Iterable[pa.ChunkedArray | pa.Array] = (
        accounts.column(field.name).cast(field.type)
        if field.name in accounts.column_names
        else pa.nulls(accounts.num_rows, field.type)
        for field in ACCOUNT
    )
    return pa.table(list(columns), schema=ACCOUNT)
