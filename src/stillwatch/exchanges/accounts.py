"""The accounts file: what a provider knows of its accounts, one row each. Touches that file, reading.

It is optional, small beside the logs, and made by the provider itself; so the first thing wrong with it is an error,
not a row put aside: an account that is missing here would be judged as if nothing were known of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError, LogError
from stillwatch.exchanges.columns import MISSING, typed
from stillwatch.exchanges.dialects.dialect import Dialect
from stillwatch.exchanges.files import Form, find_files
from stillwatch.exchanges.lines import read_json
from stillwatch.exchanges.parquet import read_parquet
from stillwatch.exchanges.rows import Intake, Rows
from stillwatch.exchanges.schema import ACCOUNT
from stillwatch.exchanges.table import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stillwatch.exchanges.dialects.dialect import Exchange, Row

NOTE: Final = b"note"
"""Key of the table's schema metadata that holds what a person should know: columns that were ignored."""


def read_accounts(path: Path) -> pa.Table:
    """Read an accounts file: Parquet, JSONL or CSV, the latter two also as .gz and .zst.

    Returns:
        A table with exactly the columns of `ACCOUNT`, absent ones null, in the file's order. Columns of other names
        are ignored, and named in the schema's metadata under `NOTE`.

    Raises:
        InputError: there is no such file.
        LogError: a value cannot be read, an account has no name, or two rows are about one account; it names line
            and field.

    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    files, notes = find_files([path])
    if not files:
        raise InputError(notes[0])
    file = files[0]
    present: dict[str, None] = {}
    reader = {Form.PARQUET: read_parquet, Form.JSON: read_json, Form.CSV: read_table}.get(file.form)
    if reader is None:
        raise InputError(f"{path}: neither Parquet, JSON nor CSV")
    intake = _intake(file.name, present)
    parts = [_typed(rows, file.name) for rows in reader(file, intake) if rows.count]
    if not parts and "account" not in present:
        raise LogError(MISSING, path=file.name, field="account")
    ignored = [name for name in present if name not in ACCOUNT.names]
    schema = ACCOUNT.with_metadata({NOTE: f"ignored: {', '.join(ignored)}".encode()} if ignored else {})
    table = pa.concat_tables([part for part, _ in parts]) if parts else ACCOUNT.empty_table()
    _refuse_second_rows(table, [line for _, lines in parts for line in lines], file.name)
    return table.cast(schema).combine_chunks()


def _intake(path: str, present: dict[str, None]) -> Intake:
    """Every problem is an error; the columns found are noted in `present`."""

    def convert(row: Row) -> Iterator[Exchange]:
        present.update(dict.fromkeys(row))
        yield dict(row)

    accounts = Dialect("accounts", {}, lambda row: "account" in row, convert)

    def known(head: Sequence[Row]) -> Dialect:
        for row in head:
            present.update(dict.fromkeys(row))
        return accounts

    def wanted(there: Iterable[str], identified: bool) -> list[str]:
        del identified
        return list(there)

    def refuse(error: LogError, line: int | None, raw: object, rows: int) -> None:
        del raw, rows
        raise LogError(error.reason, path=path, line=line, field=error.field)

    def cut(line: int, raw: object) -> None:
        del raw
        raise LogError("half a line", path=path, line=line)

    return Intake(known, wanted, refuse, lambda _: None, cut, batch_rows=65_536, note=lambda _: None)


def _typed(rows: Rows, path: str) -> tuple[pa.Table, list[int | None]]:
    lines = [rows.place(row)[0] for row in range(rows.count)]
    columns = []
    for field in ACCOUNT:
        found = rows.columns.get(field.name)
        read = typed(pa.nulls(rows.count) if found is None else found, field.type)
        for row, reason in read.unreadable.items():
            raise LogError(reason, path=path, line=lines[row], field=field.name)
        columns.append(read.values)
    names = columns[0]
    if names.null_count:
        nameless = int(np.flatnonzero(names.is_null().to_numpy(zero_copy_only=False))[0])
        raise LogError(MISSING, path=path, line=lines[nameless], field="account")
    share = pc.fill_null(columns[ACCOUNT.get_field_index("ownership_share")], 0.0).to_numpy(zero_copy_only=False)
    outside = np.flatnonzero((share < 0) | (share > 1))
    if len(outside):
        reason = "not a share from 0 to 1"
        raise LogError(reason, path=path, line=lines[int(outside[0])], field="ownership_share")
    return pa.Table.from_arrays(columns, schema=ACCOUNT), lines


def _refuse_second_rows(table: pa.Table, lines: list[int | None], path: str) -> None:
    names = table.column("account")
    if pc.count_distinct(names).as_py() == len(names):
        return
    first: dict[str, int | None] = {}
    for name, line in zip(names.to_pylist(), lines, strict=True):
        if name in first:
            raise LogError(f"{name!r} was on line {first[name]} already", path=path, line=line, field="account")
        first[name] = line
