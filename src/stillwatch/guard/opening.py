"""What a guard opens when it starts, each part as its settings say. Touches: the files and servers that they name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stillwatch.errors import SettingsError
from stillwatch.guard.directory import read_directory
from stillwatch.guard.exchange_log import ExchangeLog
from stillwatch.guard.follow import Watched
from stillwatch.guard.networks import NetworkList, Networks
from stillwatch.guard.policy_file import bundled, load_policy
from stillwatch.guard.state import LocalState
from stillwatch.report.key_file import FIRST_USE, default_key_path, load_or_make_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stillwatch.decisions.policy import Policy
    from stillwatch.guard.directory import Directory
    from stillwatch.guard.networks import NetworkKind
    from stillwatch.guard.settings import GuardSettings
    from stillwatch.guard.state import State


def check(settings: GuardSettings) -> Policy:
    """Read everything that a guard of these settings reads when it starts, and give the policy.

    Raises:
        StillwatchError: a guard of these settings would not start.

    """
    policy = policy_of(settings).value
    for networks in (settings.trusted_proxies, settings.operators):
        NetworkList(networks, path="settings")
    directory_of(settings)
    networks_of(settings).value.close()
    key_of(settings, say)
    return policy


def policy_of(settings: GuardSettings) -> Watched[Policy]:
    """Give the policy.

    Raises:
        SettingsError: none is named.
        PolicyError: there is none, it is empty, or it says something wrong.

    """
    source = settings.policy
    if source is None:
        raise SettingsError("guard", (), reason="no policy is named; without one everything would be allowed")
    return Watched(() if source in bundled() else (Path(source),), lambda: load_policy(source))


def directory_of(settings: GuardSettings) -> Watched[Directory]:
    """Give what is known of accounts and keys."""
    accounts, keys = (Path(place) if place else None for place in (settings.accounts, settings.keys))
    paths = tuple(path for path in (accounts, keys) if path is not None)
    return Watched(paths, lambda: read_directory(accounts, keys))


def networks_of(settings: GuardSettings) -> Watched[Networks]:
    """Give what is known of networks."""
    files = settings.networks
    databases = [Path(path) for path in files.databases]
    lists: dict[NetworkKind, list[Path]] = {
        "hosting": [Path(path) for path in files.hosting],
        "vpn": [Path(path) for path in files.vpn],
        "tor": [Path(path) for path in files.tor],
        "residential_proxy": [Path(path) for path in files.residential_proxy],
    }
    paths: Sequence[Path] = (*databases, *(path for each in lists.values() for path in each))
    return Watched(tuple(paths), lambda: Networks(databases, lists))


def key_of(settings: GuardSettings, told: Callable[[str], None]) -> bytes:
    """Give the provider's key, made on first use."""
    path = Path(settings.key_file) if settings.key_file else default_key_path()
    if not path.exists():
        told(FIRST_USE.format(path=path))
    return load_or_make_key(path)


def state_of(settings: GuardSettings) -> State:
    """Give what requests are counted in."""
    shared = settings.state
    if shared is None:
        return LocalState()
    from stillwatch.guard.valkey import ValkeyState  # noqa: PLC0415  its client need not be installed otherwise

    return ValkeyState(shared.url, name=shared.name, timeout=shared.timeout)


def log_of(settings: GuardSettings) -> ExchangeLog | None:
    """Give the exchange log; None where there is to be none."""
    log = settings.exchange_log
    if log is None:
        return None
    return ExchangeLog(Path(log.folder), text=log.text, seconds=log.seconds, rows=log.rows, on_full=log.on_full)


def say(text: str) -> None:
    """Say it on standard error."""
    sys.stderr.write(f"stillwatch guard: {text}\n")
    sys.stderr.flush()
