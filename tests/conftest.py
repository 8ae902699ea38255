"""What every test starts from."""

from __future__ import annotations

import signal

# a shell that starts the tests in its background has them ignore interrupts, and every command that they start as well
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
