"""The verdict: which cohorts are campaigns. Pure; touches nothing.

The order, a step a paragraph of `judge`:

    1  score       every stream's evidence against the baseline
    2  candidates  streams with evidence on both sides: what is asked, and how accounts act as one; strongest first
    3  widen       of the views of one cohort, take the one that holds most of it
    4  members     put out accounts that do not belong, on their own merits; measure again what is left
    5  accuse      both sides and the total must hold for the members alone; then they leave all other streams
    6  join        findings that are one operator's become one
    7  decide      held against a baseline that none of them is in, over all cohorts looked at
    8  again       without the campaigns the baseline is cleaner: what was hidden behind them is looked for, until
                   nothing more is found; cohorts to watch come back first, lest innocents are peeled off one by one

Cohorts are tested, never single accounts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.cohorts.members import (
    SHARED_CAP,
    Membership,
    Ordinary,
    Profiles,
    belong,
    bits_beside,
    likeness,
    ordinary,
    profile,
)
from stillwatch.cohorts.streams import LEAST_ACCOUNTS, LEAST_EXCHANGES
from stillwatch.stats import false_discovery_rates
from stillwatch.verdicts.baseline import Baseline, Scores, fit
from stillwatch.verdicts.evidence import Family, Verdict
from stillwatch.verdicts.hearsay import weights
from stillwatch.verdicts.innocent import EXPLANATIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stillwatch.cohorts.survey import Candidates, Figures, Survey, Surveyor
    from stillwatch.verdicts.evidence import Told
    from stillwatch.verdicts.hearsay import Hearsay


WATCHED = 0.5  # q-value up to which a cohort that is not accused is watched
ROUNDS = 6  # at most, of looking for what was hidden behind campaigns
PART = 0.1  # share of a cohort from which accounts with an identity of their own may be a cohort of their own
STRANGERS = 0.5  # share that must pass as members of the other part for the two to stay together
OWN = 0.5  # share of a stream's accounts that must be a cohort's for the stream to lead to more of it
REACH = 0.2  # share of the cohort's accounts that the stream must hold
LEADS = 6  # such streams that are followed
ALIKE = 0.8  # share of one cohort's accounts that must pass as members of another for both to be one operator's
CLEARED_MOST = 60  # cleared cohorts that are reported
CLEARED_LEAST = 20  # accounts from which a cohort that shares a system prompt in the open is worth naming
CLEARED_ACCOUNTS = 5_000
_SHARED_IN_THE_OPEN = ("system", "organization")
_HELD = [list(Family).index(family) for family in (Family.WORK, Family.DEALING)]  # what the mark itself does not bring
WIDER = 0.7  # share of the evidence that a wider view of a cohort must keep
STAYS = 0.8  # share of the evidence that its members must keep once they are measured by themselves
KEEPS = 0.6  # the same for every family by itself: a view that mixes two queues loses what made either stand out
HOLDS = 0.8  # share of a view's accounts that a wider one must hold


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What can change a finding.

    Attributes:
        side: bits that each side needs to be looked at: what is asked, and how accounts act as one. 3 bits come up by
            chance in one cohort of eight at most, on each side.
        acting: bits that acting as one needs for a campaign. Work that looks dealt is common among the innocent (public
            data sets, pipelines, paid workers), a few dozen cohorts in a large log, and none of them may stand accused
            because its accounts also met by chance: 5 bits come up in one of 32 at most.
        total: bits that a campaign needs in all, at the least; more where many cohorts are looked at.
        watch: bits from which a cohort is watched.
        false_discoveries: rate of false campaigns that is accepted (q-value).
        member: bits from which an account belongs.
        newcomer: bits from which an account belongs that does not bear the mark by which the cohort was found.
        without: ids of signals, or names of families, that are switched off.
    """

    side: float = 3.0
    acting: float = 5.0
    total: float = 12.0
    watch: float = 10.0
    false_discoveries: float = 0.05
    member: float = 3.0
    newcomer: float = 12.0
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judged:
    """One cohort, judged.

    Attributes:
        stream: the stream it was found by; index into the survey.
        rows: exchanges of its members that bear the mark.
        membership: of the stream's accounts.
        figures: of the members' exchanges, one line.
        scores: one line.
        verdict: campaign, watch or cleared.
        p_value: against the baseline's cohorts.
        q_value: over all cohorts looked at.
        reason: what decided it.
        told: what others say about it.
    """

    stream: int
    rows: NDArray[np.int64]
    membership: Membership
    figures: Figures
    scores: Scores
    verdict: Verdict
    p_value: float = 1.0
    q_value: float = 1.0
    reason: str = ""
    told: tuple[Told, ...] = ()

    @property
    def members(self) -> NDArray[np.int32]:
        """Accounts that belong."""
        return self.membership.accounts[self.membership.kept]


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that a scan concluded.

    Attributes:
        cohorts: accused, watched and cleared.
        baseline: that they were held against.
        tested: number of cohorts looked at.
    """

    cohorts: tuple[Judged, ...]
    baseline: Baseline
    tested: int


class Judge:
    """Judges the cohorts of one survey.

    Attributes:
        population: the log.
        survey: its streams.
        profiles: its accounts' properties.
    """

    def __init__(
        self,
        surveyor: Surveyor,
        survey: Survey,
        *,
        settings: ScanSettings,
        baseline: Baseline | None = None,
        hearsay: Hearsay | None = None,
    ) -> None:
        self._surveyor, self._settings, self._given, self._hearsay = surveyor, settings, baseline, hearsay
        self.population, self.survey = surveyor.population, survey
        self.profiles: Profiles = profile(self.population, surveyor)
        self._everything = survey.pick(np.arange(len(survey)))
        self._out = np.zeros(len(self.population.accounts.name), np.bool_)
        self._counted = ordinary(self.profiles, self._out)

    def judge(self) -> Judgement:
        """Run the steps."""
        survey, settings = self.survey, self._settings
        if not len(survey):
            return Judgement((), self._given or self._fitted(None), 0)
        baseline = self._given or self._fitted(None)
        campaigns: list[Judged] = []
        for _ in range(ROUNDS):
            known = len(campaigns)
            accused = campaigns + self._accuse(baseline, baseline.score(survey.figures, settings.without))
            judged, beside = self._held_against(accused)
            campaigns = [cohort for cohort in judged if cohort.verdict is Verdict.CAMPAIGN]
            if self._given is not None or len(campaigns) == known:
                break
            self._keep_out(campaigns)
            baseline = self._fitted(self._untouched())
        tested = self._tested(judged)
        return Judgement((*judged, *self._cleared(beside, tested)), beside, tested)

    # ------------------------------------------------------------------ steps

    def _accuse(self, baseline: Baseline, scores: Scores) -> list[Judged]:
        """Steps 2 to 5."""
        survey, settings = self.survey, self._settings
        strong = np.flatnonzero(self._strong(scores))
        strong = strong[np.lexsort((-survey.figures["exchanges"][strong], -self._ranked(strong, scores)))]
        candidates = survey.pick(strong)
        accused: list[Judged] = []
        spent = np.zeros(len(strong), np.bool_)
        for place in range(len(strong)):
            if spent[place]:
                continue
            known = len(accused)
            views = self._views(place, candidates, scores, ~spent)
            spent[views] = True
            for cohort in self._best([int(strong[view]) for view in views], scores, baseline):
                whole = self._completed(cohort, baseline)
                accused.append(whole)
                self._out[whole.members] = True
            if len(accused) > known:
                # what has lost half its accounts to a finding is a view of it; what has lost some must hold without
                lost = candidates.counts(self._out)
                spent |= lost > 0.5 * candidates.sizes
                rest = np.flatnonzero(~spent & (lost > 0))
                figures = self._surveyor.left(survey, strong[rest], ~self._out)
                spent[rest] = ~self._strong(baseline.score(figures, settings.without))
        return accused

    def _ranked(self, streams: NDArray[np.int64], scores: Scores) -> NDArray[np.float64]:
        """What streams are looked at in the order of: their evidence, and what others say."""
        total = scores.total[streams]
        if self._hearsay is None:
            return total
        families = [self.survey.names[family] for family in self.survey.family[streams]]
        return np.asarray(total + self._hearsay.priority(families, self.survey.mark[streams]))

    def _strong(self, scores: Scores) -> NDArray[np.bool_]:
        """Which streams have evidence on both sides, and enough in all to be watched."""
        side = self._settings.side
        both = (scores.content >= side) & (scores.coordination >= side)
        return np.asarray(both & (scores.total >= self._settings.watch))

    def _views(self, place: int, candidates: Candidates, scores: Scores, open_: NDArray[np.bool_]) -> list[int]:
        """Ever wider views of one cohort, widest first: each holds most of the last, and is the strongest that does."""
        totals = scores.total[candidates.stream]
        families = np.maximum(scores.families[candidates.stream], 0.0)[:, _HELD]
        near = open_ & (totals >= WIDER * totals[place])
        sizes = candidates.counts(~self._out)
        views = [place]
        while True:
            own = np.zeros(len(self._out), np.bool_)
            own[candidates.accounts(views[0])] = True
            own &= ~self._out
            size = own.sum()
            wider = np.flatnonzero(near & (sizes >= max(1.25 * size, size + 1)))
            wider = wider[candidates.counts(own)[wider] >= HOLDS * size]
            wider = wider[(families[wider] >= KEEPS * families[views[0]]).all(axis=1)]
            if not len(wider):
                return views
            views.insert(0, int(wider[np.lexsort((sizes[wider], totals[wider]))[-1]]))

    def _best(self, views: list[int], scores: Scores, baseline: Baseline) -> list[Judged]:
        """What the widest view holds that is as strong as the narrowest promised; else what the strongest one holds."""
        best: list[Judged] = []
        promised = scores.pick(np.array([views[-1]]))
        for view in views:
            found = self._tried(view, baseline)
            if any(_as_strong(cohort.scores, promised) for cohort in found):
                return found
            if _strongest(found) > _strongest(best):
                best = found
        return best

    def _tried(self, stream: int, baseline: Baseline) -> list[Judged]:
        """Purify a stream, take it apart if it is several operators', and measure again; those that still hold."""
        accounts = self.survey.accounts(stream)
        accounts = accounts[~self._out[accounts]]
        held = []
        for part in self._parts(accounts):
            cohort = self._measured(stream, part, baseline)
            if cohort is not None and self._strong(cohort.scores).all():
                held.append(cohort)
        return held

    def _completed(self, cohort: Judged, baseline: Baseline) -> Judged:
        """Take in accounts that other marks of the cohort lead to and that belong on their own merits.

        Accounts that were banned within hours, say, have too little of one mark and all of another.
        """
        survey, out = self.survey, self._out
        own = np.zeros(len(out), np.bool_)
        own[cohort.members] = True
        held, size = self._everything.counts(own), self._everything.counts(~out)
        leads = np.flatnonzero((held >= OWN * size) & (held >= REACH * own.sum()) & (size > held))
        leads = leads[np.lexsort((survey.figures["exchanges"][leads], held[leads]))[::-1]][:LEADS]
        near = np.zeros(len(out), np.bool_)
        for lead in leads:
            near[survey.accounts(int(lead))] = True
        near &= ~own & ~out
        fresh = np.flatnonzero(near).astype(np.int32)
        if not len(fresh):
            return cohort
        bits, parts = bits_beside(self._ordinary(), cohort.members, fresh)
        old = cohort.membership
        kept = (bits >= self._settings.newcomer) & ~np.isin(fresh, old.accounts)  # who was put out stays out
        kept &= parts[:, : self.profiles.identity].sum(axis=1) >= SHARED_CAP  # habits alone make no newcomer
        if not kept.any():
            return cohort
        fresh, bits, parts = fresh[kept], bits[kept], parts[kept]
        accounts = np.concatenate([old.accounts, fresh])
        order = np.argsort(accounts, kind="stable")
        membership = Membership(
            accounts[order],
            np.concatenate([old.bits, bits])[order],
            np.concatenate([old.parts, parts])[order],
            np.concatenate([old.kept, np.ones(len(fresh), np.bool_)])[order],
        )
        among = np.zeros(len(out), np.bool_)
        among[fresh] = True
        bearing = [cohort.rows] + [
            self._surveyor.rows(survey.names[survey.family[lead]], int(survey.mark[lead]), among) for lead in leads
        ]
        whole = self._of_rows(cohort.stream, np.unique(np.concatenate(bearing)), membership, baseline)
        return whole if whole is not None and self._as_good(whole, cohort) else cohort

    def _parts(self, accounts: NDArray[np.int32]) -> list[Membership]:
        """Members of a stream; apart where accounts with one client, say, would not pass as members of the rest."""
        bound = self._settings.member
        waiting, parts = [accounts], []
        while waiting:
            accounts = waiting.pop(0)
            if len(accounts) < LEAST_ACCOUNTS:
                continue
            membership = belong(self._ordinary(), accounts, bound)
            members = accounts[membership.kept]
            cut = self._cut(members)
            if cut is None:
                parts.append(membership)
            else:
                waiting += [members[cut], members[~cut]]
        return parts

    def _cut(self, members: NDArray[np.int32]) -> NDArray[np.bool_] | None:
        """The members that share an identity and are strangers to the others on all properties, if there are such."""
        if len(members) < 2 * LEAST_ACCOUNTS:
            return None
        for property_ in range(self.profiles.identity):
            values = self.profiles.values[property_][members]
            known, counts = np.unique(values, return_counts=True)
            best = int(np.argmax(counts))
            share = counts[best] / len(members)
            if not PART <= share <= 1.0 - PART:
                continue
            cut = values == known[best]
            forth = likeness(self._ordinary(), members[cut], members[~cut], self._settings.member)
            back = likeness(self._ordinary(), members[~cut], members[cut], self._settings.member)
            if max(forth, back) < STRANGERS:
                return np.asarray(cut)
        return None

    def _measured(self, stream: int, membership: Membership, baseline: Baseline) -> Judged | None:
        """The members of a stream, measured by themselves; None if they are too few."""
        survey = self.survey
        if membership.kept.sum() < LEAST_ACCOUNTS:
            return None
        among = np.zeros(len(self._out), np.bool_)
        among[membership.accounts[membership.kept]] = True
        rows = self._surveyor.rows(survey.names[survey.family[stream]], int(survey.mark[stream]), among)
        return self._of_rows(stream, rows, membership, baseline)

    def _of_rows(
        self, stream: int, rows: NDArray[np.int64], membership: Membership, baseline: Baseline
    ) -> Judged | None:
        if len(rows) < LEAST_EXCHANGES:
            return None
        figures = self._surveyor.one(rows, self.survey, stream)
        return Judged(stream, rows, membership, figures, baseline.score(figures, self._settings.without), Verdict.WATCH)

    def _as_good(self, wider: Judged, narrower: Judged) -> bool:
        """Whether a cohort may be replaced by a wider one."""
        return _as_strong(wider.scores, narrower.scores) and bool(self._strong(wider.scores).all())

    def _fitted(self, ordinary: NDArray[np.bool_] | None) -> Baseline:
        """The log's own baseline."""
        return fit(self.survey, name=_own, ordinary=ordinary, without=self._settings.without)

    def _ordinary(self) -> Ordinary:
        """The accounts in no finding, counted anew only once findings have changed."""
        if not np.array_equal(self._counted.out, self._out):
            self._counted = ordinary(self.profiles, self._out)
        return self._counted

    def _untouched(self) -> NDArray[np.bool_]:
        """Streams that hardly any accused account is in."""
        return np.asarray(self._everything.counts(self._out) <= 0.2 * self._everything.sizes)

    def _scored(self, cohort: Judged, baseline: Baseline) -> Judged:
        scores = baseline.score(cohort.figures, self._settings.without)
        return replace(cohort, scores=scores, p_value=float(baseline.p_values(scores)[0]))

    def _joined(self, cohorts: list[Judged], baseline: Baseline) -> list[Judged]:
        """Step 6: cohorts whose accounts would be members of each other, on all properties, are one operator's."""
        joined: list[Judged] = []
        for cohort in cohorts:
            for place, other in enumerate(joined):
                if self._one_operator(other, cohort):
                    whole = self._put_together(other, cohort, baseline)
                    if whole is not None:
                        joined[place] = self._scored(whole, baseline)
                        break
            else:
                joined.append(cohort)
        return joined

    def _one_operator(self, one: Judged, other: Judged) -> bool:
        bound = self._settings.newcomer
        return (
            likeness(self._ordinary(), one.members, other.members, bound) >= ALIKE
            and likeness(self._ordinary(), other.members, one.members, bound) >= ALIKE
        )

    def _put_together(self, one: Judged, other: Judged, baseline: Baseline) -> Judged | None:
        parts = one.membership, other.membership
        accounts, first = np.unique(np.concatenate([part.accounts for part in parts]), return_index=True)
        membership = Membership(
            accounts,
            np.concatenate([part.bits for part in parts])[first],
            np.concatenate([part.parts for part in parts])[first],
            np.isin(accounts, np.concatenate([one.members, other.members])),
        )
        rows = np.union1d(one.rows, other.rows)
        whole = self._of_rows(one.stream, rows, membership, baseline)
        return whole if whole is not None and self._as_good(whole, one) else None

    def _held_against(self, cohorts: list[Judged]) -> tuple[list[Judged], Baseline]:
        """Steps 6 and 7: joined, scored by a baseline that none of them is in, decided."""
        self._keep_out(cohorts)
        baseline = self._given or self._fitted(self._untouched())
        joined = self._joined([self._scored(cohort, baseline) for cohort in cohorts], baseline)
        return list(self._decided(joined, self._tested(joined))), baseline

    def _keep_out(self, cohorts: list[Judged]) -> None:
        """Take the members of these cohorts, and of no others, out of all streams."""
        self._out[:] = False
        for cohort in cohorts:
            self._out[cohort.members] = True

    def _tested(self, cohorts: list[Judged]) -> int:
        """Number of cohorts looked at: those that are ordinary, and these."""
        self._keep_out(cohorts)
        return len(np.unique(self.survey.leader[self._untouched()])) + len(cohorts)

    def _decided(self, cohorts: list[Judged], tested: int) -> tuple[Judged, ...]:
        """Step 7."""
        settings = self._settings
        # an e-value of tests / rate is what Bonferroni asks of evidence in bits, whatever depends on what
        needed = max(settings.total, float(np.log2(max(tested, 1) / settings.false_discoveries)))
        p_values = np.array([cohort.p_value for cohort in cohorts])
        if self._hearsay is not None:
            cohorts = [self._told(cohort, self._hearsay) for cohort in cohorts]
            p_values = p_values / weights(np.array([_moved(cohort) for cohort in cohorts]), tested)
        q_values = false_discovery_rates(p_values, tests=tested)
        in_all = needed
        decided = []
        for cohort, q in zip(cohorts, q_values, strict=True):
            scores, needed = cohort.scores, max(settings.watch, in_all - _moved(cohort)) if cohort.told else in_all
            lacking = [
                *(["what is asked"] if scores.content[0] < settings.side else []),
                *(["how accounts act as one"] if scores.coordination[0] < settings.acting else []),
            ]
            if lacking:
                verdict = Verdict.WATCH if q <= WATCHED else Verdict.CLEARED
                reason = f"too little evidence on {' and on '.join(lacking)}"
            elif scores.total[0] < needed:
                verdict, reason = (
                    Verdict.WATCH,
                    f"{scores.total[0]:.1f} bits of evidence; among {tested:,} cohorts a campaign needs {needed:.1f}",
                )
            elif q > settings.false_discoveries:
                verdict = Verdict.WATCH if q <= WATCHED else Verdict.CLEARED
                reason = (
                    f"ordinary cohorts come near it: at this bound {min(q, 1.0):.0%} of findings would be false, "
                    f"and {settings.false_discoveries:.0%} are accepted"
                )
            else:
                verdict = Verdict.CAMPAIGN
                reason = "one queue of work dealt over accounts that act as one; no innocent explanation fits"
            decided.append(replace(cohort, q_value=float(q), verdict=verdict, reason=reason))
        return tuple(decided)

    def _told(self, cohort: Judged, hearsay: Hearsay) -> Judged:
        return replace(cohort, told=hearsay.about(self.population, cohort.members, cohort.rows))

    def _cleared(self, baseline: Baseline, tested: int) -> list[Judged]:
        """Cohorts that look coordinated at first sight and are not accused: each with what speaks for it."""
        survey, settings = self.survey, self._settings
        scores = baseline.score(survey.figures, settings.without)
        raw = scores.families - scores.explained
        order = list(Family)
        content = raw[:, [order.index(Family.WORK), order.index(Family.ASKING)]].max(axis=1)
        coordination = raw[:, [order.index(Family.DEALING), order.index(Family.LINKAGE)]].max(axis=1)
        open_ = self._untouched() & (np.diff(survey.bounds) <= CLEARED_ACCOUNTS)
        system = np.array([name in _SHARED_IN_THE_OPEN for name in survey.names])[survey.family]
        suspect = open_ & (np.minimum(content, coordination) >= settings.side)
        plain = open_ & system & (survey.figures["accounts"] >= CLEARED_LEAST)
        worth = np.where(suspect, 1000.0 + raw.sum(axis=1), np.where(plain, survey.figures["accounts"] / 1e6, -np.inf))
        taken = self._out.copy()
        cleared: list[Judged] = []
        for stream in np.lexsort((-survey.figures["exchanges"], -worth)):
            if not np.isfinite(worth[stream]) or len(cleared) >= CLEARED_MOST:
                break
            accounts = survey.accounts(int(stream))
            if taken[accounts].mean() > 0.5:
                continue
            taken[accounts] = True
            membership = belong(self._ordinary(), accounts, -np.inf)
            cohort = self._measured(int(stream), membership, baseline)
            if cohort is not None:
                p_value = float(baseline.p_values(cohort.scores)[0])
                fits = [each.says for each in EXPLANATIONS if each.fits(cohort.figures)[0]]
                cleared.append(
                    replace(
                        cohort,
                        verdict=Verdict.CLEARED,
                        p_value=p_value,
                        q_value=min(p_value * tested, 1.0),
                        reason="; ".join(fits) or "its accounts are as different from one another as people are",
                    )
                )
        return cleared


def _as_strong(scores: Scores, promised: Scores) -> bool:
    """Whether a wider cohort keeps what made a narrower one stand out, in all and family by family."""
    families, before = scores.families[0, _HELD], promised.families[0, _HELD]
    return bool(
        scores.total[0] >= STAYS * promised.total[0] and (families >= KEEPS * np.maximum(before, 0.0) - 0.5).all()
    )


def _moved(cohort: Judged) -> float:
    """Bits that others' word moves a cohort's odds by."""
    return sum(told.bits for told in cohort.told)


def _strongest(cohorts: list[Judged]) -> float:
    return max((float(cohort.scores.total[0]) for cohort in cohorts), default=-np.inf)


def _own(cohorts: int) -> str:
    return f"{cohorts:,} cohorts of this log itself (no baseline was given)"
