"""Findings for the tests of what the user sees: a sample written by hand, and hypothesis strategies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from hypothesis import strategies as st

from stillwatch.verdicts.evidence import (
    AccountEvidence,
    BorneMark,
    Evidence,
    Family,
    Finding,
    Findings,
    KnownBy,
    MarkShare,
    Member,
    Rejected,
    Scan,
    Verdict,
)

# ---- a sample

START = datetime(2026, 7, 1, tzinfo=UTC)
AMONG = "4,812 cohorts of this log"


def at(day: float) -> datetime:
    """Days after the sample's first midnight, to the second."""
    return START + timedelta(seconds=round(day * 86_400))


def evidence(
    signal: str = "even-dealing", family: Family = Family.DEALING, bits: float = 6.2, says: str = "", innocent: str = ""
) -> Evidence:
    return Evidence(
        signal,
        family,
        bits,
        says or "requests are shared out over 412 accounts with a spread of 0.08; cohorts of this size have 1.1",
        innocent or "one company that balances its load over its own keys",
        AMONG,
    )


def member(account: str, *, bits: float = 9.0, membership: float = 0.99, harvest: int = 180) -> Member:
    return Member(
        account=account,
        membership=membership,
        bits=bits,
        first_seen=at(1.1),
        last_seen=at(13.2),
        exchanges=harvest + 12,
        harvest_exchanges=harvest,
        evidence=(
            AccountEvidence(
                "cohort marks", round(bits + 3, 2), f"{harvest} of its {harvest + 12} exchanges bear the marks"
            ),
            AccountEvidence("own hours", -1.5, "it is quiet from 01:00 to 06:00 UTC"),
            AccountEvidence("prior", -1.5, "before any evidence, an account that shares a mark is ordinary"),
        ),
    )


def finding(
    name: str = "c-7f3a90d2",
    verdict: Verdict = Verdict.CAMPAIGN,
    kind: str = "distillation",
    *,
    accounts: int = 3,
    bits: float = 31.4,
    evidences: tuple[Evidence, ...] | None = None,
    left_out: tuple[Member, ...] = (),
    reason: str = "",
    known_by: KnownBy | None = None,
) -> Finding:
    return Finding(
        id=name,
        verdict=verdict,
        kind=kind,
        reason=reason or "one operator deals a queue of reasoning prompts evenly over its accounts",
        bits=bits,
        p_value=0.000208,
        q_value=0.00102,
        first_seen=at(1.1),
        last_seen=at(13.2),
        exchanges=81_220,
        input_tokens=24_120_400,
        output_tokens=188_204_112,
        seeks=("reasoning", "code"),
        accounts=tuple(member(f"acct-{name[-2:]}{n:04}", bits=round(14.0 - n / 40, 2)) for n in range(accounts)),
        marks=(
            MarkShare("content", "9f21c04be7aa31d0", accounts, 80_911),
            MarkShare("client", "03bb51a9c8e2f714", accounts, 79_002),
            MarkShare("network", "d40e77182c93ab65", max(1, accounts // 2), 40_118),
        ),
        evidence=evidences or (evidence(),),
        left_out=left_out,
        known_by=known_by,
    )


KNOWN_BY = KnownBy(
    since=at(0.0),
    until=at(14.0),
    ordinary=13_567,
    agreeing=(4, 1, 0),
    marks=(BorneMark("opening", "abuejqjkfw3sknxn", 180, 2), BorneMark("network", "sgacrocxfcjanjur", 90, 0)),
)


CAMPAIGN_EVIDENCE = (
    evidence(
        "exchangeability",
        Family.WORK,
        11.3,
        "prompts of one account are no more alike than prompts of two (ICC 0.002; ordinary cohorts: 0.07)",
        "evaluators who draw from one benchmark at random",
    ),
    evidence(
        "partition",
        Family.WORK,
        7.4,
        "79,802 of 80,911 prompts went to one account only; people who draw by themselves would have met 6,120 times",
        "a batch job that splits one file over several keys",
    ),
    evidence(
        "reasoning-elicitation",
        Family.ASKING,
        5.1,
        "94 % of its requests ask for the steps before the answer; ordinary cohorts: 11 %",
        "a tutoring product that shows its working",
    ),
    evidence("even-dealing", Family.DEALING, 8.6),
    evidence(
        "hours-without-night",
        Family.DEALING,
        4.9,
        "its quietest hour has 81 % of the requests of its busiest; ordinary cohorts: 9 %",
        "a pipeline that runs around the clock, or users in every time zone",
    ),
    evidence(
        "shared-cards",
        Family.LINKAGE,
        6.0,
        "37 pairs of accounts share a card; 0.4 would by chance",
        "a company card used for the accounts of a whole team",
    ),
    evidence(
        "no-ramp",
        Family.TAKE,
        -1.8,
        "61 % of its accounts used little in their first week, as ordinary accounts do",
        "this speaks for innocence: a harvest seldom starts slowly",
    ),
)

SAMPLE_SCAN = Scan(
    exchanges=1_204_331,
    accounts=18_220,
    first=at(0),
    last=at(14) - timedelta(seconds=1),
    rejected=Rejected(312, {"time: missing": 300, "input_tokens: no number": 12}),
    columns_absent=("ja4", "conversation", "reasoning_handle"),
    blind_to=(
        "clients told apart by their TLS fingerprint (no column ja4)",
        "one conversation relayed over several accounts (neither conversation nor reasoning_handle)",
    ),
    engine="local",
    baseline="this log's own population",
    cohorts_tested=4_812,
    settings={
        **{f"cap_{family}": 12.0 for family in Family},
        **{f"floor_{family}": -12.0 for family in Family},
        "side": 3.0,
        "acting": 5.0,
        "total": 12.0,
        "largest_mark": 20_000,
        "strict": False,
        "key": "a41f",
    },
)

QUIET_SCAN = Scan(
    exchanges=1,
    accounts=1,
    first=at(0),
    last=at(0),
    rejected=Rejected(),
    columns_absent=("prompt",),
    blind_to=("what is asked (no column prompt)",),
    engine="local",
    baseline="this log's own population",
    cohorts_tested=0,
    settings={},
)


@cache
def sample() -> Findings:
    """Two campaigns, a watched cohort, and cleared ones of several kinds."""
    return Findings(
        SAMPLE_SCAN,
        (
            finding(
                accounts=412,
                bits=33.3,
                evidences=CAMPAIGN_EVIDENCE,
                left_out=(
                    Member(
                        "acct-oakridge",
                        0.12,
                        -4.1,
                        at(0.5),
                        at(13.9),
                        2_204,
                        31,
                        (
                            AccountEvidence("few marks", -6.0, "31 of its 2,204 exchanges bear the marks"),
                            AccountEvidence("own hours", 1.9, "it is busy at night too"),
                        ),
                    ),
                ),
            ),
            finding(
                "c-20be11f7",
                accounts=38,
                bits=17.9,
                evidences=CAMPAIGN_EVIDENCE[2:6],
                reason="38 accounts that share cards ask for rubrics around the clock, in even shares",
            ),
            finding(
                "c-91d04c3e",
                Verdict.WATCH,
                accounts=64,
                bits=8.1,
                evidences=CAMPAIGN_EVIDENCE[:1],
                reason="its prompts look dealt out, but nothing speaks for coordination between its accounts",
            ),
            *(
                finding(
                    f"c-{n:08x}",
                    Verdict.CLEARED,
                    kind,
                    accounts=size,
                    bits=round(-3.0 - n / 10, 2),
                    reason=reason,
                )
                for n, (kind, size, reason) in enumerate(
                    [
                        ("app", 1_480, "each account has topics and hours of its own"),
                        ("app", 212, "each account has topics and hours of its own"),
                        ("app", 75, "each account has topics and hours of its own"),
                        ("app", 31, "each account has topics and hours of its own"),
                        ("office", 88, "one network, but different work"),
                        ("class", 61, "all ask the same in the same week"),
                        ("evaluators", 9, "all run the same items"),
                        ("other", 5, "too little evidence"),
                    ],
                    start=1,
                )
            ),
        ),
    )


def quiet() -> Findings:
    """Nothing found in next to nothing."""
    return Findings(QUIET_SCAN, ())


# ---- strategies

texts = st.text(max_size=20)
names = st.text(min_size=1, max_size=12)
counts = st.integers(0, 2**53)
bits_as_written = st.integers(-50_000, 50_000).map(lambda hundredths: hundredths / 100)
times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  the bounds are bare; the strategy adds UTC


def _three_digits(parts: tuple[int, int]) -> float:
    mantissa, exponent = parts
    return float(f"{mantissa / 1000:.3g}e-{exponent}")


probabilities_as_written = st.tuples(st.integers(0, 1000), st.integers(0, 300)).map(_three_digits)
memberships_as_written = st.integers(0, 10_000).map(lambda parts: parts / 10_000)

account_evidence = st.builds(AccountEvidence, texts, bits_as_written, texts)
members = st.builds(
    Member,
    texts,
    memberships_as_written,
    bits_as_written,
    times,
    times,
    counts,
    counts,
    st.lists(account_evidence, max_size=2).map(tuple),
)
evidences = st.builds(Evidence, names, st.sampled_from(Family), bits_as_written, names, names, names)
marks = st.builds(MarkShare, texts, texts, counts, counts)


def finding_of(
    bits: st.SearchStrategy[float] = bits_as_written,
    probabilities: st.SearchStrategy[float] = probabilities_as_written,
) -> st.SearchStrategy[Finding]:
    return st.builds(
        Finding,
        id=names,
        verdict=st.sampled_from(Verdict),
        kind=texts,
        reason=texts,
        bits=bits,
        p_value=probabilities,
        q_value=probabilities,
        first_seen=times,
        last_seen=times,
        exchanges=counts,
        input_tokens=counts,
        output_tokens=counts,
        seeks=st.lists(texts, max_size=3).map(tuple),
        accounts=st.lists(members, min_size=1, max_size=3).map(tuple),
        marks=st.lists(marks, max_size=3).map(tuple),
        evidence=st.lists(evidences, min_size=1, max_size=3).map(tuple),
        left_out=st.lists(members, max_size=2).map(tuple),
    )


scans = st.builds(
    Scan,
    counts,
    counts,
    st.none() | times,
    st.none() | times,
    st.builds(Rejected, counts, st.dictionaries(texts, counts, max_size=3)),
    st.lists(texts, max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
    texts,
    texts,
    counts,
    st.dictionaries(
        texts,
        texts | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False),
        max_size=4,
    ),
)
findings_as_written = st.builds(Findings, scans, st.lists(finding_of(), max_size=3).map(tuple))
findings_at_full_precision = st.builds(
    Findings,
    scans,
    st.lists(finding_of(st.floats(-1e6, 1e6), st.floats(0, 1)), max_size=2).map(tuple),
)
