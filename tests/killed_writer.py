"""Writers of one exchange log that are killed, one after another or several at once; a program of its own.

`python killed_writer.py FOLDER ACKNOWLEDGED at FIRST LAST` kills writer N just before (odd rounds: in the middle of)
its N-th call that changes a file; `... timed ROUNDS` kills two writers at a time at random moments.

Every id that was acknowledged is appended to the file ACKNOWLEDGED, every id at all to ACKNOWLEDGED.all; whole ones
stand on lines of their own and end with a semicolon.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
import warnings
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stillwatch.guard.part  # noqa: F401 - imported once, before any writer is forked
from stillwatch.guard.exchange_log import ExchangeLog

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANGES = ("pwrite", "fsync", "ftruncate", "rename", "unlink")
_WRITES = 24
_ROWS = 5


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # the other threads do not get further than that


def _kill_at(at: int) -> None:
    numbers = count(1)

    def killing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            if next(numbers) == at:
                if name == "pwrite":
                    handle, data, place = arguments
                    call(handle, data[: len(data) // 2], place)
                elif at % 2:
                    call(*arguments, **named)
                _die()
            return call(*arguments, **named)

        return called

    for name in _CHANGES:
        setattr(os, name, killing(name, getattr(os, name)))


async def _write(folder: Path, acknowledged: int, all_of_them: int, name: str, writes: int) -> None:
    log = ExchangeLog(folder, rows=30, linger=0.001)
    ids = (f"{name}-{number}" for number in count())
    for _ in range(writes):
        some = [next(ids) for _ in range(_ROWS)]
        os.write(all_of_them, _lines(some))
        for each in some:
            log.write({"request_id": each, "time": time.time(), "account": "a", "model": "m" * 50})
        await log.written()
        os.write(acknowledged, _lines(some))
    await log.aclose()


def _lines(ids: list[str]) -> bytes:
    """Write ids so that one that a kill cut in half can be told."""
    return "".join(f"\n{each};" for each in ids).encode()


def _forked(folder: Path, acknowledged: Path, name: str, *, at: int = 0, writes: int = _WRITES) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        noted = os.open(acknowledged, flags, 0o600)
        everything = os.open(acknowledged.with_suffix(".all"), flags, 0o600)
        if at:
            _kill_at(at)
        asyncio.run(_write(folder, noted, everything, name, writes))
        status = 0
    finally:
        os._exit(status)


def main(folder: Path, acknowledged: Path, how: str, *numbers: int) -> None:
    """Run the writers, and print how many of them were killed."""
    killed = 0
    if how == "at":
        first, last = numbers
        for at in range(first, last + 1):
            _, status = os.waitpid(_forked(folder, acknowledged, f"at{at}", at=at), 0)
            killed += os.WIFSIGNALED(status)
    else:
        chance = random.Random(5)  # noqa: S311
        for turn in range(numbers[0]):
            writers = [_forked(folder, acknowledged, f"t{turn}w{each}", writes=10**6) for each in range(2)]
            for pid in writers:
                time.sleep(chance.uniform(0.02, 0.4))
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                killed += os.WIFSIGNALED(status)
    print(killed)  # noqa: T201


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # forking while Arrow has threads
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
