"""What every test starts from."""

from __future__ import annotations

import signal

# a shell that starts the tests in its background, or `nohup`, has them ignore signals, and so would every command that
# they start: those must be as a user has them
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
