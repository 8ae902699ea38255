from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from stillwatch.guard.caller import Callers
from stillwatch.guard.incoming import Incoming
from stillwatch.guard.settings import Identify

SECRET = b"k" * 32
PROXIES = ("10.0.0.0/8", "2001:db8:1::/48")
HEADERS = Identify(account="x-account", organization="x-organization", key="x-key", country="x-country", ja4="x-ja4")
LIES = [
    (b"x-account", b"acct-of-somebody"),
    (b"x-organization", b"o"),
    (b"x-key", b"k"),
    (b"x-country", b"DE"),
    (b"x-ja4", b"j"),
    (b"x-forwarded-for", b"198.51.100.7"),
]
addresses = st.ip_addresses().map(str)


def callers(secret: bytes = SECRET) -> Callers:
    return Callers(HEADERS, PROXIES, secret)


def request(client: str, headers: list[tuple[bytes, bytes]] | None = None) -> Incoming:
    return Incoming("POST", "/v1/chat/completions", headers or [], client, b"")


def address(client: str, *forwarded: str) -> str:
    return callers().address(request(client, [(b"x-forwarded-for", each.encode()) for each in forwarded]))


@given(addresses.filter(lambda each: not callers().is_trusted(each)))
def test_who_is_not_trusted_is_not_believed(client: str) -> None:
    told = callers().of(request(client, [*LIES, (b"x-api-key", b"sk-1")]), {})
    plain = callers().of(request(client, [(b"x-api-key", b"sk-1")]), {})
    assert told == plain
    assert told.address == client


def test_a_trusted_gateway_says_who_asks() -> None:
    told = callers().of(request("10.1.2.3", LIES), {})
    assert (told.account, told.organization, told.key) == ("acct-of-somebody", "o", "k")
    assert (told.country, told.ja4, told.address) == ("DE", "j", "198.51.100.7")


def test_the_chain_is_read_from_its_end_as_far_as_trusted_proxies_wrote_it() -> None:
    assert address("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2") == "198.51.100.7"
    assert address("10.0.0.1", "203.0.113.9", "198.51.100.7", "10.0.0.2") == "198.51.100.7"
    assert address("10.0.0.1", "10.0.0.3, 10.0.0.2") == "10.0.0.3"
    assert address("203.0.113.1", "198.51.100.7") == "203.0.113.1"


def test_ports_brackets_and_what_is_no_address() -> None:
    assert address("10.0.0.1", "198.51.100.7:4711") == "198.51.100.7"
    assert address("10.0.0.1", '"[2001:db8:2::7]:4711"') == "2001:db8:2::7"
    assert address("10.0.0.1", "198.51.100.7, unknown, 10.0.0.2") == "10.0.0.2"
    assert address("::ffff:10.0.0.1", "198.51.100.7") == "198.51.100.7"
    assert address("", "198.51.100.7") == ""


@given(st.lists(st.one_of(addresses, st.text(max_size=8)), max_size=5))
def test_the_address_is_the_connection_s_or_one_that_a_proxy_wrote(chain: list[str]) -> None:
    written = ",".join(chain).encode("latin-1", "replace")
    found = callers().address(request("10.0.0.1", [(b"x-forwarded-for", written)]))
    assert found == "10.0.0.1" or found in written.decode("latin-1")


def test_keys_of_all_three_kinds_of_clients_are_known_by_a_keyed_digest() -> None:
    bearer, anthropic, azure = (
        callers().of(request("203.0.113.1", [header]), {}).key
        for header in ((b"authorization", b"Bearer sk-1"), (b"x-api-key", b"sk-1"), (b"api-key", b"sk-1"))
    )
    assert bearer == anthropic == azure != ""
    assert "sk-1" not in bearer
    assert callers(b"j" * 32).of(request("", [(b"x-api-key", b"sk-1")]), {}).key != bearer


def test_a_key_s_account_is_looked_up_by_its_sha256_or_named_after_the_key() -> None:
    known = {hashlib.sha256(b"sk-1").hexdigest(): "acct-1"}
    assert callers().of(request("", [(b"x-api-key", b"sk-1")]), known).account == "acct-1"
    other = callers().of(request("", [(b"x-api-key", b"sk-2")]), known)
    assert other.account == f"key-{other.key}"
    assert callers().of(request(""), known).account == ""
