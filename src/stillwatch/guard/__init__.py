"""The guard at the gateway: where policies meet requests. Touches files, clocks and memory that is shared.

`Guard` is the middleware: `Guard(app, policy="observe")`, or `--middleware stillwatch.guard.Guard` for vLLM's server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stillwatch.guard.app import Guard

__all__ = ["Guard"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from stillwatch.guard import app  # noqa: PLC0415  # on first use only: counters need none of it

        return getattr(app, name)
    raise AttributeError(f"module 'stillwatch.guard' has no attribute {name!r}")
