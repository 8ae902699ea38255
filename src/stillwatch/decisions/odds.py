"""How unlikely it is that an ordinary account agrees so far with a campaign, looked at whenever one likes. Pure.

A scan counts how far its ordinary accounts agree with each campaign. An account that comes later is met when so few of
them agree as far that this happens to an ordinary account at the accepted rate at most. The p-value is conformal, a
rank among exchangeable accounts (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005): no model of
traffic is needed, and nothing about how marks depend on one another.

Let N(c, k) of n ordinary accounts agree with campaign c in k traits or more. For an account that agrees with c in k

    p = (1 + sum over campaigns c' of the largest N(c', k') that is at most N(c, k) + 1) / (n + 1)

Of n + 1 exchangeable accounts, each held against the others, at most b have p <= b / (n + 1): take the one of them
whose N(c, k) is largest. Every other agrees with some campaign in a way that it shares with no more than that, so that
it is counted in the sum, which is b - 1 at most. So the chance for the one that comes last is b / (n + 1) at most, for
all campaigns of the scan together: several cost only what ordinary accounts have in common with them.

It holds at every look, because agreement only grows and p only falls: the lowest is the last. Over spans, each as long
as the scan's log, agreement starts anew and the accepted rate is shared out, most of it to an account's first span;
over several scans it is shared out evenly. These are sums of probabilities: nothing need be independent of anything.

docs/decisions/0009 says what this takes for granted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from stillwatch.marks.traits import LEAST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST: Final = 0.8  # share of the rate that goes to an account's first span: successors show themselves at once


def p_values(agreeing: Mapping[str, Sequence[int]], ordinary: int) -> dict[str, tuple[float, ...]]:
    """P-value of agreeing with each campaign of one scan in 2, 3 and 4 traits; in fewer it is 1.

    Args:
        agreeing: for each campaign, how many ordinary accounts agree in at least 2, 3 and 4 traits.
        ordinary: of how many.

    """

    def alike(count: int) -> int:
        return sum(max((each for each in counts if each <= count + 1), default=0) for counts in agreeing.values())

    return {
        campaign: tuple(min(1.0, (1 + alike(count)) / (ordinary + 1)) for count in counts)
        for campaign, counts in agreeing.items()
    }


def share_of_span(number: int) -> float:
    """Share of the accepted rate that goes to an account's first span (1), its second, ...; all together make 1."""
    return FIRST if number == 1 else (1.0 - FIRST) / (number * (number - 1))


def bits(p_value: float, *, span: int, scans: int) -> float:
    """Log2 odds against an account's being ordinary: what p says, less what looking in other spans and scans costs.

    By chance alone an ordinary account ever comes to b bits with probability 2^-b at most.
    """
    return math.log2(share_of_span(span) / scans / p_value)


def bits_needed(rate: float) -> float:
    """Bits from which an account is met, so that at most this share of ordinary accounts ever is."""
    return -math.log2(rate)


def accounts_needed(rate: float, scans: int = 1) -> int:
    """Ordinary accounts that a scan must have counted for its campaigns to be met at this rate, at the least."""
    return math.ceil(scans / (FIRST * rate)) - 1


def agreement_needed(values: Sequence[float], rate: float, scans: int = 1) -> int | None:
    """Least agreement, of those with these p-values, that is enough in the first span; None if no agreement is."""
    enough = (place for place, each in enumerate(values) if bits(each, span=1, scans=scans) >= bits_needed(rate))
    place = next(enough, None)
    return None if place is None else place + LEAST
