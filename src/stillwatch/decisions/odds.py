"""How much it says that an account agrees with a campaign: a test that may be looked at whenever one likes. Pure.

A scan counts how far its ordinary accounts agree with each campaign. An account that comes later is met when its
agreement would be too rare among them. In e-values (Vovk and Wang, Annals of Statistics 49, 2021), made of ranks among
exchangeable accounts (conformal: Vovk, Gammerman and Shafer, 2005), so that no model of traffic is needed, and nothing
about how marks depend on one another.

Let n ordinary accounts and one more be exchangeable. Campaign c has M(c, k) of all n + 1 that agree in k traits or
more. Score an account by s = sum over c of 1 / M(c, its agreement with c)^2. No account is special in this, so that the
expectation of (n + 1) s / (sum of all scores) is 1 for the last as for any other. `evidence` is never larger: it takes
the score of one campaign only, and counts the other accounts' scores from above. So the chance that any campaign of
the scan ever gives an ordinary account 1 / a or more is at most a: one bound for all of them, since what is paid for
several campaigns is only what ordinary accounts have in common with them.

It holds at every look because agreement only grows: the highest evidence is the last. Over spans, each as long as the
scan's log, agreement starts anew and the accepted rate is shared out, most of it to an account's first span; over
several scans it is shared out evenly. These are sums of probabilities, so that nothing need be independent of anything.

docs/decisions/0009 has the proof in full, and what it takes for granted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from stillwatch.marks.traits import LEAST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST: Final = 0.8  # share of the rate that goes to an account's first span: successors show themselves at once


def evidence(agreeing: Mapping[str, Sequence[int]], ordinary: int) -> dict[str, tuple[float, ...]]:
    """E-value of agreeing with each campaign of one scan, by how far: in 2, 3 and 4 traits; in fewer it is 0.

    Args:
        agreeing: for each campaign, how many ordinary accounts agree in at least 2, 3 and 4 traits.
        ordinary: of how many.

    """
    own = {campaign: _scores(counts, 0) for campaign, counts in agreeing.items()}
    whole = sum(own.values())
    return {
        campaign: tuple(
            (ordinary + 1) / (1.0 + (whole - own[campaign] + _scores(counts, upto)) * (counts[upto - 1] + 1.0) ** 2)
            for upto in range(1, len(counts) + 1)
        )
        for campaign, counts in agreeing.items()
    }


def _scores(counts: Sequence[int], upto: int) -> float:
    """Sum of the ordinary accounts' scores for one campaign; in the first `upto` counts there is one account more."""
    total = 0.0
    for place, count in enumerate(counts):
        exactly = count - (counts[place + 1] if place + 1 < len(counts) else 0)
        if exactly:
            total += exactly / (count + (place < upto)) ** 2
    return total


def share_of_span(number: int) -> float:
    """Share of the accepted rate that goes to an account's first span (1), its second, ...; all together make 1."""
    return FIRST if number == 1 else (1.0 - FIRST) / (number * (number - 1))


def bits(e_value: float, *, span: int, scans: int) -> float:
    """Log2 odds against an account's being ordinary: evidence, less what looking in other spans and scans costs."""
    return math.log2(e_value * share_of_span(span) / scans) if e_value > 0 else -math.inf


def bits_needed(rate: float) -> float:
    """Bits from which an account is met, so that at most this share of ordinary accounts ever is."""
    return -math.log2(rate)


def accounts_needed(rate: float, scans: int = 1) -> int:
    """Ordinary accounts that a scan must have had for its campaigns to be met at this rate, at the least."""
    return math.ceil(scans / (FIRST * rate)) - 1


def agreement_needed(e_values: Sequence[float], rate: float, scans: int = 1) -> int | None:
    """Least agreement that an account is met for in its first span; None if no agreement is enough."""
    enough = (
        place + LEAST for place, each in enumerate(e_values) if bits(each, span=1, scans=scans) >= bits_needed(rate)
    )
    return next(enough, None)
