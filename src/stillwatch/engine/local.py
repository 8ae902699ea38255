"""One machine: batches of exchanges in, a population out. Reads what it is handed; touches the disk through `store`.

Two threads: the reader decodes the next batch while the kernels, which release the interpreter's lock, digest this one.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from disposable_email_domains import blocklist

from stillwatch.cohorts.population import Accounts, Population, populate
from stillwatch.engine.accounts import AccountNumbers
from stillwatch.engine.store import DigestStore
from stillwatch.marks.digest import digest
from stillwatch.marks.hashing import hash_strings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

_AHEAD = 3  # batches in flight: one being read, two being digested


def populate_from(
    batches: Iterable[pa.RecordBatch],
    accounts: pa.Table | None,
    *,
    limit_memory: int | None = None,
    folder: Path | None = None,
    threads: int = 2,
) -> Population:
    """Digest batches of `exchange/1` and put them together.

    Args:
        batches: columns of `marks.digest.NEEDED`, absent ones as nulls.
        accounts: the accounts table (schema `ACCOUNT`), if there is one.
        limit_memory: bytes above which digests move to disk.
        folder: where they move to.
        threads: how many batches are digested side by side, and then columns sorted.
    """
    store = DigestStore(limit_memory=limit_memory, folder=folder)
    numbers = AccountNumbers()
    try:
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[tuple[NDArray[np.int32], Future[dict[str, NDArray[np.generic]]]]] = deque()
            for batch in batches:
                waiting.append((numbers.number(batch.column("account")), pool.submit(digest, batch)))
                while len(waiting) >= _AHEAD:
                    _store(store, *waiting.popleft())
            while waiting:
                _store(store, *waiting.popleft())
        names, rank = numbers.ranked()
        return populate(store.sorted(rank, threads=threads), known_accounts(names, accounts))
    finally:
        store.close()


def _store(store: DigestStore, account: NDArray[np.int32], made: Future[dict[str, NDArray[np.generic]]]) -> None:
    store.add({"account": account, **made.result()})


def known_accounts(names: NDArray[np.object_], accounts: pa.Table | None) -> Accounts:
    """Look up what the accounts table tells about the accounts of the log, in the order of `names`."""
    size = len(names)
    if accounts is None or not accounts.num_rows:
        nothing = np.zeros(size, np.uint64)
        unknown = np.full(size, np.nan)
        no = np.zeros(size, np.bool_)
        return Accounts(names, unknown, nothing, nothing, nothing, no, nothing, no)
    row = {name: index for index, name in enumerate(accounts.column("account").to_pylist())}
    place = np.fromiter((row.get(name, -1) for name in names), dtype=np.int64, count=size)
    found = place >= 0

    def hashed(name: str) -> NDArray[np.uint64]:
        return np.where(found, hash_strings(_whole(accounts, name))[place], np.uint64(0))

    # unsafe: the last days of the calendar, a usual stand-in for "unknown", have more digits than a float holds
    created = _whole(accounts, "created_at").cast(pa.int64()).cast(pa.float64(), safe=False).fill_null(float("nan"))
    seconds = created.to_numpy(zero_copy_only=False)[place] / 1e6
    verified = _whole(accounts, "verified").fill_null(False).to_numpy(zero_copy_only=False)[place]
    return Accounts(
        name=names,
        created=np.where(found, seconds, np.nan),
        card=hashed("payment"),
        mail=hashed("email_domain"),
        organization=hashed("organization"),
        disposable=found & disposable(_whole(accounts, "email_domain"))[place],
        tier=hashed("tier"),
        verified=found & verified.astype(np.bool_),
    )


def disposable(domains: pa.Array) -> NDArray[np.bool_]:
    """Whether each mail domain, or one above it, is on the published list of those that serve throw-away addresses."""

    def listed(domain: str | None) -> bool:
        labels = (domain or "").strip().rstrip(".").lower().split(".")
        return any(".".join(labels[place:]) in blocklist for place in range(len(labels) - 1))

    coded = domains.dictionary_encode()
    known = np.array([listed(domain) for domain in coded.dictionary.to_pylist()] + [False])
    return np.asarray(known[coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)])


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
