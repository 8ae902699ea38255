"""Where results go: findings to stdout or a file, words about the work to stderr."""

from __future__ import annotations

import io
import os
import sys
from typing import IO, TYPE_CHECKING

import click

from stillwatch.errors import OutputError, UsageError
from stillwatch.exchanges.url import local_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

    from stillwatch.report.examples import Examples
    from stillwatch.verdicts.evidence import Findings


def say(message: str) -> None:
    """Say something about the work; it is no result, so it goes to stderr."""
    click.echo(f"stillwatch: {message}", err=True)


def console_on(file: IO[str], width: int | None = None) -> Console:
    """Give a console that writes here and reads no markup into what it prints."""
    from rich.console import Console

    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="backslashreplace")  # names come from logs; no terminal's encoding may stop a report
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def form_of(output: Path | None) -> str:
    """Give the format that a file's name asks for."""
    endings = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    return "human" if output is None else endings.get(output.suffix.lower(), "human")


def require_writable(path: Path | None, *, read: Iterable[str | Path | None] = ()) -> None:
    """See before a long scan, not after it, that this file can be written and is none of those that are read."""
    if path is None:
        return
    target = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a pipe or a device: only writing tells
    inputs = [local_path(each) for each in read if each is not None]
    if any(target == each.resolve() for each in inputs if each is not None):
        raise UsageError(f"{path}: is read and would be written to as well; name another file")
    if target.is_dir():
        raise OutputError(f"{path}: cannot be written: it is a folder")
    if not target.parent.is_dir():
        raise OutputError(f"{path}: cannot be written: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{path}: cannot be written: permission denied")


def print_report(findings: Findings, form: str, *, saved_as: str = "", examples: Examples | None = None) -> None:
    """Print findings to stdout in one of the formats, with examples where there are some."""
    if form == "human":
        from stillwatch.report.terminal import print_findings

        print_findings(findings, console_on(sys.stdout), saved_as=saved_as, examples=examples)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(_encoded(findings, form, examples))
        sys.stdout.buffer.flush()


def write_report(findings: Findings, form: str, path: Path, *, examples: Examples | None = None) -> None:
    """Write findings to a file in one of the formats, whole or not at all.

    With examples a new file can be read by its owner only, for it holds prompts.

    Raises:
        OutputError: the file cannot be written.

    """
    from stillwatch.report.output_file import write_whole

    write_whole(path, _encoded(findings, form, examples), private=bool(examples))


def _encoded(findings: Findings, form: str, examples: Examples | None) -> bytes:
    from stillwatch.report.findings_v1 import to_json, to_json_lines
    from stillwatch.report.terminal import print_findings

    if form == "human":
        page = io.StringIO()
        print_findings(findings, console_on(page, width=100), examples=examples)
        return page.getvalue().encode()
    return (to_json if form == "json" else to_json_lines)(findings, examples)
