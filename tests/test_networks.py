from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mmdb import database
from tests.policies import policy, rule

from stillwatch.decisions.decide import decide
from stillwatch.decisions.facts import FACTS, KnownFacts
from stillwatch.errors import NetworksError
from stillwatch.guard.networks import NetworkList, Networks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNTRIES: dict[str, Any] = {
    "192.0.2.0/24": {"country": {"iso_code": "DE"}},
    "198.51.100.0/25": {"country": {"iso_code": "UA"}, "subdivisions": [{"iso_code": "43"}, {"iso_code": "x"}]},
    "2001:db8::/32": {"country": {"iso_code": "JP"}, "city": {"names": {"en": "Tokyo"}}},
    "203.0.113.0/24": {"continent": {"code": "EU"}},
}
KINDS: dict[str, Any] = {
    "192.0.2.0/28": {"is_anonymous": True, "is_hosting_provider": True},
    "192.0.2.16/28": {"is_anonymous_vpn": True, "is_tor_exit_node": False},
    "198.51.100.7/32": {"is_tor_exit_node": True},
    "2001:db8:5::/48": {"is_residential_proxy": True},
}
SYSTEMS: dict[str, Any] = {"192.0.2.0/24": {"autonomous_system_number": 64_500, "autonomous_system_organization": "x"}}
PROXIES: dict[str, Any] = {"203.0.113.9/32": {"anonymizer_confidence": 82}}


@pytest.fixture
def networks(tmp_path: Path) -> Iterator[Networks]:
    files = {
        "country": database(COUNTRIES, kind="GeoLite2-City"),
        "kinds": database(KINDS, kind="GeoIP2-Anonymous-IP"),
        "systems": database(SYSTEMS, kind="GeoLite2-ASN", version=4),
        "proxies": database(PROXIES, kind="GeoIP-Residential-Proxy"),
    }
    for name, content in files.items():
        (tmp_path / f"{name}.mmdb").write_bytes(content)
    (tmp_path / "tor.txt").write_text("# exits\n203.0.113.5\n\n2001:db8:7::/48  # a whole one\n")
    found = Networks([tmp_path / f"{name}.mmdb" for name in files], {"tor": [tmp_path / "tor.txt"]})
    yield found
    found.close()


@pytest.mark.parametrize(
    ("address", "facts"),
    [
        ("192.0.2.3", {"network": "192.0.2.0/24", "country": "DE", "asn": 64_500, "hosting": True}),
        ("192.0.2.17", {"network": "192.0.2.0/24", "country": "DE", "asn": 64_500, "vpn": True}),
        ("198.51.100.7", {"network": "198.51.100.0/24", "country": "UA", "region": "UA-43", "tor": True}),
        ("198.51.100.200", {"network": "198.51.100.0/24"}),
        ("2001:db8:5::1", {"network": "2001:db8:5::/48", "country": "JP", "residential_proxy": True}),
        ("2001:db8:7::1", {"network": "2001:db8:7::/48", "country": "JP", "tor": True}),
        ("203.0.113.5", {"network": "203.0.113.0/24", "tor": True}),
        ("203.0.113.9", {"network": "203.0.113.0/24", "residential_proxy": True}),
        ("::ffff:192.0.2.3", {"network": "192.0.2.0/24", "country": "DE", "asn": 64_500, "hosting": True}),
        ("fe80::1%eth0", {"network": "fe80::/48"}),
        ("nobody", {}),
        ("", {}),
    ],
)
def test_an_address_becomes_facts(networks: Networks, address: str, facts: dict[str, Any]) -> None:
    assert networks.look_up(address) == {f"request.{name}": value for name, value in facts.items()}


def test_what_is_said_are_facts_of_their_kinds(networks: Networks) -> None:
    for text in (*COUNTRIES, *KINDS, *PROXIES):
        for name, value in networks.look_up(str(ipaddress.ip_network(text)[0])).items():
            kind: Any = FACTS[name].kind
            assert type(value) is kind


def test_a_policy_reads_them(networks: Networks) -> None:
    ours = policy(
        places={"there": {"of": ["UA-43"]}},
        rules=[rule({"refuse": "sanctioned"}, "request.places.there || request.vpn")],
    )
    for address, fired in (("198.51.100.7", ("it",)), ("192.0.2.17", ("it",)), ("192.0.2.3", ())):
        assert decide(ours, KnownFacts(networks.look_up(address))).fired == fired


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.mmdb").write_bytes(b"no database")
    with pytest.raises(NetworksError, match=r"broken\.mmdb: cannot be read as a MaxMind database"):
        Networks([tmp_path / "broken.mmdb"])
    with pytest.raises(NetworksError, match=r"none\.mmdb: cannot be read"):
        Networks([tmp_path / "none.mmdb"])
    with pytest.raises(NetworksError, match=r"none\.txt: cannot be read"):
        Networks([], {"vpn": [tmp_path / "none.txt"]})
    (tmp_path / "list.txt").write_text("192.0.2.0/24\n192.0.2.0/33\n")
    with pytest.raises(NetworksError, match=r"list\.txt:2: no network"):
        Networks([], {"vpn": [tmp_path / "list.txt"]})


def test_a_database_that_is_broken_inside_is_named(tmp_path: Path) -> None:
    good = database({"192.0.2.0/24": {"country": {"iso_code": "DE"}}}, version=4)
    (tmp_path / "bad.mmdb").write_bytes(good.replace(b"\x47country", b"\x00\xffountry"))
    broken = Networks([tmp_path / "bad.mmdb"])
    with pytest.raises(NetworksError, match=r"bad\.mmdb: is broken"):
        broken.look_up("192.0.2.1")
    broken.close()


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 128)), max_size=12), ADDRESSES)
def test_a_list_has_what_any_of_its_networks_has(
    given_: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    made = [ipaddress.ip_network(f"{each}/{min(length, each.max_prefixlen)}", strict=False) for each, length in given_]
    listed = NetworkList([str(each) for each in made])
    assert (address in listed) == any(each.version == address.version and address in each for each in made)
    assert all(each[0] in listed and each[-1] in listed for each in made)
