"""Settings of a guard, `stillwatch.guard/1`: where it finds what it goes by, as one YAML file says it. Reads that file.

What is allowed to whom stands in the policy, not here. Paths are relative to the settings' own folder. Every field
stands in docs/guard.md; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from stillwatch.errors import DocumentFault, SettingsError, YamlError
from stillwatch.guard.policy_file import bundled
from stillwatch.typed_yaml import Part, complaints, read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.typed_yaml import Complaint, Document

SCHEMA: Final = "stillwatch.guard/1"
HeaderName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,80}$", description="a header's name in small letters")]
Price = Annotated[float, Meta(ge=0)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Identify(Part, frozen=True):
    """Headers by which a trusted gateway in front says who asks; they are ignored from anybody else."""

    account: HeaderName | None = None
    organization: HeaderName | None = None
    key: HeaderName | None = None
    country: HeaderName | None = None
    ja4: HeaderName | None = None


class NetworkFiles(Part, frozen=True):
    """What tells where an address is: databases in MaxMind's format, and lists of networks."""

    databases: tuple[str, ...] = ()
    hosting: tuple[str, ...] = ()
    vpn: tuple[str, ...] = ()
    tor: tuple[str, ...] = ()
    residential_proxy: tuple[str, ...] = ()


class Deployment(Part, frozen=True):
    """Where this guard's model is served from."""

    cloud: str = ""
    region: str = ""
    tenant: str = ""


class SharedState(Part, frozen=True):
    """A Valkey or Redis server on which guards count together.

    `name` is the deployment's: guards of one name share what they count.
    """

    url: str
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,60}$")] = "default"
    timeout: Annotated[float, Meta(gt=0, le=10)] = 0.05


class MetricsAt(Part, frozen=True):
    """Ports on which metrics are told; each process takes the first that is free."""

    host: str = "127.0.0.1"
    ports: tuple[Annotated[int, Meta(ge=1, le=65_535)], ...] = ()


class LogTo(Part, frozen=True):
    """Where exchanges are logged, as `exchange/1`."""

    folder: str
    text: bool = False
    seconds: Seconds = 300.0
    rows: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    wait: bool = False
    on_full: Literal["drop", "refuse"] = "drop"


class Prices(Part, frozen=True):
    """What a million tokens of a model cost."""

    input: Price
    output: Price


class Known(Part, frozen=True):
    """How known campaigns are met: the rate at which an ordinary account is ever taken for one of theirs, at most."""

    rate: Annotated[float, Meta(gt=0, le=0.1)] = 1e-4


class GuardSettings(Part, frozen=True):
    """Settings as they are written."""

    schema: Literal["stillwatch.guard/1"] = SCHEMA
    policy: str | None = None
    ledger: str | None = None
    state: SharedState | None = None
    accounts: str | None = None
    keys: str | None = None
    key_file: str | None = None
    identify: Identify = Identify()
    trusted_proxies: tuple[str, ...] = ()
    operators: tuple[str, ...] = ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    networks: NetworkFiles = NetworkFiles()
    deployment: Deployment = Deployment()
    exchange_log: LogTo | None = None
    envoy: (
        Annotated[str, Meta(pattern=r"^[^\s]+:[0-9]{1,5}$", description="an address such as 127.0.0.1:9191")] | None
    ) = None
    metrics: MetricsAt = MetricsAt()
    prices: Mapping[str, Prices] = msgspec.field(default_factory=dict)
    engine: Literal["headers", "vllm"] = "headers"
    unread: Literal["pass", "refuse"] = "pass"
    body_limit: Annotated[int, Meta(ge=1_024, le=1_000_000_000)] = 20_000_000
    output_estimate: Annotated[int, Meta(ge=1, le=10_000_000)] = 1_024
    known: Known = Known()

    def within(self, folder: Path) -> GuardSettings:
        """Give the same with paths that are relative to a folder made absolute."""

        def at(path: str | None) -> str | None:
            return path if path is None or _is_url(path) else str(folder.absolute() / path)

        def each(paths: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(str(folder.absolute() / path) for path in paths)

        networks = NetworkFiles(**{name: each(getattr(self.networks, name)) for name in NetworkFiles.__struct_fields__})
        log = self.exchange_log
        return msgspec.structs.replace(
            self,
            policy=self.policy if self.policy in bundled() else at(self.policy),
            ledger=at(self.ledger),
            accounts=at(self.accounts),
            keys=at(self.keys),
            key_file=at(self.key_file),
            networks=networks,
            exchange_log=log and msgspec.structs.replace(log, folder=str(folder.absolute() / log.folder)),
        )


def load_settings(path: Path) -> GuardSettings:
    """Read settings from a file; paths in them become absolute.

    Raises:
        SettingsError: there is no such file, or it says something wrong; it has every fault.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), (), reason=f"cannot be read: {error}") from error
    return parse_settings(text, where=str(path)).within(path.parent)


def parse_settings(text: str, *, where: str) -> GuardSettings:
    """Read settings from their text; paths stay as they are written.

    Raises:
        SettingsError: they say something wrong; it has every fault.

    """
    try:
        written = read_yaml(text)
    except YamlError as error:
        fault = DocumentFault(error.line or 1, error.column or 1, "", error.reason)
        raise SettingsError(where, [fault]) from error
    if not isinstance(written.content, dict) or written.content.get("schema") != SCHEMA:
        raise SettingsError(where, [DocumentFault(1, 1, "schema", f"settings are a mapping with `schema: {SCHEMA}`")])
    faults = [_at(written, wrong) for wrong in complaints(written.content, GuardSettings)]
    if faults:
        raise SettingsError(where, faults)
    return msgspec.convert(written.content, GuardSettings)


def _at(written: Document, wrong: Complaint) -> DocumentFault:
    return DocumentFault(*written.position(wrong.path, key=wrong.key), wrong.field, wrong.reason)


def _is_url(place: str) -> bool:
    return "://" in place
