"""Following what changes while a guard runs: the ledger, the policy, and the files about accounts.

Touches: the ledger and those files, from one thread of its own, once a second; what is new is handed over in the event
loop, so that nothing is read while it changes. What cannot be read keeps what was read last, and is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from stillwatch.errors import LedgerError, StillwatchError
from stillwatch.ledger.ledger import open_ledger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from stillwatch.ledger.ledger import Changes, Ledger

EVERY: Final = 1.0  # seconds between two looks
_AT_ONCE: Final = 2_000  # events that are taken in before other requests have their turn
_T = TypeVar("_T")


@dataclass(slots=True)
class Look:
    """How following one thing went.

    Attributes:
        trouble: what went wrong the last time; empty if nothing did.
        at: when it last went well, by the steady clock; None if it never did.
    """

    trouble: str = ""
    at: float | None = None


class Watched(Generic[_T]):
    """Something made of files, made again when they change; if that fails, the old one stays.

    Args:
        paths: the files.
        make: makes it of them.

    Raises:
        StillwatchError: it cannot be made at first.

    """

    def __init__(self, paths: tuple[Path, ...], make: Callable[[], _T]) -> None:
        self._paths, self._make = paths, make
        self._stamp = self._stamped()
        self.value = make()
        self.look = Look()

    def made_anew(self) -> _T | None:
        """Make it again if a file has changed; None if none has. For the thread that follows.

        Raises:
            StillwatchError: it cannot be made; it is tried again when a file changes again.

        """
        stamp = self._stamped()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        return self._make()

    def _stamped(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class Follower:
    """Looks once a second.

    Args:
        ledger: where the ledger is; None for none.
        take: takes in what happened in the ledger.
        looked: is called after each look, in the event loop.
        watched: what is made of files.
        told: is told whatever goes wrong, and that it no longer does, once each.

    """

    def __init__(
        self,
        ledger: str | None,
        take: Callable[[Changes], None],
        looked: Callable[[], Awaitable[None]],
        watched: Sequence[Watched[Any]],
        told: Callable[[str], None],
    ) -> None:
        self._place, self._take, self._looked, self._watched, self._told = ledger, take, looked, watched, told
        self._thread: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None
        self._ledger: Ledger | None = None
        self._cursor = 0
        self.look = Look()

    async def start(self) -> None:
        """Look for the first time, and go on looking; a second time it does nothing."""
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stillwatch-follow")
        await self._once()
        self._task = asyncio.get_running_loop().create_task(self._on_and_on())

    async def aclose(self) -> None:
        """Stop looking, and let go of the ledger."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
            self._thread.shutdown()
        self._task = self._thread = None

    async def _on_and_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self._once()
            except Exception as error:  # noqa: BLE001  whatever it is, decisions of the past must stay in force
                self._note(self.look, f"{type(error).__name__}: {error}", "what it said last stays in force")

    async def _once(self) -> None:
        loop = asyncio.get_running_loop()
        if self._place is not None:
            await self._look_at_ledger(loop)
            await self._looked()
        for each in self._watched:
            try:
                made = await loop.run_in_executor(self._thread, each.made_anew)
            except StillwatchError as error:
                self._note(each.look, str(error), "the last one stays in force")
            else:
                if made is not None:
                    each.value = made
                    self._note(each.look, "", "read anew")
                each.look.at = loop.time()

    async def _look_at_ledger(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            changes = await loop.run_in_executor(self._thread, self._changes)
        except StillwatchError as error:
            self._note(self.look, str(error), "what it said last stays in force")
            return
        for begin in range(0, len(changes.events), _AT_ONCE):
            self._take(type(changes)(changes.events[begin : begin + _AT_ONCE], changes.cursor))
            await asyncio.sleep(0)
        self._cursor = changes.cursor
        self._note(self.look, "", "the ledger is there again")
        self.look.at = loop.time()

    def _note(self, look: Look, trouble: str, consequence: str) -> None:
        if trouble != look.trouble or (not trouble and consequence == "read anew"):
            self._told(f"{trouble}; {consequence}" if trouble else consequence)
        look.trouble = trouble

    # ---- in the thread

    def _changes(self) -> Changes:
        place = self._place or ""
        if self._ledger is not None and not _is_there(place):
            self._let_go()  # a file that was deleted can still be read by who has it open
        if self._ledger is None:
            self._ledger = open_ledger(place, create=self._cursor == 0)
        try:
            if self._ledger.head().number < self._cursor:
                raise LedgerError(f"{self._ledger.place}: this is another ledger than before: it has fewer entries")
            return self._ledger.changes_since(self._cursor)
        except StillwatchError:
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self._ledger is not None:
            with contextlib.suppress(StillwatchError):
                self._ledger.close()
        self._ledger = None


def _is_there(place: str) -> bool:
    return "://" in place or os.path.exists(place)  # noqa: PTH110  a path as it was given
