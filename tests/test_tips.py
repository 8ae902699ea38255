from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.shared_findings import GROUP, GROUP_ID, campaign, findings, named
from tests.test_cli import stillwatch

from stillwatch import api
from stillwatch.cli.output import console_on
from stillwatch.cli.share_options import tips_told
from stillwatch.errors import BundleError, ShareError
from stillwatch.intel import bundle, leaving
from stillwatch.intel.document import items, read_bundle
from stillwatch.intel.marking import Marking
from stillwatch.intel.receive import LONGEST, Handed, Received, received
from stillwatch.intel.received import IntelStore
from stillwatch.intel.sightings import sightings
from stillwatch.intel.stix import Terms, export, pattern_of, provider_id
from stillwatch.intel.tips import hearsay_of, tips_in
from stillwatch.marks.key import name_mark
from stillwatch.report.findings_v1 import from_json, to_json
from stillwatch.report.terminal import print_findings
from stillwatch.verdicts.evidence import Told, Verdict
from stillwatch.verdicts.hearsay import IN_ALL, PER_SOURCE, Word, _bounded, weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from stillwatch.intel.tip import Tip
    from stillwatch.verdicts.evidence import Findings

NOW = datetime(2026, 9, 1, tzinfo=UTC)
EVER = datetime(2100, 1, 1, tzinfo=UTC)
KEY = bytes(range(1, 33))
TERMS = Terms(Marking.AMBER, "Example Models", GROUP_ID)


def indicator(name: str = "a" * 16, family: str = "opening", number: int = 1, **values: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created_by_ref": "identity--00000000-0000-4000-8000-000000000001",
        "created": "2026-08-01T00:00:00.000Z",
        "modified": "2026-08-01T00:00:00.000Z",
        "pattern": pattern_of(family, name),
        "pattern_type": "stix",
        "valid_from": "2026-08-01T00:00:00Z",
        "confidence": 100,
        "object_marking_refs": [Marking.GREEN.id],
        **values,
    }


def identity(name: str = "Example Models", number: int = 1) -> dict[str, Any]:
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": f"identity--00000000-0000-4000-8000-{number:012d}",
        "created": "2026-08-01T00:00:00.000Z",
        "modified": "2026-08-01T00:00:00.000Z",
        "name": name,
    }


def opinion(about: str, by: int = 2, says: str = "strongly-disagree") -> dict[str, Any]:
    return {
        "type": "opinion",
        "id": f"opinion--00000000-0000-4000-8000-{by:012d}",
        "created_by_ref": f"identity--00000000-0000-4000-8000-{by:012d}",
        "created": "2026-08-02T00:00:00Z",
        "modified": "2026-08-02T00:00:00Z",
        "opinion": says,
        "object_refs": [about],
    }


def handed(*objects: dict[str, Any] | bytes, via: str = "file", at: datetime = NOW) -> Handed:
    return Handed(via, [each if isinstance(each, bytes) else json.dumps(each).encode() for each in objects], at)


def taken(*objects: dict[str, Any] | bytes) -> Received:
    return received([handed(*objects)])


# ---- what is received


def test_an_export_comes_back_as_tips() -> None:
    objects = export(findings(), TERMS).objects
    got = received([handed(*objects, at=NOW)])
    assert got.passed_over == {}
    assert {mark for tip in got.tips for mark in tip.marks} == {
        (family, named(f"group c-{number:010x} {family}"))
        for number in (1, 2)
        for family in ("system", "opening", "client")
    }
    for tip in got.tips:
        assert tip.source == "Example Models"
        assert tip.marking is Marking.AMBER
        assert tip.about.startswith("campaign--")
        assert tip.first == datetime(2026, 7, 2, tzinfo=UTC)
        assert tip.holds(NOW)
        assert not tip.holds(NOW + timedelta(days=90))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pattern": "[file:name MATCHES '(a+)+$']"}, "its pattern names no mark that is known here"),
        ({"pattern": "[" * 8_000}, "its pattern names no mark that is known here"),
        ({"pattern": "x" * 1_000_000}, "no object of STIX 2.1"),
        ({"pattern": pattern_of("card", "a" * 16)}, "its pattern names no mark that is known here"),
        ({"pattern": pattern_of("opening", "' OR 1=1 --")}, "its pattern names no mark that is known here"),
        ({"pattern_type": "snort"}, "its pattern names no mark that is known here"),
        ({"id": "indicator--../../etc/passwd"}, "no object of STIX 2.1"),
        ({"id": "indicator--'; DROP TABLE tips; --aaaaaaaaaaaaaaaa"}, "no object of STIX 2.1"),
        ({"confidence": 1000}, "no object of STIX 2.1"),
        ({"confidence": 1e308}, "no object of STIX 2.1"),
        ({"modified": "yesterday"}, "no object of STIX 2.1"),
        ({"modified": "2026-08-01T00:00:00"}, "no object of STIX 2.1"),
        ({"modified": "2030-01-01T00:00:00Z"}, "from the future"),
        ({"valid_from": "2027-01-01T00:00:00Z"}, "from the future"),
        ({"modified": "2020-01-01T00:00:00Z"}, "changed before it was made"),
        ({"valid_from": "1999-01-01T00:00:00Z"}, "back-dated by years"),
        ({"valid_until": "2026-07-01T00:00:00Z"}, "ends before it begins"),
        ({"revoked": True}, "taken back, or contradicts itself"),
    ],
)
def test_what_cannot_be_used_is_passed_over_and_costs_nobody_the_rest(change: dict[str, Any], reason: str) -> None:
    got = taken({**indicator(number=1), **change}, indicator("b" * 16, number=2))
    assert [tip.marks[0].mark for tip in got.tips] == ["b" * 16]
    assert got.passed_over == {reason: 1}


def test_deep_and_broken_objects_are_passed_over() -> None:
    deep = b'{"type":"indicator","id":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
    got = taken(deep, b"{", b"[]", b"\xff", b"1", indicator())
    assert len(got.tips) == 1
    assert got.passed_over == {"no object of STIX 2.1": 5}


def test_the_newest_version_counts() -> None:
    newer = indicator("c" * 16, modified="2026-08-05T00:00:00Z")
    for order in ((indicator(), newer), (newer, indicator())):
        assert [tip.marks[0].mark for tip in taken(*order).tips] == ["c" * 16]


def test_one_id_that_says_two_things_is_believed_in_neither() -> None:
    got = taken(indicator("a" * 16), indicator("b" * 16))
    assert got.tips == ()
    assert got.passed_over["one id and version says two things"] == 1


def test_what_another_hands_over_again_counts_once_and_replaces_nothing() -> None:
    forged = indicator("b" * 16, modified="2026-08-09T00:00:00Z")
    got = received([handed(indicator(), via="one"), handed(indicator(), via="two"), handed(forged, via="three")])
    assert [(tip.via, tip.marks[0].mark) for tip in got.tips] == [("one", "a" * 16)]
    assert got.passed_over == {"said before": 2}


def test_a_tip_never_holds_longer_than_a_year() -> None:
    (tip,) = taken(indicator(valid_until="2999-01-01T00:00:00Z")).tips
    assert tip.expires == datetime(2026, 8, 1, tzinfo=UTC) + LONGEST


def test_disputes_are_seen_and_stop_a_tip() -> None:
    got = taken(identity(), identity("Other Models", 2), indicator(), opinion(indicator()["id"]))
    (tip,) = got.tips
    assert tip.disputed_by == ("Other Models",)
    assert not tip.holds(NOW)
    (agreed,) = taken(indicator(), opinion(indicator()["id"], says="agree")).tips
    assert agreed.disputed_by == ()


def test_a_source_without_a_name_has_none() -> None:
    assert taken(indicator(created_by_ref=None)).tips[0].source.startswith("a source that")
    assert len(taken(identity("x" * 10_000), indicator()).tips[0].source) == 200


def test_no_pattern_of_others_blows_up() -> None:
    """One that did would not end at all; none of ours is ever matched in more than one way."""
    evil = ["[" + "x-stillwatch-mark:family = '" * 290 + "]", "[" + "a" * 8_000 + "]", "[" + "] OR [" * 1_300 + "]"]
    got = taken(*(indicator(pattern=each, number=number) for number, each in enumerate(evil * 200)))
    assert got.tips == ()
    assert got.passed_over == {"its pattern names no mark that is known here": 600}


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists) | st.dictionaries(
    st.sampled_from(["type", "id", "pattern", "created", "modified", "valid_from", "confidence", "revoked", "opinion",
                     "object_refs", "source_ref", "name"]),
    st.text() | st.integers() | st.sampled_from(["indicator", "opinion", "identity", "relationship"]),
))  # fmt: skip
def test_nothing_that_is_received_does_harm(value: object) -> None:
    raw = json.dumps(value).encode()
    got = taken(raw, indicator())
    assert len(got.tips) == 1


# ---- files


def test_files_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.write(b'{"type":"bundle","objects":[')
        file.truncate(200 * 1024 * 1024)
    with pytest.raises(BundleError, match="larger than 64 MiB"):
        tips_in([path], NOW)


def test_bundles_of_too_many_objects_are_not_taken() -> None:
    with pytest.raises(BundleError, match="more than 500,000 objects"):
        bundle.objects_in(b'{"type":"bundle","objects":[' + b"1," * 500_000 + b"1]}", where="many")


@pytest.mark.parametrize("data", [b"", b"nothing", b"[]", b'{"type":"report"}', b"[" * 1_000_000, b"\xff\xfe"])
def test_files_that_are_no_bundles_are_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tips.json"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"tips\.json"):
        tips_in([path], NOW)


def test_a_folder_is_one_source(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.json").write_bytes(bundle.to_json([indicator(number=number)]))
    assert {tip.via for tip in tips_in([tmp_path], datetime.now(UTC)).tips} == {str(tmp_path)}


def test_what_was_polled_is_a_tip_of_the_collection_that_it_came_from(tmp_path: Path) -> None:
    place, url = tmp_path / "intel.sqlite", "https://provider.example/industry/collections/1/"
    bundle_file = tmp_path / "bundle.json"
    objects = [indicator(number=1), {**indicator(number=2), "revoked": True}]
    bundle_file.write_text(
        json.dumps({"type": "bundle", "id": f"bundle--{'0' * 8}-0000-4000-8000-{'0' * 12}", "objects": objects})
    )
    with IntelStore(place, create=True) as store:
        store.take(url, list(items(read_bundle(bundle_file))))
    (tip,) = tips_in([place], datetime.now(UTC)).tips
    assert tip.via == url
    assert [mark.mark for mark in tip.marks] == ["a" * 16]


# ---- how far a word moves anything

WORDS = st.lists(
    st.builds(
        Word,
        source=st.sampled_from("ABC"),
        via=st.sampled_from("xyz"),
        tip=st.text("abc", min_size=1, max_size=2),
        bits=st.floats(-10, 1e9),
        marking=st.just("TLP:AMBER"),
        disputed=st.booleans(),
    ),
    max_size=40,
)


@given(WORDS)
def test_no_source_moves_more_than_its_bound_nor_all_more_than_theirs(words: list[Word]) -> None:
    by_via, total = _bounded(words)
    assert all(0.0 <= each <= PER_SOURCE for each in by_via.values())
    assert 0.0 <= total <= IN_ALL
    assert _bounded([*words, *words]) == (by_via, total)  # to say it again adds nothing


@given(st.lists(st.floats(0, IN_ALL), max_size=30), st.integers(30, 10_000))
def test_weights_have_a_mean_of_one(bits: list[float], tests: int) -> None:
    own = weights(np.array(bits), tests)
    odds = np.exp2(np.array(bits)).sum()
    rest = tests / (tests - len(bits) + odds)
    assert own.sum() + (tests - len(bits)) * rest == pytest.approx(tests)


# ---- at work


class Log:
    """A made log and what a scan of it finds: alone, and by a provider that shares a key with others."""

    def __init__(self, folder: Path) -> None:
        api.simulate("demo", folder, seed=1, scale=0.5)
        self.logs, self.accounts = [folder / "exchanges"], folder / "accounts.parquet"
        self.alone = self.scan()
        self.shared = self.scan(key=GROUP[::-1], shared_keys=[GROUP])

    def scan(self, *, key: bytes = KEY, **others: Any) -> Findings:  # noqa: ANN401  as the scan takes them
        return api.scan(self.logs, accounts=self.accounts, key=key, **others)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log(tmp_path_factory.mktemp("log") / "log")


def accused(found: Findings) -> list[list[str]]:
    return sorted(
        sorted(member.account for member in each.accounts)
        for each in found.campaigns
        if each.verdict is Verdict.CAMPAIGN
    )


def lasting(*hands: Handed) -> tuple[Tip, ...]:
    """Tips that hold whenever the tests are run."""
    return tuple(replace(tip, expires=datetime(9999, 1, 1, tzinfo=UTC)) for tip in received(hands).tips)


def tips_of(found: Findings, via: str = "Example Models") -> tuple[Tip, ...]:
    return lasting(handed(*export(found, TERMS).objects, via=via, at=EVER))


def test_findings_are_the_same_without_tips(log: Log) -> None:
    assert to_json(log.scan(tips=(), shared_keys=())) == to_json(log.alone)
    assert b'"told"' not in to_json(log.alone)
    assert b'"shared"' not in to_json(log.alone)


def test_tips_of_another_provider_meet_the_same_campaigns(log: Log) -> None:
    assert accused(log.shared)
    got = tips_of(log.shared)
    told = log.scan(shared_keys=[GROUP], tips=got)
    assert accused(told) == accused(log.alone)
    for each in told.campaigns:
        if each.verdict is Verdict.CAMPAIGN:
            (one,) = each.told
            assert one.source == "Example Models"
            assert 0 < one.bits <= PER_SOURCE
            assert set(one.tip) <= {tip.id for tip in got}
    before = {each.id: each for each in log.alone.campaigns}
    for each in told.campaigns:  # the evidence is the cohort's own, whatever is said
        assert each.bits == before[each.id].bits
        assert each.evidence == before[each.id].evidence
        assert each.p_value == before[each.id].p_value
    assert from_json(to_json(told), path="told").campaigns[0].told == replaced_bits(told)


def replaced_bits(found: Findings) -> tuple[Any, ...]:
    return tuple(replace(each, bits=round(each.bits, 2)) for each in found.campaigns[0].told)


def test_tips_under_another_key_meet_nothing(log: Log) -> None:
    told = log.scan(tips=tips_of(log.shared))
    assert all(each.told == () for each in told.campaigns)


def test_false_tips_about_everybody_make_nobody_a_campaign(log: Log) -> None:
    every = [mark for each in log.shared.campaigns if each.verdict is not Verdict.CAMPAIGN for mark in each.marks]
    lies = [
        indicator(mark.shared[GROUP_ID], mark.family, number)
        for number, mark in enumerate(every)
        if mark.family in {"system", "opening", "closing", "shape", "phrase", "client", "harness", "parameters"}
    ]
    assert len(lies) > 20
    liars = lasting(
        *(
            handed(
                *[{**each, "id": f"{each['id'][:-12]}{liar}{each['id'][-11:]}"} for each in lies], via=f"liar {liar}"
            )
            for liar in range(1, 6)
        )
    )
    told = log.scan(shared_keys=[GROUP], tips=liars)
    assert accused(told) == accused(log.alone)
    assert all(sum(one.bits for one in each.told) <= IN_ALL + 1e-9 for each in told.campaigns)


def test_what_is_disputed_moves_nothing_and_is_shown(log: Log) -> None:
    objects = export(log.shared, TERMS).objects
    campaigns = [each["id"] for each in objects if each["type"] == "campaign"]
    dissent = [{**opinion(each, by=number + 2)} for number, each in enumerate(campaigns)]
    got = lasting(handed(*objects, via="one", at=EVER), handed(*dissent, identity("Doubter", 2), via="two", at=EVER))
    told = log.scan(shared_keys=[GROUP], tips=got)
    heard = [one for each in told.campaigns for one in each.told]
    assert heard
    assert all(one.disputed and one.bits == 0.0 for one in heard)
    assert [each.q_value for each in told.campaigns] == [each.q_value for each in log.alone.campaigns]


def test_a_word_turns_what_is_nearly_a_campaign_into_one(log: Log) -> None:
    from stillwatch.verdicts.judge import ScanSettings  # noqa: PLC0415

    strongest = max(each.bits for each in log.alone.campaigns if each.verdict is Verdict.CAMPAIGN)
    strict = ScanSettings(total=strongest + 2.0)
    assert accused(log.scan(settings=strict)) == []
    told = log.scan(settings=strict, shared_keys=[GROUP], tips=tips_of(log.shared))
    assert accused(told)


def test_no_number_of_sources_moves_more_than_all_may(log: Log) -> None:
    from stillwatch.verdicts.judge import ScanSettings  # noqa: PLC0415

    objects = [each for each in export(log.shared, TERMS).objects if each["type"] == "indicator"]
    chorus = lasting(
        *(
            handed(
                *({**each, "id": f"indicator--{who:08x}{each['id'][19:]}"} for each in objects), via=f"{who}", at=EVER
            )
            for who in range(20)
        )
    )
    assert len(chorus) == 20 * len(objects)
    strongest = max(each.bits for each in log.alone.campaigns if each.verdict is Verdict.CAMPAIGN)
    out_of_reach = ScanSettings(total=strongest + IN_ALL + 0.5)
    assert accused(log.scan(settings=out_of_reach, shared_keys=[GROUP], tips=chorus)) == []
    told = log.scan(shared_keys=[GROUP], tips=chorus).campaigns[0].told
    assert sum(each.bits for each in told) == pytest.approx(IN_ALL)
    assert len(told) == 20  # and who says what is seen


class Population:
    """As much of a log as hearsay looks at: one exchange an account, all with one client, some with one opening."""

    def __init__(self, accounts: int, members: int) -> None:
        self.columns = {"account": np.arange(accounts, dtype=np.int32)}
        self._marks = {
            "client": np.full(accounts, 7, np.uint64),
            "opening": np.where(np.arange(accounts) < members, 9, 0).astype(np.uint64),
        }

    def mark(self, family: str) -> NDArray[np.uint64]:
        return self._marks[family]

    def layers(self, family: str, rows: NDArray[np.int64]) -> list[NDArray[np.uint64]]:
        return [self._marks[family][rows]]


def test_what_many_others_bear_speaks_of_nobody() -> None:
    """A tip about software that many use would otherwise reach every cohort that uses it."""
    members = np.arange(20)
    for family, mark, heard in (("client", 7, False), ("opening", 9, True)):
        (tip,) = taken(indicator(name_mark(GROUP, family, mark), family)).tips
        told = hearsay_of([tip], (KEY, GROUP), NOW).about(
            cast("Any", Population(100, 20)), members.astype(np.int32), members
        )
        assert bool(told) is heard


# ---- what is said back


def test_sightings_tell_days_and_rounded_counts() -> None:
    objects = sightings(
        findings(), received([handed(*export(findings(campaign(1)), TERMS).objects)]).tips, TERMS, now=NOW
    )
    leaving.held_to(objects, TERMS)
    seen = [each for each in objects if each["type"] == "sighting"]
    assert len(seen) == 3
    for each in seen:
        assert each["first_seen"] == "2026-07-02T00:00:00.000Z"
        assert each["last_seen"] == "2026-07-15T00:00:00.000Z"
        assert each["count"] == 81_000
        assert each["where_sighted_refs"] == [provider_id("Example Models")]
        assert each["object_marking_refs"] == [Marking.AMBER.id]


def test_sightings_bear_the_stricter_marking() -> None:
    tips = received([handed(indicator(named("own c-0000000001 opening"), object_marking_refs=[Marking.RED.id]))]).tips
    objects = sightings(findings(), tips, Terms(Marking.CLEAR), now=NOW)
    assert [each["object_marking_refs"] for each in objects if each["type"] == "sighting"] == [[Marking.RED.id]]
    assert Marking.RED.id in {each["id"] for each in objects}


def test_nothing_is_said_of_what_was_not_met_or_no_longer_holds() -> None:
    tips = received([handed(indicator(), indicator(named("own c-0000000003 opening"), number=2))]).tips  # 3 is watched
    assert sightings(findings(), tips, TERMS, now=NOW) == []
    old = received([handed(indicator(named("own c-0000000001 opening")))]).tips
    assert sightings(findings(), old, TERMS, now=NOW + LONGEST) == []


def test_a_dispute_is_an_opinion() -> None:
    tips = received([handed(indicator())]).tips
    objects = sightings(findings(), tips, TERMS, now=NOW, disputed=[tips[0].id])
    leaving.held_to(objects, TERMS)
    assert [each["opinion"] for each in objects if each["type"] == "opinion"] == ["disagree"]
    assert received([handed(indicator(), *objects)]).tips[0].disputed_by == ("Example Models",)
    with pytest.raises(ShareError, match="no tip was received"):
        sightings(findings(), tips, TERMS, now=NOW, disputed=["indicator--x"])


def test_the_providers_own_key_is_not_shared(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY.hex())
    key.chmod(0o600)
    done = stillwatch("scan", tmp_path, "--key-file", key, "--shared-key", key)
    assert done.returncode == 2
    assert b"the key to share is the provider's own" in done.stderr


def test_the_commands(tmp_path: Path) -> None:
    found, tips, out = tmp_path / "found.json", tmp_path / "tips.json", tmp_path / "seen.json"
    today = datetime.now(UTC)
    recent = findings(
        *(replace(campaign(each), first_seen=today - timedelta(days=9), last_seen=today) for each in (1, 2))
    )
    recent = replace(recent, scan=replace(recent.scan, last=today))
    found.write_bytes(to_json(recent))
    tips.write_bytes(bundle.to_json(export(recent, TERMS).objects))
    done = stillwatch("share", "sightings", found, "--tips", tips, "--approver", "A. Person", "-o", out)
    assert done.returncode == 0, done.stderr
    assert b"tips: 6 received" in done.stderr
    assert sum(each["type"] == "sighting" for each in json.loads(out.read_bytes())["objects"]) == 6
    assert json.loads((tmp_path / "seen.json.approval.json").read_bytes())["what"] == "sightings"
    none = stillwatch("share", "sightings", found, "--tips", tmp_path / "no.json", "--dry-run")
    assert none.returncode == 3
    assert b"no.json: cannot be read" in none.stderr
    assert tips_told([tips], quiet=True)


def test_the_report_says_who_told_what() -> None:
    told = Told(
        "Example\x1b[31m Models", "tips.json", ("indicator--1",), 2.55, "knows from a campaign: a mark", "TLP:AMBER"
    )
    page = io.StringIO()
    print_findings(findings(replace(campaign(), told=(told,))), console_on(page, width=200))
    assert "by Example\\x1b[31m Models (tips.json, TLP:AMBER): knows from a campaign: a mark." in page.getvalue()
    assert "lowered what a campaign needs by 2.5" in page.getvalue() or "by 2.6 bits" in page.getvalue()


def shuffled(objects: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    mixed = list(objects)
    random.Random(seed).shuffle(mixed)  # noqa: S311  no secret
    return mixed


@given(st.integers(0, 1_000))
def test_the_order_of_objects_does_not_matter(seed: int) -> None:
    objects = export(findings(), TERMS).objects
    one, other = received([handed(*objects)]).tips, received([handed(*shuffled(objects, seed))]).tips
    assert sorted(one, key=lambda tip: tip.id) == sorted(other, key=lambda tip: tip.id)
