"""Where a log file lies, on this machine or in an object store, and how it is opened. Touches those, reading."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

AT_ONCE: Final = 8 << 20  # bytes of one request to a store; each takes tens of milliseconds, whatever its size


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies.

    Attributes:
        name: its path or URL, as people are told it; no credentials are in it.
        inside: its path inside the store; on this machine the same as the name.
        store: None on this machine.

    """

    name: str
    inside: str
    store: FileSystem | None = None

    @property
    def base_name(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def status(self) -> tuple[int, datetime]:
        """Return its size in bytes and when it was last changed.

        Raises:
            OSError: it is not there, or cannot be looked at.

        """
        if self.store is None:
            found = Path(self.inside).stat()
            return found.st_size, datetime.fromtimestamp(found.st_mtime, tz=UTC)
        info = self.store.get_file_info(self.inside)
        return info.size or 0, info.mtime or datetime.now(UTC)  # not every store keeps the time of a change

    def open_stream(self, at_once: int = AT_ONCE) -> pa.NativeFile:
        """Open it to be read from its beginning to its end; of a store so many bytes are asked for at once.

        Raises:
            OSError: it cannot be opened.

        """
        if self.store is None:
            return pa.OSFile(self.inside)
        return self.store.open_input_stream(self.inside, compression=None, buffer_size=at_once)

    def open_parquet(self) -> Any:  # noqa: ANN401  pyarrow has no types
        """Open it as a Parquet file, of which only the columns wanted are read.

        Raises:
            OSError: it cannot be opened.
            pyarrow.ArrowException: it is no Parquet file.

        """
        if self.store is None:
            return pq.ParquetFile(self.inside, memory_map=True)
        return pq.ParquetFile(self.store.open_input_file(self.inside), pre_buffer=True)
