"""What sharing costs: a STIX export of so many indicators, and what it comes to beside plain `json.dumps` of the same.

    python bench/intel.py [--indicators N]

The bound is 20 s for 100,000 indicators on two cores.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import time
from datetime import UTC, datetime, timedelta

from stillwatch.intel import bundle, leaving
from stillwatch.intel.marking import Marking
from stillwatch.intel.receive import Handed, received
from stillwatch.intel.shareable import LEAVE
from stillwatch.intel.stix import Terms, export
from stillwatch.verdicts.evidence import (
    Evidence,
    Finding,
    Findings,
    MarkShare,
    Member,
    Rejected,
    Scan,
    Verdict,
)
from stillwatch.verdicts.signals import BY_ID

BOUND = 20.0  # seconds
PER_CAMPAIGN = len(LEAVE)
START = datetime(2026, 7, 1, tzinfo=UTC)


def name(text: str) -> str:
    """A mark's name of something."""
    return base64.b32encode(hashlib.blake2b(text.encode(), digest_size=10).digest()).decode().lower()


def findings(indicators: int) -> Findings:
    """Campaigns that bear so many marks together."""
    end = START + timedelta(days=30)
    evidence = tuple(Evidence(each.id, each.family, 2.0, "says", "innocent", "itself") for each in BY_ID.values())
    members = tuple(Member(f"account-{number}", 0.99, 9.0, START, end, 100, 90) for number in range(50))
    campaigns = tuple(
        Finding(
            id=f"c-{number:010x}",
            verdict=Verdict.CAMPAIGN,
            kind="distillation",
            reason="one queue",
            bits=20.0,
            p_value=1e-5,
            q_value=1e-3,
            first_seen=START,
            last_seen=end,
            exchanges=12_345,
            input_tokens=10**6,
            output_tokens=10**7,
            seeks=("reasoning",),
            accounts=members,
            marks=tuple(MarkShare(family, name(f"{number} {family}"), 50, 12_000) for family in LEAVE),
            evidence=evidence,
        )
        for number in range(-(-indicators // PER_CAMPAIGN))
    )
    scan = Scan(10**8, 10**6, START, end, Rejected(), (), (), "local", "itself", 10**5, {})
    return Findings(scan, campaigns)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--indicators", type=int, default=100_000)
    found = findings(parser.parse_args().indicators)
    terms = Terms(Marking.AMBER, "Example Models")

    begun = time.perf_counter()
    objects = export(found, terms).objects
    made = time.perf_counter()
    leaving.held_to(objects, terms)
    held = time.perf_counter()
    data = bundle.to_json(objects)
    written = time.perf_counter()
    json.dumps({"type": "bundle", "objects": objects})
    plain = time.perf_counter() - written
    indicators = sum(each["type"] == "indicator" for each in objects)
    print(f"{indicators:,} indicators, {len(objects):,} objects, {len(data) / 2**20:.0f} MiB")
    print(f"made {made - begun:.2f} s, held against the list {held - made:.2f} s, written {written - held:.2f} s")
    whole = written - begun
    print(
        f"whole export {whole:.2f} s (bound {BOUND:.0f} s); json.dumps of it {plain:.2f} s: {whole / plain:.1f} times"
    )

    raw = bundle.objects_in(data, where="bench", bounded=False)
    begun = time.perf_counter()
    got = received([Handed("bench", raw, datetime(2026, 9, 1, tzinfo=UTC))])
    print(f"received {len(got.tips):,} tips in {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
