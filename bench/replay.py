"""Speed of replays: exchanges a second, held against reading the same columns alone.

    replay.py                     made traffic, the bundled policy `strict`
    replay.py --scale 4           more of it
    replay.py --policy FILE       another policy

Reading is the floor: nothing can be faster. A machine may be busy with other things: what is measured is the time of
the processor, on all its cores together, and the best of three runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stillwatch import api
from stillwatch.engine.in_order import ALWAYS
from stillwatch.exchanges.read import LogReader
from stillwatch.exchanges.source import LogSource
from stillwatch.guard.logged import columns_for
from stillwatch.guard.policy_file import load_policy
from stillwatch.guard.replay import facts_of

if TYPE_CHECKING:
    from collections.abc import Callable


def best(call: Callable[[], object], runs: int = 3) -> float:
    """Least seconds of the processor for a call."""
    took = []
    for _ in range(runs):
        begun = time.process_time()
        call()
        took.append(time.process_time() - begun)
    return min(took)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--policy", default="strict")
    arguments.add_argument("--scenario", default="demo")
    arguments.add_argument("--scale", type=float, default=1.0)
    chosen = arguments.parse_args()
    columns = sorted({*columns_for(facts_of(load_policy(chosen.policy)), networks=True), *ALWAYS, "request_id"})
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log"
        made = api.simulate(chosen.scenario, log, scale=chosen.scale)
        source = LogSource([log / "exchanges"])

        def read() -> None:
            for _ in LogReader(source, columns=columns).batches():
                pass

        def replay() -> None:
            api.replay(
                source,
                chosen.policy,
                accounts=log / "accounts.parquet",
                truth=log / "truth" / "accounts.parquet",
            )

        read()
        floor, took = best(read), best(replay)
    print(f"{made.exchanges:,} exchanges, policy {chosen.policy}")
    for what, seconds in (("reading the columns alone", floor), ("replaying", took)):
        print(f"{what:28}{seconds:8.2f} s{made.exchanges / seconds:14,.0f} exchanges a second")
    print(f"{'ratio':28}{took / floor:8.1f}")


if __name__ == "__main__":
    main()
