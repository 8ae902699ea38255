"""Options of the commands by which something leaves the house, and what each of them does last: approve and write."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from stillwatch.cli.options import FILE
from stillwatch.cli.output import require_writable, say
from stillwatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from stillwatch.intel.leaving import Row
    from stillwatch.intel.marking import Marking
    from stillwatch.intel.tip import Tip


class _Label(click.ParamType["Marking"]):
    """A TLP label: `TLP:AMBER`, or `amber`."""

    name = "label"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Marking:  # noqa: ANN401  the signature is click's
        from stillwatch.intel.marking import Marking

        text = str(value).upper()
        try:
            return Marking(text if text.startswith("TLP:") else f"TLP:{text}")
        except ValueError:
            self.fail(f"{value!r} is no label of TLP 2.0; there are {', '.join(Marking)}", param, ctx)


class _Commitment(click.ParamType[str]):
    """A SHA-256 in hexadecimal."""

    name = "sha256"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401  the signature is click's
        text = str(value).lower().removeprefix("sha256:")
        if not re.fullmatch(r"[0-9a-f]{64}", text):
            self.fail(f"{value!r} is no SHA-256 in hexadecimal", param, ctx)
        return text


FINDINGS: Final = click.argument("findings", type=FILE, metavar="FINDINGS")
MARKING: Final = click.option(
    "--marking",
    type=_Label(),
    default="TLP:AMBER",
    show_default=True,
    metavar="LABEL",
    help="To whom it may be passed on: TLP:CLEAR, GREEN, AMBER, AMBER+STRICT, RED.",
)
PROVIDER: Final = click.option(
    "--provider", metavar="NAME", help="As whom to share; without it, as nobody in particular."
)
SHARED_KEY: Final = click.option(
    "--shared-key", type=FILE, metavar="FILE", help="The group's key, under which marks leave; else the provider's own."
)
COMMITMENT: Final = _Commitment()
DRY_RUN: Final = click.option(
    "--dry-run", is_flag=True, help="Show all that would leave, and why it may; write nothing."
)
APPROVER: Final = click.option("--approver", metavar="NAME", default="", help="Who approves that this leaves.")
OUTPUT: Final = click.option("-o", "--output", type=FILE, metavar="FILE", help="Write it here, whole or not at all.")
TIPS: Final = click.option(
    "--tips",
    "tips",
    type=FILE,
    metavar="PATH",
    multiple=True,
    help="Bundles from others: a file or a folder of them; as often as there are.",
)


def approvable(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of what leaves: `marking`, `provider`, `output`, `approver`, `dry_run`."""
    for option in (DRY_RUN, APPROVER, OUTPUT, PROVIDER, MARKING):
        command = option(command)
    return command


def require_approval(output: Path | None, approver: str, *, dry_run: bool, read: Iterable[Path | None]) -> None:
    """See before any work that a person stands behind what is to leave, and that it can be written.

    Raises:
        UsageError: nobody does, or no file is named.

    """
    if dry_run:
        return
    if not approver.strip():
        raise UsageError("a person approves what leaves: name one with --approver, or look at it with --dry-run")
    if output is None or str(output) == "-":
        raise UsageError("name the file to write with -o; its approval is kept beside it")
    require_writable(output, read=read)
    require_writable(approval_of(output), read=read)


def approval_of(output: Path) -> Path:
    """Give the file beside an export that tells who approved it."""
    return output.with_name(f"{output.name}.approval.json")


def write_approved(
    output: Path, document: bytes, *, approver: str, what: str, marking: Marking, left: Sequence[Row] = ()
) -> None:
    """Write what leaves and, first, who approved it."""
    from stillwatch.intel.approval import approved
    from stillwatch.report.output_file import write_whole

    record = approved(document, approver=approver, at=datetime.now(UTC), what=what, marking=marking.value, left=left)
    write_whole(approval_of(output), record, private=True)
    write_whole(output, document)
    say(f"{what} written to {output}; approved by {approver.strip()}, see {approval_of(output)}")


def shared_key_in(path: Path) -> bytes:
    """Give the key of a sharing group; it is made by whoever founds the group, never on first use.

    Raises:
        KeyFileError: it cannot be read.

    """
    from stillwatch.errors import KeyFileError
    from stillwatch.report.key_file import load_or_make_key

    if not path.is_file():
        raise KeyFileError(f"{path}: there is no such file; the group's key comes from whoever founded the group")
    return load_or_make_key(path)


def tips_told(paths: Iterable[Path], *, quiet: bool = False) -> tuple[Tip, ...]:
    """Read the tips that a command was given, and say what of them cannot be used.

    Raises:
        BundleError: a file cannot be read.

    """
    from stillwatch.intel.tips import tips_in

    found = tips_in(paths, datetime.now(UTC))
    if not quiet:
        for reason, number in found.passed_over.items():
            say(f"tips: {number:,} passed over: {reason}")
        disputed = sum(bool(tip.disputed_by) for tip in found.tips)
        say(f"tips: {len(found.tips):,} received" + (f", {disputed:,} of them disputed" if disputed else ""))
    return found.tips
