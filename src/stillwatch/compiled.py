"""Compiling a function to machine code: the one place that knows how numba is called.

A function that is `compiled` runs at native speed, without the interpreter's lock, and its machine code is kept on disk
beside the source (or in the user's cache folder where that may not be written), so that it is compiled once a machine.

Touches: the compiler's cache. Imports nothing of stillwatch.
"""

from __future__ import annotations

import hashlib
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_FINGERPRINTS: dict[int, str] = {}
"""Fingerprint of every function compiled here, by the identity of the result, which lives as long as the process."""


def compiled(function: F) -> F:
    """Compile `function` for the types it is first called with; call it as before, from Python or from compiled code.

    The interpreter's lock is released while it runs, so that threads run it side by side.
    """
    return _compile(function)


def inlined(function: F) -> F:
    """Compile `function` so that its body goes into every compiled function that calls it: for what runs once a token.

    It may read and write arrays but not make any: it is compiled without numba's reference counting, which would
    otherwise touch a counter at every call.
    """
    return _compile(function, forceinline=True, _nrt=False)


def _compile(function: F, **options: bool) -> F:
    fingerprint = _fingerprint(function, repr(options))
    # The compiler's cache looks at a function's own source file only. A changed callee or table in another file would
    # leave stale machine code in use, so the cached file is named after everything that the function is made of.
    function.__qualname__ = f"{function.__qualname__}_{fingerprint}"
    njit: Any = numba.njit  # its types allow no option by name, and leave out the one for reference counting
    try:
        dispatcher = njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # no folder that may be written: compile anew in every process
        dispatcher = njit(nogil=True, **options)(function)
    _FINGERPRINTS[id(dispatcher)] = fingerprint
    return cast("F", dispatcher)


def _fingerprint(function: Callable[..., Any], options: str) -> str:
    """Return 12 hex digits of what makes the function: options, code, and the functions and constants that it names."""
    # Code nested inside is named by its instructions: its repr holds an address, which differs from run to run.
    constants = [value.co_code if isinstance(value, CodeType) else value for value in function.__code__.co_consts]
    digest = hashlib.sha256(function.__code__.co_code + (options + repr(constants)).encode())
    names = function.__code__.co_names
    found = [function.__globals__.get(name) for name in names]
    modules = [value for value in found if isinstance(value, ModuleType) and value is not np]
    found += [getattr(module, name, None) for module in modules for name in names]
    for value in found:
        if id(value) in _FINGERPRINTS:
            digest.update(_FINGERPRINTS[id(value)].encode())
        elif isinstance(value, np.ndarray):
            digest.update(np.ascontiguousarray(value).data)
        elif isinstance(value, (bool, int, float, str, tuple, np.generic)):
            digest.update(repr(value).encode())
    return digest.hexdigest()[:12]
