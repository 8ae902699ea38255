"""Made traffic: a scenario and a seed in, a log, its accounts and the truth about them out. Pure.

The same scenario, seed and scale give the same tables, byte for byte, on the same versions of NumPy and Arrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stillwatch.errors import UsageError
from stillwatch.simulate.campaigns import make_campaign
from stillwatch.simulate.ordinary import make_ordinary
from stillwatch.simulate.world import World

if TYPE_CHECKING:
    import pyarrow as pa

    from stillwatch.simulate.scenario import Scenario


@dataclass(frozen=True)
class Traffic:
    """What was made.

    Attributes:
        exchanges: the log, a pyarrow table of `exchanges.schema.EXCHANGE`, sorted by time.
        accounts: a pyarrow table of `exchanges.schema.ACCOUNT`, sorted by account.
        truth: a pyarrow table of `world.TRUTH`: who belongs to what. Never shown to a scan.
        scenario, seed, scale: what it was made from.

    """

    exchanges: pa.Table
    accounts: pa.Table
    truth: pa.Table
    scenario: Scenario
    seed: int
    scale: float


def simulate(scenario: Scenario, *, seed: int, scale: float = 1.0) -> Traffic:
    """Make the traffic of a scenario.

    Args:
        scenario: what to make.
        seed: not negative; another seed gives another log of the same kind.
        scale: multiplies the numbers of accounts and groups, ordinary and hostile; above 0.

    Raises:
        UsageError: the seed is negative or the scale not above 0.

    """
    if seed < 0:
        raise UsageError(f"the seed must not be negative, got {seed}")
    if not 0 < scale < float("inf"):
        raise UsageError(f"the scale must be above 0, got {scale}")
    world = World(scenario, seed, scale)
    make_ordinary(world)
    for campaign in scenario.campaigns:
        make_campaign(world, campaign)
    return Traffic(world.exchanges(), world.accounts(), world.truth(), scenario, seed, scale)
