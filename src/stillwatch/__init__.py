"""stillwatch: finds adversarial distillation in a model's request logs.

The library's verbs are those of `stillwatch.api`; they load on first use, since compiled kernels come with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stillwatch.api import (
        Baseline,
        Findings,
        LogSource,
        ScanSettings,
        examples,
        fit_baseline,
        load_baseline,
        replay,
        save_baseline,
        scan,
        scan_table,
        simulate,
    )

__all__ = [
    "Baseline",
    "Findings",
    "LogSource",
    "ScanSettings",
    "examples",
    "fit_baseline",
    "load_baseline",
    "replay",
    "save_baseline",
    "scan",
    "scan_table",
    "simulate",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from stillwatch import api  # noqa: PLC0415  # on first use only

        return getattr(api, name)
    raise AttributeError(f"module 'stillwatch' has no attribute {name!r}")
