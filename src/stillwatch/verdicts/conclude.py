"""From judged cohorts to findings: names, sentences, members and marks. Pure; touches nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.cohorts.members import SAYS
from stillwatch.cohorts.streams import accounts_bearing
from stillwatch.marks.families import FAMILIES, Kind
from stillwatch.marks.key import name_cohort, name_key, name_mark
from stillwatch.verdicts.evidence import AccountEvidence, Evidence, Family, Finding, MarkShare, Member, Verdict
from stillwatch.verdicts.innocent import EXPLANATIONS, innocent_kind
from stillwatch.verdicts.known import known_by
from stillwatch.verdicts.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stillwatch.cohorts.members import Membership
    from stillwatch.cohorts.population import Population
    from stillwatch.verdicts.judge import Judge, Judged, Judgement

_Borne = tuple[str, int, int, int]  # family, mark, accounts, exchanges
LEFT_OUT = 50  # accounts put out of a cohort that a finding still explains
MARKS = 12  # marks that a finding lists
SOUGHT = 0.25  # share of requests from which something is said to be sought
LASTING = 0.8  # share of members that must bear a mark for the cohort to be known by it
_SLIGHT = 0.3  # bits; less is not worth a line
_REASONS = 8

_SEEKS = (
    ("sweeps", "token probabilities"),
    ("wants_reasoning", "reasoning"),
    ("wants_rubric", "grading"),
    ("wants_cleaning", "traces"),
    ("wants_tools", "tool use"),
    ("wants_synthesis", "training data"),
)


class Conclusion:
    """Writes the findings of one judgement."""

    def __init__(self, judge: Judge, judgement: Judgement, key: bytes, shared: Sequence[bytes] = ()) -> None:
        self._judge, self._judgement, self._key = judge, judgement, key
        self._shared = {name_key(each): each for each in shared}
        self._population: Population = judge.population
        self._names = judge.profiles.names

    def findings(self) -> tuple[Finding, ...]:
        """All findings: campaigns, watched, cleared; strongest first inside each."""
        order = list(Verdict)
        known: dict[tuple[str, int], int] = {}
        made = []
        cohorts = sorted(self._judgement.cohorts, key=lambda each: -len(each.members))
        recognised = known_by(self._population, cohorts, self._key)
        for index, cohort in enumerate(cohorts):
            borne = self._borne(cohort)
            family, mark = self._known_by(cohort, borne)
            # of cohorts that one mark is known by the largest has it for a name; the next are its second, its third
            place = known[family, mark] = known.get((family, mark), 0) + 1
            name = name_cohort(self._key, family if place == 1 else f"{family} {place}", mark)
            made.append(replace(self._finding(cohort, name, borne), known_by=recognised.get(index)))
        return tuple(sorted(made, key=lambda finding: (order.index(finding.verdict), -finding.bits, finding.id)))

    def _finding(self, cohort: Judged, name: str, borne: list[_Borne]) -> Finding:
        members = self._members(cohort)
        first, last = cohort.figures["first"][0], cohort.figures["last"][0]
        cleared = cohort.verdict is Verdict.CLEARED
        return Finding(
            id=name,
            verdict=cohort.verdict,
            kind=innocent_kind(cohort.figures) if cleared else "distillation",
            reason=cohort.reason,
            bits=float(cohort.scores.total[0]),
            p_value=cohort.p_value,
            q_value=cohort.q_value,
            first_seen=_moment(first),
            last_seen=_moment(last),
            exchanges=int(cohort.figures["exchanges"][0]),
            input_tokens=int(cohort.figures["total_input"][0]),
            output_tokens=int(cohort.figures["total_output"][0]),
            seeks=self._seeks(cohort),
            accounts=members,
            marks=self._marks(borne),
            evidence=self._evidence(cohort),
            left_out=() if cleared else self._left_out(cohort),
            told=cohort.told,
        )

    # ------------------------------------------------------------------ accounts

    def _members(self, cohort: Judged) -> tuple[Member, ...]:
        kept = np.flatnonzero(cohort.membership.kept)
        order = kept[
            np.lexsort(
                (
                    self._population.accounts.name[cohort.membership.accounts[kept]].astype(str),
                    -cohort.membership.bits[kept],
                )
            )
        ]
        return tuple(self._member(cohort, int(place)) for place in order)

    def _left_out(self, cohort: Judged) -> tuple[Member, ...]:
        out = np.flatnonzero(~cohort.membership.kept)
        order = out[np.argsort(-cohort.membership.bits[out], kind="stable")][:LEFT_OUT]
        return tuple(self._member(cohort, int(place)) for place in order)

    def _member(self, cohort: Judged, place: int) -> Member:
        population, membership = self._population, cohort.membership
        account = int(membership.accounts[place])
        begin, end = population.edges[account], population.edges[account + 1]
        second = population.columns["second"]
        bits = float(membership.bits[place])
        return Member(
            account=str(population.accounts.name[account]),
            membership=float(1.0 / (1.0 + 2.0 ** -np.clip(bits, -60.0, 60.0))),
            bits=bits,
            first_seen=_moment(float(second[begin])),
            last_seen=_moment(float(second[end - 1])),
            exchanges=int(end - begin),
            harvest_exchanges=int(np.searchsorted(cohort.rows, end) - np.searchsorted(cohort.rows, begin)),
            evidence=self._reasons(membership, place),
        )

    def _reasons(self, membership: Membership, place: int) -> tuple[AccountEvidence, ...]:
        parts = membership.parts[place]
        order = np.argsort(-np.abs(parts), kind="stable")[:_REASONS]
        return tuple(
            AccountEvidence(
                reason=self._names[index],
                bits=float(parts[index]),
                says=f"{SAYS[self._names[index]]}: {'as' if parts[index] > 0 else 'unlike'} the other members",
            )
            for index in order
            if abs(parts[index]) >= _SLIGHT
        )

    # ------------------------------------------------------------------ evidence

    def _evidence(self, cohort: Judged) -> tuple[Evidence, ...]:
        on = self._judgement.baseline.name
        made = [
            Evidence(signal.id, signal.family, float(bits), signal.says(cohort.figures), signal.innocent_reading, on)
            for signal, bits in zip(SIGNALS, cohort.scores.signals[0], strict=True)
            if abs(bits) >= _SLIGHT
        ]
        made.sort(key=lambda evidence: (list(Family).index(evidence.family), -evidence.bits))
        for explanation in EXPLANATIONS:
            if not explanation.fits(cohort.figures)[0]:
                continue
            for index, family in enumerate(Family):
                taken = float(cohort.scores.explained[0, index])
                if family in explanation.families and taken < 0:
                    made.append(Evidence(explanation.id, family, taken, explanation.says, explanation.says, on))
        if not made:
            made.append(
                Evidence("none", Family.WORK, 0.0, "no signal stands out", "ordinary users who share a mark", on)
            )
        return tuple(made)

    def _seeks(self, cohort: Judged) -> tuple[str, ...]:
        figures = cohort.figures
        found = [(float(figures[name][0]), says) for name, says in _SEEKS if figures[name][0] >= SOUGHT]
        if figures["with_tools"][0] >= 0.5 and not any(says == "tool use" for _, says in found):
            found.append((float(figures["with_tools"][0]), "tool use"))
        return tuple(says for _, says in sorted(found, reverse=True)) or ("answers",)

    # ------------------------------------------------------------------ marks

    def _marks(self, borne: list[_Borne]) -> tuple[MarkShare, ...]:
        shares = [
            MarkShare(family, name_mark(self._key, family, mark), accounts, exchanges, self._names_of(family, mark))
            for family, mark, accounts, exchanges in borne
        ]
        shares.sort(key=lambda share: (-share.accounts, -share.exchanges, share.family, share.mark))
        return tuple(shares[:MARKS])

    def _names_of(self, family: str, mark: int) -> dict[str, str]:
        """Name a mark under each key that is shared with others."""
        return {name: name_mark(key, family, mark) for name, key in self._shared.items()}

    def _known_by(self, cohort: Judged, borne: list[_Borne]) -> tuple[str, int]:
        """The mark that names the cohort: the first family's that nearly all members bear and few others do."""
        survey, members = self._judge.survey, len(cohort.members)
        most: dict[str, tuple[int, int]] = {}
        for family, mark, accounts, _ in borne:
            if accounts > most.get(family, (0, 0))[0]:
                most[family] = (accounts, mark)
        for known in FAMILIES:
            if known.kind in (Kind.CONTINUATION, Kind.BEHAVIOUR) or known.name not in most:
                continue
            accounts, mark = most[known.name]
            if accounts >= LASTING * members and accounts_bearing(self._population, known.name, mark) <= 2 * members:
                return known.name, mark
        return survey.names[survey.family[cohort.stream]], int(survey.mark[cohort.stream])

    def _borne(self, cohort: Judged) -> list[_Borne]:
        """Marks that several members bear, the most borne of each family."""
        population = self._population
        account = population.columns["account"][cohort.rows]
        found = []
        for family in FAMILIES:
            layers = population.layers(family.name, cohort.rows)
            found += _most_borne(family.name, np.concatenate(layers), np.tile(account, len(layers)))
        return found


def _most_borne(family: str, marks: NDArray[np.generic], account: NDArray[np.generic]) -> list[_Borne]:
    known = marks != 0
    if not known.any():
        return []
    order = np.lexsort((account[known], marks[known]))
    marks, account = marks[known][order], account[known][order]
    fresh = np.r_[True, marks[1:] != marks[:-1]]
    which = np.cumsum(fresh) - 1
    exchanges = np.bincount(which)
    accounts = np.bincount(which, weights=(fresh | np.r_[True, account[1:] != account[:-1]])).astype(np.int64)
    best = np.lexsort((marks[fresh], -exchanges, -accounts))[:2]
    return [
        (family, int(marks[fresh][place]), int(accounts[place]), int(exchanges[place]))
        for place in best
        if accounts[place] >= 2
    ]


def _moment(second: float) -> datetime:
    return datetime.fromtimestamp(float(second), tz=UTC)
