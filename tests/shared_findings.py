"""Findings for the tests of sharing: named as a scan names them, under the provider's key and a group's."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

from tests.strategies import finding, sample

from stillwatch.marks.key import name_key
from stillwatch.verdicts.evidence import Finding, Findings, MarkShare, Verdict

GROUP = bytes(range(32))
GROUP_ID = name_key(GROUP)
FAMILIES = ("system", "opening", "client", "address", "card", "mail", "prompt", "behaviour", "organization")


def named(text: str) -> str:
    """A mark's name, as a scan makes it of something."""
    return base64.b32encode(hashlib.blake2b(text.encode(), digest_size=10).digest()).decode().lower()


def campaign(number: int = 1, *, verdict: Verdict = Verdict.CAMPAIGN, accounts: int = 40) -> Finding:
    """A campaign that bears one mark of each of many families."""
    name = f"c-{number:010x}"
    marks = tuple(
        MarkShare(each, named(f"own {name} {each}"), accounts, 900, {GROUP_ID: named(f"group {name} {each}")})
        for each in FAMILIES
    )
    evidence = sample().campaigns[0].evidence
    return replace(finding(name, verdict, accounts=accounts, evidences=evidence), marks=marks)


def findings(*campaigns: Finding) -> Findings:
    """The outcome of a scan that found these."""
    return Findings(sample().scan, campaigns or (campaign(1), campaign(2), campaign(3, verdict=Verdict.WATCH)))
