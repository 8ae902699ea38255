"""`stillwatch lineage verify-evidence`: is every figure of an evidence file what its raw material gives?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import console_on
from stillwatch.errors import EvidenceError, InputError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("verify-evidence")
@click.argument("file", type=FILE, metavar="FILE")
@click.option("--material", type=FILE, required=True, metavar="DIR", help="Folder with the raw material, by any names.")
def verify_evidence(*, file: Path, material: Path) -> None:
    """Do every test of an evidence file again from its raw material, and say which figures differ."""
    from stillwatch.lineage.evidence import check, from_json, versions
    from stillwatch.lineage.material import read_material

    if not material.is_dir():
        raise InputError(f"{material}: is no folder")
    records = from_json(read_material("evidence", file).data, str(file))
    wanted = {each.bytes for record in records for each in record.inputs}
    files = [each for each in sorted(material.rglob("*")) if each.is_file() and each.stat().st_size in wanted]
    by_hash = {found.sha256: found.data for found in (read_material("", each) for each in files)}
    differences = check(records, by_hash)
    console = console_on(sys.stdout)
    for each in records:
        there = {name: is_ for name, is_ in each.versions.items() if versions().get(name) != is_}
        console.print(
            f"{each.test}, {each.made}: {len(each.inputs)} files" + (f"; was made with {there}" if there else "")
        )
    for difference in differences:
        console.print(
            f"differs: {difference.test}: {difference.where}: {difference.said} is {difference.found}", soft_wrap=True
        )
    if differences:
        raise EvidenceError(f"{file}: {len(differences)} figures are not what the material gives")
    console.print("every figure is what the material gives")
