"""Tips put to work: read from files, and weighed for a scan. Touches the files that it is told to read.

A file or folder is one source: the names that are written in it are claims. A store of what was polled has as many
sources as collections were polled.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stillwatch.errors import BundleError
from stillwatch.intel.bundle import objects_in, read
from stillwatch.intel.receive import Handed, Received, received
from stillwatch.intel.received import IntelStore
from stillwatch.verdicts.hearsay import PER_SOURCE, Hearsay, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from stillwatch.intel.tip import Tip


_SQLITE: Final = b"SQLite format 3\0"


def tips_in(paths: Iterable[Path], now: datetime) -> Received:
    """Read bundles from files and folders (all `*.json` in them), and what stands in stores of `share poll`.

    Args:
        paths: files, folders, and stores in SQLite.
        now: the moment that the future is told from.

    Raises:
        BundleError: one of them cannot be read.
        IntelError: a store is of a version that cannot be read.

    """
    handed: list[Handed] = []
    for path in paths:
        if _is_store(path):
            handed += _polled(path, now)
            continue
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        handed += [Handed(str(path), objects_in(read(file), where=str(file)), _made(file, now)) for file in files]
    return received(sorted(handed, key=lambda each: each.received_at))


def _is_store(path: Path) -> bool:
    """Whether it is a database in SQLite (https://www.sqlite.org/fileformat.html, section 1.3)."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _polled(path: Path, now: datetime) -> list[Handed]:
    """Give what stands in a store: each object as its source handed it over."""
    with IntelStore(path) as store:
        return [
            Handed(each.source, [each.content.encode()], datetime.fromtimestamp(each.received / 1e6, UTC))
            for each in store.standing(now=round(now.timestamp() * 1e6))
        ]


def hearsay_of(tips: Iterable[Tip], keys: Sequence[bytes], now: datetime) -> Hearsay:
    """Weigh tips for a scan.

    Args:
        tips: received; those that have expired weigh nothing and are left out.
        keys: under which marks may have been named: the provider's own and those that it shares.
        now: the moment.

    """
    words: dict[tuple[str, str], list[Word]] = defaultdict(list)
    for tip in tips:
        if now >= tip.expires:
            continue
        bits = PER_SOURCE * tip.confidence / 100 if tip.holds(now) else 0.0
        word = Word(tip.source, tip.via, tip.id, bits, tip.marking.value, disputed=bool(tip.disputed_by))
        for mark in tip.marks:
            words[mark.family, mark.mark].append(word)
    return Hearsay(dict(words), keys)


def _made(file: Path, now: datetime) -> datetime:
    """When a file came: its own time, which is never in the future."""
    try:
        return min(datetime.fromtimestamp(file.stat().st_mtime, UTC), now)
    except (OSError, OverflowError, ValueError) as error:
        raise BundleError(f"{file}: cannot be read: {error}") from error
