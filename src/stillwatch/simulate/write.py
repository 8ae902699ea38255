"""Made traffic to files: the one place of `simulate` that writes.

FOLDER/exchanges/part-00000.parquet    the log (or .jsonl, .csv)
FOLDER/accounts.parquet                what sign-up and billing know
FOLDER/scenario.yaml                   the scenario as it was run
FOLDER/truth/accounts.parquet          who belongs to what; no scan reads it
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from stillwatch.errors import OutputError, UsageError
from stillwatch.simulate.scenario import as_yaml
from stillwatch.simulate.world import NEVER_MADE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stillwatch.simulate.traffic import Traffic

FORMATS = ("parquet", "jsonl", "csv")
MARKER = "# made by `stillwatch simulate`"  # first words of scenario.yaml: the folder is ours to replace


def write_traffic(
    traffic: Traffic,
    folder: Path,
    *,
    format: str = "parquet",  # noqa: A002 - the option's name at the terminal
    rows_per_file: int = 250_000,
) -> None:
    """Write a log, its accounts and the truth into a folder.

    Args:
        traffic: what `simulate` made.
        folder: made if need be. Contents that an earlier run wrote are replaced; other contents are never touched.
        format: of the log: `parquet`, `jsonl` or `csv`. Accounts and truth are always Parquet.
        rows_per_file: the log is split into files of so many rows.

    Raises:
        UsageError: the format is not known, or `rows_per_file` is below 1.
        OutputError: the folder holds something else, or cannot be written.

    """
    if format not in FORMATS:
        raise UsageError(f"format `{format}` is not known; there are {', '.join(FORMATS)}")
    if rows_per_file < 1:
        raise UsageError(f"rows_per_file must be at least 1, got {rows_per_file}")
    try:
        _refuse_foreign(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as staging:
            _write_all(traffic, Path(staging), format, rows_per_file)
            _replace(Path(staging), folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error}") from error


def _refuse_foreign(folder: Path) -> None:
    """Stop where somebody else's files are."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file")
    if not folder.exists() or not any(folder.iterdir()):
        return
    marked = folder / "scenario.yaml"
    if not marked.is_file() or not marked.read_text(encoding="utf-8", errors="replace").startswith(MARKER):
        raise OutputError(f"{folder}: is not empty and was not made by `stillwatch simulate`; name another folder")


def _write_all(traffic: Traffic, folder: Path, kind: str, rows_per_file: int) -> None:
    exchanges, truth = folder / "exchanges", folder / "truth"
    exchanges.mkdir()
    truth.mkdir()
    head = f"{MARKER} --seed {traffic.seed} --scale {traffic.scale:g}\n"
    (folder / "scenario.yaml").write_text(head + as_yaml(traffic.scenario), encoding="utf-8")
    shown = _without(traffic.exchanges, (*traffic.scenario.omit, *NEVER_MADE))
    for number, at in enumerate(range(0, max(1, shown.num_rows), rows_per_file)):
        part = shown.slice(at, rows_per_file).combine_chunks()
        _write_part(part, exchanges / f"part-{number:05d}.{kind}", kind)
    pq.write_table(_without(traffic.accounts, traffic.scenario.omit), folder / "accounts.parquet")
    pq.write_table(traffic.truth, truth / "accounts.parquet")


def _replace(staging: Path, folder: Path) -> None:
    """Put what was written in the place of what an earlier run wrote; anything else in the folder stays."""
    folder.mkdir(exist_ok=True)
    for new in sorted(staging.iterdir()):
        old = folder / new.name
        if old.is_dir():
            shutil.rmtree(old)
        new.replace(old)


def _without(table: pa.Table, names: Iterable[str]) -> pa.Table:
    return table.drop_columns([name for name in table.column_names if name in set(names)])


def _write_part(part: pa.Table, path: Path, kind: str) -> None:
    if kind == "parquet":
        pq.write_table(part, path, compression="zstd")
        return
    at = part.column_names.index("time")
    text = pa.compute.strftime(part["time"], format="%Y-%m-%dT%H:%M:%SZ")
    part = part.set_column(at, "time", text)
    if kind == "csv":
        pa.csv.write_csv(part, path)
        return
    with path.open("w", encoding="utf-8") as out:
        for row in part.to_pylist():
            present = {name: value for name, value in row.items() if value is not None}
            out.write(json.dumps(present, ensure_ascii=False) + "\n")
