"""Exchanges in the order of their times, whatever order the log has them in, within bounded memory.

Logs come by gateway and by hour, so that everything in them has to be put in order before it can be lived through
again. Of each row only numbers are kept: texts become the numbers of their distinct values, prompts become hashes.

Touches the disk only when `limit_memory` asks for it: runs of sorted rows lie in temporary files without a name, which
vanish with the process however it ends, and hold numbers and hashes but no text.
"""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from stillwatch.engine.store import written
from stillwatch.marks.hashing import hash_strings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

TEXTS: Final = ("account", "organization", "api_key", "model", "operation", "ip", "country")
_KINDS: Final[dict[str, DTypeLike]] = {
    "time": np.int64,  # microseconds since 1970
    **dict.fromkeys(TEXTS, np.int32),  # number of the value in `names`; -1 for none
    "prompt": np.uint64,  # its hash; 0 for none
    **dict.fromkeys(("asn", "turns", "tools", "max_tokens", "n", "top_logprobs", "logit_bias"), np.int64),  # -1: none
    "seed": np.bool_,  # whether there is one
    "stream": np.bool_,
    "temperature": np.float64,  # NaN for none
    **dict.fromkeys(("input_tokens", "output_tokens", "status"), np.int64),
}
_NOTHING: Final[dict[str, bool | float]] = {"stream": False, "temperature": float("nan")}  # others: -1
ORDERED: Final = tuple(_KINDS)
"""Columns of `exchange/1` that can be put in order; `ALWAYS` are there whether asked for or not."""
ALWAYS: Final = ("time", "account", "input_tokens", "output_tokens", "status")
_LAST: Final = "tie"  # a hash of the request's id: of exchanges at one instant, which comes first
_CHUNK: Final = 65_536
_SHARE: Final = 4  # rows are held, sorted and copied, beside whatever else there is: a run is this part of the limit


class InOrder:
    """Takes exchanges in any order and gives them back in that of their times.

    Args:
        columns: of `ORDERED`; what `add` is given has these, `ALWAYS` and `request_id`.
        limit_memory: bytes above which rows move to disk; None keeps them in memory.
        folder: where temporary files go; None takes the system's place for them.

    """

    def __init__(self, columns: Iterable[str], *, limit_memory: int | None = None, folder: Path | None = None) -> None:
        wanted = {*columns, *ALWAYS}
        self._columns = tuple(name for name in ORDERED if name in wanted)
        self._kind = np.dtype([*((name, _KINDS[name]) for name in self._columns), (_LAST, np.uint64)])
        self._limit, self._folder = limit_memory, folder
        self._codes: dict[str, dict[str, int]] = {name: {} for name in self._columns if name in TEXTS}
        self._held: list[NDArray[np.void]] = []
        self._rows_held = 0
        self._runs: list[IO[bytes]] = []

    @property
    def names(self) -> dict[str, list[str]]:
        """The distinct values of each column of texts, by their numbers."""
        return {name: list(codes) for name, codes in self._codes.items()}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take some exchanges.

        Raises:
            OutputError: the disk is full.

        """
        rows = np.empty(batch.num_rows, self._kind)
        for name in self._columns:
            rows[name] = self._numbers(name, batch.column(name))
        rows[_LAST] = hash_strings(batch.column("request_id"))
        self._held.append(rows)
        self._rows_held += len(rows)
        if self._limit is not None and self._rows_held * self._kind.itemsize > self._limit // _SHARE:
            self._spill()

    def chunks(self) -> Iterator[NDArray[np.void]]:
        """Give all exchanges, a chunk at a time, and forget them.

        Raises:
            OutputError: the disk is full.

        """
        if not self._runs:
            held, order = self._sorted()
            for begin in range(0, len(order), _CHUNK):
                yield held[order[begin : begin + _CHUNK]]
            return
        self._spill()
        yield from _merged([_Run(file, self._kind) for file in self._runs])

    def close(self) -> None:
        """Drop everything."""
        self._held = []
        for file in self._runs:
            file.close()
        self._runs = []

    def _numbers(self, name: str, column: pa.Array) -> NDArray[np.generic]:
        if name in TEXTS:
            return self._coded(self._codes[name], column)
        if name == "prompt":
            return hash_strings(column)
        if name == "time":
            column = column.cast(pa.int64())
        elif name == "seed":
            column = column.is_valid()
        else:
            column = column.fill_null(_NOTHING.get(name, -1))
        numbers: NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
        return numbers

    @staticmethod
    def _coded(codes: dict[str, int], column: pa.Array) -> NDArray[np.int32]:
        encoded = column.dictionary_encode()
        values = encoded.dictionary.to_pylist()
        numbers = np.fromiter((codes.setdefault(value, len(codes)) for value in values), np.int32, len(values))
        places = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
        found: NDArray[np.int32] = np.r_[numbers, np.int32(-1)][places]
        return found

    def _sorted(self) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Take what is held: the rows, and their order."""
        held = np.concatenate([np.empty(0, self._kind), *self._held])
        self._held, self._rows_held = [], 0
        return held, _order(held)

    def _spill(self) -> None:
        if not self._rows_held:
            return
        with written():
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # `close` closes it
            self._runs.append(file)
            held, order = self._sorted()
            for begin in range(0, len(order), _CHUNK):
                file.write(held[order[begin : begin + _CHUNK]].data)
            file.seek(0)


class _Run:
    """Sorted rows in a file, some of them in hand."""

    def __init__(self, file: IO[bytes], kind: np.dtype[np.void]) -> None:
        self._file, self._kind = file, kind
        self.rows: NDArray[np.void] = np.empty(0, kind)
        self.more = True
        self.read()

    def read(self) -> None:
        """Take some more in hand."""
        block = np.fromfile(self._file, self._kind, _CHUNK)
        self.more = len(block) == _CHUNK
        self.rows = np.concatenate([self.rows, block])

    def before(self, time: int | None) -> NDArray[np.void]:
        """Hand over what is earlier than this; everything, if None."""
        end = len(self.rows) if time is None else int(np.searchsorted(self.rows["time"], time, side="left"))
        taken, self.rows = self.rows[:end], self.rows[end:]
        return taken


def _merged(runs: list[_Run]) -> Iterator[NDArray[np.void]]:
    """Give the rows of all runs in order: again and again all that is earlier than what no run has in hand yet."""
    while True:
        open_ = [run for run in runs if run.more]
        bound = min((int(run.rows["time"][-1]) for run in open_), default=None)
        taken = np.concatenate([run.before(bound) for run in runs])
        order = _order(taken)
        for begin in range(0, len(order), _CHUNK):
            yield taken[order[begin : begin + _CHUNK]]
        if bound is None:
            return
        for run in open_:
            if not len(run.rows) or int(run.rows["time"][-1]) == bound:
                run.read()


def _order(rows: NDArray[np.void]) -> NDArray[np.int64]:
    return np.lexsort((rows["output_tokens"], rows["input_tokens"], rows[_LAST], rows["time"])).astype(np.int64)
