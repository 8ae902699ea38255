"""Whose an account is, when it is counted what becomes of it: a campaign's, a watched cohort's, or honest. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from stillwatch.verdicts.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stillwatch.verdicts.evidence import Findings

OTHER: Final = "other"  # the kind of honest accounts that belong to no cohort


class Group(IntEnum):
    """To whom an account is counted."""

    HONEST = 0  # as far as anybody knows
    CAMPAIGN = 1
    WATCHED = 2


@dataclass(frozen=True, slots=True)
class Party:
    """Whose one account is.

    Attributes:
        group: to whom it is counted.
        name: the campaign, or the kind of an honest one.

    """

    group: Group = Group.HONEST
    name: str = OTHER


_GROUPS: Final = {Verdict.CAMPAIGN: Group.CAMPAIGN, Verdict.WATCH: Group.WATCHED, Verdict.CLEARED: Group.HONEST}


def by_findings(findings: Findings) -> dict[str, Party]:
    """Tell whose the accounts of findings are; one that is in several belongs to the gravest."""
    known: dict[str, Party] = {}
    for verdict, group in _GROUPS.items():
        for finding in findings.campaigns:
            if finding.verdict is verdict:
                party = Party(group, (finding.kind or OTHER) if group is Group.HONEST else finding.id)
                for member in finding.accounts:
                    known.setdefault(member.account, party)
    return known


def by_truth(campaign: Mapping[str, str], kind: Mapping[str, str]) -> dict[str, Party]:
    """Tell whose the accounts of a made log are: the campaign of each, empty for none, and its kind."""
    return {
        account: Party(Group.CAMPAIGN, name) if name else Party(name=kind.get(account) or OTHER)
        for account, name in campaign.items()
    }
