from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.traffic import Log, accused, made, named, together

from stillwatch.cohorts.survey import Surveyor
from stillwatch.engine.local import populate_from
from stillwatch.exchanges.read import conform
from stillwatch.marks.digest import NEEDED
from stillwatch.verdicts.evidence import Family, Verdict
from stillwatch.verdicts.innocent import EXPLANATIONS
from stillwatch.verdicts.judge import Judge, Judged, ScanSettings
from stillwatch.verdicts.signals import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from stillwatch.verdicts.baseline import Baseline, Scores
    from stillwatch.verdicts.evidence import Finding, Findings

OPEN = """
  - name: open
    tasks: [instructions]
    accounts: 120
    requests_per_day: 8
    wording: fixed
    client: own
    network: pool
    payment: pool
    sign_up: burst
    mail: disposable
"""

BARE = OPEN.replace("wording: fixed", "wording: none")  # no template: the looks are all that its accounts share

TWO = """
  - {name: north, tasks: [instructions], accounts: 90, requests_per_day: 8, client: own, network: pool, payment: pool,
     sign_up: burst, mail: disposable}
  - {name: south, tasks: [maths, coding], accounts: 90, requests_per_day: 11, client: own, network: hosting,
     payment: pool, sign_up: aged, schedule: shifts}
"""

DEFAULTS = ScanSettings()


@cache
def ordinary() -> Baseline:
    """What two quiet logs of this provider look like."""
    log = together(made(seed=31), made(seed=32))
    batches = conform(log.exchanges).to_batches(max_chunksize=65_536)
    surveyor = Surveyor(populate_from((batch.select(NEEDED) for batch in batches), log.accounts))
    return Judge(surveyor, surveyor.survey(), settings=DEFAULTS).judge().baseline


class Told(NamedTuple):
    """A log and what was found in it."""

    log: Log
    findings: Findings


@cache
def drill() -> Told:
    log = named("drill", seed=1, scale=0.6)
    return Told(log, log.scan(baseline=ordinary()))


@cache
def one_campaign() -> Told:
    log = made(OPEN, seed=2)
    return Told(log, log.scan(baseline=ordinary()))


def verdicts(findings: Findings, *wanted: Verdict) -> list[Finding]:
    return [finding for finding in findings.campaigns if finding.verdict in wanted]


def require_no_innocent(findings: Findings, log: Log) -> None:
    campaign = log.campaign
    assert [account for account in sorted(accused(findings)) if not campaign[account]] == []


def campaigns_found(findings: Findings, log: Log, *wanted: Verdict, share: float = 0.5) -> set[str]:
    """Campaigns of which at least this share stands in findings of these verdicts."""
    campaign = log.campaign
    found = Counter(campaign[each.account] for one in verdicts(findings, *wanted) for each in one.accounts)
    whole = Counter(name for name in campaign.values() if name)
    return {name for name, size in whole.items() if found[name] >= share * size}


# ---- nobody harvests


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_is_accused_in_quiet_traffic(seed: int) -> None:
    assert accused(named("quiet", seed=seed, scale=0.3).scan()) == set()


def test_nobody_is_accused_where_two_quiet_logs_are_put_together() -> None:
    assert accused(together(named("quiet", seed=3, scale=0.3), named("quiet", seed=4, scale=0.3)).scan()) == set()


def test_the_same_log_twice_under_two_names_accuses_nobody() -> None:
    # every account has a double that sends the same at the same moment
    log = named("quiet", seed=5, scale=0.2)
    assert accused(together(log, log).scan()) == set()


# ---- one campaign


def test_a_campaign_is_found_whole_and_alone() -> None:
    log, findings = one_campaign()
    require_no_innocent(findings, log)
    assert len(accused(findings)) >= 0.9 * len(log.members("open"))


def test_a_campaign_is_not_lost_by_taking_in_the_last_of_its_accounts() -> None:
    log = made(OPEN.replace("open", "wrapped"), seed=1)
    findings = log.scan()
    assert campaigns_found(findings, log, Verdict.CAMPAIGN, Verdict.WATCH) == {"wrapped"}


@pytest.mark.parametrize("beside", [0, 2])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_log_that_holds_one_campaign_and_hardly_anybody_else_keeps_its_members(seed: int, beside: int) -> None:
    whole = made(OPEN, seed=seed)
    members = whole.members("open")
    log = whole.only(members + whole.members("")[:beside])
    findings = log.scan(baseline=ordinary())
    require_no_innocent(findings, log)
    assert len(accused(findings)) >= 0.85 * len(members)  # hardly any can be told from outsiders


@pytest.mark.parametrize("kind", ["app user", "office seat", "agent user"])
def test_whoever_wears_the_clothes_of_honest_accounts_gets_none_of_them_accused(kind: str) -> None:
    log = made(BARE, seed=2)
    worn = ("system", "user_agent", "ja4", "temperature", "top_p", "max_tokens")
    looks = Counter(tuple(row[name] for name in worn) for row in log.rows(log.largest(kind)))
    (look, _), *_ = looks.most_common(1)
    dressed = log.dressed(log.members("open"), **dict(zip(worn, look, strict=True)))
    findings = dressed.scan(baseline=ordinary())
    require_no_innocent(findings, dressed)
    assert campaigns_found(findings, dressed, Verdict.CAMPAIGN, Verdict.WATCH) == {"open"}


def test_whoever_borrows_the_template_of_a_crowd_gets_none_of_it_accused() -> None:
    log = made(OPEN, seed=2)
    row = log.rows(log.largest("crowd worker"))[0]
    opening = row["prompt"][:60]

    def templated(prompt: str) -> str:
        return f"{opening}\n{prompt}"

    dressed = log.dressed(
        log.members("open"), prompt=templated, system=row["system"], user_agent=row["user_agent"], ja4=row["ja4"]
    )
    findings = dressed.scan(baseline=ordinary())
    require_no_innocent(findings, dressed)
    assert campaigns_found(findings, dressed, Verdict.CAMPAIGN) == {"open"}


def claimed(log: Log, *, verified: bool) -> Log:
    """The log where the whole campaign says that it is one organization."""
    members = log.members("open")
    dressed = log.dressed(members, organization="org_of_ours")
    return dressed.registered(members, organization="org_of_ours", verified=verified)


def test_an_organization_that_is_only_claimed_is_no_free_pass() -> None:
    log = claimed(made(OPEN, seed=2), verified=False)
    findings = log.scan(baseline=ordinary())
    require_no_innocent(findings, log)
    assert campaigns_found(findings, log, Verdict.CAMPAIGN) == {"open"}


def test_an_organization_that_the_provider_verified_explains_how_its_accounts_act_as_one() -> None:
    # shows that the test above looks at what decides: all else is equal
    log = claimed(made(OPEN, seed=2), verified=True)
    assert not accused(log.scan(baseline=ordinary()))


# ---- several campaigns


def test_two_campaigns_with_one_template_are_both_found() -> None:
    log = made(TWO, seed=2)
    both = [*log.members("north"), *log.members("south")]
    log = log.dressed(both, system="You answer in the clearest way you can. Leave nothing out.")
    findings = log.scan(baseline=ordinary())
    require_no_innocent(findings, log)
    assert campaigns_found(findings, log, Verdict.CAMPAIGN, Verdict.WATCH) == {"north", "south"}
    assert campaigns_found(findings, log, Verdict.CAMPAIGN)
    for finding in verdicts(findings, Verdict.CAMPAIGN, Verdict.WATCH):
        assert len({log.campaign[member.account] for member in finding.accounts}) == 1


def test_many_campaigns_at_once_are_found_and_nobody_else() -> None:
    log, findings = drill()
    require_no_innocent(findings, log)
    assert len(campaigns_found(findings, log, Verdict.CAMPAIGN)) >= 6


def test_campaigns_that_are_much_of_the_log_itself_do_not_hide_one_another_wholly() -> None:
    # no other baseline: the null is this very log, of whose rows every third is harvest
    log = drill().log
    findings = log.scan()
    require_no_innocent(findings, log)
    assert len(campaigns_found(findings, log, Verdict.CAMPAIGN, Verdict.WATCH)) >= 4


def test_one_who_writes_a_data_set_by_himself_is_not_taken_into_a_campaign() -> None:
    log = named("drill", seed=2, scale=0.6)
    require_no_innocent(log.scan(baseline=ordinary()), log)


# ---- with a baseline on file


def tried_and_found(log: Log, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many cohorts are tried, and how many accused or watched, where the baseline is given."""
    tried = 0
    best = Judge._best

    def counted(judge: Judge, views: list[int], scores: Scores, baseline: Baseline) -> list[Judged]:
        nonlocal tried
        tried += 1
        return best(judge, views, scores, baseline)

    monkeypatch.setattr(Judge, "_best", counted)
    findings = log.scan(baseline=ordinary())
    return tried, len(verdicts(findings, Verdict.CAMPAIGN, Verdict.WATCH))


@pytest.mark.parametrize(
    "make", [lambda: drill().log, lambda: made(TWO, seed=2), lambda: made(OPEN, seed=2)], ids=["drill", "two", "one"]
)
def test_whoever_merely_holds_some_of_a_campaigns_accounts_is_not_tried_again(
    make: Callable[[], Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, found = tried_and_found(make(), monkeypatch)
    assert 0 < tried <= 2 * found  # without measuring again, twice as many and more where campaigns are many


# ---- switches


@pytest.mark.parametrize("off", ["fresh-prompts", "even-dealing", *Family])
def test_what_is_switched_off_leaves_no_evidence(off: str) -> None:
    log, before = one_campaign()
    told = {each.signal for one in before.campaigns for each in one.evidence}
    assert off in told | set(Family)  # else switching it off would show nothing
    findings = log.scan(ScanSettings(without=frozenset({str(off)})), baseline=ordinary())
    require_no_innocent(findings, log)
    assert findings.scan.settings["without"] == off
    assert findings.campaigns
    for finding in findings.campaigns:
        for evidence in finding.evidence:
            assert off not in {evidence.signal, evidence.family.value} or evidence.signal == "none"


def test_neither_side_alone_makes_a_campaign() -> None:
    log = made(OPEN, seed=2)
    for side in ({"work", "asking"}, {"dealing", "linkage"}):
        findings = log.scan(ScanSettings(without=frozenset(side)), baseline=ordinary())
        assert verdicts(findings, Verdict.CAMPAIGN, Verdict.WATCH) == []


# ---- what a finding says


@pytest.fixture(scope="module", params=["one campaign", "many campaigns", "own baseline"])
def told(request: pytest.FixtureRequest) -> Told:
    if request.param == "many campaigns":
        return drill()
    if request.param == "one campaign":
        return one_campaign()
    log = one_campaign().log
    return Told(log, log.scan())


def test_evidence_is_of_signals_and_explanations_that_there_are(told: Told) -> None:
    families = {name: signal.family for name, signal in BY_ID.items()}
    explains = {each.id: each.families for each in EXPLANATIONS}
    for finding in told.findings.campaigns:
        assert finding.evidence
        for evidence in finding.evidence:
            if evidence.signal == "none":
                assert finding.verdict is Verdict.CLEARED
            elif evidence.signal in explains:
                assert evidence.family in explains[evidence.signal]
                assert evidence.bits < 0
            else:
                assert evidence.family is families[evidence.signal]
            assert evidence.calibrated_on == told.findings.scan.baseline


def test_members_are_past_the_bound_and_whoever_is_left_out_is_not_accused(told: Told) -> None:
    settings = told.findings.scan.settings
    for finding in verdicts(told.findings, Verdict.CAMPAIGN, Verdict.WATCH):
        members = [member.account for member in finding.accounts]
        assert len(set(members)) == len(members)
        assert all(member.bits >= float(settings["member"]) for member in finding.accounts)
        assert [member.bits for member in finding.accounts] == sorted((m.bits for m in finding.accounts), reverse=True)
        assert not {member.account for member in finding.left_out} & set(members)
    for one, other in combinations(verdicts(told.findings, Verdict.CAMPAIGN), 2):
        assert not {each.account for each in one.accounts} & {each.account for each in other.accounts}


def test_counts_and_moments_agree_with_the_log(told: Told) -> None:
    rows = Counter(told.log.exchanges.column("account").to_pylist())
    for finding in told.findings.campaigns:
        for member in (*finding.accounts, *finding.left_out):
            assert member.exchanges == rows[member.account]
            assert 0 <= member.harvest_exchanges <= member.exchanges
            assert 0.0 <= member.membership <= 1.0
            assert member.first_seen <= member.last_seen
        assert finding.exchanges == sum(member.harvest_exchanges for member in finding.accounts)
        assert min(m.first_seen for m in finding.accounts) <= finding.first_seen <= finding.last_seen
        assert finding.last_seen <= max(m.last_seen for m in finding.accounts)
        assert all(2 <= mark.accounts <= len(finding.accounts) for mark in finding.marks)
        assert all(mark.accounts <= mark.exchanges for mark in finding.marks)


def test_probabilities_are_in_order_and_campaigns_are_past_every_bound(told: Told) -> None:
    settings = told.findings.scan.settings
    for finding in told.findings.campaigns:
        assert 0.0 < finding.p_value <= finding.q_value <= 1.0
    for finding in verdicts(told.findings, Verdict.CAMPAIGN):
        assert finding.q_value <= float(settings["false_discoveries"])
        assert finding.bits >= float(settings["total"])
    order = [(list(Verdict).index(each.verdict), -each.bits) for each in told.findings.campaigns]
    assert order == sorted(order)


def test_ids_name_one_finding_each(told: Told) -> None:
    ids = [finding.id for finding in told.findings.campaigns]
    assert all(not one.startswith(other) and not other.startswith(one) for one, other in combinations(ids, 2))
