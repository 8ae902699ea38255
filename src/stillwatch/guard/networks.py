"""Networks: from an address to facts about where it is and what kind of network it is in. Touches: files.

Two kinds of files, as many of each as there are:

- databases in MaxMind's format (https://maxmind.github.io/MaxMind-DB/), whoever made them: country and region, number
  of the autonomous system, and the flags of hosting, VPN, Tor and residential proxies are taken from the fields that
  GeoIP2 and GeoLite2 have for them;
- lists of networks, one a line (`192.0.2.0/24`, `2001:db8::/32`, or a single address), `#` begins a comment.

What several files say is put together: a flag holds if one says so, a country is the first file's that knows one.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final, Literal

import maxminddb

from stillwatch.errors import NetworksError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from stillwatch.decisions.facts import FactValue

NetworkKind = Literal["hosting", "vpn", "tor", "residential_proxy"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FLAGS: Final[Mapping[str, NetworkKind]] = {
    "is_hosting_provider": "hosting",
    "is_anonymous_vpn": "vpn",
    "is_tor_exit_node": "tor",
    "is_residential_proxy": "residential_proxy",
}
_RESIDENTIAL: Final = "Residential-Proxy"  # a kind of database in which to be listed is to be one
_TELLS: Final[Mapping[str, tuple[str, ...]]] = {  # part of the type of MaxMind's databases: facts
    "Country": ("request.country",),
    "City": ("request.country", "request.region"),
    "Enterprise": ("request.country", "request.region", "request.asn"),
    "ASN": ("request.asn",),
    "ISP": ("request.asn",),
    "Anonymous": tuple(f"request.{kind}" for kind in _FLAGS.values()),
    _RESIDENTIAL: ("request.residential_proxy",),
}
_PREFIX: Final = {4: 24, 6: 48}  # what one customer is given as a rule, as in `marks/networks.py`


class NetworkList:
    """A list of networks that can be asked whether an address is in it, however long it is."""

    def __init__(self, networks: Sequence[str], *, path: str = "list") -> None:
        """Read networks, one a line.

        Raises:
            NetworksError: a line is no network; names the line.

        """
        self._prefixes: dict[tuple[int, int], set[int]] = {}  # by version and length, what is left of addresses
        for number, line in enumerate(networks, start=1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                network = ipaddress.ip_network(text, strict=False)
            except ValueError as error:
                raise NetworksError(f"no network: {error}", path=path, line=number) from error
            shift = network.max_prefixlen - network.prefixlen
            self._prefixes.setdefault((network.version, shift), set()).add(int(network.network_address) >> shift)

    def __contains__(self, address: Address) -> bool:
        """Whether a network of the list has the address."""
        value, version = int(address), address.version
        return any(value >> shift in found for (of, shift), found in self._prefixes.items() if of == version)

    def has(self, text: str) -> bool:
        """Whether a network of the list has the address that a text says; what is no address is in none."""
        address = parsed(text)
        return address is not None and address in self


class Networks:
    """Databases and lists of networks, open to be asked; a new file is read by opening anew.

    Args:
        databases: in MaxMind's format.
        lists: for each kind of network, files that list such networks.

    Raises:
        NetworksError: a file cannot be read; names it, and the line of a list.

    """

    def __init__(
        self, databases: Sequence[Path] = (), lists: Mapping[NetworkKind, Sequence[Path]] | None = None
    ) -> None:
        self._databases: list[tuple[Path, maxminddb.Reader, bool]] = []
        try:
            for path in databases:
                reader = _opened(path)
                self._databases.append((path, reader, _RESIDENTIAL in reader.metadata().database_type))
            self._lists = [(kind, _listed(path)) for kind, paths in (lists or {}).items() for path in paths]
        except NetworksError:
            self.close()
            raise

    def close(self) -> None:
        """Close the databases."""
        for _, reader, _ in self._databases:
            reader.close()

    def tells(self) -> frozenset[str]:
        """Name the facts that these databases, by what their types say, and lists are there to tell."""
        types = [reader.metadata().database_type for _, reader, _ in self._databases]
        by_type = {name for kind, names in _TELLS.items() if any(kind in each for each in types) for name in names}
        return frozenset({"request.network", *by_type, *(f"request.{kind}" for kind, _ in self._lists)})

    def look_up(self, text: str) -> dict[str, FactValue]:
        """Give what is known about an address, as facts of a policy; nothing for what is no address.

        Raises:
            NetworksError: a database is broken where the address is looked for.

        """
        address = parsed(text)
        if address is None:
            return {}
        facts: dict[str, FactValue] = {"request.network": _network(address)}
        for path, reader, residential in self._databases:
            for name, value in _said(_record(path, reader, address), residential=residential):
                facts.setdefault(name, value)
        for kind, listed in self._lists:
            if address in listed:
                facts[f"request.{kind}"] = True
        return facts


def _opened(path: Path) -> maxminddb.Reader:
    try:
        return maxminddb.open_database(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise NetworksError(f"cannot be read as a MaxMind database: {error}", path=str(path)) from error


def _listed(path: Path) -> NetworkList:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NetworksError(f"cannot be read: {error}", path=str(path)) from error
    return NetworkList(lines, path=str(path))


def parsed(text: str) -> Address | None:
    """Read an address; one of version 4 that is written as version 6 is of version 4. None for what is no address."""
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _network(address: Address) -> str:
    shift = address.max_prefixlen - _PREFIX[address.version]
    return f"{type(address)(int(address) >> shift << shift)}/{_PREFIX[address.version]}"


def _record(path: Path, reader: maxminddb.Reader, address: Address) -> Mapping[str, Any] | None:
    try:
        record = reader.get(address)
    except ValueError:  # an address of version 6 in a database of version 4
        return None
    except maxminddb.InvalidDatabaseError as error:
        raise NetworksError(f"is broken: {error}", path=str(path)) from error
    return record if isinstance(record, dict) else None


def _said(record: Mapping[str, Any] | None, *, residential: bool) -> Iterator[tuple[str, FactValue]]:
    """Give the facts that a database's record says."""
    if record is None:
        return
    if residential:
        yield "request.residential_proxy", True
    for flag, kind in _FLAGS.items():
        if record.get(flag) is True:
            yield f"request.{kind}", True
    if isinstance(number := record.get("autonomous_system_number"), int):
        yield "request.asn", number
    country = _code(record.get("country"))
    if country:
        yield "request.country", country
        inner = record.get("subdivisions")
        region = _code(inner[0]) if isinstance(inner, list) and inner else ""
        if region:
            yield "request.region", f"{country}-{region}"


def _code(part: object) -> str:
    code = part.get("iso_code") if isinstance(part, dict) else None
    return code if isinstance(code, str) else ""
