"""The verdict: which cohorts are campaigns. Pure; touches nothing.

The order, a step a paragraph of `judge`:

    1  score       every stream's evidence against the baseline
    2  candidates  streams with evidence on both sides: what is asked, and how accounts act as one; strongest first
    3  widen       of the views of one cohort, take the one that holds most of it
    4  members     put out accounts that do not belong, on their own merits; measure again what is left
    5  accuse      both sides and the total must hold for the members alone; then they leave all other streams
    6  again       all accused are scored once more against a baseline without them; what no longer holds is let go
    7  join        findings that are one operator's become one
    8  q-values    over all cohorts looked at

Cohorts are tested, never single accounts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.cohorts.members import Membership, Profiles, belong, profile
from stillwatch.cohorts.streams import LEAST_ACCOUNTS, LEAST_EXCHANGES
from stillwatch.stats import false_discovery_rates
from stillwatch.verdicts.baseline import Baseline, Scores, fit
from stillwatch.verdicts.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stillwatch.cohorts.survey import Candidates, Figures, Survey, Surveyor


WIDER = 0.7  # share of the evidence that a wider view of a cohort must keep
KEEPS = 0.6  # the same for every family by itself: a view that mixes two queues loses what made either stand out
HOLDS = 0.8  # share of a view's accounts that a wider one must hold


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What can change a finding.

    Attributes:
        side: bits that each side needs: what is asked, and how accounts act as one. 3 bits come up by chance in one
            cohort of eight at most, on each side.
        total: bits that a campaign needs in all.
        watch: bits from which a cohort is watched.
        false_discoveries: rate of false campaigns that is accepted (q-value).
        member: bits from which an account belongs.
        without: ids of signals, or names of families, that are switched off.
    """

    side: float = 3.0
    total: float = 12.0
    watch: float = 10.0
    false_discoveries: float = 0.05
    member: float = 3.0
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
    """Judges the cohorts of one survey."""

    def __init__(
        self,
        surveyor: Surveyor,
        survey: Survey,
        *,
        settings: ScanSettings,
        baseline: Baseline | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._surveyor, self._survey, self._settings = surveyor, survey, settings
        self._given = baseline
        self._progress = progress
        self._profiles: Profiles = profile(surveyor.population, surveyor)
        self._out = np.zeros(len(surveyor.population.accounts.name), np.bool_)

    def judge(self) -> Judgement:
        """Run the steps."""
        survey, settings = self._survey, self._settings
        baseline = self._given or fit(survey, name="", ordinary=None)
        scores = baseline.score(survey.figures, settings.without)
        accused = self._accuse(baseline, scores)
        if self._given is None:
            ordinary = self._untouched()
            baseline = fit(survey, name="", ordinary=ordinary)
        else:
            ordinary = np.ones(len(survey), np.bool_)
        scores = baseline.score(survey.figures, settings.without)
        accused = [self._scored(cohort, baseline) for cohort in accused]
        tested = max(baseline.cohorts, 1) if self._given is None else len(np.unique(survey.leader))
        return Judgement(self._decided(accused, baseline, tested), baseline, tested)

    # ------------------------------------------------------------------ steps

    def _accuse(self, baseline: Baseline, scores: Scores) -> list[Judged]:
        survey, settings = self._survey, self._settings
        strong = (
            (scores.content >= settings.side)
            & (scores.coordination >= settings.side)
            & (scores.total >= settings.watch)
        )
        candidates = survey.pick(np.flatnonzero(strong)[np.argsort(-scores.total[strong], kind="stable")])
        totals = scores.total[candidates.stream]
        accused: list[Judged] = []
        spent = np.zeros(len(totals), np.bool_)
        for place in range(len(totals)):
            if spent[place]:
                continue
            for view in self._views(place, candidates, scores, ~spent):
                spent[view] = True
                cohort = self._tried(int(candidates.stream[view]), baseline)
                if cohort is not None:
                    accused.append(cohort)
                    self._out[cohort.members] = True
                    # what has lost half its accounts to a finding is a view of it
                    spent |= candidates.counts(self._out) > 0.5 * candidates.sizes
                    break
        return accused

    def _views(
        self,
        place: int,
        candidates: Candidates,
        scores: Scores,
        open_: NDArray[np.bool_],
    ) -> list[int]:
        """Ever wider views of one cohort, the widest first: each holds most of the last, and is the strongest that does."""
        totals = scores.total[candidates.stream]
        near = open_ & (totals >= WIDER * totals[place])
        families = np.maximum(scores.families[candidates.stream], 0.0)[:, :4]
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

    def _tried(self, stream: int, baseline: Baseline) -> Judged | None:
        """Purify a stream and measure it again; None if it is no longer a candidate."""
        survey, settings = self._survey, self._settings
        accounts = survey.accounts(stream)
        accounts = accounts[~self._out[accounts]]
        membership = belong(self._profiles, accounts, self._out, settings.member)
        if membership.kept.sum() < LEAST_ACCOUNTS:
            return None
        among = np.zeros(len(self._out), np.bool_)
        among[membership.accounts[membership.kept]] = True
        rows = self._surveyor.rows(survey.names[survey.family[stream]], int(survey.mark[stream]), among)
        if len(rows) < LEAST_EXCHANGES:
            return None
        figures, _ = self._surveyor.one(rows)
        scores = baseline.score(figures, settings.without)
        if not self._holds(scores, settings.watch):
            return None
        return Judged(stream, rows, membership, figures, scores, Verdict.WATCH)

    def _holds(self, scores: Scores, total: float) -> bool:
        side = self._settings.side
        return bool(scores.content[0] >= side and scores.coordination[0] >= side and scores.total[0] >= total)

    def _untouched(self) -> NDArray[np.bool_]:
        """Streams that hardly any accused account is in."""
        survey = self._survey
        everything = survey.pick(np.arange(len(survey)))
        return np.asarray(everything.counts(self._out) <= 0.2 * everything.sizes)

    def _scored(self, cohort: Judged, baseline: Baseline) -> Judged:
        scores = baseline.score(cohort.figures, self._settings.without)
        return replace(cohort, scores=scores, p_value=float(baseline.p_values(scores.total)[0]))

    def _decided(self, cohorts: list[Judged], baseline: Baseline, tested: int) -> tuple[Judged, ...]:
        settings = self._settings
        q_values = false_discovery_rates(np.array([cohort.p_value for cohort in cohorts]), tests=tested)
        decided = []
        for cohort, q in zip(cohorts, q_values, strict=True):
            held = self._holds(cohort.scores, settings.total) and q <= settings.false_discoveries
            decided.append(replace(cohort, q_value=float(q), verdict=Verdict.CAMPAIGN if held else Verdict.WATCH))
        return tuple(decided)
