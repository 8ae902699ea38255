"""The exchange log that the guard leaves behind: `exchange/1`, ready for a scan. Touches its folder, and two threads.

    write()   a row is encoded and queued, in microseconds
    writer    queued rows are appended to this process's journal and fsynced, 20 ms after the first of them
    packer    a journal that is full or old enough becomes a Parquet part; so do those that dead processes left

A row counts as acknowledged once its journal is on disk: `written()` waits for that. From then on it is found exactly
once, wherever the process is killed. Several processes may share a folder; parts that are there are never touched.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import logging
import os
import queue
import secrets
import threading
import time
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from stillwatch.errors import OutputError
from stillwatch.guard.journal import SUFFIX, Journal, abandoned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stillwatch.decisions.refusal import Refusal
    from stillwatch.decisions.ruling import Ruling

OnFull = Literal["drop", "refuse"]
_ROW_OVERHEAD: Final = 64  # bytes that a queued row takes besides its own
_FRAME_ROWS: Final = 256
_FRAME_BYTES: Final = 256 << 10
_JOURNAL_BYTES: Final = 256 << 20
_RETRY: Final = (0.05, 2.0)  # seconds after a first failure, and at most
_GRACE: Final = 5.0  # seconds that closing goes on trying while the disk refuses
_REPORT_EACH: Final = 10.0  # seconds between two reports of the same trouble
_said = logging.getLogger(__name__)  # goes to stderr unless the program says otherwise
_encode = msgspec.msgpack.Encoder().encode


class ExchangeLog:
    """An exchange log in a folder, which is made if it is not there.

    Args:
        folder: where; other processes, on this machine or another, may write there too.
        text: whether prompts and answers are kept (`system`, `prompt`, `response`).
        seconds: a part is made at least so often, if there are rows.
        rows: and as soon as there are so many.
        linger: seconds that rows are gathered before they are written to disk together.
        memory: bytes of rows that may wait for the disk; when they are used up, rows are dropped and counted.
        on_full: `refuse` turns `ready` false once half of that is used.

    Attributes:
        dropped: rows that were lost because there was no room.
        taken: rows that were not.
        parts: Parquet parts made by this process.

    Raises:
        OutputError: the folder cannot be made or written to.

    """

    def __init__(
        self,
        folder: Path,
        *,
        text: bool = False,
        seconds: float = 300.0,
        rows: int = 100_000,
        linger: float = 0.02,
        memory: int = 64 << 20,
        on_full: OnFull = "drop",
    ) -> None:
        from stillwatch.exchanges.schema import EXCHANGE, TEXT  # noqa: PLC0415 - Arrow takes a while to import
        from stillwatch.guard.part import RULED  # noqa: PLC0415

        self.folder, self.dropped, self.taken, self.parts = folder, 0, 0, 0
        self._columns = tuple(name for name in (*EXCHANGE.names, *RULED.names) if text or name not in TEXT)
        self._seconds, self._rows, self._linger, self._memory, self._on_full = seconds, rows, linger, memory, on_full
        self._changed = threading.Condition()
        self._queue: list[bytes] = []
        self._held = 0  # bytes, queued and being written
        self._oldest: float | None = None  # when the first of those rows came
        self._durable = 0
        self._waiters: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._hurry, self._roll, self._closing = False, False, False
        self._trouble: str | None = None  # of the writer
        self._no_parts: str | None = None  # of the packer; no row is lost by it
        self._journal: Journal | None = None
        self._journal_due = 0.0
        self._token, self._numbers = secrets.token_hex(6), count(1)
        self._unpacked = 1  # journals to be packed; the first is the look for abandoned ones
        self._to_pack: queue.SimpleQueue[Journal | None] = queue.SimpleQueue()
        self._report = _Report(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written: {_reason(error)}") from error
        self._threads = [
            threading.Thread(target=work, name=f"stillwatch exchange log {name}", daemon=True)
            for name, work in (("writer", self._write_on), ("packer", self._pack_on))
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    # ---- for those who have rows

    def write(self, row: Mapping[str, object]) -> bool:
        """Take a row: columns of `exchange/1` and those of `ruling_columns`; others are left out. Never waits.

        False: there was no room, and the row is counted as dropped.
        """
        try:
            data = _encode([*map(row.get, self._columns)])
        except (TypeError, ValueError, OverflowError):  # lone surrogates, numbers of more than 64 bits, foreign types
            data = _encode([_plain(row.get(name)) for name in self._columns])
        size = len(data) + _ROW_OVERHEAD
        with self._changed:
            if self._held + size > self._memory or self._closing:
                self.dropped += 1
                return False
            self._held += size
            self.taken += 1
            self._queue.append(data)
            if len(self._queue) == 1:
                if self._oldest is None:
                    self._oldest = time.monotonic()
                self._changed.notify_all()
        return True

    async def written(self) -> None:
        """Wait until every row taken so far is on disk.

        Raises:
            OutputError: the disk refuses at present; the rows are held, and written when it takes them.

        """
        loop = asyncio.get_running_loop()
        with self._changed:
            if self._durable >= self.taken:
                return
            if self._trouble is not None:
                raise OutputError(self._trouble)
            future = loop.create_future()
            self._waiters.append((self.taken, loop, future))
            self._hurry = True
            self._changed.notify_all()
        await future

    def flush(self) -> None:
        """Wait, as a thread, until every row taken so far is on disk.

        Raises:
            OutputError: the disk refuses at present.

        """
        with self._changed:
            wanted = self.taken
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._durable >= wanted or self._trouble is not None)
            if self._durable < wanted:
                raise OutputError(self._trouble or "closed")

    def roll(self) -> None:
        """Wait, as a thread, until every row taken so far is in a Parquet part.

        Raises:
            OutputError: the disk refuses at present.

        """
        self.flush()
        with self._changed:
            self._roll = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: (not self._roll and not self._unpacked) or self.trouble is not None)
            if self.trouble is not None:
                raise OutputError(self.trouble)

    def close(self) -> None:
        """Put what was taken on disk, make the last part, and stop. What cannot be written in 5 s is dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        atexit.unregister(self.close)

    async def aclose(self) -> None:
        """Do the same without keeping others waiting."""
        await asyncio.to_thread(self.close)

    # ---- for those who look on

    @property
    def lag(self) -> float:
        """Seconds since the oldest row came that is not on disk; 0 where all are."""
        oldest = self._oldest
        return 0.0 if oldest is None else time.monotonic() - oldest

    @property
    def waiting(self) -> int:
        """Rows that are not on disk yet."""
        return self.taken - self._durable

    @property
    def trouble(self) -> str | None:
        """Why rows, or parts, cannot be written at present."""
        return self._trouble or self._no_parts

    @property
    def ready(self) -> bool:
        """Whether requests should be served; always, unless the log refuses when it is full."""
        return self._on_full == "drop" or self._held * 2 < self._memory

    # ---- the writer's thread

    def _write_on(self) -> None:
        last = False
        try:
            while not last or self._queue:
                rows, last = self._next()
                if rows:
                    self._keep(rows)
                self._roll_if_due(last=last)
        finally:
            if not last:  # not meant to happen; those who wait must hear of it
                self._in_trouble("the writer has stopped")
            self._to_pack.put(None)

    def _next(self) -> tuple[list[bytes], bool]:
        """Wait for rows, then for more of them; give those, and whether the log is being closed."""
        with self._changed:
            while not (self._queue or self._closing or self._roll):
                left = None if self._journal is None else self._journal_due - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            until = time.monotonic() + self._linger
            while self._queue and not (self._hurry or self._closing or self._roll):
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            rows, self._queue, self._hurry = self._queue, [], False
            return rows, self._closing

    def _keep(self, rows: list[bytes]) -> None:
        """Put rows on disk, however long it takes."""
        frames, pause, give_up = _frames(rows), _RETRY[0], None
        while True:
            try:
                if self._journal is None:
                    self._journal = self._new_journal()
                self._journal.append(frames)
                break
            except OSError as error:
                self._in_trouble(_reason(error))
            with self._changed:
                if self._closing:
                    give_up = give_up or time.monotonic() + _GRACE
                    if time.monotonic() > give_up:
                        self._let_go(rows)
                        return
                self._changed.wait(pause)
            pause = min(2 * pause, _RETRY[1])
        self._done(rows)

    def _done(self, rows: list[bytes]) -> None:
        with self._changed:
            self._durable += len(rows)
            self._held -= _size(rows)
            self._oldest = time.monotonic() if self._queue else None
            self._trouble = None
            told, self._waiters = (
                [waiter for waiter in self._waiters if waiter[0] <= self._durable],
                [waiter for waiter in self._waiters if waiter[0] > self._durable],
            )
            self._changed.notify_all()
        self._tell(told, None)
        self._report.well(self.dropped)

    def _in_trouble(self, reason: str) -> None:
        """Leave a journal that failed to itself, and say so to whoever waits."""
        if self._journal is not None:
            self._hand_over()
        text = f"{self.folder}: {reason}"
        with self._changed:
            self._trouble = text
            told, self._waiters = self._waiters, []
            self._changed.notify_all()
        self._tell(told, text)
        self._report.trouble(reason, self.waiting, self.dropped)

    def _let_go(self, rows: list[bytes]) -> None:
        self.dropped += len(rows)
        self.taken -= len(rows)
        self._held -= _size(rows)
        self._report.lost(self.dropped)

    def _tell(
        self, waiters: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[None]]], trouble: str | None
    ) -> None:
        for _, loop, future in waiters:
            with contextlib.suppress(RuntimeError):  # its loop is closed; nobody waits
                loop.call_soon_threadsafe(_resolve, future, trouble)

    def _new_journal(self) -> Journal:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f".exchanges-{now}-{self._token}-{next(self._numbers):06d}{SUFFIX}"
        journal = Journal.create(self.folder / name, self._columns)
        self._journal_due = time.monotonic() + self._seconds
        return journal

    def _roll_if_due(self, *, last: bool) -> None:
        journal = self._journal
        with self._changed:
            if journal is not None and (
                last
                or self._roll
                or journal.rows >= self._rows
                or journal.size >= _JOURNAL_BYTES
                or time.monotonic() >= self._journal_due
            ):
                self._hand_over()
            self._roll = False
            self._changed.notify_all()

    def _hand_over(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            with self._changed:
                self._unpacked += 1
            self._to_pack.put(journal)

    # ---- the packer's thread

    def _pack_on(self) -> None:
        held: list[Journal] = self._abandoned()
        self._count_packed(1)
        while True:
            held = [journal for journal in held if not self._packed(journal)]
            try:
                journal = self._to_pack.get(timeout=_RETRY[1] if held else _REPORT_EACH)
            except queue.Empty:
                self._report.lost(self.dropped)  # the writer cannot say it where the disk does not answer at all
                continue
            if journal is None:
                break
            held += [journal, *self._abandoned()]
        for journal in held:
            if not self._packed(journal):
                journal.close()  # the next to open the log finds it

    def _packed(self, journal: Journal) -> bool:
        """Make a part of a journal; False where that is to be tried again."""
        from stillwatch.guard.part import make_part  # noqa: PLC0415 - Arrow takes a while to import

        try:
            part = make_part(journal)
        except OSError as error:
            reason = f"no part can be made: {_reason(error)}"
            with self._changed:
                self._no_parts = f"{self.folder}: {reason}"
                self._changed.notify_all()
            self._report.trouble(reason, self.waiting, self.dropped)
            return False
        except Exception:  # noqa: BLE001 - whatever is wrong with one journal, the others are to be packed
            _said.exception("%s: no part can be made of it; it is kept", journal.path)
            with contextlib.suppress(OSError):
                journal.path.rename(journal.path.with_suffix(".broken"))
            journal.close()
            part = None
        self.parts += part is not None
        self._no_parts = None
        self._count_packed(1)
        return True

    def _abandoned(self) -> list[Journal]:
        """Take over what dead processes left."""
        found: list[Journal] = []
        try:
            for journal, path, cut in abandoned(self.folder):
                if cut:
                    _said.warning("%s: its last write broke off; %d bytes of it are cut", path, cut)
                if journal is not None:
                    found.append(journal)
        except OSError as error:
            _said.warning("%s: not searched for what other processes left: %s", self.folder, _reason(error))
        self._count_packed(-len(found))
        return found

    def _count_packed(self, journals: int) -> None:
        with self._changed:
            self._unpacked -= journals
            self._changed.notify_all()


class _Report:
    """Says on stderr what is wrong, and no oftener than is of use."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._dropped, self._troubled = 0, False
        self._trouble_said, self._lost_said = float("-inf"), float("-inf")

    def trouble(self, reason: str, waiting: int, dropped: int) -> None:
        """Say why rows wait."""
        with self._lock:
            now = time.monotonic()
            if now - self._trouble_said < _REPORT_EACH:
                return
            self._trouble_said, self._troubled = now, True
        _said.error(
            "exchange log %s: %s; %d rows wait in memory, %d dropped so far", self._folder, reason, waiting, dropped
        )

    def well(self, dropped: int) -> None:
        """Say that they are written again, if anything else was said."""
        with self._lock:
            troubled, self._troubled = self._troubled, False
            self._trouble_said = float("-inf") if troubled else self._trouble_said
        if troubled:
            _said.warning("exchange log %s: rows are written again", self._folder)
        self.lost(dropped)

    def lost(self, dropped: int) -> None:
        """Say how many rows were lost since it was last said."""
        with self._lock:
            now, lost = time.monotonic(), dropped - self._dropped
            if not lost or now - self._lost_said < _REPORT_EACH:
                return
            self._dropped, self._lost_said = dropped, now
        _said.error("exchange log %s: %d rows were dropped, there was no room for them", self._folder, lost)


def ruling_columns(ruling: Ruling, refusal: Refusal | None, reason_id: str) -> dict[str, object]:
    """Give the columns of a row that tell what was ruled.

    Args:
        ruling: of the policy.
        refusal: why the request was not served, by the policy or by a limit; None where it was.
        reason_id: what the client was told to quote.

    """
    would = ruling.would
    return {
        "guard_outcome": "allow" if refusal is None else "refuse",
        "guard_reason": None if refusal is None else refusal.reason,
        "guard_reason_id": reason_id,
        "guard_by": None if refusal is None else refusal.by,
        "guard_step": ruling.step,
        "guard_rules": ruling.fired,
        "guard_failed": ruling.failed or None,
        "guard_withheld": ruling.withheld or None,
        "guard_policy": ruling.policy,
        "guard_would_outcome": None if would is None else would.outcome,
        "guard_would_reason": None if would is None or would.refusal is None else would.refusal.reason,
        "guard_would_step": None if would is None else would.step,
    }


def _size(rows: list[bytes]) -> int:
    return sum(map(len, rows)) + _ROW_OVERHEAD * len(rows)


def _frames(rows: list[bytes]) -> list[Sequence[bytes]]:
    """Divide rows so that a frame can be read without much memory."""
    frames: list[Sequence[bytes]] = []
    begin = size = 0
    for at, row in enumerate(rows):
        size += len(row)
        if size >= _FRAME_BYTES or at - begin + 1 >= _FRAME_ROWS:
            frames.append(rows[begin : at + 1])
            begin, size = at + 1, 0
    if begin < len(rows):
        frames.append(rows[begin:])
    return frames


def _plain(value: object) -> object:
    """Bring a value into what can be encoded: text without half characters, numbers of 64 bits."""
    try:
        _encode(value)
    except (TypeError, ValueError, OverflowError):
        return str(value).encode("utf-8", "replace").decode()
    return value


def _resolve(future: asyncio.Future[None], trouble: str | None) -> None:
    if future.done():
        return
    if trouble is None:
        future.set_result(None)
    else:
        future.set_exception(OutputError(trouble))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
